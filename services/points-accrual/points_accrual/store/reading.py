"""What the API reads; nothing here locks or writes."""

from typing import Any
from uuid import UUID

import asyncpg

from ..domain.account import Account, Lot
from ..domain.claims import Order
from .rows import ORDERS, to_account, to_lot, to_order


async def points(connection: asyncpg.Connection, program_id: str, member_id: UUID) -> Account | None:
    """The account with all lots that hold points; None if the program has no such member."""
    row = await connection.fetchrow(
        "SELECT * FROM accounts WHERE member_id = $1 AND program_id = $2", member_id, program_id
    )
    if row is None:
        return None
    account = to_account(row)
    rows = await connection.fetch("SELECT * FROM lots WHERE member_id = $1 AND remaining > 0", member_id)
    account.lots = {row["lot_id"]: to_lot(row) for row in rows}
    return account


async def history(
    connection: asyncpg.Connection, program_id: str, member_id: UUID, before: tuple[int, int] | None, limit: int
) -> list[dict[str, Any]] | None:
    """Transfers, newest first, each with what caused it; None if the program has no such member."""
    known = await connection.fetchval(
        "SELECT 1 FROM accounts WHERE member_id = $1 AND program_id = $2", member_id, program_id
    )
    if known is None:
        return None
    sequence, ordinal = before or (2**62, 0)
    rows = await connection.fetch(
        """SELECT t.sequence, t.ordinal, t.transfer_id, t.debit, t.credit, t.points, t.effective_at, t.program_version,
                  t.rule_id, t.source, t.order_id, t.referral_id, t.role, t.lot_id, d.occurred_at,
                  d.cause ->> 'kind' AS cause, d.cause ->> 'id' AS cause_id, d.cause ->> 'reason' AS reason
           FROM transfers t JOIN decisions d USING (member_id, sequence)
           WHERE t.member_id = $1 AND (t.sequence, t.ordinal) < ($2, $3)
           ORDER BY t.sequence DESC, t.ordinal DESC LIMIT $4""",
        member_id, sequence, ordinal, limit,
    )  # fmt: skip
    return [dict(row) for row in rows]


async def orders(
    connection: asyncpg.Connection, program_id: str, member_id: UUID, limit: int
) -> list[tuple[Order, Lot | None]] | None:
    """The member's latest orders, newest first, as `order` gives them; None if the program has no such member."""
    known = await connection.fetchval(
        "SELECT 1 FROM accounts WHERE member_id = $1 AND program_id = $2", member_id, program_id
    )
    if known is None:
        return None
    rows = await connection.fetch(
        ORDERS + "WHERE o.program_id = $1 AND o.member_id = $2"
        " ORDER BY o.placed_at DESC, o.source, o.order_id LIMIT $3",
        program_id, member_id, limit,
    )  # fmt: skip
    lots = await connection.fetch(
        "SELECT * FROM lots WHERE lot_id = ANY($1::uuid[])", [row["lot_id"] for row in rows if row["lot_id"]]
    )
    by_id = {row["lot_id"]: to_lot(row) for row in lots}
    return [(to_order(row), by_id.get(row["lot_id"])) for row in rows]


async def order(
    connection: asyncpg.Connection, program_id: str, member_id: UUID, source: str, order_id: str
) -> tuple[Order, Lot | None] | None:
    """An order with its judgement, its claims and its lot; None if that member has no such order."""
    row = await connection.fetchrow(
        ORDERS + "WHERE o.program_id = $1 AND o.source = $2 AND o.order_id = $3 AND o.member_id = $4",
        program_id, source, order_id, member_id,
    )  # fmt: skip
    if row is None:
        return None
    lot = await connection.fetchrow("SELECT * FROM lots WHERE lot_id = $1", row["lot_id"]) if row["lot_id"] else None
    return to_order(row), to_lot(lot) if lot else None
