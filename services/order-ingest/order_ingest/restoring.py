"""After a restore: orders, people and activities are taken over from the topics. Sent again when Kafka lost them."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from contracts.activities import ActivityFacts, ActivityRecordedV1
from contracts.base import EARLIEST
from contracts.ids import derived_id
from contracts.members import ContactChangedV1, MemberChangedV1
from contracts.orders import OrderChangedV1, OrderFacts
from contracts.program import ProgramBook
from shared.transaction import Cause, Message, Transaction

from . import store
from .domain.facts import Snapshot
from .domain.identity import IdentityKey
from .domain.members import contact_event, member_event, recalled
from .domain.merge import join, of_published, told
from .store import MemberRow, OrderRow

PersonEvent = MemberChangedV1 | ContactChangedV1


async def adopt(tx: Transaction, batch: list[Message]) -> None:
    """Take over what was published and is not known any more; revisions go on above it.

    Raw deliveries are on no topic.
    """
    orders = [message.data for message in batch if isinstance(message.data, OrderChangedV1)]
    people = [message.data for message in batch if isinstance(message.data, PersonEvent)]
    known = await store.lock_known(
        tx,
        [(event.program_id, event.source, event.order_id) for event in orders],
        [event.member_id for event in people],
        [key for event in people for key in _keys(event)],
    )
    changed_orders = {row.key: row for event in orders if (row := _adopt_order(known.orders, event)) is not None}
    changed_people, claims = _adopt_people(known, people)
    await store.save_adopted(tx, list(changed_orders.values()), changed_people, claims)
    await store.adopt_activities(tx, [item.data for item in batch if isinstance(item.data, ActivityRecordedV1)])


def _adopt_order(rows: dict[store.SourceKey, OrderRow], event: OrderChangedV1) -> OrderRow | None:
    row = rows[event.program_id, event.source, event.order_id]
    if event.revision <= row.revision:
        return None
    facts = {name: getattr(event, name) for name in OrderFacts.model_fields}
    known = row.state.rank.version if row.state.rank is not None else 0
    version = known if event.version is None else event.version
    told = of_published(Snapshot(**facts, version=version, fingerprints=event.fingerprints), event.revision)
    row.state, row.revision = join(row.state, told), event.revision
    row.member_id, row.recorded_at = event.member_id, event.recorded_at
    return row


def _adopt_people(known: store.Known, events: Sequence[PersonEvent]) -> tuple[list[MemberRow], dict[IdentityKey, UUID]]:
    changed: dict[UUID, MemberRow] = {}
    for event in events:
        row = known.members.setdefault(event.member_id, MemberRow(event.member_id, event.program_id))
        if isinstance(event, MemberChangedV1) and event.version > row.version:
            row.state = recalled(row.state, event)
            row.version, row.recorded_at, changed[row.member_id] = event.version, event.recorded_at, row
        elif isinstance(event, ContactChangedV1) and row.state is not None and event.version > row.contact_version:
            row.state = recalled(row.state, event)
            row.contact_version, changed[row.member_id] = event.version, row
    claims: dict[IdentityKey, UUID] = {}
    # Of whom nothing but a contact is known there is no row that an address could lead to.
    for event in (event for event in events if known.members[event.member_id].state is not None):
        for key in _keys(event):
            holder = claims.get(key, known.owners.get(key))
            if holder is None or _since(known, key, event.member_id) > _since(known, key, holder):
                claims[key] = event.member_id
    return [changed[member_id] for member_id in sorted(changed)], claims


def _keys(event: PersonEvent) -> list[IdentityKey]:
    if isinstance(event, ContactChangedV1):
        return [IdentityKey(event.program_id, "email", "", item.email) for item in event.identity_emails]
    return [IdentityKey(event.program_id, "customer", ref.source, ref.customer_id) for ref in event.customers]


def _since(known: store.Known, key: IdentityKey, member_id: UUID) -> datetime:
    """Since when an address leads to a member. A customer id goes on leading to whom it led first."""
    row = known.members.get(member_id)
    return row.state.identity_emails.get(key.value, EARLIEST) if row and row.state and key.kind == "email" else EARLIEST


async def republish_people(salt: bytes, tx: Transaction, after: str | None, limit: int) -> tuple[str | None, int]:
    """Send again some members with their contacts. Returns the last one's id, None at the end, and how many."""
    rows = await store.read_members(tx, UUID(after) if after else None, limit)
    cause = Cause.fresh("republish")
    for row in rows:
        assert row.state is not None
        assert row.recorded_at is not None
        at, known = row.recorded_at, {"program_id": row.program_id, "member_id": row.member_id}
        member = member_event(row.state, version=row.version, recorded_at=at, salt=salt, **known)  # type: ignore[arg-type]
        tx.publish(member, id=derived_id(at, "member", row.member_id, row.version), time=at, cause=cause)
        if row.contact_version:
            contact = contact_event(row.state, version=row.contact_version, recorded_at=at, **known)  # type: ignore[arg-type]
            event_id = derived_id(at, "contact", row.member_id, row.contact_version)
            tx.publish(contact, id=event_id, time=at, cause=cause)
    return (str(rows[-1].member_id) if rows else None), len(rows)


async def republish_orders(
    programs: ProgramBook, tx: Transaction, after: str | None, limit: int
) -> tuple[str | None, int]:
    """Send again some orders at their revision."""
    rows = await store.read_orders(tx, _source_key(after), limit)
    for row in rows:
        facts = told(row.state, programs, row.key[0])
        assert facts is not None
        assert row.recorded_at is not None
        event = store.order_event(row.key[0], row.member_id, row.revision, row.recorded_at, facts)
        event_id = derived_id(row.recorded_at, "order", *row.key, row.revision)
        tx.publish(event, id=event_id, time=facts.updated_at, cause=Cause.fresh("republish"))
    return ("\x1f".join(rows[-1].key) if rows else None), len(rows)


async def republish_activities(tx: Transaction, after: str | None, limit: int) -> tuple[str | None, int]:
    """Send again some activities as they are. When each was recorded is not kept: to who missed it, it is new."""
    rows = await store.read_activities(tx, _source_key(after), limit)
    key = _source_key(after)
    for row in rows:
        key = (row["program_id"], row["source"], row["activity_id"])
        facts = ActivityFacts.model_validate_json(row["facts"])
        event = ActivityRecordedV1(
            **dict(facts) | {"revoked_at": row["revoked_at"]},
            program_id=row["program_id"],
            member_id=row["member_id"],
            revision=2 if row["revoked_at"] else 1,
            recorded_at=tx.now,
        )
        event_id = derived_id(tx.now, "activity", *key, event.revision)
        time = event.revoked_at or event.occurred_at
        tx.publish(event, id=event_id, time=time, cause=Cause.fresh("republish"))
    return ("\x1f".join(key) if rows else None), len(rows)


def _source_key(after: str | None) -> store.SourceKey:
    # A program and a source are slugs; the source's own id may hold anything.
    program_id, source, own_id = after.split("\x1f", 2) if after else ("", "", "")
    return program_id, source, own_id
