"""Rewards that members got for points."""

from typing import ClassVar, Literal
from uuid import UUID

from .base import Currency, Event, Instant, MemberId, Minor, Points, ShortText, Slug


class RewardIssuedV1(Event):
    """A coupon was issued. Its code is as good as money: it is never logged."""

    TYPE: ClassVar[str] = "loyalty.reward.issued.v1"

    member_id: MemberId
    coupon_id: UUID
    reward_id: Slug
    program_version: int
    kind: Literal["money_off"]
    code: ShortText
    code_origin: Literal["generated", "pool"]
    """A generated code is unknown to the shop until its signed webhook arrives; a pooled one is known already."""
    value_minor: Minor
    currency: Currency
    minimum_order_minor: Minor = 0
    points: Points
    issued_at: Instant
    expires_at: Instant | None = None
