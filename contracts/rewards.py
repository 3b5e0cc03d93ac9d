"""Rewards that members got, for points or as a gift, and what became of them."""

from decimal import Decimal
from typing import Annotated, ClassVar, Literal
from uuid import UUID

from pydantic import Field

from .base import Currency, Event, Instant, MemberId, Minor, Model, Points, ShortText, Slug
from .points import OrderRef

RewardKind = Literal[
    "money_off", "percent_off", "free_shipping", "free_product", "gift_card", "store_credit", "perk", "membership",
    "draw_entry", "donation",
]  # fmt: skip


class RewardEvent(Event):
    """What all steps of a coupon say."""

    member_id: MemberId
    coupon_id: UUID
    reward_id: Slug
    kind: RewardKind
    issued_at: Instant | None = None
    """When the member got it; nothing in events from before this was told."""


class RewardIssuedV1(RewardEvent):
    """A member got a reward. Its code is as good as money: it is never logged."""

    TYPE: ClassVar[str] = "loyalty.reward.issued.v1"

    program_version: int
    code: ShortText | None = None
    """Nothing for memberships, draw entries and donations."""
    code_origin: Literal["generated", "pool"] | None = None
    """A generated code is unknown to the shop until its signed webhook arrives; a pooled one is known already."""
    value_minor: Minor | None = None
    """What it is worth: money off, the amount of a gift card, credit or donation."""
    percent: Decimal | None = None
    maximum_minor: Minor | None = None
    product: ShortText | None = None
    price_minor: Minor = 0
    """Money that the member pays besides."""
    currency: Currency
    minimum_order_minor: Minor = 0
    membership_id: Slug | None = None
    membership_days: int | None = None
    draw_id: Slug | None = None
    cause_id: Slug | None = None
    points: Points
    """What it cost; 0 for a gift."""
    challenge_id: Slug | None = None
    """The challenge that gave it."""
    issued_at: Instant
    expires_at: Instant | None = None


class RewardUsedV1(RewardEvent):
    """An order used the coupon."""

    TYPE: ClassVar[str] = "loyalty.reward.used.v1"

    order: OrderRef
    used_at: Instant


class RewardExpiredV1(RewardEvent):
    """A coupon ran out unused."""

    TYPE: ClassVar[str] = "loyalty.reward.expired.v1"

    expired_at: Instant


class RewardReturnedV1(RewardEvent):
    """A reward was given back, all or in part. When `void`, its code must not be taken any more."""

    TYPE: ClassVar[str] = "loyalty.reward.returned.v1"

    reason: Literal["reversed", "refunded", "expired", "revoked"]
    points: Points
    """That came back in all, so far."""
    void: bool
    returned_at: Instant


class RewardPoolLowV1(Event):
    """Few codes are left in the pool of a reward: the shop should import more."""

    TYPE: ClassVar[str] = "loyalty.reward.pool_low.v1"

    reward_id: Slug
    left: Annotated[int, Field(ge=0)]
    occurred_at: Instant

    def key(self) -> str:
        return self.program_id


class Winner(Model):
    """A winner of a draw, in the order of the prizes."""

    member_id: UUID
    coupon_id: UUID


class DrawHeldV1(Event):
    """A prize draw was held. Seed and entries are public with it, so that everybody can check the winners."""

    TYPE: ClassVar[str] = "loyalty.draw.held.v1"

    draw_id: Slug
    commitment: str
    seed: str
    """In hex; its SHA-256 is the commitment that the program published before."""
    entries: Annotated[int, Field(ge=0)]
    entries_digest: str
    """SHA-256 of all entries, one to a line as `coupon_id member_id`, sorted, in hex."""
    winners: tuple[Winner, ...]
    held_at: Instant

    def key(self) -> str:
        return self.program_id
