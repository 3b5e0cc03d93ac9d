"""A part of the simulation: some deaths, some seeds, most planted bugs. `make chaos` does all of it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from contracts.topics import CONSOLE, INGEST, NOTIFICATION, POINTS, REFERRAL, TIER
from shared.access import create_key
from tests.conftest import PostgresServer

from .sim.__main__ import caught
from .sim.crashes import Play, enumerate_crashes, ledger_play
from .sim.plants import PLANTS
from .sim.schedules import Told, play_seeds
from .sim.shop_run import ALONE, Shop, staged

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]
EVERY, ALONE_EVERY = 5, 20
"""Of so many moments one."""
SEEDS = 12
MOMENTS_MIN = {POINTS: 100, INGEST: 90, TIER: 35, REFERRAL: 35, NOTIFICATION: 50, CONSOLE: 35}
"""That a story passes, of different names."""


@pytest.fixture(scope="module")
async def shop(postgres: PostgresServer, server_dir: Path) -> AsyncIterator[Shop]:
    keys = server_dir / "sim-keys"
    keys.mkdir()
    create_key(keys, "test")
    made: list[str] = []

    def create(name: str) -> str:
        made.append(postgres.create("chaos"))
        return made[-1]

    try:
        async with staged(create, keys) as told:
            yield told
    finally:
        for dsn in made:
            postgres.drop(dsn)


async def _dies(name: str, play: Play, every: int) -> None:
    crashes = await enumerate_crashes(name, play, each_max=1, every=every)
    assert crashes.points >= MOMENTS_MIN[name]
    assert sum(crashes.fired.values()) == crashes.planned
    assert not crashes.silent
    assert not crashes.findings, "\n".join(f"{plot}: {finding}" for plot, finding in crashes.findings)


async def test_a_death_at_any_moment_leaves_no_trace(shop: Shop) -> None:
    await _dies(POINTS, ledger_play(shop.databases[POINTS], shop.keys), EVERY)
    for name in ALONE:
        await _dies(name, shop.play(name), ALONE_EVERY)


async def test_seeded_schedules_leave_no_trace(shop: Shop) -> None:
    told = Told()
    await play_seeds(shop.databases[POINTS], shop.keys, range(SEEDS), told)
    assert not told.findings, "\n".join(f"seed {seed}: {finding}" for seed, finding in told.findings)


async def test_planted_bugs_are_caught(shop: Shop) -> None:
    found = await caught(shop, [plant for plant in PLANTS if not plant.seeded])
    assert [name for name, checks in found.items() if not checks] == []
