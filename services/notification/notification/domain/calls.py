"""Which events call for a message, and what it will need to say. One function per event type."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from contracts.members import MemberChangedV1
from contracts.points import PointsGrantedV1
from contracts.rewards import RewardIssuedV1
from contracts.tiers import StandingChangedV1

Channel = Literal["email", "webhook"]
EARNED = ("order", "standing", "enrolment", "program")
"""Causes of a grant that a member reads as earning."""


@dataclass(frozen=True, slots=True)
class Call:
    """A message that is called for. `parameters` are JSON values; names, languages and formats come when it is sent."""

    template: str
    parameters: dict[str, object]
    recorded_at: datetime
    channel: Channel = "email"


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
    if event.cause.kind in EARNED:
        return Call("points_earned", parameters, event.effective_at)
    return None


def upgraded(event: StandingChangedV1) -> Call | None:
    """A higher tier; falling to a lower one is not announced."""
    if event.change != "upgraded":
        return None
    return Call("tier_reached", {"tier_id": event.to_tier_id}, event.recorded_at)


def coupon(event: RewardIssuedV1) -> Call:
    """The coupon for the member."""
    parameters: dict[str, object] = {
        "reward_id": event.reward_id,
        "code": event.code,
        "value_minor": event.value_minor,
        "currency": event.currency,
        "minimum_order_minor": event.minimum_order_minor,
        "points": event.points,
        "expires_at": _iso(event.expires_at),
    }
    return Call("coupon", parameters, event.issued_at)


def reward_issued(event: RewardIssuedV1) -> Call:
    """The coupon for the shop, which creates the discount: the whole event."""
    return Call("reward.issued", event.model_dump(mode="json"), event.issued_at, channel="webhook")
