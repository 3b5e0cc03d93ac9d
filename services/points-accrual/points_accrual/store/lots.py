"""Lots that a batch can need: due ones, those of its claims and coupons, and where something may be taken, enough."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from uuid import UUID

import asyncpg

from shared.transaction import Transaction

from ..domain.world import World
from .rows import columns, to_lot


async def load_lots(
    tx: Transaction, world: World, horizon: datetime, debits: Mapping[UUID, int] | None = None,
    more: Iterable[UUID] = (),
) -> None:  # fmt: skip
    """Lots that are due by the horizon, those of the loaded claims and coupons with the lots that these had taken
    from, `more` by their ids, and where something may be taken, the soonest-expiring until that is covered.
    """
    if not world.accounts:
        return
    needs = dict(debits or {})
    own = set(more)
    for claim in world.claims.values():
        own.update(claim.lots.values())
        if granted := claim.total:
            owner = world.owner(claim.member_id)
            needs[owner] = needs.get(owner, 0) + granted
    for coupon in world.coupons.values():
        own.update(lot_id for lot_id, _ in coupon.uses)
        owner = world.owner(coupon.member_id)
        needs[owner] = needs.get(owner, 0) + coupon.returned
    rows = await tx.connection.fetch(
        """SELECT * FROM lots WHERE lot_id IN (
               SELECT lot_id FROM lots WHERE lot_id = ANY($3::uuid[])
               UNION ALL
               SELECT (t ->> 2)::uuid FROM lots o, jsonb_array_elements(o.takings) t WHERE o.lot_id = ANY($3::uuid[])
               UNION ALL
               SELECT lot_id FROM lots WHERE member_id = ANY($1::uuid[]) AND remaining > 0 AND due_at <= $2
               UNION ALL
               SELECT lot_id FROM (
                   SELECT l.lot_id, n.need, sum(l.remaining) OVER (
                       PARTITION BY l.member_id ORDER BY l.expires_at NULLS LAST, l.opened_at, l.lot_id
                   ) - l.remaining AS before
                   FROM lots l JOIN unnest($4::uuid[], $5::bigint[]) AS n (member_id, need) USING (member_id)
                   WHERE l.remaining > 0 AND l.state = 'active' AND (l.expires_at IS NULL OR l.expires_at > $2)
               ) covering WHERE before < need
           )""",
        sorted(world.accounts), horizon, sorted(own), *columns(needs.items(), 2),
    )  # fmt: skip
    keep(world, rows)


async def load_all_lots(tx: Transaction, world: World, members: Iterable[UUID], *, ended: bool = False) -> None:
    """Every lot of these members that holds points, or that something was taken of; with `ended` all others too."""
    rows = await tx.connection.fetch(
        "SELECT * FROM lots WHERE member_id = ANY($1::uuid[])"
        " AND ($2 OR remaining > 0 OR takings <> '[]'::jsonb OR expired > 0)",
        sorted(members), ended,
    )  # fmt: skip
    keep(world, rows)


async def load_renewing(tx: Transaction, world: World) -> None:
    """All lots of members who keep points alive in any of them by what they do."""
    renewing = [key for key, account in world.accounts.items() if world.renews(account.program_id)]
    if renewing:
        await load_all_lots(tx, world, renewing)


def keep(world: World, rows: Iterable[asyncpg.Record]) -> None:
    """Put lots into their accounts, once."""
    for row in rows:
        lots = world.accounts[row["member_id"]].lots
        if row["lot_id"] not in lots:
            lots[row["lot_id"]] = to_lot(row)
            world.stored.add(row["lot_id"])
