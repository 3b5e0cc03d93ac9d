"""What the points path is compared with: rows copied in bulk, and one order per transaction, on the same server.

Work per order as in the points path's core: a row that stops repeats, two ledger entries, the member's balance, one
outgoing event.
"""

import asyncio
import time
from uuid import UUID, uuid4

import asyncpg

MEMBERS = 5_000
_BATCH = 1_000
_EVENT = b"x" * 300

SCHEMA = """
DROP TABLE IF EXISTS seen, entries, balances, events;
CREATE TABLE seen (order_id uuid PRIMARY KEY);
CREATE TABLE entries (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
                      account uuid NOT NULL, points bigint NOT NULL);
CREATE INDEX entries_account ON entries (account, id);
CREATE TABLE balances (member uuid PRIMARY KEY, points bigint NOT NULL CHECK (points >= 0));
CREATE TABLE events (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, value bytea NOT NULL);
"""


async def copy_rows(dsn: str, seconds: float) -> float:
    """Orders per second when the rows of 1,000 orders a transaction are copied into tables with indexes."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(SCHEMA)
        done, started = 0, time.perf_counter()
        while time.perf_counter() - started < seconds:
            orders = [uuid4() for _ in range(_BATCH)]
            async with connection.transaction():
                await connection.copy_records_to_table("seen", records=[(order,) for order in orders])
                entries = [(UUID(int=n % MEMBERS), points) for n in range(_BATCH) for points in (10, -10)]
                await connection.copy_records_to_table("entries", records=entries, columns=["account", "points"])
                await connection.copy_records_to_table("balances", records=[(order, 10) for order in orders])
                await connection.copy_records_to_table("events", records=[(_EVENT,)] * _BATCH, columns=["value"])
            done += _BATCH
        return done / (time.perf_counter() - started)
    finally:
        await connection.close()


async def one_by_one(dsn: str, seconds: float, connections: int = 8) -> float:
    """Orders per second when each order is a transaction, on so many connections."""
    first = await asyncpg.connect(dsn)
    try:
        await first.execute(SCHEMA)
    finally:
        await first.close()
    started = time.perf_counter()
    counts = await asyncio.gather(*(_loop(dsn, started + seconds, n) for n in range(connections)))
    return sum(counts) / (time.perf_counter() - started)


async def _loop(dsn: str, until: float, start: int) -> int:
    connection = await asyncpg.connect(dsn)
    done, number = 0, start * 611
    try:
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
    finally:
        await connection.close()
    return done
