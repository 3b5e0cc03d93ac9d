"""A large backlog drained while new orders keep coming, and the relay alone with a full outbox."""

import itertools
from pathlib import Path

from contracts.points import PointsGrantedV1
from contracts.topics import POINTS, POINTS_TOPIC
from shared.outbox import Row, insert

from .arithmetic import Sample, Series, ratio
from .ledger import (
    PATIENT,
    Gate,
    caught_up,
    check_books,
    connected,
    consumed,
    drained,
    events_sent,
    fresh,
    nothing_unsent,
    until,
)
from .path import OURS
from .servers import Bench
from .traffic import PORTION, TEN, Live, orders, record, send

LIVE_SHARE = 0.2
"""Of what the points path can do."""
ON_THE_WAY_SECONDS = 0.5
"""What was sent within so long may be on its way: while orders keep coming, there is always something."""
CHUNK = 10_000
SATURATION, BACKLOG, RELAY = "own saturation", "backlog under live traffic", "relay"
_EXAMPLE = Path(__file__).parents[2] / "contracts" / "examples" / "loyalty.points.granted.v1"


async def measure(bench: Bench, wanted: frozenset[str]) -> dict[str, Series]:
    """Figures 12 and 14. `wanted`: `backlog`, `relay`."""
    found: dict[str, Series] = {}
    records = list(orders(TEN, bench.count(30_000, 6_000)))
    if "backlog" in wanted:
        before = await drained(bench, SATURATION, records)
        under = await _backlog(bench, bench.count(500_000, 50_000), before.value * LIVE_SHARE)
        after = await drained(bench, SATURATION, records)
        found |= {SATURATION: Series([before, after], "orders/s"), BACKLOG: Series([under], "orders/s")}
        # It stands between two slices of saturation; what is compared is their mean.
        between = Sample((before.value + after.value) / 2, max(before.foreign_cores, after.foreign_cores))
        found["backlog ÷ saturation"] = ratio(found[BACKLOG], Series([between]))
    if "relay" in wanted:
        samples: dict[str, list[Sample]] = {RELAY: [], OURS: []}
        for number in range(min(bench.rounds, 3)):
            bench.say(f"relay, round {number + 1}")
            samples[OURS].append(await drained(bench, OURS, records))
            samples[RELAY].append(await _relay(bench, bench.count(50_000, 10_000)))
        relay, ours = Series(samples[RELAY], "events/s"), Series(samples[OURS], "orders/s")
        found |= {RELAY: relay, f"{RELAY} ÷ {OURS}": ratio(relay, ours)}
    return found


async def _backlog(bench: Bench, count: int, live_per_second: float) -> Sample:
    """All orders a second, old and new, until nothing waits."""
    bench.say(f"backlog of {count:,} orders, {live_per_second:,.0f} more each second")
    numbers = itertools.count(count)
    async with fresh(bench) as dsn, connected(dsn) as look, connected(dsn) as gate_connection:
        before, start = await events_sent(bench), await consumed(look)
        gate = Gate(gate_connection)
        async with bench.service(POINTS, dsn, settings=PATIENT) as services:
            await gate.close()
            for first in range(0, count, CHUNK):
                await send(bench.kafka.bootstrap, orders(TEN, min(CHUNK, count - first), first))
            await gate.wait_for(1)
            await bench.run("CHECKPOINT")
            new = (next(orders(TEN, 1, number)) for number in numbers)
            meter = bench.meter(services)
            meter.begin()
            async with Live(bench.kafka.bootstrap, live_per_second, new) as live:
                await gate.open()
                on_the_way = int(live_per_second * ON_THE_WAY_SECONDS)
                await caught_up(look, services, lambda: start + count + live.sent - on_the_way)
                done = await consumed(look) - start
                sample = meter.end(done)
                await live.stop()
            await caught_up(look, services, lambda: start + count + live.sent)
            await until(lambda: nothing_unsent(look))
        await check_books(bench, BACKLOG, dsn, count + live.sent, before)
    return sample


async def _relay(bench: Bench, count: int) -> Sample:
    """Events a second that only wait to be sent: nothing is consumed meanwhile."""
    value = next(iter(sorted(_EXAMPLE.glob("*.json")))).read_bytes()
    event = PointsGrantedV1.model_validate_json(value)
    sample_record = record(event)
    rows = [
        Row(POINTS_TOPIC.name, str(TEN.member(number)).encode(), sample_record.value, sample_record.headers)
        for number in range(count)
    ]
    async with fresh(bench) as dsn, connected(dsn) as look, connected(dsn) as gate_connection:
        before = await events_sent(bench)
        for start in range(0, count, PORTION):
            await insert(look, rows[start : start + PORTION])
        gate = Gate(gate_connection, "outbox")
        await gate.close()
        async with bench.service(POINTS, dsn, settings=PATIENT) as services:
            await gate.wait_for(1)
            meter = bench.meter(services)
            meter.begin()
            await gate.open()
            await until(lambda: nothing_unsent(look))
            sample = meter.end(count)
        if (told := await events_sent(bench) - before) != count:
            bench.faults.append(f"{RELAY}: {told} events are on the topic, not {count}")
    return sample
