"""The kept decisions read for a rebuild, and two ledgers compared: row by row by checksums, then by their words."""

from collections.abc import AsyncIterator, Iterable, Sequence
from typing import NamedTuple
from uuid import UUID

import asyncpg
import orjson

from contracts.points import Cause

from ..domain.replaying import Kept
from .rows import columns


class Owner(NamedTuple):
    """An account as a rebuild begins with it."""

    member_id: UUID
    program_id: str
    partition: int
    decisions: int


class Difference(NamedTuple):
    """A row that is not the same in both ledgers; None: it is not there."""

    table: str
    key: str
    live: str | None
    rebuilt: str | None


_EMPTY_LOT = "CASE WHEN remaining = 0 THEN NULL ELSE {} END"
# An empty lot is not looked up when it is due: it ends when it is needed next. Codes are never shown.
_TABLES: dict[str, tuple[str, str]] = {
    "accounts": (
        "member_id::text",
        "pending, active, held, deficit, clock, sequence, deficit_since, active_at, frozen, household_id, program_id",
    ),
    "decisions": (
        "'member ' || member_id || ', decision ' || sequence",
        "kind, decision_key, occurred_at, effective_at, md5(input) AS input, md5(pinned::text) AS pinned",
    ),
    "transfers": (
        "'member ' || member_id || ', decision ' || sequence || ', transfer ' || ordinal",
        (
            "points, debit, credit, effective_at, program_version, rule_id, claim_kind, claim_id, lot_id, uses,"
            " transfer_id"
        ),
    ),
    "claims": (
        "kind || ' ' || claim_id",
        ("granted, reason, version, at, first_recorded_at, program_version, program_hash, lots, pins, base, counts,"
         " detail, document_of, document_sequence, program_id"),
    ),
    "lots": (
        "lot_id::text",
        (f"remaining, {_EMPTY_LOT.format('state')} AS state, expired, opened_at, activates_at, expires_at, lapses_at,"
         f" {_EMPTY_LOT.format('warnings')} AS warnings, takings, claim_kind, claim_id, terms, program_version"),
    ),
    "coupons": (
        "coupon_id::text",
        ("state, points, returned, by_hand, reward_id, kind, program_version, uses, value_minor,"
         " md5(upper(code)) AS code,"
         " opened_at, held_until, issued_at, expires_at, order_id, challenge, windows, program_id"),
    ),
}  # fmt: skip
TABLES = tuple(_TABLES)


async def create_schema(connection: asyncpg.Connection, name: str) -> None:
    """Make an empty schema. `name`: letters, digits and underscores."""
    await connection.execute(f'CREATE SCHEMA "{name}"')


async def drop_schema(connection: asyncpg.Connection, name: str) -> None:
    """Drop it, with everything in it."""
    await connection.execute(f'DROP SCHEMA IF EXISTS "{name}" CASCADE')


async def owners(live: asyncpg.Connection) -> list[Owner]:
    """All accounts, with how many decisions each has."""
    rows = await live.fetch("SELECT member_id, program_id, partition, sequence FROM accounts ORDER BY member_id")
    return [Owner(*row) for row in rows]


async def all_seeds(live: asyncpg.Connection) -> dict[str, bytes]:
    """The seeds of all programs, by commitment."""
    return {row["commitment"]: row["seed"] for row in await live.fetch("SELECT commitment, seed FROM seeds")}


async def merged_into(live: asyncpg.Connection) -> dict[UUID, UUID]:
    """Who was merged into whom."""
    rows = await live.fetch("SELECT member_id, merged_into FROM members WHERE merged_into IS NOT NULL")
    return {row["member_id"]: row["merged_into"] for row in rows}


async def decisions_of(live: asyncpg.Connection, members: Sequence[UUID]) -> dict[UUID, list[Kept]]:
    """All that was decided for these members, in the order of each."""
    rows = await live.fetch(
        "SELECT * FROM decisions WHERE member_id = ANY($1::uuid[]) ORDER BY member_id, sequence", list(members)
    )
    found: dict[UUID, list[Kept]] = {}
    for row in rows:
        kept = Kept(
            row["sequence"], row["kind"], row["decision_key"], Cause.model_validate_json(row["cause"]),
            row["occurred_at"], row["effective_at"], row["input"], orjson.loads(row["pinned"]),
        )  # fmt: skip
        found.setdefault(row["member_id"], []).append(kept)
    return found


async def add_accounts(scratch: asyncpg.Connection, found: Iterable[Owner]) -> None:
    """Accounts with nothing in them yet."""
    await scratch.execute(
        "INSERT INTO accounts (member_id, program_id, partition)"
        " SELECT * FROM unnest($1::uuid[], $2::text[], $3::int[])",
        *columns([owner[:3] for owner in found], 3),
    )


async def checksums(connection: asyncpg.Connection, table: str) -> tuple[int, int]:
    """How many rows a table has, and a sum over the hashes of them all, which no order of rows changes."""
    row = await connection.fetchrow(f"SELECT count(*), coalesce(sum(hash::numeric), 0) FROM ({_hashed(table)}) r")
    assert row is not None
    return int(row[0]), int(row[1])


async def differences(
    live: asyncpg.Connection, scratch: asyncpg.Connection, table: str, limit: int
) -> list[Difference]:
    """The first rows that differ, in the order of their members."""
    sums = "SELECT member_id, sum(hash::numeric)::text FROM ({}) r GROUP BY member_id ORDER BY member_id"
    mine = dict([tuple(row) async for row in _rows(live, sums.format(_hashed(table)))])
    theirs = dict([tuple(row) async for row in _rows(scratch, sums.format(_hashed(table)))])
    found: list[Difference] = []
    for member_id in sorted({*mine, *theirs}):
        if mine.get(member_id) != theirs.get(member_id):
            found += await _of_member(live, scratch, table, member_id)
        if len(found) >= limit:
            break
    return found[:limit]


async def _of_member(
    live: asyncpg.Connection, scratch: asyncpg.Connection, table: str, member_id: UUID
) -> list[Difference]:
    key, words = _TABLES[table]
    statement = f"SELECT {key} AS row_key, {words} FROM {table} WHERE member_id = $1"
    mine = {row["row_key"]: row for row in await live.fetch(statement, member_id)}
    theirs = {row["row_key"]: row for row in await scratch.fetch(statement, member_id)}
    found = []
    for name in sorted({*mine, *theirs}):
        a, b = mine.get(name), theirs.get(name)
        if a is None or b is None:
            found.append(Difference(table, name, _words(a) if a else None, _words(b) if b else None))
        elif tuple(a) != tuple(b):
            unlike = [column for column in a.keys() if a[column] != b[column]]  # noqa: SIM118 - a record is no mapping
            found.append(Difference(table, name, _words(a, unlike), _words(b, unlike)))
    return found


def _words(row: asyncpg.Record, only: Sequence[str] | None = None) -> str:
    names = only or [name for name in row.keys() if name != "row_key" and row[name] is not None]  # noqa: SIM118
    return ", ".join(f"{name} {row[name]}" for name in names)


def _hashed(table: str) -> str:
    key, words = _TABLES[table]
    return (
        "SELECT member_id, hashtextextended(x::text, 0) AS hash"
        f" FROM (SELECT member_id, {key} AS row_key, {words} FROM {table}) x"
    )


async def _rows(connection: asyncpg.Connection, statement: str) -> AsyncIterator[asyncpg.Record]:
    """A long answer in portions."""
    async with connection.transaction():
        async for row in connection.cursor(statement, prefetch=5000):
            yield row
