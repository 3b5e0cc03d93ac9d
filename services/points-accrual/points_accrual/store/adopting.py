"""Decisions that were read back after a restore: what they are made again from, and what else they change."""

from collections.abc import Iterable, Mapping
from uuid import UUID

import asyncpg
import orjson

from contracts.decisions import CommandDone, DecidedAccount
from shared.transaction import Transaction

from ..domain.coupons import Coupon
from ..domain.lots import ClaimKey
from ..domain.world import UseKey, World
from .commands import APPROVAL_KEY
from .rows import columns

_FAMILIES = """
    WITH RECURSIVE family (member_id) AS (
        SELECT unnest($1::uuid[]) UNION SELECT m.member_id FROM members m JOIN family f ON m.merged_into = f.member_id)
    SELECT a.member_id, a.program_id, a.partition, a.sequence, m.merged_into, m.continuation,
        coalesce(m.dates_version, 0) AS dates_version, m.next_date_at
    FROM accounts a LEFT JOIN members m USING (member_id)
    WHERE a.member_id IN (SELECT member_id FROM family) ORDER BY a.member_id FOR UPDATE OF a"""


async def add_accounts(tx: Transaction, program_id: str, accounts: Iterable[DecidedAccount]) -> None:
    """Accounts that are not there any more."""
    await tx.connection.execute(
        "INSERT INTO accounts (member_id, program_id, partition)"
        " SELECT m, $1, p FROM unnest($2::uuid[], $3::int[]) AS r (m, p) ORDER BY m ON CONFLICT DO NOTHING",
        program_id, *columns([(item.member_id, item.partition) for item in accounts], 2),
    )  # fmt: skip


async def heads(tx: Transaction, after: UUID | None, limit: int) -> list[UUID]:
    """Accounts with a greater id that were not merged into others, in the order of ids."""
    rows = await tx.connection.fetch(
        "SELECT a.member_id FROM accounts a LEFT JOIN members m USING (member_id)"
        " WHERE m.merged_into IS NULL AND ($1::uuid IS NULL OR a.member_id > $1) ORDER BY a.member_id LIMIT $2",
        after, limit,
    )  # fmt: skip
    return [row["member_id"] for row in rows]


async def lock_families(tx: Transaction, members: Iterable[UUID]) -> list[asyncpg.Record]:
    """These accounts and all that were merged into them, locked."""
    return await tx.connection.fetch(_FAMILIES, sorted(members))


async def note_stored(tx: Transaction, world: World) -> None:
    """Tell the world which of its lots and claims are rows already."""
    members = list(world.accounts)
    rows = await tx.connection.fetch("SELECT lot_id FROM lots WHERE member_id = ANY($1::uuid[])", members)
    world.stored |= {row["lot_id"] for row in rows}
    rows = await tx.connection.fetch(
        "SELECT program_id, kind, claim_id FROM claims WHERE member_id = ANY($1::uuid[])", members
    )
    world.stored |= {(row["program_id"], ClaimKey(row["kind"], row["claim_id"])) for row in rows}


async def close_approvals(tx: Transaction, commands: Iterable[CommandDone]) -> None:
    """What a second person approved waits no more."""
    found = [
        (item, orjson.loads(item.body)["approved_by"])
        for item in commands if item.idempotency_key.startswith(APPROVAL_KEY)
    ]  # fmt: skip
    await tx.connection.execute(
        "UPDATE approvals a SET state = 'approved', decided_by = k.d, decided_at = k.t"
        " FROM unnest($1::uuid[], $2::text[], $3::timestamptz[]) AS k (i, d, t)"
        " WHERE a.approval_id = k.i AND a.state = 'waiting'",
        [UUID(item.idempotency_key.removeprefix(APPROVAL_KEY)) for item, _ in found],
        [by for _, by in found],
        [item.done_at for item, _ in found],
    )


async def add_shared_uses(tx: Transaction, uses: Mapping[UseKey, int]) -> None:
    """Count what was used of what all members share."""
    rows = sorted((key.program_id, key.name, key.window, used) for key, used in uses.items() if used)
    await tx.connection.execute(
        "INSERT INTO uses (program_id, name, time_window, used)"
        " SELECT p, n, w, 0 FROM unnest($1::text[], $2::text[], $3::text[]) AS r (p, n, w)"
        " ON CONFLICT (member_id, program_id, name, time_window) DO NOTHING",
        *columns([row[:3] for row in rows], 3),
    )  # fmt: skip
    await tx.connection.execute(
        "UPDATE uses SET used = greatest(0, used + u)"
        " FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[]) AS r (p, n, w, u)"
        " WHERE member_id IS NULL AND (program_id, name, time_window) = (p, n, w)",
        *columns(rows, 4),
    )  # fmt: skip


async def take_codes(tx: Transaction, world: World, coupons: Iterable[Coupon]) -> None:
    """Codes that coupons have are not in their pools any more, also where the import of a pool was lost."""
    rows = set()
    for coupon in coupons:
        program = world.programs.version(coupon.program_id, coupon.program_version)
        reward = program.reward(coupon.reward_id) if program else None
        if coupon.code is not None and reward is not None and reward.codes == "pool":
            rows.add((coupon.program_id, coupon.code, coupon.reward_id))
    await tx.connection.execute(
        "INSERT INTO coupon_codes (program_id, code, reward_id, drawn)"
        " SELECT p, c, r, true FROM unnest($1::text[], $2::text[], $3::text[]) AS k (p, c, r)"
        " ON CONFLICT (program_id, code) DO UPDATE SET drawn = true",
        *columns(sorted(rows), 3),
    )  # fmt: skip
