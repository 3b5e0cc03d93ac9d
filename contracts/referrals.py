"""Referrals: who brought whom. Each is a state with a version, told to both parties under their own key."""

from typing import Annotated, ClassVar, Literal
from uuid import UUID

from pydantic import Field

from .base import Event, Instant, MemberId, Minor, ShortText, Slug


class ReferralCodeAssignedV1(Event):
    """A member has a code to share."""

    TYPE: ClassVar[str] = "loyalty.referral.code_assigned.v1"

    member_id: MemberId
    code: ShortText
    assigned_at: Instant


class ReferralEvent(Event):
    """What all changes of a referral say. `version` grows with each; older ones are ignored."""

    member_id: MemberId
    """The party this record is for."""
    referral_id: UUID
    version: Annotated[int, Field(ge=1)]
    role: Literal["advocate", "friend"]
    advocate_id: UUID
    friend_id: UUID
    source: Slug
    order_id: ShortText
    """The friend's order that qualifies."""
    order_revision: Annotated[int, Field(ge=1)]
    placed_at: Instant
    occurred_at: Instant
    recorded_at: Instant


class ReferralConfirmedV1(ReferralEvent):
    """The friend's order qualifies; both are to be rewarded."""

    TYPE: ClassVar[str] = "loyalty.referral.confirmed.v1"

    order_minor: Minor


class ReferralRejectedV1(ReferralEvent):
    """The order carried a code but does not qualify, and will not. Told to the friend's key alone."""

    TYPE: ClassVar[str] = "loyalty.referral.rejected.v1"

    reason: Literal["self_email", "self_fingerprint", "not_first_order", "already_referred"]


class ReferralReversedV1(ReferralEvent):
    """A confirmed referral no longer qualifies: what it brought is taken back."""

    TYPE: ClassVar[str] = "loyalty.referral.reversed.v1"

    reason: Literal["below_minimum", "cancelled", "refunded", "superseded", "self_email", "self_fingerprint"]
