"""A part of the simulation: some deaths, and every planted bug. `make chaos` dies at every moment."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shared.access import create_key
from tests.conftest import PostgresServer

from .sim.__main__ import caught
from .sim.crashes import Play, enumerate_crashes, ledger_play
from .sim.databases import Database

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]
EVERY = 4
"""Of so many moments one."""


@pytest.fixture
async def play(postgres: PostgresServer, tmp_path: Path) -> AsyncIterator[Play]:
    create_key(tmp_path, "test")
    dsn = postgres.create("chaos")
    database = await Database.prepare("points-accrual", dsn)
    try:
        yield ledger_play(database, tmp_path)
    finally:
        await database.close()
        postgres.drop(dsn)


async def test_a_death_at_any_moment_leaves_no_trace(play: Play) -> None:
    crashes = await enumerate_crashes("points-accrual", play, each_max=1, every=EVERY)
    assert crashes.points > 80, "the story passes every kind of moment"
    assert sum(crashes.fired.values()) == crashes.planned
    assert not crashes.silent
    assert not crashes.findings, "\n".join(f"{plot}: {finding}" for plot, finding in crashes.findings)


async def test_planted_bugs_are_caught(play: Play) -> None:
    found = await caught(play)
    assert [name for name, checks in found.items() if not checks] == []
