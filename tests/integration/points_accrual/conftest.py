"""The service on one database for all tests here; each test begins with it empty."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

import points_accrual
from contracts.program import Program
from points_accrual.app import build
from shared.testing import Harness, harness
from tests.conftest import PostgresServer
from tests.unit.points_accrual.samples import DAY, T0, program, published

MIGRATIONS = Path(points_accrual.__file__).parent / "migrations"
NOW = T0 + 40 * DAY


@pytest.fixture(scope="package")
def database(postgres: PostgresServer) -> Iterator[str]:
    dsn = postgres.create("points")
    yield dsn
    postgres.drop(dsn)


@asynccontextmanager
async def service(database: str, *programs: Program) -> AsyncIterator[Harness]:
    """points-accrual with these programs known, and nothing else."""
    events = [published(item) for item in programs or (program(),)]
    async with harness(build, database, MIGRATIONS, name="points-accrual", now=NOW, reference=events) as running:
        async with running.context.pool.acquire() as connection:
            await connection.execute(
                "TRUNCATE accounts, decisions, claims, lots, transfers, coupons, coupon_codes, uses, seeds, draws,"
                " outbox CASCADE"
            )
        yield running
