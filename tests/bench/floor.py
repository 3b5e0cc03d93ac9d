"""What the points path is compared with: rows copied in bulk, and one order per transaction, on the same server.

Work per order as in the points path's core: a row that stops repeats, two ledger entries, the member's balance, one
outgoing event. The floor only adds rows, and reads nothing.
"""

import asyncio
import time
from uuid import UUID, uuid4

import asyncpg

from .arithmetic import Sample
from .ledger import connected
from .servers import Bench

MEMBERS = 5_000
_BATCH = 1_000
_EVENT = b"x" * 300

SCHEMA = """
CREATE TABLE seen (order_id uuid PRIMARY KEY);
CREATE TABLE entries (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
                      account uuid NOT NULL, points bigint NOT NULL);
CREATE INDEX entries_account ON entries (account, id);
CREATE TABLE balances (member uuid PRIMARY KEY, points bigint NOT NULL CHECK (points >= 0));
CREATE TABLE events (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, value bytea NOT NULL);
"""


async def copy_rows(bench: Bench, seconds: float) -> Sample:
    """Orders per second when the rows of 1,000 orders a transaction are copied into tables with indexes."""
    async with bench.database() as dsn, connected(dsn) as connection:
        await connection.execute(SCHEMA)
        meter = bench.meter()
        meter.begin()
        done, started = 0, time.perf_counter()
        while time.perf_counter() - started < seconds:
            await _copy(connection)
            done += _BATCH
        sample = meter.end(done)
        await _check(bench, "floor", connection, done)
    return sample


async def _copy(connection: asyncpg.Connection) -> None:
    orders = [uuid4() for _ in range(_BATCH)]
    async with connection.transaction():
        await connection.copy_records_to_table("seen", records=[(order,) for order in orders])
        entries = [(UUID(int=n % MEMBERS), points) for n in range(_BATCH) for points in (10, -10)]
        await connection.copy_records_to_table("entries", records=entries, columns=["account", "points"])
        await connection.copy_records_to_table("balances", records=[(order, 10) for order in orders])
        await connection.copy_records_to_table("events", records=[(_EVENT,)] * _BATCH, columns=["value"])


async def one_by_one(bench: Bench, seconds: float, connections: int = 8) -> Sample:
    """Orders per second when each order is a transaction, on so many connections."""
    async with bench.database() as dsn, connected(dsn) as connection:
        await connection.execute(SCHEMA)
        workers = [await asyncpg.connect(dsn) for _ in range(connections)]
        try:
            meter = bench.meter()
            meter.begin()
            until = time.perf_counter() + seconds
            counts = await asyncio.gather(*(_loop(worker, until, n * 611) for n, worker in enumerate(workers)))
            sample = meter.end(sum(counts))
        finally:
            for worker in workers:
                await worker.close()
        await _check(bench, "loop", connection, sum(counts))
    return sample


async def _loop(connection: asyncpg.Connection, until: float, number: int) -> int:
    done = 0
    while time.perf_counter() < until:
        member = UUID(int=number % MEMBERS)
        number += 1
        async with connection.transaction():
            new = await connection.fetchval(
                "INSERT INTO seen VALUES ($1) ON CONFLICT DO NOTHING RETURNING order_id", uuid4()
            )
            if new is None:
                continue
            await connection.execute("INSERT INTO entries (account, points) VALUES ($1, 10), ($1, -10)", member)
            await connection.execute(
                """INSERT INTO balances VALUES ($1, 10)
                   ON CONFLICT (member) DO UPDATE SET points = balances.points + 10""",
                member,
            )
            await connection.execute("INSERT INTO events (value) VALUES ($1)", _EVENT)
        done += 1
    return done


async def _check(bench: Bench, what: str, connection: asyncpg.Connection, orders: int) -> None:
    row = await connection.fetchrow(
        """SELECT (SELECT count(*) FROM seen) AS seen, (SELECT count(*) FROM events) AS events,
                  (SELECT sum(points) / 10 FROM balances)::bigint AS balances,
                  (SELECT count(*) / 2 FROM entries) AS entries, (SELECT sum(points) FROM entries)::bigint AS zero"""
    )
    assert row is not None
    wanted = {"seen": orders, "events": orders, "balances": orders, "entries": orders, "zero": 0}
    bench.faults += [
        f"{what}: {name} is {row[name]}, not {right}" for name, right in wanted.items() if row[name] != right
    ]
