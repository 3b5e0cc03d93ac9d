"""Facts in; orders, members and activities out: load → decide → save. The same for Kafka and for stored deliveries."""

from collections.abc import Callable, Sequence
from datetime import datetime
from uuid import UUID, uuid4

from contracts.activities import ActivityFacts
from contracts.base import Event
from contracts.commerce import ActivityReport, ActivityReportedV1, MemberReport, OrderReport, OrderReportedV1
from contracts.orders import OrderFacts
from contracts.program import ProgramBook
from contracts.texts import unstorable
from shared.log import log
from shared.transaction import Cause, Message, Permanent, Transaction

from . import store
from .domain.activity import content_of
from .domain.facts import DisputeReport, RefundReport, RevocationReport, Snapshot
from .domain.fingerprints import order_fingerprints
from .domain.identity import Person, claimed_since, resolve
from .domain.members import Moment, Sighting, enrol, moments_of, observe
from .domain.merge import join, of_dispute, of_refund, of_snapshot
from .store import Fact, MemberRow, Nameless, Report, World

UNDECIDED_MAX = 500


async def process(programs: ProgramBook, salt: bytes, tx: Transaction, batch: list[Message]) -> None:
    """What platforms publish straight to Kafka; this is where it is recorded."""
    facts = []
    for message in batch:
        assert isinstance(message.data, OrderReportedV1 | ActivityReportedV1)
        if unstorable(message.data.model_dump(mode="json")):
            raise Permanent("a text holds a zero character, which no database takes")
        facts.append(Fact(message.data.program_id, message.data, tx.now, Cause.of(message)))
    await apply(programs, salt, tx, facts)


async def apply(programs: ProgramBook, salt: bytes, tx: Transaction, facts: Sequence[Fact]) -> None:
    """Any facts, in one transaction."""
    world = await store.load(tx, programs, salt, facts)
    for fact in facts:
        HANDLERS[type(fact.report)](world, fact)
    await store.save(tx, world)


async def decide_undecided(programs: ProgramBook, salt: bytes, tx: Transaction) -> bool:
    """Enrol those who waited for their program. Returns whether there may be more."""
    world = await store.load_undecided(tx, programs, salt, limit=UNDECIDED_MAX)
    cause = Cause.fresh("enrolment")
    for member in world.members.values():
        assert member.state is not None
        member.become(enrol(member.state, programs, member.program_id), tx.now, cause)
    await store.save(tx, world)
    return len(world.members) == UNDECIDED_MAX


def _take_order(world: World, fact: Fact) -> None:
    report = fact.report
    assert isinstance(report, OrderReport)
    order = world.orders[fact.program_id, report.source, report.order_id]
    fields = {name: getattr(report, name) for name in OrderFacts.model_fields}
    snapshot = Snapshot(**fields, version=report.version, fingerprints=order_fingerprints(world.salt, report))
    order.become(join(order.state, of_snapshot(snapshot)), fact)
    member_id = _see(world, fact, report.placed_at, report.updated_at, moments_of(report), order.member_id)
    if order.member_id is None:
        order.member_id = member_id
    elif order.member_id != member_id and order.changed_by is fact:
        log.info("an order stays with who it was published with", member_id=str(order.member_id), named=str(member_id))


def _take_refund(world: World, fact: Fact) -> None:
    report = fact.report
    assert isinstance(report, RefundReport)
    order = world.orders[fact.program_id, report.source, report.order_id]
    order.become(join(order.state, of_refund(report.refund)), fact)


def _take_dispute(world: World, fact: Fact) -> None:
    report = fact.report
    assert isinstance(report, DisputeReport)
    order = world.orders[fact.program_id, report.source, report.order_id]
    order.become(join(order.state, of_dispute(report.dispute)), fact)


def _take_member(world: World, fact: Fact) -> None:
    report = fact.report
    assert isinstance(report, MemberReport)
    if report.customer.customer_id is None and report.customer.email is None:
        raise Permanent("the report names nobody: it needs a customer id or an e-mail address")
    kinds = (("account", report.customer.account), ("opt_in", report.enrol))
    moments = tuple(Moment.model_validate({"kind": kind, "at": report.updated_at}) for kind, said in kinds if said)
    _see(world, fact, report.updated_at, report.updated_at, moments, None, report.attributes)


def _take_activity(world: World, fact: Fact) -> None:
    report = fact.report
    assert isinstance(report, ActivityReport)
    activity = world.activities[fact.program_id, report.source, report.activity_id]
    if activity.content != content_of(report):
        raise Permanent(f"activity {report.activity_id} of source {report.source} was told before with other content")
    if report.customer.customer_id is None and report.customer.email is None:
        raise Permanent("the activity names nobody: it needs a customer id or an e-mail address")
    if activity.member_id is None:
        activity.revoke(report.revoked_at)
        activity.member_id = _see(world, fact, report.occurred_at, report.occurred_at, (), None)
    elif not activity.revoke(report.revoked_at):
        return
    activity.publish(ActivityFacts(**{name: getattr(report, name) for name in ActivityFacts.model_fields}), fact)


def _take_revocation(world: World, fact: Fact) -> None:
    report = fact.report
    assert isinstance(report, RevocationReport)
    activity = world.activities.get((fact.program_id, report.source, report.activity_id))
    if activity is None or (activity.member_id is not None and activity.facts is None):
        raise Permanent(f"source {report.source} has told no activity {report.activity_id} that is kept whole")
    if activity.revoke(report.revoked_at) and activity.facts is not None:
        activity.publish(activity.facts, fact)


def _see(
    world: World,
    fact: Fact,
    seen_at: datetime,
    told_at: datetime,
    moments: tuple[Moment, ...],
    order_member_id: UUID | None,
    attributes: dict[str, str] | None = None,
) -> UUID:
    """Take in what a fact says of a person. Returns the member.

    Who orders without a name is a shopper known by that order alone; a name that comes with a later snapshot is theirs,
    unless it is somebody's already. The order stays theirs even then, so that it enrols nobody else.
    """
    report, person = fact.report, fact.person
    assert person is not None
    assert not isinstance(report, Nameless)
    member_id, claimed = _identify(world, fact, person, told_at, order_member_id)
    member = world.members.setdefault(member_id, MemberRow(member_id, fact.program_id))
    sighting = Sighting(
        seen_at=seen_at, told_at=told_at, source=report.source, customer=report.customer, claimed=claimed,
        attributes=attributes or {}, moments=moments if order_member_id in (None, member_id) else (),
    )  # fmt: skip
    state = enrol(observe(member.state, sighting), world.programs, fact.program_id)
    member.become(state, fact.recorded_at, fact.cause)
    return member_id


def _identify(
    world: World, fact: Fact, person: Person, told_at: datetime, order_member_id: UUID | None
) -> tuple[UUID, dict[str, datetime]]:
    """Who it was; and an address that leads to them from now on, with since when."""
    known = world.members.get(order_member_id) if order_member_id else None
    if known is not None and (person.is_nobody or _is_same_guest(known, person)):
        return known.member_id, {}
    fresh = known.member_id if known is not None and _is_nameless(known) else uuid4()
    found = resolve(person, told_at, world.owners, world.sources_of, world.address_of, fresh)
    if found.clash:
        log.warning("two members share a verified address and stay two", member_id=str(found.member_id))
    email = person.email_key
    since = world.leads_since(email) if email else None
    for key in found.claims:
        world.owners[key] = world.claims[key] = found.member_id
    leads = email is not None and world.owners.get(email) == found.member_id
    if email is not None and leads and (since is None or email in found.claims):
        return found.member_id, {email.value: claimed_since(fact.recorded_at, since)}
    return found.member_id, {}


def _is_same_guest(known: MemberRow, person: Person) -> bool:
    """Whether a guest's order is told again of who it was published with, to whom that address led: also when it leads
    to somebody else by now.
    """
    return person.customer_id is None and known.state is not None and person.email in known.state.identity_emails


def _is_nameless(member: MemberRow) -> bool:
    return member.state is not None and not member.state.customers and "email" not in member.state.told


HANDLERS: dict[type[Report], Callable[[World, Fact], None]] = {
    OrderReportedV1: _take_order,
    OrderReport: _take_order,
    RefundReport: _take_refund,
    DisputeReport: _take_dispute,
    MemberReport: _take_member,
    ActivityReportedV1: _take_activity,
    ActivityReport: _take_activity,
    RevocationReport: _take_revocation,
}
CONSUMED: frozenset[type[Event]] = frozenset({OrderReportedV1, ActivityReportedV1})
"""Of these, what comes from Kafka; the others are read from deliveries."""
