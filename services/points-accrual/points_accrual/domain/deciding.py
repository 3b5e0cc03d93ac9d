"""What each fact changes: one decision for each that is news, and for each claim that has to be judged again.

Every function here is a decision that can be replayed: it depends on the ledger, on its input, and on what it pins.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from contracts.activities import ActivityRecordedV1
from contracts.members import MemberChangedV1
from contracts.orders import OrderChangedV1
from contracts.points import Cause
from contracts.referrals import ReferralConfirmedV1, ReferralReversedV1
from contracts.segments import SegmentsChangedV1
from contracts.tiers import StandingChangedV1

from .account import Account, begin
from .again import judge_again, judge_enrolment
from .claims import Claim, Member, concerns_claims, order_key
from .concluding import conclude, finish
from .dates import replan_dates
from .lots import ClaimKey
from .merging import take_over
from .standing import EVER, changed_memberships, changed_span, hull
from .world import Trace, Trigger, World, believed


class WrongProgramError(ValueError):
    """An event about a program that nobody published, or about a member of another."""


def party(world: World, program_id: str, member_id: UUID) -> tuple[Account, Member]:
    """The account and the member that an event is about. Raises `WrongProgramError`."""
    if not world.programs.known(program_id):
        raise WrongProgramError(f"program {program_id} was never published")
    account = world.accounts[world.owner(member_id)]
    if account.program_id != program_id:
        raise WrongProgramError(f"member {member_id} belongs to program {account.program_id}, not to {program_id}")
    return account, world.members[account.member_id]


def _recorded(world: World, account: Account, recorded_at: datetime) -> datetime:
    """When it was recorded, as far as that is believed; on a replay as it was believed then."""
    if account.recorded is not None and "recorded_at" in account.recorded:
        return datetime.fromisoformat(account.recorded["recorded_at"])
    return believed(recorded_at, world.now)


def _is_pinned_anew(world: World, account: Account, at: datetime) -> bool:
    """Whether a version covers the time to which something was moved; on a replay whether one did then."""
    if account.recorded is not None:
        return "program_version" in account.recorded
    return world.in_force(account.program_id, at) is not None


def take_order(world: World, event: OrderChangedV1, event_id: str, trace: Trace) -> None:
    """Judge an order by its newest revision."""
    _take_claim(
        world, event, event_id, trace, order_key(event.source, event.order_id), event.placed_at, event.revision,
        event.updated_at,
    )  # fmt: skip


def take_activity(world: World, event: ActivityRecordedV1, event_id: str, trace: Trace) -> None:
    """Judge an activity by its newest revision."""
    key = ClaimKey("activity", f"{event.source}:{event.activity_id}")
    happened_at = event.revoked_at or event.occurred_at
    _take_claim(world, event, event_id, trace, key, event.occurred_at, event.revision, happened_at)


def _take_claim(
    world: World, event: OrderChangedV1 | ActivityRecordedV1, event_id: str, trace: Trace, key: ClaimKey,
    at: datetime, revision: int, occurred_at: datetime,
) -> None:  # fmt: skip
    if (event.program_id, key) in world.stale:
        return
    account, _ = party(world, event.program_id, event.member_id)
    recorded_at = _recorded(world, account, event.recorded_at)
    claim = world.claims.get((event.program_id, key))
    newer = claim is None or revision > claim.version
    moved_from: int | None = None
    if claim is None:
        claim = Claim(key=key, member_id=event.member_id, at=at, version=revision, first_recorded_at=recorded_at)
        claim.parsed = event
        world.keep(event.program_id, claim)
    elif claim.member_id != event.member_id:
        raise WrongProgramError(f"{key} belongs to member {claim.member_id}, not to {event.member_id}")
    elif newer:
        if claim.at != at and _is_pinned_anew(world, account, at):
            moved_from, claim.program_version = claim.program_version, None
        claim.parsed, claim.version, claim.at = event, revision, at
    elif recorded_at >= claim.first_recorded_at:
        return
    claim.first_recorded_at = min(claim.first_recorded_at, recorded_at)
    ref: dict[str, Any] = {"order": claim.order_ref()} if key.kind == "order" else {"activity": claim.activity_ref()}
    cause = Cause.model_construct(kind="order" if key.kind == "order" else "activity", id=event_id, **ref)
    decision = begin(
        account, key.kind, f"{key}:{revision}", cause,
        occurred_at=occurred_at, recorded_at=recorded_at, input=world.reading or event.model_dump_json(),
    )  # fmt: skip
    decision.pin("recorded_at", recorded_at.isoformat)
    if newer:
        claim.document_of, claim.document_sequence = account.member_id, decision.sequence
    conclude(world, account, decision, claim, trace, moved_from)


def take_referral(world: World, event: ReferralConfirmedV1 | ReferralReversedV1, event_id: str, trace: Trace) -> None:
    """Grant or take back what one party gets for a referral."""
    account, _ = party(world, event.program_id, event.member_id)
    key = ClaimKey("referral", f"{event.referral_id}:{event.role}")
    recorded_at = _recorded(world, account, event.recorded_at)
    claim = world.claims.get((event.program_id, key))
    if claim is None:
        claim = Claim(
            key=key, member_id=event.member_id, at=event.placed_at, version=0, first_recorded_at=recorded_at
        )  # fmt: skip
        world.keep(event.program_id, claim)
    if event.version <= claim.version:
        return
    claim.version = event.version
    claim.detail["confirmed"] = isinstance(event, ReferralConfirmedV1)
    reason = event.reason if isinstance(event, ReferralReversedV1) else None
    cause = Cause(kind="referral", id=event_id, referral_id=event.referral_id, role=event.role, reason=reason)
    decision = begin(
        account, "referral", f"{key}:{event.version}", cause,
        occurred_at=event.occurred_at, recorded_at=recorded_at, input=world.reading or event.model_dump_json(),
    )  # fmt: skip
    decision.pin("recorded_at", recorded_at.isoformat)
    conclude(world, account, decision, claim, trace)


def take_member(world: World, event: MemberChangedV1, event_id: str, trace: Trace) -> None:
    """Keep who is a member; what waited for the enrolment is judged again. Who was merged hands everything over."""
    account, _ = party(world, event.program_id, event.member_id)
    member = world.members[event.member_id]
    if event.version <= member.version:
        return
    again = concerns_claims(member, event)
    merged = event.merged_into is not None and member.merged_into is None and event.merged_into != event.member_id
    if account.member_id != event.member_id:  # Merged before: nothing of its own is left to be judged.
        member.version, member.changed = event.version, True
        return
    recorded_at = _recorded(world, account, event.recorded_at)
    occurred_at = event.enrolled_at or event.seen_at
    decision = begin(
        account, "member", f"enrolment:{event.version}", Cause(kind="enrolment", id=event_id),
        occurred_at=occurred_at, recorded_at=recorded_at, input=world.reading or event.model_dump_json(),
    )  # fmt: skip
    decision.pin("recorded_at", recorded_at.isoformat)
    member.status, member.enrolled_at, member.version = event.status, event.enrolled_at, event.version
    member.attributes = dict(event.attributes)
    member.birthday = member.birthday or event.birthday
    member.changed = True
    replan_dates(world, account, member, decision.effective_at)
    finish(world, account, decision, trace)
    trigger = Trigger("enrolment", event.version, event_id, occurred_at, recorded_at, trace)
    if merged:
        assert event.merged_into is not None
        take_over(world, account, event.merged_into, trigger)
    elif again and not world.replaying:
        judge_enrolment(world, account, member, trigger)
        judge_again(world, account, trigger, *EVER)


def take_standing(world: World, event: StandingChangedV1, event_id: str, trace: Trace) -> None:
    """Keep the tiers and memberships of a member; what happened inside the intervals that changed is judged again."""
    account, _ = party(world, event.program_id, event.member_id)
    member = world.members[event.member_id]
    if event.version <= member.standing_version:
        return
    span = hull(
        changed_span(member.intervals, event.intervals), changed_memberships(member.memberships, event.memberships)
    )  # fmt: skip
    member.intervals, member.memberships = event.intervals, event.memberships
    member.standing_version, member.changed = event.version, True
    if account.member_id != event.member_id:
        return
    recorded_at = _recorded(world, account, event.recorded_at)
    decision = begin(
        account, "standing", f"standing:{event.version}", Cause(kind="standing", id=event_id),
        occurred_at=event.occurred_at, recorded_at=recorded_at, input=world.reading or event.model_dump_json(),
    )  # fmt: skip
    decision.pin("recorded_at", recorded_at.isoformat)
    finish(world, account, decision, trace)
    if span and not world.replaying:
        trigger = Trigger("standing", event.version, event_id, event.occurred_at, recorded_at, trace)
        judge_again(world, account, trigger, *span)


def take_segments(world: World, event: SegmentsChangedV1, event_id: str, trace: Trace) -> None:
    """Keep the segments of a member. What was judged stays: segments are those known at the first judgement."""
    account, _ = party(world, event.program_id, event.member_id)
    member = world.members[event.member_id]
    if event.version <= member.segments_version:
        return
    member.segments, member.segments_version = frozenset(event.segments), event.version
    member.changed = True
    if account.member_id != event.member_id:
        return
    recorded_at = _recorded(world, account, event.recorded_at)
    decision = begin(
        account, "segments", f"segments:{event.version}", Cause(kind="enrolment", id=event_id),
        occurred_at=recorded_at, recorded_at=recorded_at, input=world.reading or event.model_dump_json(),
    )  # fmt: skip
    decision.pin("recorded_at", recorded_at.isoformat)
    finish(world, account, decision, trace)
