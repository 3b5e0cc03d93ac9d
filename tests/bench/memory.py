"""What services keep in memory: the ledger over ten times as many orders in one life, the others under their own load.

Each value is the median of many looks while there is work: a single moment may fall into a batch, or between two.
"""

import asyncio
import statistics
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import islice

import asyncpg
from aiokafka import AIOKafkaProducer

from contracts.topics import CONSOLE, POINTS
from laurel.installation import token

from .arithmetic import Sample, Series, ratio
from .fill import fill
from .http import Request, closed_loop
from .latency import SERVICES, Path, all_at_once, whole_path
from .ledger import all_done, caught_up, check_books, connected, consumed, events_sent, faults, fresh, migrated
from .meter import resident_mb
from .servers import Bench, Running
from .traffic import MANY, TEN, Record, orders, publishing, put

BASIS = "basis_memory"
CHUNK, AHEAD = 10_000, 20_000
MEMORY, EARLIER, LATER = "memory", "memory earlier", "memory later"
_LOOK_SECONDS = 0.1


async def measure(bench: Bench, _wanted: frozenset[str]) -> dict[str, Series]:
    """Figure 17."""
    earlier, later = await _ledger(bench, [bench.count(10**5, 2 * 10**4), bench.count(10**6, 10**5)])
    return figures(earlier, later, await _others(bench))


def figures(earlier: float, later: float, under_load: Mapping[str, float]) -> dict[str, Series]:
    """What the ledger kept at both marks, and what every service kept; the ledger's own load is the later mark."""
    found = {f"{MEMORY} of {name}": _series(value) for name, value in {**under_load, POINTS: later}.items()}
    found[MEMORY] = max(found.values(), key=lambda series: series.median)
    found |= {EARLIER: _series(earlier), LATER: _series(later)}
    return found | {f"{LATER} ÷ earlier": ratio(found[LATER], found[EARLIER])}


def _series(value: float) -> Series:
    """What a process keeps does not hang on what others do, so that no value is ever marked."""
    return Series([Sample(value)], "MB")


@asynccontextmanager
async def watched(services: Sequence[Running]) -> AsyncIterator[dict[str, list[float]]]:
    """What each service keeps, look by look, until the context is left."""
    seen: dict[str, list[float]] = {one.name: [] for one in services}

    async def look() -> None:
        while True:
            for one in services:
                seen[one.name].append(resident_mb(one.pid))
            await asyncio.sleep(_LOOK_SECONDS)

    task = asyncio.create_task(look())
    try:
        yield seen
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@dataclass
class Feed:
    """Orders that are sent a little ahead of the ledger: as many wait at any time, and few are held here."""

    producer: AIOKafkaProducer
    records: Iterator[Record]
    look: asyncpg.Connection
    services: Sequence[Running]
    start: int
    """Where the ledger stood before the first."""
    sent: int = 0

    async def until(self, count: int) -> None:
        """Return when the ledger has taken so many, in all."""
        while self.sent < count:
            self.sent += await put(self.producer, islice(self.records, min(CHUNK, count - self.sent)))
            await self._taken(self.sent - AHEAD)
        await self._taken(count)

    async def _taken(self, count: int) -> None:
        await caught_up(self.look, self.services, lambda: self.start + count)


async def _ledger(bench: Bench, marks: Sequence[int]) -> list[float]:
    """What one process of points-accrual keeps over the last tenth before each mark."""
    async with connected(migrated(bench, BASIS, POINTS)) as connection:
        await fill(connection, 0, 0)
    found: list[float] = []
    async with fresh(bench, BASIS) as dsn, connected(dsn) as look, publishing(bench.kafka.bootstrap) as producer:
        before, start = await events_sent(bench), await consumed(look)
        async with bench.service(POINTS, dsn) as services:
            feed = Feed(producer, orders(MANY, marks[-1]), look, services, start)
            for mark in marks:
                bench.say(f"memory after {mark:,} orders")
                await feed.until(mark - mark // 10)
                async with watched(services) as seen:
                    await feed.until(mark)
                found.append(statistics.median(seen[POINTS]))
            await all_done(look, start + marks[-1], services)
        await check_books(bench, MEMORY, dsn, marks[-1], before)
    return found


async def _others(bench: Bench) -> dict[str, float]:
    """What all services keep while customers of a first slice order again, and the merchant sorts them."""
    bench.say("memory of all services")
    async with whole_path(bench, bench.count(5_000, 500), (*SERVICES, CONSOLE)) as path:
        await all_at_once(bench, path)
        async with watched(path.services) as seen:
            await asyncio.gather(all_at_once(bench, path), _sorted_into_segments(bench, path))
        bench.faults += [f"{MEMORY}: {fault}" for fault in await faults(path.look[POINTS], path.orders)]
    return {name: statistics.median(values) for name, values in seen.items()}


async def _sorted_into_segments(bench: Bench, path: Path) -> None:
    """Each member is put into a segment, one request after the other: nobody else asks the console for anything."""
    console = next(one for one in path.services if one.name == CONSOLE)
    headers = (
        ("Authorization", f"Bearer {token(TEN.program_id, folder=bench.keys)}"), ("Content-Type", "application/json"),
    )  # fmt: skip
    requests = [
        Request("PUT", f"/v1/members/{row['member_id']}/segments", headers, b'{"segments": ["regulars"]}')
        for row in await path.look[CONSOLE].fetch("SELECT member_id FROM members")
    ]
    asked = await closed_loop(console.url, requests, 1)
    if not requests or asked.others:
        bench.faults.append(f"{MEMORY}: the console took {asked.accepted} of {len(requests)} members, {asked.others}")
