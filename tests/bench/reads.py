"""What is asked of points-accrual over HTTP: balances, with and without orders being judged, and redemptions."""

import asyncio
import random
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import count, islice
from uuid import UUID

import asyncpg

from contracts.topics import POINTS
from laurel.installation import token

from .arithmetic import Sample, Series, percentile, ratio
from .fill import fill
from .http import Asked, Request, closed_loop, open_loop
from .ledger import (
    all_done,
    check_books,
    connected,
    consumed,
    drain,
    events_sent,
    faults,
    fresh,
    migrated,
    nothing_unsent,
    until,
)
from .servers import Bench, Running
from .traffic import MANY, Live, orders

BASIS = "basis_reads"
FILLED = 10**5
CONNECTIONS = 16
READS_PER_SECOND = 100.0
WRITE_SHARE = 0.5
"""Of what the points path can do."""
COST = 500
"""Of the preset's reward."""
IDLE, UNDER, READS, SELECTS = "reads p99, idle", "reads p99, under writes", "reads", "bare select"
REDEMPTIONS = "redemptions"


async def measure(bench: Bench, wanted: frozenset[str]) -> dict[str, Series]:
    """Figures 15 and 16. `wanted`: `reads`, `redemptions`."""
    dsn = migrated(bench, BASIS, POINTS)
    async with connected(dsn) as connection:
        await fill(connection, 0, FILLED)
    found: dict[str, Series] = {}
    rounds = min(bench.rounds, 3)
    if "reads" in wanted:
        found |= await _reads(bench, rounds)
    if "redemptions" in wanted:
        bench.say("redemptions")
        slices = [await _redeem(bench) for _ in range(rounds)]
        found[REDEMPTIONS] = Series([rate for rate, _ in slices], "requests/s")
        found[f"{REDEMPTIONS} p99"] = Series([late for _, late in slices], "ms")
    return found


async def _reads(bench: Bench, rounds: int) -> dict[str, Series]:
    records = list(orders(MANY, bench.count(20_000, 5_000)))
    async with fresh(bench, BASIS) as dsn:
        saturation = (await drain(bench, dsn, records)).value
    samples: dict[str, list[Sample]] = {name: [] for name in (IDLE, UNDER, READS, SELECTS)}
    for number in range(rounds):
        bench.say(f"reads, round {number + 1}; writes of {saturation * WRITE_SHARE:,.0f} orders/s")
        async with fresh(bench, BASIS) as dsn, bench.service(POINTS, dsn) as (running,):
            samples[IDLE].append(await _late(bench, running))
            samples[READS].append(await _fast(bench, running))
            samples[SELECTS].append(await _select(bench, dsn))
            samples[UNDER].append(await _under(bench, running, dsn, saturation * WRITE_SHARE))
    found = {name: Series(values, "ms" if "p99" in name else "requests/s") for name, values in samples.items()}
    return found | {
        "reads under writes ÷ idle": ratio(found[UNDER], found[IDLE]),
        "reads ÷ bare select": ratio(found[READS], found[SELECTS]),
    }


def _asking(bench: Bench) -> Iterator[Request]:
    """Balances of members at random."""
    chance = random.Random(1)
    headers = (("Authorization", f"Bearer {token(MANY.program_id, 'store', folder=bench.keys)}"),)
    while True:
        yield Request("GET", f"/v1/members/{MANY.member(chance.randrange(MANY.members))}/points", headers)


async def _late(bench: Bench, running: Running) -> Sample:
    """p99 of reads that come at a steady rate, whatever happens."""
    requests = islice(_asking(bench), int(READS_PER_SECOND * bench.count(10, 4)))
    meter = bench.meter([running])
    meter.begin()
    asked = await open_loop(running.url, requests, READS_PER_SECOND)
    return _p99(bench, meter.end(asked.accepted), asked)


async def _under(bench: Bench, running: Running, dsn: str, per_second: float) -> Sample:
    """The same while orders are judged; afterwards all of them must be."""
    async with connected(dsn) as look:
        before, start = await events_sent(bench), await consumed(look)
        new = (next(orders(MANY, 1, number)) for number in count())
        async with Live(bench.kafka.bootstrap, per_second, new) as live:
            await asyncio.sleep(1.0)
            sample = await _late(bench, running)
            await live.stop()
        await all_done(look, start + live.sent, [running])
    await check_books(bench, UNDER, dsn, FILLED // 2 + live.sent, before, granted=live.sent)
    return sample


async def _fast(bench: Bench, running: Running) -> Sample:
    """Reads a second, as many as are answered."""
    meter = bench.meter([running])
    meter.begin()
    asked = await closed_loop(running.url, _asking(bench), CONNECTIONS, bench.count(5, 3))
    _only_accepted(bench, asked)
    return meter.end(asked.accepted)


async def _select(bench: Bench, dsn: str) -> Sample:
    """Reads a second without HTTP, token, lots and JSON: one row by its key, over as many connections."""
    pool = await asyncpg.create_pool(dsn, min_size=CONNECTIONS, max_size=CONNECTIONS)
    meter = bench.meter()
    meter.begin()
    until_at = time.perf_counter() + bench.count(5, 3)

    async def one(seed: int) -> int:
        chance, done = random.Random(seed), 0
        async with pool.acquire() as connection:
            while time.perf_counter() < until_at:
                member_id = MANY.member(chance.randrange(MANY.members))
                await connection.fetchrow(
                    "SELECT pending, active, held, deficit FROM accounts WHERE member_id = $1", member_id
                )
                done += 1
        return done

    try:
        return meter.end(sum(await asyncio.gather(*(one(seed) for seed in range(CONNECTIONS)))))
    finally:
        await pool.close()


async def _redeem(bench: Bench) -> tuple[Sample, Sample]:
    """Redemptions a second of different members, and p99: 16 clients that ask again when they were answered."""
    async with fresh(bench, BASIS) as dsn, connected(dsn) as look:
        rows = await look.fetch("SELECT member_id FROM accounts WHERE active >= $1 ORDER BY member_id", COST)
        requests = _redemptions(bench, [row["member_id"] for row in rows])
        async with bench.service(POINTS, dsn) as (running,):
            meter = bench.meter([running])
            meter.begin()
            asked = await closed_loop(running.url, requests, CONNECTIONS, bench.count(8, 4))
            rate = meter.end(asked.accepted)
            await until(lambda: nothing_unsent(look))
        _only_accepted(bench, asked)
        spent = await look.fetchval("SELECT coalesce(sum(points), 0) FROM transfers WHERE credit = 'redeemed'")
        coupons = await look.fetchval("SELECT count(*) FROM coupons WHERE state = 'issued'")
        if (spent, coupons) != (asked.accepted * COST, asked.accepted):
            bench.faults.append(f"{REDEMPTIONS}: {asked.accepted} accepted, {coupons} coupons, {spent} points spent")
        bench.faults += [f"{REDEMPTIONS}: {fault}" for fault in await faults(look, FILLED // 2)]
    return rate, _p99(bench, rate, asked)


def _redemptions(bench: Bench, members: list[UUID]) -> Iterator[Request]:
    bearer = f"Bearer {token(MANY.program_id, 'store', folder=bench.keys)}"
    for number, member_id in enumerate(members):
        headers = (
            ("Authorization", bearer), ("Content-Type", "application/json"), ("Idempotency-Key", f"bench-{number}"),
        )  # fmt: skip
        yield Request("POST", f"/v1/members/{member_id}/redemptions", headers, b'{"reward_id": "five-off"}')


def _p99(bench: Bench, sample: Sample, asked: Asked) -> Sample:
    _only_accepted(bench, asked)
    return replace(sample, value=percentile(asked.latency_ms, 99))


def _only_accepted(bench: Bench, asked: Asked) -> None:
    if asked.others:
        bench.faults.append(f"answers other than 2xx: {asked.others}")
