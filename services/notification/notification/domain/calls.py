"""Which events call for a message, and what it will need to say. One function per event type."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from contracts.challenges import ChallengeCompletedV1
from contracts.members import MemberChangedV1
from contracts.points import PointsExpiringV1, PointsGrantedV1
from contracts.rewards import RewardEvent, RewardExpiredV1, RewardIssuedV1, RewardReturnedV1, RewardUsedV1
from contracts.tiers import StandingChangedV1

Channel = Literal["email", "webhook"]
BOUGHT = ("order", "standing", "enrolment", "program")
"""Causes of a grant that a member reads as earned by shopping."""
GIVEN = ("activity", "date")
"""Causes that have nothing to do with an order: a review, a birthday."""


@dataclass(frozen=True, slots=True)
class Call:
    """A message that is called for. `parameters` are JSON values; names, languages and formats come when it is sent."""

    template: str
    parameters: dict[str, object]
    recorded_at: datetime
    channel: Channel = "email"
    coupon_id: UUID | None = None
    """Of which coupon it tells a step to the shop."""


def _iso(at: datetime | None) -> str | None:
    return at.isoformat() if at else None


def welcome(event: MemberChangedV1, *, known: bool) -> Call:
    """For whoever became a member. `known`: an earlier version of the member was seen.

    A new database on the old, compacted topic meets old members in the middle of their life: those date from their
    enrolment, or they would be welcomed again.
    """
    met_late = not known and event.version > 1
    return Call("welcome", {}, event.enrolled_at if met_late and event.enrolled_at else event.recorded_at)


def granted(event: PointsGrantedV1) -> Call | None:
    """Points earned, or brought by a referral. A grant of nothing (only the base rose) is not worth a message."""
    if event.points == 0:
        return None
    parameters: dict[str, object] = {
        "points": event.points,
        "active": event.balances.active,
        "pending": event.balances.pending,
        "activates_at": _iso(event.activates_at),
    }
    if event.cause.kind == "referral":
        return Call("referral_rewarded", parameters | {"role": event.cause.role or "advocate"}, event.effective_at)
    if event.cause.kind in BOUGHT + GIVEN:
        return Call("points_earned", parameters | {"bought": event.cause.kind in BOUGHT}, event.effective_at)
    return None


def upgraded(event: StandingChangedV1) -> Call | None:
    """A higher tier; falling to a lower one is not announced."""
    if event.change != "upgraded":
        return None
    return Call("tier_reached", {"tier_id": event.to_tier_id}, event.recorded_at)


def expiring(event: PointsExpiringV1) -> Call:
    """Points that run out soon."""
    parameters: dict[str, object] = {
        "points": event.points, "active": event.balances.active, "expires_at": _iso(event.expires_at),
    }  # fmt: skip
    return Call("points_expiring", parameters, event.effective_at)


def completed(event: ChallengeCompletedV1) -> Call | None:
    """A challenge that brought points. Where it brought a reward, the mail of the reward tells it."""
    if not event.points:
        return None
    return Call(
        "challenge_completed",
        {"challenge_id": event.challenge_id, "points": event.points},
        event.effective_at or event.occurred_at,
    )


def coupon(event: RewardIssuedV1) -> Call:
    """The reward for the member, with its code where it has one."""
    parameters: dict[str, object] = {
        "reward_id": event.reward_id,
        "kind": event.kind,
        "code": event.code,
        "value_minor": event.value_minor,
        "currency": event.currency,
        "minimum_order_minor": event.minimum_order_minor,
        "points": event.points,
        "expires_at": _iso(event.expires_at),
    }
    return Call("coupon", parameters, event.issued_at)


def reward_changed(event: RewardEvent) -> Call:
    """What the shop must know of a coupon, to make its discount or to take it back: the whole event."""
    match event:
        case RewardIssuedV1():
            name, at = "reward.issued", event.issued_at
        case RewardUsedV1():
            name, at = "reward.used", event.used_at
        case RewardReturnedV1():
            name, at = "reward.returned", event.returned_at
        case RewardExpiredV1():
            name, at = "reward.expired", event.expired_at
        case _:
            raise TypeError(f"{event.TYPE} is no step of a coupon")
    return Call(name, event.model_dump(mode="json"), at, channel="webhook", coupon_id=event.coupon_id)
