"""Loading what a batch touches, and saving it with its events.

Locks are taken in one order everywhere: identity keys, orders, activities, members, each sorted.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg

from contracts.ids import derived_id
from contracts.orders import OrderChangedV1
from contracts.program import ProgramBook
from shared.transaction import Permanent, Transaction

from ..domain.facts import Snapshot
from ..domain.identity import IdentityKey
from ..domain.members import MemberState, contact_event, member_event
from ..domain.merge import EMPTY, OrderState, told
from .activities import lock_activities, publish_activities, save_activities
from .world import Fact, MemberRow, OrderRow, SourceKey, World, columns

_MEMBER = "member_id, program_id, version, contact_version, recorded_at, state"


async def load(tx: Transaction, programs: ProgramBook, salt: bytes, facts: Sequence[Fact]) -> World:
    """Everything the facts touch. Raises `Permanent` for a source that its program does not have."""
    world = World(programs, salt, tx.now)
    await _check_sources(tx.connection, {(fact.program_id, fact.report.source) for fact in facts})
    keys = {key for fact in facts if (person := fact.person) for key in person.keys}
    world.owners = await lock_identities(tx.connection, sorted(keys))
    world.orders = await lock_orders(tx.connection, sorted({key for fact in facts if (key := fact.order_key)}))
    world.activities = await lock_activities(tx.connection, facts)
    ids = {*world.owners.values(), *(order.member_id for order in world.orders.values() if order.member_id)}
    ids |= {activity.member_id for activity in world.activities.values() if activity.member_id}
    world.members = await lock_members(tx, sorted(ids))
    return world


async def load_undecided(tx: Transaction, programs: ProgramBook, salt: bytes, *, limit: int) -> World:
    """Members who wait for their program, of programs that are known now; those that others work on are left out."""
    rows = await tx.connection.fetch(
        f"""SELECT {_MEMBER} FROM members WHERE undecided AND program_id = ANY($1::text[])
            ORDER BY member_id LIMIT $2 FOR UPDATE SKIP LOCKED""",
        sorted({event.program_id for event in programs}), limit,
    )  # fmt: skip
    return World(programs, salt, tx.now, members=member_rows(tx, rows))


async def _check_sources(connection: asyncpg.Connection, pairs: set[tuple[str, str]]) -> None:
    named = sorted(pairs)
    unknown = await connection.fetchrow(
        """SELECT n.program_id, n.source FROM unnest($1::text[], $2::text[]) n(program_id, source)
           LEFT JOIN sources s USING (program_id, source) WHERE s.source IS NULL LIMIT 1""",
        [program_id for program_id, _ in named],
        [source for _, source in named],
    )
    if unknown is not None:
        raise Permanent(f"program {unknown['program_id']} has no source {unknown['source']}")


async def lock_identities(connection: asyncpg.Connection, keys: list[IdentityKey]) -> dict[IdentityKey, UUID]:
    """Rows that are missing are made first, so that two batches with the same new person wait for each other."""
    columns = [[getattr(key, name) for key in keys] for name in ("program_id", "kind", "source", "value")]
    await connection.execute(
        """INSERT INTO identities (program_id, kind, source, value)
           SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) ORDER BY 1, 2, 3, 4
           ON CONFLICT DO NOTHING""",
        *columns,
    )
    rows = await connection.fetch(
        """SELECT i.program_id, i.kind, i.source, i.value, i.member_id FROM identities i
           JOIN unnest($1::text[], $2::text[], $3::text[], $4::text[]) n(program_id, kind, source, value)
               USING (program_id, kind, source, value)
           ORDER BY 1, 2, 3, 4 FOR UPDATE OF i""",
        *columns,
    )
    return {IdentityKey(*row[:4]): row["member_id"] for row in rows if row["member_id"] is not None}


async def lock_orders(connection: asyncpg.Connection, keys: list[SourceKey]) -> dict[SourceKey, OrderRow]:
    arrays = columns(keys)
    await connection.execute(
        """INSERT INTO orders (program_id, source, order_id)
           SELECT * FROM unnest($1::text[], $2::text[], $3::text[]) ORDER BY 1, 2, 3 ON CONFLICT DO NOTHING""",
        *arrays,
    )
    rows = await connection.fetch(
        """SELECT o.* FROM orders o
           JOIN unnest($1::text[], $2::text[], $3::text[]) n(program_id, source, order_id)
               USING (program_id, source, order_id)
           ORDER BY o.program_id, o.source, o.order_id FOR UPDATE OF o""",
        *arrays,
    )
    return {order.key: order for order in map(order_row, rows)}


def order_row(row: asyncpg.Record) -> OrderRow:
    state = EMPTY if row["state"] is None else OrderState.model_validate_json(row["state"])
    key = (row["program_id"], row["source"], row["order_id"])
    return OrderRow(key, row["member_id"], row["revision"], row["recorded_at"], state, state)


async def lock_members(tx: Transaction, ids: list[UUID]) -> dict[UUID, MemberRow]:
    query = f"SELECT {_MEMBER} FROM members WHERE member_id = ANY($1::uuid[]) ORDER BY member_id FOR UPDATE"
    return member_rows(tx, await tx.connection.fetch(query, ids))


def member_rows(tx: Transaction, rows: list[asyncpg.Record]) -> dict[UUID, MemberRow]:
    tx.mark_locked(row["member_id"] for row in rows)
    members = {}
    for row in rows:
        state = MemberState.model_validate_json(row["state"])
        members[row["member_id"]] = MemberRow(
            row["member_id"],
            row["program_id"],
            row["version"],
            row["contact_version"],
            state,
            state,
            row["recorded_at"],
        )
    return members


async def save(tx: Transaction, world: World) -> None:
    """Write what changed, and publish it: people before what they did."""
    members = [member for _, member in sorted(world.members.items()) if member.state != member.before]
    # New members are nobody else's yet: their row is made by this transaction.
    tx.mark_locked(member.member_id for member in members)
    for member in members:
        _publish_member(tx, world.salt, member)
    if members:
        await save_members(tx.connection, members)
    if world.claims:
        await save_claims(tx.connection, world.claims)
    orders = [order for _, order in sorted(world.orders.items()) if order.state != order.before]
    for order in orders:
        _publish_order(tx, world.programs, order)
    if orders:
        await save_orders(tx.connection, orders)
    activities = [activity for _, activity in sorted(world.activities.items()) if activity.changed]
    publish_activities(tx, activities)
    if activities:
        await save_activities(tx.connection, activities)


def _publish_member(tx: Transaction, salt: bytes, member: MemberRow) -> None:
    assert member.state is not None
    assert member.recorded_at is not None
    assert member.cause is not None
    known: dict[str, Any] = {"program_id": member.program_id, "member_id": member.member_id}
    same: dict[str, Any] = {"version": 1, "recorded_at": member.recorded_at, **known}
    before = member.before
    if before is None or member_event(before, salt=salt, **same) != member_event(member.state, salt=salt, **same):
        member.version += 1
        known |= {"version": member.version, "recorded_at": member.recorded_at}
        event = member_event(member.state, salt=salt, **known)
        event_id = derived_id(member.recorded_at, "member", member.member_id, member.version)
        tx.publish(event, id=event_id, time=member.recorded_at, cause=member.cause)
    contact = contact_event(member.state, **same)
    nothing = (contact.email, contact.first_name, contact.last_name) == (None, None, None)
    if contact_event(before, **same) != contact if before else not nothing:
        member.contact_version += 1
        contact = contact.model_copy(update={"version": member.contact_version})
        event_id = derived_id(member.recorded_at, "contact", member.member_id, member.contact_version)
        tx.publish(contact, id=event_id, time=member.recorded_at, cause=member.cause)


def _publish_order(tx: Transaction, programs: ProgramBook, order: OrderRow) -> None:
    facts = told(order.state, programs, order.key[0])
    if facts is None or facts == told(order.before, programs, order.key[0]):
        return
    assert order.changed_by is not None
    order.revision, order.recorded_at = order.revision + 1, order.changed_by.recorded_at
    event = order_event(order.key[0], order.member_id, order.revision, order.recorded_at, facts)
    event_id = derived_id(order.recorded_at, "order", *order.key, order.revision)
    tx.publish(event, id=event_id, time=facts.updated_at, cause=order.changed_by.cause)


def order_event(
    program_id: str, member_id: UUID | None, revision: int, recorded_at: datetime, facts: Snapshot
) -> OrderChangedV1:
    """The canonical order for everybody."""
    known = {"program_id": program_id, "member_id": member_id, "revision": revision, "recorded_at": recorded_at}
    return OrderChangedV1.model_validate({**dict(facts), **known, "version": facts.version or None})


async def save_members(connection: asyncpg.Connection, members: list[MemberRow]) -> None:
    states = [member.state for member in members if member.state is not None]
    emails = [state.told["email"].value if "email" in state.told else None for state in states]
    await connection.execute(
        """INSERT INTO members (member_id, program_id, version, contact_version, status, enrolled_at, recorded_at,
                                email, undecided, state)
           SELECT * FROM unnest($1::uuid[], $2::text[], $3::int[], $4::int[], $5::text[], $6::timestamptz[],
                                $7::timestamptz[], $8::text[], $9::bool[], $10::bytea[])
           ON CONFLICT (member_id) DO UPDATE SET version = excluded.version, contact_version = excluded.contact_version,
               status = excluded.status, enrolled_at = excluded.enrolled_at, recorded_at = excluded.recorded_at,
               email = excluded.email, undecided = excluded.undecided, state = excluded.state""",
        [member.member_id for member in members],
        [member.program_id for member in members],
        [member.version for member in members],
        [member.contact_version for member in members],
        ["shopper" if state.enrolled_at is None else "member" for state in states],
        [state.enrolled_at for state in states],
        [member.recorded_at for member in members],
        [str(email).lower() if email else None for email in emails],
        [bool(state.waiting) for state in states],
        [state.model_dump_json().encode() for state in states],
    )


async def save_claims(connection: asyncpg.Connection, claims: dict[IdentityKey, UUID]) -> None:
    keys = sorted(claims)
    await connection.execute(
        """UPDATE identities i SET member_id = n.member_id
           FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::uuid[])
               n(program_id, kind, source, value, member_id)
           WHERE (i.program_id, i.kind, i.source, i.value) = (n.program_id, n.kind, n.source, n.value)""",
        *[[getattr(key, name) for key in keys] for name in ("program_id", "kind", "source", "value")],
        [claims[key] for key in keys],
    )


async def save_orders(connection: asyncpg.Connection, orders: list[OrderRow]) -> None:
    await connection.execute(
        """UPDATE orders o SET member_id = n.member_id, revision = n.revision, recorded_at = n.recorded_at,
               state = n.state
           FROM unnest($1::text[], $2::text[], $3::text[], $4::uuid[], $5::int[], $6::timestamptz[], $7::bytea[])
               n(program_id, source, order_id, member_id, revision, recorded_at, state)
           WHERE (o.program_id, o.source, o.order_id) = (n.program_id, n.source, n.order_id)""",
        *columns(order.key for order in orders),
        [order.member_id for order in orders],
        [order.revision for order in orders],
        [order.recorded_at for order in orders],
        [order.state.model_dump_json().encode() for order in orders],
    )
