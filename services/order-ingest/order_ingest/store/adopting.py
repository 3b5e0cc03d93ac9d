"""Orders, people and activities as they were published: taken over after a restore, sent again when Kafka lost them."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple
from uuid import UUID

import asyncpg

from contracts.activities import ActivityFacts, ActivityRecordedV1
from shared.transaction import Transaction

from ..domain.identity import IdentityKey
from .activities import LOST
from .batch import (
    lock_identities,
    lock_members,
    lock_orders,
    member_rows,
    order_row,
    save_claims,
    save_members,
    save_orders,
)
from .world import MemberRow, OrderRow, SourceKey, columns


class Known(NamedTuple):
    """What is known of what was published."""

    orders: dict[SourceKey, OrderRow]
    members: dict[UUID, MemberRow]
    owners: dict[IdentityKey, UUID]


async def lock_known(
    tx: Transaction, orders: Iterable[SourceKey], members: Iterable[UUID], keys: Iterable[IdentityKey]
) -> Known:
    """These rows as they are, with the members that identities lead to, locked in the order that is kept everywhere;
    orders and identities are made if new.
    """
    owners = await lock_identities(tx.connection, sorted(set(keys)))
    rows = await lock_orders(tx.connection, sorted(set(orders)))
    return Known(rows, await lock_members(tx, sorted({*members, *owners.values()})), owners)


async def save_adopted(
    tx: Transaction, orders: Sequence[OrderRow], members: Sequence[MemberRow], claims: dict[IdentityKey, UUID]
) -> None:
    """Write them, and publish nothing."""
    if members:
        await save_members(tx.connection, list(members))
    if claims:
        await save_claims(tx.connection, claims)
    if orders:
        await save_orders(tx.connection, list(orders))


async def adopt_activities(tx: Transaction, events: Sequence[ActivityRecordedV1]) -> None:
    """Activities are as they were told last."""
    latest = {(event.program_id, event.source, event.activity_id): event for event in events}
    told = [latest[key] for key in sorted(latest)]
    facts = [ActivityFacts(**{name: getattr(event, name) for name in ActivityFacts.model_fields}) for event in told]
    await tx.connection.execute(
        """INSERT INTO activities (program_id, source, activity_id, content_sha256, member_id, revoked_at, facts)
           SELECT p, s, a, $4, m, r, f
           FROM unnest($1::text[], $2::text[], $3::text[], $5::uuid[], $6::timestamptz[], $7::bytea[])
               n (p, s, a, m, r, f)
           ON CONFLICT (program_id, source, activity_id) DO UPDATE SET member_id = excluded.member_id,
               revoked_at = coalesce(activities.revoked_at, excluded.revoked_at), facts = excluded.facts""",
        *columns(sorted(latest)),
        LOST,
        [event.member_id for event in told],
        [event.revoked_at for event in told],
        [item.model_dump_json().encode() for item in facts],
    )


async def read_members(tx: Transaction, after: UUID | None, limit: int) -> list[MemberRow]:
    """Members with a greater id, locked."""
    rows = await tx.connection.fetch(
        """SELECT member_id, program_id, version, contact_version, recorded_at, state FROM members
           WHERE $1::uuid IS NULL OR member_id > $1 ORDER BY member_id LIMIT $2 FOR UPDATE""",
        after,
        limit,
    )
    return list(member_rows(tx, rows).values())


async def read_orders(tx: Transaction, after: SourceKey, limit: int) -> list[OrderRow]:
    """Published orders with a greater key, locked with their members."""
    rows = await tx.connection.fetch(
        """SELECT * FROM orders WHERE revision > 0 AND (program_id, source, order_id) > ($1, $2, $3)
           ORDER BY program_id, source, order_id LIMIT $4 FOR UPDATE""",
        *after,
        limit,
    )
    await lock_members(tx, sorted({row["member_id"] for row in rows}))
    return [order_row(row) for row in rows]


async def read_activities(tx: Transaction, after: SourceKey, limit: int) -> list[asyncpg.Record]:
    """Published activities with a greater key, locked with their members."""
    rows = await tx.connection.fetch(
        """SELECT * FROM activities WHERE facts IS NOT NULL AND (program_id, source, activity_id) > ($1, $2, $3)
           ORDER BY program_id, source, activity_id LIMIT $4 FOR UPDATE""",
        *after,
        limit,
    )
    await lock_members(tx, sorted({row["member_id"] for row in rows}))
    return rows
