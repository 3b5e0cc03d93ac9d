"""One batch: load what its members need, decide for each event in turn, save the changes and what they publish."""

from collections.abc import Callable, Iterable
from datetime import datetime
from uuid import UUID

from contracts.base import Event
from contracts.members import MemberChangedV1
from contracts.orders import OrderChangedV1
from contracts.points import Cause
from contracts.program import Program, ProgramBook
from contracts.referrals import ReferralCodeAssignedV1, ReferralConfirmedV1, ReferralRejectedV1, ReferralReversedV1
from contracts.tiers import StandingChangedV1
from shared.telemetry import CLOCK_SKEW_SECONDS
from shared.transaction import Message, Permanent, Transaction

from . import store
from .domain.account import Account, Decision, OrderKey, ReferralKey, begin
from .domain.announcing import announce_claim, announce_time
from .domain.claims import Order, Referral, concerns_orders, inputs
from .domain.judging import Verdict, judge_order, judge_referral, settle
from .domain.standing import EVER, changed_span, hull
from .domain.world import SKEW_MAX, Continuation, Trace, Trigger, World, believed

Claimed = Order | Referral


async def process(programs: ProgramBook, tx: Transaction, batch: list[Message]) -> None:
    """Apply a batch in one transaction."""
    _watch_clocks(batch, tx.now)
    world = await store.load(tx, programs, batch)
    for message in batch:
        HANDLERS[type(message.data)](world, message)
    await store.save(tx, world)


def _watch_clocks(batch: list[Message], now: datetime) -> None:
    """Times recorded further ahead than is believed mean that a clock at the edge is wrong."""
    ahead = max(
        (message.data.recorded_at for message in batch if isinstance(message.data, OrderChangedV1)), default=now
    )
    if ahead > now + SKEW_MAX:
        CLOCK_SKEW_SECONDS.set((ahead - now).total_seconds())


async def sweep(programs: ProgramBook, tx: Transaction, partition: int, horizon: datetime) -> int:
    """What time alone changes, and orders that wait to be judged. Returns how many members it touched."""
    for load, decide in (
        (store.load_due, pass_time),
        (store.load_continued, continue_judging),
        (store.load_unjudged, judge_waiting),
    ):
        world = await load(tx, programs, partition, horizon)
        if world.accounts:
            for member_id in sorted(world.accounts):
                decide(world, world.accounts[member_id], horizon)
            await store.save(tx, world)
            return len(world.accounts)
    return 0


def order_changed(world: World, message: Message) -> None:
    """Judge an order by its newest revision."""
    event = message.data
    assert isinstance(event, OrderChangedV1)
    account = _account(world, event.program_id, event.member_id)
    key = OrderKey(event.source, event.order_id)
    if (event.program_id, key) in world.stale:
        return
    recorded_at = believed(event.recorded_at, world.now)
    order = world.orders.get((event.program_id, key))
    newer = order is None or event.revision > order.revision
    if order is None:
        order = Order(
            member_id=event.member_id, origin=key, revision=event.revision, placed_at=event.placed_at,
            first_recorded_at=recorded_at, parsed=event,
        )  # fmt: skip
        world.keep(event.program_id, order)
    elif order.member_id != event.member_id:
        raise Permanent(f"order {key} belongs to member {order.member_id}, not to {event.member_id}")
    elif newer:
        if order.placed_at != event.placed_at and world.programs.in_force(event.program_id, event.placed_at):
            order.program_version = None
        order.parsed, order.revision, order.placed_at = event, event.revision, event.placed_at
    elif recorded_at >= order.first_recorded_at:
        return
    order.first_recorded_at = min(order.first_recorded_at, recorded_at)
    cause = Cause(kind="order", id=str(message.envelope.id), order=order.ref())
    decision = begin(
        account, f"order:{key}:{event.revision}", cause,
        occurred_at=event.updated_at, recorded_at=recorded_at, input=event.model_dump_json(), pinned={},
    )  # fmt: skip
    if newer:
        order.document_sequence = decision.sequence
    program = _pin(world, account, order)
    verdict = judge_order(world.members[account.member_id], order, program)
    _conclude(world, account, decision, order, program, verdict, Trace.of(message.envelope))


def member_changed(world: World, message: Message) -> None:
    """Keep who is a member; what waited for the enrolment is judged again."""
    event = message.data
    assert isinstance(event, MemberChangedV1)
    account = _account(world, event.program_id, event.member_id)
    member = world.members[event.member_id]
    if event.version <= member.version:
        return
    again = concerns_orders(member, event)
    member.status, member.enrolled_at = event.status, event.enrolled_at
    member.version, member.changed = event.version, True
    recorded_at = believed(event.recorded_at, world.now)
    occurred_at = event.enrolled_at or event.seen_at
    cause = Cause(kind="enrolment", id=str(message.envelope.id))
    begin(
        account, f"enrolment:{event.version}", cause,
        occurred_at=occurred_at, recorded_at=recorded_at, input=event.model_dump_json(), pinned={},
    )  # fmt: skip
    _announce_time(world, account, Trace.of(message.envelope))
    if again:
        trigger = Trigger("enrolment", event.version, str(message.envelope.id), occurred_at, recorded_at,
                          Trace.of(message.envelope))  # fmt: skip
        _judge_again(world, account, trigger, *EVER)


def standing_changed(world: World, message: Message) -> None:
    """Keep the tiers of a member; orders inside the intervals that changed are judged again."""
    event = message.data
    assert isinstance(event, StandingChangedV1)
    account = _account(world, event.program_id, event.member_id)
    member = world.members[event.member_id]
    if event.version <= member.standing_version:
        return
    span = changed_span(member.intervals, event.intervals)
    member.intervals, member.standing_version, member.changed = event.intervals, event.version, True
    recorded_at = believed(event.recorded_at, world.now)
    cause = Cause(kind="standing", id=str(message.envelope.id))
    begin(
        account, f"standing:{event.version}", cause,
        occurred_at=event.occurred_at, recorded_at=recorded_at, input=event.model_dump_json(), pinned={},
    )  # fmt: skip
    _announce_time(world, account, Trace.of(message.envelope))
    if span:
        trigger = Trigger("standing", event.version, str(message.envelope.id), event.occurred_at, recorded_at,
                          Trace.of(message.envelope))  # fmt: skip
        _judge_again(world, account, trigger, *span)


def referral_changed(world: World, message: Message) -> None:
    """Grant or take back what one party gets for a referral."""
    event = message.data
    assert isinstance(event, ReferralConfirmedV1 | ReferralReversedV1)
    account = _account(world, event.program_id, event.member_id)
    key = ReferralKey(event.referral_id, event.role)
    confirmed = isinstance(event, ReferralConfirmedV1)
    known = world.referrals.setdefault(event.member_id, {})
    referral = known.get(key)
    if referral is None:
        referral = known[key] = Referral(
            member_id=event.member_id, origin=key, version=event.version, confirmed=confirmed, placed_at=event.placed_at
        )
    elif event.version <= referral.version:
        return
    referral.version, referral.confirmed = event.version, confirmed
    reason = event.reason if isinstance(event, ReferralReversedV1) else None
    cause = Cause(kind="referral", id=str(message.envelope.id), referral_id=event.referral_id, role=event.role,
                  reason=reason)  # fmt: skip
    decision = begin(
        account, f"referral:{key}:{event.version}", cause,
        occurred_at=event.occurred_at, recorded_at=believed(event.recorded_at, world.now),
        input=event.model_dump_json(), pinned={},
    )  # fmt: skip
    program = _pin(world, account, referral)
    verdict = judge_referral(world.members[account.member_id], referral, program)
    _conclude(world, account, decision, referral, program, verdict, Trace.of(message.envelope))


def pass_time(world: World, account: Account, horizon: datetime) -> None:
    """Activate and expire what is due by the horizon; the account's clock stands at the last due moment then."""
    due = [lot.due_at for lot in account.lots.values() if lot.remaining and lot.due_at and lot.due_at <= horizon]
    account.nothing_due = not due
    if due:
        last = max(due)
        cause = Cause(kind="sweep", id=last.isoformat())
        key = f"sweep:{account.sequence + 1}"
        begin(account, key, cause, occurred_at=last, recorded_at=last, input="{}", pinned={})
        _announce_time(world, account, Trace.fresh(cause.id))


def continue_judging(world: World, account: Account, horizon: datetime) -> None:  # noqa: ARG001 - all phases alike
    """Judge the next orders that one transaction could not."""
    continuation = world.continuations[account.member_id]
    assert continuation is not None
    _judge_again(world, account, continuation.trigger, continuation.after.placed_at, continuation.until)


def judge_waiting(world: World, account: Account, horizon: datetime) -> None:
    """Judge what had no program in force and now has one."""
    claims: list[Claimed] = [*world.orders_of.get(account.member_id, {}).values()]
    claims += world.referrals.get(account.member_id, {}).values()
    for claim in claims:
        program = world.programs.in_force(account.program_id, claim.placed_at)
        if claim.program_version is not None or program is None:
            continue
        event_id = f"{account.program_id}:{program.version}"
        trace = Trace.fresh(event_id)
        trigger = Trigger("program", program.version, event_id, program.effective_from, horizon, trace)
        _judge_claims(world, account, trigger, [claim])


def _judge_again(world: World, account: Account, trigger: Trigger, start: datetime, end: datetime | None) -> None:
    """Judge the member's orders in a time again, as many as were loaded; the sweeper continues with the rest."""
    member_id = account.member_id
    waiting = world.continuations.get(member_id)
    span = hull((start, end), (waiting.after.placed_at, waiting.until) if waiting else None)
    claims: list[Claimed] = [*world.placed_in(member_id, span or (start, end))]
    if trigger.kind == "enrolment":
        claims += sorted(world.referrals.get(member_id, {}).values(), key=lambda referral: referral.origin)
    _judge_claims(world, account, trigger, claims)
    unread = world.unread.get(member_id)
    if unread or waiting:
        world.continuations[member_id] = Continuation(trigger, *unread) if unread else None
        world.moved.add(member_id)


def _judge_claims(world: World, account: Account, trigger: Trigger, claims: Iterable[Claimed]) -> None:
    """Each claim that is due something else now has a decision of its own."""
    member = world.members[account.member_id]
    for claim in claims:
        program = _pin(world, account, claim)
        if isinstance(claim, Order):
            verdict = judge_order(member, claim, program)
            cause = Cause(kind=trigger.kind, id=trigger.event_id, order=claim.ref())
        else:
            verdict = judge_referral(member, claim, program)
            referral_id, role = claim.origin
            cause = Cause(kind=trigger.kind, id=trigger.event_id, referral_id=referral_id, role=role)
        if verdict.settles(claim):
            continue
        decision = begin(
            account, trigger.key(claim.origin), cause,
            occurred_at=trigger.occurred_at, recorded_at=trigger.recorded_at, input="{}", pinned={},
        )  # fmt: skip
        _conclude(world, account, decision, claim, program, verdict, trigger.trace)


def _conclude(
    world: World, account: Account, decision: Decision, claim: Claimed, program: Program | None, verdict: Verdict,
    trace: Trace,
) -> None:  # fmt: skip
    """Post what a verdict changes, and tell it."""
    old_base = claim.base if isinstance(claim, Order) else ()
    _announce_time(world, account, trace)
    settle(account, claim, program, verdict, decision.effective_at)
    decision.pinned |= inputs(world.members[account.member_id], claim)
    came_back = isinstance(claim, Order) and bool(claim.facts.refunds)
    reason = verdict.reason or ("refunded" if came_back else None)
    if reason and not decision.cause.reason:
        decision.cause = decision.cause.model_copy(update={"reason": reason})
    for announcement in announce_claim(account, decision, claim, old_base, world.programs.hash_of):
        world.outbox.append((announcement, trace))


def _pin(world: World, account: Account, claim: Claimed) -> Program | None:
    """The version that judges a claim: the one in force when it was placed, when it was first judged."""
    if claim.program_version is None:
        program = world.programs.in_force(account.program_id, claim.placed_at)
        if program is None:
            return None
        claim.program_version = program.version
        claim.program_hash = world.programs.hash_of(account.program_id, program.version)
    return world.programs.version(account.program_id, claim.program_version)


def _account(world: World, program_id: str, member_id: UUID) -> Account:
    """The member's account. Raises `Permanent` for a program that nobody published, or a member of another."""
    if not world.programs.known(program_id):
        raise Permanent(f"program {program_id} was never published")
    account = world.accounts[member_id]
    if account.program_id != program_id:
        raise Permanent(f"member {member_id} belongs to program {account.program_id}, not to {program_id}")
    return account


def _announce_time(world: World, account: Account, trace: Trace) -> None:
    """Tell what became active or ran out when the open decision advanced the account."""
    for announcement in announce_time(account, account.decisions[-1], world.programs.hash_of):
        world.outbox.append((announcement, trace))


HANDLERS: dict[type[Event], Callable[[World, Message], None]] = {
    MemberChangedV1: member_changed,
    StandingChangedV1: standing_changed,
    ReferralConfirmedV1: referral_changed,
    ReferralReversedV1: referral_changed,
    OrderChangedV1: order_changed,
}
IGNORED: frozenset[type[Event]] = frozenset({ReferralCodeAssignedV1, ReferralRejectedV1})
