"""The points path: orders on the topic are read, judged, committed, and their events acknowledged by Kafka.

Beside it in every round: the floor, the one-by-one loop, an ordinary subscriber, other programs and other crowds.
"""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

from contracts.orders import OrderChangedV1
from contracts.topics import ORDERS, PARTITIONS_DEFAULT
from shared.admin import Wanted, apply_topics

from . import floor, ordinary
from .arithmetic import Sample, Series, ratio
from .ledger import Gate, check_books, connected, drain, drained, events_sent, fresh
from .meter import CLIENT
from .servers import POSTGRES, Bench
from .traffic import TEN, TWO_HUNDRED, Record, orders, send

SLICE_SECONDS = 5.0
FLOOR, OURS, LOOP, ORDINARY = "floor", "points path", "one by one", "ordinary subscriber"
RULES, HOT, AGAIN = "200 rules", "half from one member", "redelivered"


async def measure(bench: Bench, wanted: frozenset[str]) -> dict[str, Series]:
    """Figures 1 to 4, 10, 11 and 13. `wanted`: `path`, `rules`, `hot`, `redelivery`."""
    count = bench.count(30_000, 6_000)
    ten, two_hundred = list(orders(TEN, count)), list(orders(TWO_HUNDRED, count))
    hot = list(orders(TEN, count, hot=True))
    slices: dict[str, Callable[[], Awaitable[Sample]]] = {}
    if "path" in wanted:
        slices[FLOOR] = lambda: floor.copy_rows(bench, SLICE_SECONDS)
        slices[LOOP] = lambda: floor.one_by_one(bench, SLICE_SECONDS)
        slices[ORDINARY] = lambda: _ordinary(bench, ten)
    if "rules" in wanted:
        slices[RULES] = lambda: drained(bench, RULES, two_hundred)
    if "hot" in wanted:
        slices[HOT] = lambda: drained(bench, HOT, hot)
    samples: dict[str, list[Sample]] = {name: [] for name in (OURS, AGAIN, *slices)}
    for number in range(bench.rounds):
        bench.say(f"points path, round {number + 1} of {bench.rounds}: {', '.join((OURS, *slices))}")
        first, again = await _first_and_again(bench, ten, again="redelivery" in wanted)
        samples[OURS].append(first)
        samples[AGAIN] += again
        for name, run in slices.items():
            samples[name].append(await run())
    series = {name: Series(values, "orders/s") for name, values in samples.items() if values}
    return series | _figures(series)


def _figures(series: dict[str, Series]) -> dict[str, Series]:
    ours = series[OURS]
    found = {f"{OURS} ÷ {name}": ratio(ours, series[name]) for name in (FLOOR, LOOP, ORDINARY) if name in series}
    found |= {f"{name} ÷ {OURS}": ratio(series[name], ours) for name in (RULES, HOT, AGAIN) if name in series}
    service = next(name for name in ours.samples[0].cpu_us if name.startswith("points-accrual"))
    found["CPU of the points path"] = ours.map(lambda sample: sample.cpu_of(service, POSTGRES), "µs/order")
    if FLOOR in series:
        found["CPU of the floor"] = series[FLOOR].map(lambda sample: sample.cpu_of(CLIENT, POSTGRES), "µs/order")
        found["CPU of the points path ÷ floor"] = ratio(found["CPU of the points path"], found["CPU of the floor"])
    return found


async def _first_and_again(bench: Bench, records: list[Record], *, again: bool) -> tuple[Sample, list[Sample]]:
    """A backlog drained, and the same records once more: nothing may change."""
    async with fresh(bench) as dsn:
        before = await events_sent(bench)
        async with connected(dsn) as connection:
            await connection.execute("CREATE TABLE places AS SELECT * FROM consumer_offsets")
        first = await drain(bench, dsn, records)
        await check_books(bench, OURS, dsn, len(records), before)
        if not again:
            return first, []
        async with connected(dsn) as connection:
            await connection.execute(
                """UPDATE consumer_offsets o SET position = p.position FROM places p
                   WHERE (p.topic, p.partition) = (o.topic, o.partition)"""
            )
        second = await drain(bench, dsn, records, publish=False)
        await check_books(bench, AGAIN, dsn, len(records), before)
        return first, [second]


async def _ordinary(bench: Bench, records: list[Record]) -> Sample:
    """The ordinary subscriber for some seconds, on a topic of its own; more than it can do in that time waits there."""
    topic = f"bench.orders.{time.time_ns()}"
    await apply_topics(bench.kafka.bootstrap, [Wanted(topic, PARTITIONS_DEFAULT, 3_600_000, 2**20)], check=False)
    copies = [item._replace(topic=topic) for item in records if item.topic == ORDERS.name]
    enrolled = datetime.now(UTC) - timedelta(days=100)
    async with bench.database() as dsn, connected(dsn) as look, connected(dsn) as gate_connection:
        await ordinary.prepare(look, [(TEN.member(number), enrolled) for number in range(TEN.members)])
        gate = Gate(gate_connection)
        await gate.close()
        await send(bench.kafka.bootstrap, copies)
        async with _subscriber(bench, dsn, topic) as process:
            await gate.wait_for(1)
            meter = bench.meter(ordinary=process.pid)
            meter.begin()
            await gate.open()
            started = time.perf_counter()
            done = 0
            while time.perf_counter() - started < SLICE_SECONDS and done < len(copies):
                await asyncio.sleep(0.1)
                done = int(await look.fetchval("SELECT count(*) FROM claims"))
            sample = meter.end(done, time.perf_counter() - started)
        await _check_ordinary(bench, dsn, copies)
    return sample


@asynccontextmanager
async def _subscriber(bench: Bench, dsn: str, topic: str) -> AsyncIterator[asyncio.subprocess.Process]:
    said = {ordinary.DSN: dsn, ordinary.KAFKA: bench.kafka.bootstrap, ordinary.TOPIC: topic, ordinary.GROUP: topic}
    with (bench.logs / "ordinary.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", ordinary.__name__, env={**os.environ, **said}, stdout=log, stderr=log
        )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()


async def _check_ordinary(bench: Bench, dsn: str, records: list[Record]) -> None:
    """It gives the same points as the rules say, or the comparison would be with something else."""
    members = {TEN.member(number) for number in range(TEN.members)}
    async with connected(dsn) as connection:
        row = await connection.fetchrow(
            """SELECT (SELECT count(*) FROM claims) AS claims, (SELECT count(*) FROM outbox) AS events,
                      (SELECT sum(points) FROM accounts)::bigint AS balances,
                      (SELECT sum(points) FROM transfers)::bigint AS transfers"""
        )
        assert row is not None
        done = {row["order_id"] for row in await connection.fetch("SELECT order_id FROM claims")}
    given = [OrderChangedV1.model_validate_json(item.value) for item in records]
    assert all(order.member_id in members for order in given)
    right = sum(_points(order) for order in given if order.order_id in done)
    for name, found, wanted in (
        ("events", row["events"], row["claims"]),
        ("balances", row["balances"], right),
        ("transfers", row["transfers"], right),
    ):
        if found != wanted:
            bench.faults.append(f"{ORDINARY}: {name} is {found}, not {wanted}")


def _points(order: OrderChangedV1) -> int:
    """Ten points a dollar, and half a point a dollar for its kind of goods; rounded down together."""
    return order.total.shop_minor * 105 // 1000
