"""What a command needs of its members, and for ever what its idempotency key did."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from contracts.decisions import CommandDone
from contracts.program import ProgramBook
from shared.transaction import Transaction

from ..domain.world import SKEW_MAX, UseKey, World
from . import claims, coupons
from .locking import load_uses, lock
from .lots import load_all_lots, load_lots
from .rows import text

APPROVAL_KEY = "approval "
"""With the id of an approval: the idempotency key of what was approved. No client's has a blank."""


@dataclass(frozen=True, slots=True)
class Need:
    """What a command can touch of its members."""

    members: tuple[UUID, ...]
    debit: int = 0
    """So many points may leave the first of them."""
    coupon_id: UUID | None = None
    order: str | None = None
    """The order (`source:order_id`) that a coupon is handed out for."""
    all_lots: bool = False
    counts: bool = False
    """What counts for challenges."""
    uses: tuple[UseKey, ...] = ()
    pools: tuple[tuple[str, str], ...] = ()
    """Rewards whose codes may be drawn."""


@dataclass(slots=True)
class Approval:
    """An adjustment that waits for a second person."""

    approval_id: UUID
    member_id: UUID
    body: dict[str, Any]
    requested_by: str
    requested_at: datetime
    state: str = "waiting"
    decided_by: str | None = None
    decided_at: datetime | None = field(default=None)


async def load_for(tx: Transaction, programs: ProgramBook, need: Need) -> World:
    """The members of a command, who took them over, and their households, locked. Who has no account is not in the
    world.
    """
    world = World(programs, tx.now)
    together = await tx.connection.fetch(
        """WITH RECURSIVE own AS (
               SELECT unnest($1::uuid[]) AS member_id
               UNION SELECT m.merged_into FROM own JOIN members m USING (member_id) WHERE m.merged_into IS NOT NULL
           )
           SELECT member_id FROM own
           UNION SELECT o.member_id FROM own JOIN accounts a USING (member_id)
                 JOIN accounts o ON o.household_id = a.household_id AND o.program_id = a.program_id""",
        list(need.members),
    )
    members = {row["member_id"] for row in together}
    await lock(tx, world, dict.fromkeys(members))
    await claims.load_merged(tx, world)
    if need.coupon_id is not None:
        await coupons.load_one(tx, world, need.coupon_id)
    if need.order is not None:
        await claims.load_order(tx, world, need.order)
    if need.counts:
        await claims.load_counted(tx, world, world.accounts)
        await claims.load_kinds(tx, world, world.accounts, ("import",))
        await coupons.load_gifts(tx, world)
    await load_uses(tx, world, [_of_survivor(world, key) for key in need.uses])
    if need.counts:
        await coupons.load_stock(tx, world, world.accounts)
    await coupons.prepare_codes(tx, world, None if need.counts else need.pools)
    if need.all_lots or any(world.renews(account.program_id) for account in world.accounts.values()):
        await load_all_lots(tx, world, world.accounts)
    await load_lots(tx, world, tx.now + SKEW_MAX, dict.fromkeys(world.accounts, need.debit))
    return world


def _of_survivor(world: World, key: UseKey) -> UseKey:
    """What a member was counted for is that of the account which took the member over."""
    return key if key.member_id is None else key._replace(member_id=world.owner(key.member_id))


async def find_command(tx: Transaction, members: list[UUID], key: str) -> tuple[str, Any, Any] | None:
    """The kind, body and answer that this idempotency key was first used with: of the first of these members who used
    it. The account must be locked.
    """
    row = await tx.connection.fetchrow(
        "SELECT kind, body, answer FROM commands WHERE member_id = ANY($1::uuid[]) AND idempotency_key = $2"
        " ORDER BY array_position($1::uuid[], member_id) LIMIT 1",
        members, key,
    )  # fmt: skip
    return (row["kind"], orjson.loads(row["body"]), orjson.loads(row["answer"])) if row else None


def keep_command(tx: Transaction, world: World, member_id: UUID, key: str, kind: str, body: Any, answer: Any) -> None:
    """Keep for ever what this idempotency key did; written when the world is saved."""
    done = CommandDone.model_construct(
        member_id=member_id, idempotency_key=key, kind=kind, body=text(body), answer=text(answer), done_at=tx.now
    )
    world.commands.append(done)


async def request_approval(tx: Transaction, program_id: str, item: Approval) -> None:
    """Keep an adjustment until somebody else decides on it."""
    await tx.connection.execute(
        "INSERT INTO approvals (approval_id, program_id, member_id, body, requested_by, requested_at, state)"
        " VALUES ($1, $2, $3, $4::jsonb, $5, $6, 'waiting') ON CONFLICT DO NOTHING",
        item.approval_id, program_id, item.member_id, text(item.body), item.requested_by, item.requested_at,
    )  # fmt: skip


async def find_approval(connection: asyncpg.Connection, program_id: str, approval_id: UUID) -> Approval | None:
    """An approval of the program as it is, or None. Not locked: who decides on one locks it before the account."""
    row = await connection.fetchrow(
        "SELECT * FROM approvals WHERE approval_id = $1 AND program_id = $2", approval_id, program_id
    )
    return _approval(row) if row else None


async def lock_approval(tx: Transaction, program_id: str, approval_id: UUID) -> Approval | None:
    """An approval of the program, locked; None if there is none such."""
    row = await tx.connection.fetchrow(
        "SELECT * FROM approvals WHERE approval_id = $1 AND program_id = $2 FOR UPDATE", approval_id, program_id
    )
    return _approval(row) if row else None


async def decide_approval(tx: Transaction, item: Approval, state: str, decided_by: str) -> None:
    """Approve or reject."""
    await tx.connection.execute(
        "UPDATE approvals SET state = $2, decided_by = $3, decided_at = $4 WHERE approval_id = $1",
        item.approval_id, state, decided_by, tx.now,
    )  # fmt: skip


async def waiting_approvals(
    connection: asyncpg.Connection, program_id: str, after: UUID | None, limit: int
) -> list[Approval]:
    """Adjustments that wait, oldest first, after that one."""
    rows = await connection.fetch(
        "SELECT * FROM approvals WHERE program_id = $1 AND state = 'waiting'"
        " AND ($2::uuid IS NULL OR (requested_at, approval_id) >"
        "      (SELECT requested_at, approval_id FROM approvals WHERE approval_id = $2))"
        " ORDER BY requested_at, approval_id LIMIT $3",
        program_id, after, limit,
    )  # fmt: skip
    return [_approval(row) for row in rows]


def _approval(row: asyncpg.Record) -> Approval:
    return Approval(
        row["approval_id"], row["member_id"], orjson.loads(row["body"]), row["requested_by"], row["requested_at"],
        row["state"], row["decided_by"], row["decided_at"],
    )  # fmt: skip


async def lock_household(tx: Transaction, program_id: str, household_id: UUID) -> list[UUID]:
    """Who belongs to a household; nobody else can join it until this transaction ends."""
    await tx.connection.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", f"household/{household_id}")
    rows = await tx.connection.fetch(
        "SELECT member_id FROM accounts WHERE household_id = $1 AND program_id = $2 ORDER BY member_id",
        household_id, program_id,
    )  # fmt: skip
    return [row["member_id"] for row in rows]


def known_versions(world: World, members: Iterable[UUID]) -> bool:
    """Whether every version of the program that these members' lots were granted by has been read."""
    return all(
        world.programs.version(world.accounts[member_id].program_id, lot.program_version) is not None
        for member_id in members
        if member_id in world.accounts
        for lot in world.accounts[member_id].lots.values()
    )
