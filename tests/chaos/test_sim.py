"""A part of the simulation: some deaths, some seeds, most planted bugs. `make chaos` does all of it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shared.access import create_key
from tests.conftest import PostgresServer

from .sim.__main__ import caught
from .sim.crashes import enumerate_crashes, ledger_play
from .sim.databases import Database
from .sim.plants import PLANTS
from .sim.schedules import Told, play_seeds

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]
EVERY = 5
"""Of so many moments one."""
SEEDS = 12


@pytest.fixture
async def database(postgres: PostgresServer, tmp_path: Path) -> AsyncIterator[Database]:
    create_key(tmp_path, "test")
    dsn = postgres.create("chaos")
    made = await Database.prepare("points-accrual", dsn)
    try:
        yield made
    finally:
        await made.close()
        postgres.drop(dsn)


async def test_a_death_at_any_moment_leaves_no_trace(database: Database, tmp_path: Path) -> None:
    play = ledger_play(database, tmp_path)
    crashes = await enumerate_crashes("points-accrual", play, each_max=1, every=EVERY)
    assert crashes.points > 80, "the story passes every kind of moment"
    assert sum(crashes.fired.values()) == crashes.planned
    assert not crashes.silent
    assert not crashes.findings, "\n".join(f"{plot}: {finding}" for plot, finding in crashes.findings)


async def test_seeded_schedules_leave_no_trace(database: Database, tmp_path: Path) -> None:
    told = Told()
    await play_seeds(database, tmp_path, range(SEEDS), told)
    assert not told.findings, "\n".join(f"seed {seed}: {finding}" for seed, finding in told.findings)


async def test_planted_bugs_are_caught(database: Database, tmp_path: Path) -> None:
    found = await caught(database, tmp_path, [plant for plant in PLANTS if not plant.seeded])
    assert [name for name, checks in found.items() if not checks] == []
