"""A ledger for one slice: a copy of a prepared database, orders drained through it, and its books checked."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime

import asyncpg

from contracts.topics import ORDERS, PARTITIONS_DEFAULT, POINTS, POINTS_TOPIC, PROGRAMS, TOPICS
from laurel.services import SERVICES
from points_accrual.store import imbalances
from shared.admin import bounds
from shared.db import MIGRATIONS, migrate

from .arithmetic import Sample
from .servers import Bench, Running
from .traffic import CROWDS, TEN, Record, orders, published, record, send

BASIS = "basis_points"
"""The template: migrated, with all members known and no orders."""
PATIENT = {"lock_timeout_ms": "300000", "statement_timeout_ms": "300000"}
"""A service that waits at the gate does not give up."""
_LOOK_SECONDS = 0.02


async def prepare(bench: Bench) -> None:
    """Publish the programs and their members, and have points-accrual take them in."""
    bench.say("preparing programs and members")
    dsn = migrated(bench, BASIS, POINTS)
    now = datetime.now(UTC)
    await send(bench.kafka.bootstrap, [record(event) for crowd in CROWDS for event in published(crowd, now)])
    members = sum(crowd.members for crowd in CROWDS)
    async with connected(dsn) as connection, bench.service(POINTS, dsn) as (running,):

        async def known() -> bool:
            running.check()
            return int(await connection.fetchval("SELECT count(*) FROM members")) == members

        await until(known)
        await until(lambda: nothing_unsent(connection))
        await connection.execute("VACUUM ANALYZE")
    async with fresh(bench) as dsn:
        # Kafka is slow until Java has compiled what it runs; no slice may pay for that.
        await drain(bench, dsn, list(orders(TEN, bench.count(10_000, 2_000))))


def migrated(bench: Bench, name: str, service: str) -> str:
    """A database with the tables of a service."""
    bench.postgres.create_database(name)
    dsn = bench.postgres.dsn(name)
    migrate(dsn, [MIGRATIONS, SERVICES[service].migrations])
    return dsn


@asynccontextmanager
async def connected(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """One connection."""
    connection = await asyncpg.connect(dsn)
    try:
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def fresh(bench: Bench, template: str = BASIS, service: str = POINTS) -> AsyncIterator[str]:
    """A copy of the template whose service reads only what is published from now on."""
    async with bench.database(template) as dsn:
        await skip_to_end(bench, service, dsn)
        yield dsn


async def skip_to_end(bench: Bench, service: str, dsn: str) -> None:
    """Set a service's offsets to the ends of its topics; what lies on its own it shall not take for its lost past."""
    for table, mine in (
        ("consumer_offsets", [topic for topic in TOPICS if service in topic.consumers and topic != PROGRAMS]),
        ("published", [topic for topic in TOPICS if topic.owner == service]),
    ):
        wanted = [
            (topic.name, number) for topic in mine for number in range(topic.partitions or PARTITIONS_DEFAULT)
        ]  # fmt: skip
        ends = {place: end for place, (_, end) in (await bounds(bench.kafka.bootstrap, wanted)).items()}
        async with connected(dsn) as connection:
            await connection.executemany(
                f"""INSERT INTO {table} (topic, partition, position, cluster_id) VALUES ($1, $2, $3, $4)
                    ON CONFLICT (topic, partition) DO UPDATE SET position = excluded.position""",
                [(*place, end, bench.kafka.cluster_id) for place, end in ends.items()],
            )


class Gate:
    """Holds batches back before their first row is read, until everybody stands ready; then the slice begins."""

    def __init__(self, connection: asyncpg.Connection, table: str = "accounts") -> None:
        self._connection, self._table = connection, table
        self._transaction = connection.transaction()

    async def close(self) -> None:
        """From now on all wait."""
        await self._transaction.start()
        await self._connection.execute(f"LOCK TABLE {self._table} IN ACCESS EXCLUSIVE MODE")

    async def wait_for(self, processes: int, seconds_max: float = 60.0) -> None:
        """Return when so many connections wait. Raises TimeoutError."""

        async def ready() -> bool:
            return await self._waiting() >= processes

        await until(ready, seconds_max)

    async def open(self) -> None:
        """Let them go."""
        await self._transaction.rollback()

    async def _waiting(self) -> int:
        return int(
            await self._connection.fetchval(
                """SELECT count(DISTINCT l.pid) FROM pg_locks l JOIN pg_database d ON d.oid = l.database
                   WHERE NOT l.granted AND d.datname = current_database()"""
            )
        )


async def drain(
    bench: Bench, dsn: str, records: Sequence[Record], *, instances: int = 1, publish: bool = True
) -> Sample:
    """Orders a second from the first batch until the last event is acknowledged. `publish=False`: they lie there."""
    async with AsyncExitStack() as stack:
        look, gate_connection = [await stack.enter_async_context(connected(dsn)) for _ in range(2)]
        target = await consumed(look) + len(records)
        gate = Gate(gate_connection)
        if not publish:
            await gate.close()
        services = await stack.enter_async_context(bench.service(POINTS, dsn, instances, PATIENT))
        if publish:
            await gate.close()
            await send(bench.kafka.bootstrap, records)
        await gate.wait_for(instances)
        await bench.run("CHECKPOINT")
        meter = bench.meter(services)
        meter.begin()
        await gate.open()
        started = time.perf_counter()
        await all_done(look, target, services)
        return meter.end(len(records), time.perf_counter() - started)


async def drained(bench: Bench, what: str, records: Sequence[Record], instances: int = 1) -> Sample:
    """The same on a fresh ledger, its books checked."""
    async with fresh(bench) as dsn:
        before = await events_sent(bench)
        sample = await drain(bench, dsn, records, instances=instances)
        await check_books(bench, what, dsn, len(records), before)
    return sample


async def until(question: Callable[[], Awaitable[bool]], seconds_max: float = 900.0) -> None:
    """Ask until it is so. Raises TimeoutError."""
    async with asyncio.timeout(seconds_max):
        while True:
            if await question():
                return
            await asyncio.sleep(_LOOK_SECONDS)


async def caught_up(connection: asyncpg.Connection, services: Sequence[Running], target: Callable[[], int]) -> None:
    """Return when the orders were read so far; the target may move meanwhile. Raises RuntimeError as below."""

    async def done() -> bool:
        for service in services:
            service.check()
        return await consumed(connection) >= target()

    await until(done, 3600.0)


async def all_done(connection: asyncpg.Connection, target: int, services: Sequence[Running]) -> None:
    """Return when the orders were read so far and no event waits. Raises RuntimeError when a service ended."""

    async def done() -> bool:
        for service in services:
            service.check()
        return await consumed(connection) >= target and await nothing_unsent(connection)

    await until(done)


async def nothing_unsent(connection: asyncpg.Connection) -> bool:
    """Every event is acknowledged."""
    return not await connection.fetchval("SELECT EXISTS (SELECT FROM outbox)")


async def consumed(connection: asyncpg.Connection) -> int:
    """How far the orders were read, over all partitions."""
    question = "SELECT coalesce(sum(position), 0) FROM consumer_offsets WHERE topic = $1"
    return int(await connection.fetchval(question, ORDERS.name))


async def events_sent(bench: Bench) -> int:
    """How many records the topic of points ever took."""
    places = [(POINTS_TOPIC.name, number) for number in range(PARTITIONS_DEFAULT)]
    return sum(end for _, end in (await bounds(bench.kafka.bootstrap, places)).values())


async def check_books(
    bench: Bench, what: str, dsn: str, taken: int, events_before: int, *, granted: int | None = None
) -> None:
    """Every order was decided once, every sum is right, and what happened was told; what is not, is a fault.

    `granted`: so many orders of this slice were granted points; without, all that the ledger has.
    """
    async with connected(dsn) as connection:
        found = await faults(connection, taken)
        told = await events_sent(bench) - events_before
        question = "SELECT count(*) FROM claims WHERE kind = 'order' AND lots <> '{}'"
        wanted = await connection.fetchval(question) if granted is None else granted
    if told < wanted:
        found.append(f"{wanted} orders were granted points and {told} events are on the topic")
    bench.faults += [f"{what}: {fault}" for fault in found]


async def faults(connection: asyncpg.Connection, taken: int) -> list[str]:
    """What is wrong with a ledger that took so many different orders."""
    row = await connection.fetchrow(
        """SELECT (SELECT count(*) FROM decisions WHERE kind = 'order') AS decisions,
                  (SELECT count(DISTINCT decision_key) FROM decisions WHERE kind = 'order') AS decided,
                  (SELECT count(*) FROM claims WHERE kind = 'order' AND program_version IS NOT NULL) AS judged,
                  (SELECT count(*) FROM outbox) AS unsent,
                  (SELECT count(*) FROM dead_letters) AS set_aside"""
    )
    assert row is not None
    wanted = {"decisions": taken, "decided": taken, "judged": taken, "unsent": 0, "set_aside": 0}
    found = [f"{name} is {row[name]}, not {right}" for name, right in wanted.items() if row[name] != right]
    return found + (await imbalances(connection))[:5]
