"""Two members who turn out to be one: the account of one hands everything over to that of the other.

Claims keep the member they were first given to; what they earn from now on is booked on the account that took them
over. Lots move as they are, so that a later refund still finds its own points. Challenges are counted anew over all.
"""

from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter

from contracts.points import Cause, PointsTransferredV1

from .account import Account, Decision, begin, credit_active, debit_active, post
from .again import judge_again
from .announcing import told
from .claims import Claim
from .commands import TakeOver
from .concluding import finish
from .coupons import Coupon
from .lots import Lot
from .reaching import count_challenge, reassess
from .standing import EVER
from .terms import renew
from .world import Counted, Trace, Trigger, UseKey, World

_LOTS, _CLAIMS, _COUPONS = TypeAdapter(list[Lot]), TypeAdapter(list[Claim]), TypeAdapter(list[Coupon])


def take_over(world: World, loser: Account, survivor_id: UUID, trigger: Trigger) -> None:
    """Merge an account into another, which takes over whatever it has."""
    survivor = world.accounts[world.owner(survivor_id)]
    if survivor.member_id == loser.member_id or survivor.program_id != loser.program_id:
        return
    cause = Cause(kind="merge", id=trigger.event_id)
    taken = _describe(world, loser)
    out = begin(
        loser, "hand_over", f"merge:{survivor.member_id}", cause, occurred_at=trigger.occurred_at,
        recorded_at=trigger.recorded_at, input=TakeOver(from_member_id=survivor.member_id).model_dump_json(),
    )  # fmt: skip
    leave(world, loser, survivor.member_id, out)
    _tell(world, loser, out, "out", survivor.member_id, trigger.trace)
    if world.replaying:
        return
    decision = begin(
        survivor, "take_over", f"merge:{loser.member_id}", cause, occurred_at=trigger.occurred_at,
        recorded_at=max(trigger.recorded_at, out.effective_at),
        input=TakeOver(from_member_id=loser.member_id).model_dump_json(),
    )  # fmt: skip
    decision.pin("taken", lambda: taken)
    receive(world, survivor, loser.member_id, decision, trigger.trace)
    # Known by the merge: the survivor may have an enrolment of its own with that version.
    again = replace(trigger, kind="merge", version=decision.sequence)
    judge_again(world, survivor, again, *EVER)


def leave(world: World, account: Account, survivor_id: UUID, decision: Decision) -> None:
    """All points of an account leave it; nothing is left, and nothing is owed."""
    at, version = decision.effective_at, _version(account)
    for lot in sorted(account.lots.values(), key=Lot.consumed_before):
        if lot.remaining and lot.state == "pending":
            post(account, "pending", "transferred", lot.remaining, at=at, program_version=version, lot=lot)
        elif lot.remaining:
            uses = ((lot.lot_id, lot.remaining),)
            post(account, "active", "transferred", lot.remaining, at=at, program_version=version, lot=lot, uses=uses)
    if account.held:
        post(account, "held", "transferred", account.held, at=at, program_version=version)
    if account.deficit:
        post(account, "transferred", "deficit", account.deficit, at=at, program_version=version)
    account.lots, account.touched, account.household_id = {}, set(), None
    member = world.members[account.member_id]
    member.merged_into, member.next_date_at, member.changed = survivor_id, None, True
    world.merge(account.member_id, survivor_id)
    world.continuations[account.member_id] = None
    world.moved.add(account.member_id)


def _version(account: Account) -> int:
    return max((lot.program_version for lot in account.lots.values()), default=1)


def _describe(world: World, account: Account) -> dict[str, Any]:
    """Everything of an account, as it is pinned with the decision that takes it over."""
    claims = sorted(world.claims_of.get(account.member_id, {}).values(), key=lambda claim: claim.key)
    coupons = [coupon for coupon in world.coupons.values() if coupon.member_id == account.member_id]
    uses = [(key.name, key.window, count) for key, count in world.uses.items() if key.member_id == account.member_id]
    for claim in claims:
        claim.parsed = None if claim.document else claim.parsed
    return {
        "lots": _LOTS.dump_python(sorted(account.lots.values(), key=Lot.consumed_before), mode="json"),
        "claims": _CLAIMS.dump_python(claims, mode="json", exclude={"__all__": {"parsed", "document"}}),
        "coupons": _COUPONS.dump_python(coupons, mode="json"),
        "uses": sorted(uses),
        "held": account.held,
        "deficit": account.deficit,
        "active_at": account.active_at.isoformat() if account.active_at else None,
        "frozen": account.frozen,
        "household_id": str(account.household_id) if account.household_id else None,
    }


def _take_state(account: Account, taken: dict[str, Any]) -> None:
    """What is true of one of them is true of both; who has no household takes the place that becomes free."""
    if taken["active_at"] is not None:
        active_at = datetime.fromisoformat(taken["active_at"])
        account.active_at = max(active_at, account.active_at or active_at)
    account.frozen |= taken.get("frozen", False)
    if account.household_id is None and taken.get("household_id"):
        account.household_id = UUID(taken["household_id"])


def receive(world: World, account: Account, loser_id: UUID, decision: Decision, trace: Trace) -> None:
    """Take over everything of another account, count challenges over all, and tell it."""
    for name in _challenges(world, account):
        count_challenge(world, account.member_id, name)  # as it was before
    _receive_all(world, account, loser_id, decision)
    events = reassess(world, account, decision, None, _challenges(world, account))
    _tell(world, account, decision, "in", loser_id, trace)
    for event in events:
        world.tell(event, trace)


def _receive_all(world: World, account: Account, loser_id: UUID, decision: Decision) -> None:
    """Everything of another account, as it was pinned."""
    taken, at = decision.pinned["taken"], decision.effective_at
    world.merge(loser_id, account.member_id)
    _take_state(account, taken)
    version = 1
    for lot in _LOTS.validate_python(taken["lots"]):
        account.lots[lot.lot_id] = lot
        account.touched.add(lot.lot_id)
        version = max(version, lot.program_version)
        points, lot.remaining = lot.remaining, 0
        if points and lot.state == "pending":
            post(account, "transferred", "pending", points, at=at, program_version=lot.program_version, lot=lot)
            lot.remaining = points
        elif points:
            credit_active(account, lot, points, debit="transferred", at=at)
    if taken["held"]:
        post(account, "transferred", "held", taken["held"], at=at, program_version=version)
    _owe(account, taken["deficit"], decision, version)
    _take_claims(world, account, loser_id, taken)
    if account.active_at is not None:
        renew(world, account, "merge", account.active_at, at)
    account.changed = True


def _owe(account: Account, points: int, decision: Decision, version: int) -> None:
    """What the other owed is paid at once, as far as there are points."""
    at, there = decision.effective_at, min(points, account.active)
    if there:
        debit_active(account, there, credit="transferred", at=at, program_version=version)
    if points > there:
        post(account, "deficit", "transferred", points - there, at=at, program_version=version)


def _take_claims(world: World, account: Account, loser_id: UUID, taken: dict[str, Any]) -> None:
    known = world.claims_of.pop(loser_id, {})
    for claim in _CLAIMS.validate_python(taken["claims"]):
        world.keep(account.program_id, known.get(claim.key, claim))
        if claim.counts and claim.program_version is not None:
            all_of = world.counted.setdefault(account.member_id, {})
            all_of[claim.key] = Counted(claim.at, claim.program_version, claim.counts)
    for coupon in _COUPONS.validate_python(taken["coupons"]):
        kept = world.coupons.setdefault(coupon.coupon_id, coupon)
        kept.member_id = account.member_id
        world.touched_coupons.add(coupon.coupon_id)
    for name, window, count in taken["uses"]:
        key = UseKey(account.program_id, account.member_id, name, window)
        world.uses[key] = world.uses.get(key, 0) + count
        world.touched_uses.add(key)


def _challenges(world: World, account: Account) -> set[str]:
    return {name for item in world.counted.get(account.member_id, {}).values() for name in item.counts}


def _tell(world: World, account: Account, decision: Decision, direction: str, other: UUID, trace: Trace) -> None:
    finish(world, account, decision, trace)
    if not decision.postings:
        return
    event = told(
        world, account, decision, PointsTransferredV1,
        lambda posting: "transferred" in (posting.debit, posting.credit), _version(account),
        direction=direction, other_member_id=other, why="merge",
    )  # fmt: skip
    world.tell(event, trace)
