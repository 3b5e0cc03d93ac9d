"""What the API reads; nothing here locks or writes."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from contracts.points import BaseStep, Cause

from ..domain.account import Account
from ..domain.claims import Claim, Member
from ..domain.coupons import Coupon
from ..domain.lots import Lot
from ..domain.world import UseKey
from .rows import CLAIMS, to_account, to_claim, to_coupon, to_lot, to_member, to_steps

LOOK = Cause(kind="command", id="look")
"""Of what is only looked at, and never kept."""
_MEMBERS = """
    SELECT a.*, m.status, m.enrolled_at, m.version, m.merged_into, m.attributes, m.birthday, m.intervals,
           m.memberships, m.standing_version, m.segments, m.segments_version, m.dates_version, m.next_date_at,
           ARRAY(SELECT l FROM lots l WHERE l.member_id = a.member_id AND l.remaining > 0) AS lots
    FROM accounts a LEFT JOIN members m USING (member_id) WHERE a.member_id = ANY($1::uuid[])"""
Look = Callable[[UUID], Awaitable[asyncpg.Record | None]]
"""Finds what `look` finds of one member."""


async def look(connection: asyncpg.Connection, members: Sequence[UUID]) -> list[asyncpg.Record | None]:
    """Of each of these members the account with all lots that hold points; None where there is no account.

    One statement is all it takes: account and lots are of the same moment.
    """
    rows = {row["member_id"]: row for row in await connection.fetch(_MEMBERS, members)}
    return [rows.get(member_id) for member_id in members]


async def points(look_at: Look, program_id: str, member_id: UUID) -> tuple[Account, Member] | None:
    """The account and the member; the survivor's if it was merged. None if the program has no such member."""
    row = await look_at(member_id)
    while row is not None and row["merged_into"] is not None:
        row = await look_at(row["merged_into"])
    if row is None or row["program_id"] != program_id:
        return None
    account = to_account(row)
    account.lots = {lot["lot_id"]: to_lot(lot) for lot in row["lots"]}
    return account, to_member(row)


async def balances_at(connection: asyncpg.Connection, member_id: UUID, at: datetime) -> dict[str, int]:
    """The member's buckets by what was posted until then."""
    row = await connection.fetchrow(
        """SELECT coalesce(sum(points) FILTER (WHERE credit = 'pending'), 0)::bigint
                  - coalesce(sum(points) FILTER (WHERE debit = 'pending'), 0)::bigint AS pending,
                  coalesce(sum(points) FILTER (WHERE credit = 'active'), 0)::bigint
                  - coalesce(sum(points) FILTER (WHERE debit = 'active'), 0)::bigint AS active,
                  coalesce(sum(points) FILTER (WHERE credit = 'held'), 0)::bigint
                  - coalesce(sum(points) FILTER (WHERE debit = 'held'), 0)::bigint AS held,
                  coalesce(sum(points) FILTER (WHERE debit = 'deficit'), 0)::bigint
                  - coalesce(sum(points) FILTER (WHERE credit = 'deficit'), 0)::bigint AS deficit
           FROM transfers WHERE member_id = $1 AND effective_at <= $2""",
        member_id, at,
    )  # fmt: skip
    assert row is not None
    return dict(row)


async def history(
    connection: asyncpg.Connection, member_id: UUID, before: tuple[int, int] | None, limit: int
) -> list[dict[str, Any]]:
    """Transfers, newest first, each with what caused it."""
    sequence, ordinal = before or (2**62, 0)
    rows = await connection.fetch(
        """SELECT t.sequence, t.ordinal, t.transfer_id, t.debit, t.credit, t.points, t.effective_at, t.program_version,
                  t.rule_id, t.claim_kind, t.claim_id, t.lot_id, d.occurred_at, d.kind AS decision,
                  d.cause ->> 'kind' AS cause, d.cause ->> 'id' AS cause_id, d.cause ->> 'reason' AS reason,
                  d.cause ->> 'actor' AS actor
           FROM transfers t JOIN decisions d USING (member_id, sequence)
           WHERE t.member_id = $1 AND (t.sequence, t.ordinal) < ($2, $3)
           ORDER BY t.sequence DESC, t.ordinal DESC LIMIT $4""",
        member_id, sequence, ordinal, limit,
    )  # fmt: skip
    return [dict(row) for row in rows]


async def claims_of(
    connection: asyncpg.Connection, members: list[UUID], kind: str, before: tuple[datetime, str] | None, limit: int
) -> list[tuple[Claim, list[Lot]]]:
    """These members' claims of a kind, newest first, before that place, each with its lots."""
    at, claim_id = before or (None, "")
    rows = await connection.fetch(
        CLAIMS + "WHERE c.member_id = ANY($1::uuid[]) AND c.kind = $2"
        " AND ($3 OR (c.at, c.claim_id) < ($4, $5)) ORDER BY c.at DESC, c.claim_id DESC LIMIT $6",
        members, kind, before is None, at, claim_id, limit,
    )  # fmt: skip
    return await _with_lots(connection, rows)


async def find_claim(
    connection: asyncpg.Connection, program_id: str, members: list[UUID], kind: str, claim_id: str
) -> tuple[Claim, list[Lot]] | None:
    """One claim with its lots; None if these members have no such claim."""
    rows = await connection.fetch(
        CLAIMS + "WHERE c.program_id = $1 AND c.kind = $2 AND c.claim_id = $3 AND c.member_id = ANY($4::uuid[])",
        program_id, kind, claim_id, members,
    )  # fmt: skip
    found = await _with_lots(connection, rows)
    return found[0] if found else None


async def _with_lots(connection: asyncpg.Connection, rows: list[asyncpg.Record]) -> list[tuple[Claim, list[Lot]]]:
    found = [to_claim(row) for row in rows]
    ids = [lot_id for item in found for lot_id in item.lots.values()]
    lots = {
        row["lot_id"]: to_lot(row)
        for row in await connection.fetch("SELECT * FROM lots WHERE lot_id = ANY($1::uuid[])", ids)
    }
    return [(item, [lots[lot_id] for lot_id in item.lots.values()]) for item in found]


async def challenge_claims(connection: asyncpg.Connection, members: list[UUID]) -> list[Claim]:
    """Every time that these members reached a challenge."""
    rows = await connection.fetch(
        CLAIMS + "WHERE c.member_id = ANY($1::uuid[]) AND c.kind = 'challenge' ORDER BY c.at, c.claim_id", members
    )
    return [to_claim(row) for row in rows]


async def counted(connection: asyncpg.Connection, members: list[UUID]) -> list[tuple[datetime, str, int, Any]]:
    """What these members' claims count for challenges: when, which claim, by which version, and what."""
    rows = await connection.fetch(
        "SELECT at, kind, claim_id, program_version, counts FROM claims"
        " WHERE member_id = ANY($1::uuid[]) AND counts IS NOT NULL ORDER BY at, kind, claim_id",
        members,
    )
    return [
        (row["at"], f"{row['kind']}:{row['claim_id']}", row["program_version"], orjson.loads(row["counts"]))
        for row in rows
    ]  # fmt: skip


async def bases(connection: asyncpg.Connection, members: list[UUID], since: datetime) -> list[tuple[BaseStep, ...]]:
    """The base points of these members' orders since then."""
    rows = await connection.fetch(
        "SELECT base FROM claims WHERE member_id = ANY($1::uuid[]) AND kind = 'order' AND at >= $2"
        " AND base <> '[]'::jsonb",
        members, since,
    )  # fmt: skip
    return [to_steps(row["base"]) for row in rows]


async def merged(connection: asyncpg.Connection, member_id: UUID) -> list[UUID]:
    """The member, and all who were merged into it."""
    rows = await connection.fetch(
        "WITH RECURSIVE m (id) AS (SELECT $1::uuid"
        "  UNION SELECT x.member_id FROM members x JOIN m ON x.merged_into = m.id) SELECT id FROM m",
        member_id,
    )
    return [row["id"] for row in rows]


async def coupons_of(
    connection: asyncpg.Connection, member_id: UUID, before: tuple[datetime, UUID] | None, limit: int
) -> list[Coupon]:
    """A member's coupons, newest first, before that place."""
    opened_at, coupon_id = before or (None, None)
    rows = await connection.fetch(
        "SELECT * FROM coupons WHERE member_id = $1 AND ($2::timestamptz IS NULL OR (opened_at, coupon_id) < ($2, $3))"
        " ORDER BY opened_at DESC, coupon_id DESC LIMIT $4",
        member_id, opened_at, coupon_id, limit,
    )  # fmt: skip
    return [to_coupon(row) for row in rows]


async def find_coupon(connection: asyncpg.Connection, program_id: str, coupon_id: UUID) -> Coupon | None:
    """A coupon of the program, or None."""
    row = await connection.fetchrow(
        "SELECT * FROM coupons WHERE coupon_id = $1 AND program_id = $2", coupon_id, program_id
    )
    return to_coupon(row) if row else None


async def seeds(connection: asyncpg.Connection, program_id: str) -> dict[str, bytes]:
    """The secrets behind the commitments of a program."""
    rows = await connection.fetch("SELECT commitment, seed FROM seeds WHERE program_id = $1", program_id)
    return {row["commitment"]: row["seed"] for row in rows}


async def uses(connection: asyncpg.Connection, program_id: str, member_id: UUID) -> dict[UseKey, int]:
    """What was counted against limits of a member, and of all together."""
    rows = await connection.fetch(
        "SELECT program_id, member_id, name, time_window, used FROM uses"
        " WHERE (member_id = $2 AND program_id = $1) OR (member_id IS NULL AND program_id = $1)",
        program_id, member_id,
    )  # fmt: skip
    return {UseKey(*row[:4]): row["used"] for row in rows}


async def pools(connection: asyncpg.Connection, program_id: str) -> dict[str, int]:
    """How many codes are left in each pool."""
    rows = await connection.fetch(
        "SELECT reward_id, count(*) AS left FROM coupon_codes WHERE program_id = $1 AND NOT drawn GROUP BY reward_id",
        program_id,
    )  # fmt: skip
    return {row["reward_id"]: row["left"] for row in rows}


async def donations(connection: asyncpg.Connection, program_id: str) -> list[dict[str, Any]]:
    """What was donated by each reward: how often, how much money, how many points."""
    rows = await connection.fetch(
        """SELECT reward_id, count(*) AS donations, coalesce(sum(value_minor), 0)::bigint AS value_minor,
                  coalesce(sum(points - returned), 0)::bigint AS points
           FROM coupons WHERE program_id = $1 AND kind = 'donation' AND state = 'issued' GROUP BY reward_id""",
        program_id,
    )  # fmt: skip
    return [dict(row) for row in rows]
