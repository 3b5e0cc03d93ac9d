"""Make the whole ledger again from its kept decisions, in empty tables of its own, and compare it with the live one."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import asyncpg

from contracts.base import EARLIEST
from contracts.program import ProgramBook
from shared.db import MIGRATIONS, migrate
from shared.transaction import Transaction

from .domain.rebuilding import Stuck, families, in_portions, rebuilt
from .store import decided, rebuilding, write
from .store.rebuilding import Difference

DIFFERENCES_MAX = 10
"""Of each table, as many are named."""
Told = Callable[[int, int], None]
"""Called with how many decisions are done, of how many."""


@dataclass
class Outcome:
    """What a rebuild found."""

    decisions: int = 0
    members: int = 0
    seconds: float = 0.0
    """Of replaying and saving."""
    rows: dict[str, int] = field(default_factory=dict)
    stuck: list[Stuck] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)

    @property
    def equal(self) -> bool:
        """Whether the live ledger is what its decisions make."""
        return not self.stuck and not self.differences


async def check(dsn: str, programs: ProgramBook, told: Told = lambda _done, _all: None) -> Outcome:
    """Rebuild beside the live database, which may be in use meanwhile: one snapshot of it is looked at."""
    outcome = Outcome()
    async with _scratch(dsn) as schema, _connected(dsn) as live, _connected(dsn, schema) as scratch:
        async with live.transaction(isolation="repeatable_read", readonly=True):
            await _rebuild(live, scratch, programs, outcome, told)
            for table in rebuilding.TABLES:
                mine, theirs = await rebuilding.checksums(live, table), await rebuilding.checksums(scratch, table)
                outcome.rows[table] = mine[0]
                if mine != theirs:
                    outcome.differences += await rebuilding.differences(live, scratch, table, DIFFERENCES_MAX)
    return outcome


async def _rebuild(
    live: asyncpg.Connection, scratch: asyncpg.Connection, programs: ProgramBook, outcome: Outcome, told: Told
) -> None:
    owners = {owner.member_id: owner for owner in await rebuilding.owners(live)}
    merged, seeds = await rebuilding.merged_into(live), await rebuilding.all_seeds(live)
    total = sum(owner.decisions for owner in owners.values())
    began = time.monotonic()
    sizes = {member_id: owner.decisions for member_id, owner in owners.items()}
    for batch in in_portions(families(owners, merged), sizes):
        kept = await rebuilding.decisions_of(live, batch)
        accounts = [(member_id, owners[member_id].program_id) for member_id in batch]
        world, stuck = rebuilt(programs, seeds, accounts, kept)
        async with scratch.transaction():
            await rebuilding.add_accounts(scratch, (owners[member_id] for member_id in batch))
            await write(Transaction(scratch, EARLIEST, "rebuild"), world, decided(world))
        outcome.stuck += stuck
        outcome.members += len(batch)
        outcome.decisions += sum(map(len, kept.values()))
        outcome.seconds = time.monotonic() - began
        told(outcome.decisions, total)


@asynccontextmanager
async def _connected(dsn: str, schema: str | None = None) -> AsyncIterator[asyncpg.Connection]:
    """A connection to the live tables, or to those of a schema and to no others."""
    settings = {"search_path": schema} if schema else {}
    connection = await asyncpg.connect(dsn, timeout=10, server_settings=settings)
    try:
        yield connection
    finally:
        await connection.close(timeout=5)


@asynccontextmanager
async def _scratch(dsn: str) -> AsyncIterator[str]:
    """A schema with the empty tables of this service, gone afterwards. Gives its name.

    Not a database: a service's role owns its database, and should not be able to make others.
    """
    name = f"rebuild_{uuid4().hex[:12]}"
    async with _connected(dsn) as connection:
        await rebuilding.create_schema(connection, name)
        try:
            migrate(dsn, [MIGRATIONS, Path(__file__).parent / "migrations"], schema=name)
            yield name
        finally:
            await rebuilding.drop_schema(connection, name)
