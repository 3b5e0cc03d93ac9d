"""What points buy, and what becomes of it later."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from ..base import Instant, Points, ShortText, Slug
from .common import Amount, Commitment, Factor, Gift, Named, Rate, Span, Strict, Text
from .conditions import When


class RewardLimit(Strict):
    """At most so often per member within a period."""

    per: Span
    times: Annotated[int, Field(ge=1, le=2**53)]


class Priced(Named):
    """What all rewards share: what they cost, who may have them, and how many."""

    name: Text
    cost: Points | None = None
    """Points."""
    cost_by_tier: dict[Slug, Points] = Field(default={}, max_length=20)
    """Instead of `cost`, for members of these tiers."""
    price_minor: Amount = 0
    """Money besides; the shop takes it."""
    when: When = When()
    stock: Annotated[int, Field(ge=0, le=2**53)] | None = None
    """So many in all; raise it in a later version."""
    limits: Annotated[tuple[RewardLimit, ...], Field(max_length=10)] = ()
    minimum_order_minor: Amount = 0
    valid_days: Annotated[int, Field(ge=1, le=3650)] | None = None
    """Of the coupon."""
    codes: Literal["generated", "pool"] = "generated"
    pool_low: Annotated[int, Field(ge=0, le=2**53)] = 10
    """An event when so few codes of the pool are left."""
    returned: Literal["full_refund", "pro_rata", "never"] | None = None
    """Instead of `redemption.coupon_refund`."""

    @model_validator(mode="after")
    def _affordable(self) -> Self:
        if self.cost is None and getattr(self, "points_per_unit", None) is None:
            raise ValueError("cost is missing")
        return self


class AnyAmount(Priced):
    """For an amount of the member's choice, where `points_per_unit` is given."""

    points_per_unit: Factor | None = None
    """Points for one major unit of money; a member chooses the amount."""
    amount_minor_min: Amount = 1
    amount_minor_max: Amount = 100_000_00
    value_minor: Amount | None = None
    """What it is worth when it has a fixed cost."""

    @model_validator(mode="after")
    def _either(self) -> Self:
        if (self.points_per_unit is None) == (self.value_minor is None):
            raise ValueError("give value_minor (with cost), or points_per_unit for any amount")
        if (self.cost is None) == (self.points_per_unit is None):
            raise ValueError("give cost with value_minor, or points_per_unit alone")
        return self


class MoneyOff(AnyAmount):
    """A coupon for money off an order."""

    type: Literal["money_off"]


class GiftCard(AnyAmount):
    """A gift card, or credit at the shop: paying with points."""

    type: Literal["gift_card", "store_credit"]


class Donation(AnyAmount):
    """Money for a cause."""

    type: Literal["donation"]
    cause: Slug


class PercentOff(Priced):
    """A coupon for a share of an order."""

    type: Literal["percent_off"]
    percent: Annotated[Rate, Field(gt=0, le=100)]
    maximum_minor: Amount | None = None


class FreeShipping(Priced):
    """A coupon for free shipping."""

    type: Literal["free_shipping"]


class FreeProduct(Priced):
    """A coupon for a product."""

    type: Literal["free_product"]
    product: ShortText


class Perk(Priced):
    """Something else: early access, an event. All who may have it use its `standing_code`, if any, at will."""

    type: Literal["perk"]
    standing_code: ShortText | None = None


class MembershipReward(Priced):
    """A paid membership for some days."""

    type: Literal["membership"]
    membership: Slug
    days: Annotated[int, Field(ge=1, le=3650)]


class DrawEntry(Priced):
    """One entry in a prize draw."""

    type: Literal["draw_entry"]
    draw: Slug


Reward = Annotated[
    MoneyOff | PercentOff | FreeShipping | FreeProduct | GiftCard | Perk | MembershipReward | DrawEntry | Donation,
    Field(discriminator="type"),
]


class Offer(Named):
    """Rewards cost less for a time: points are worth more."""

    when: When = When()
    rewards: tuple[Slug, ...] = ()
    """Without: all."""
    cost_factor: Annotated[Factor, Field(le=1)]
    """Of the cost; what it comes to is rounded up."""


class Redemption(Strict):
    """What holds for spending points."""

    hold_minutes: Annotated[int, Field(ge=1, le=10_080)] = 30
    """How long points stay reserved that are neither captured nor released."""
    coupon_refund: Literal["full_refund", "pro_rata", "never"] = "full_refund"
    """When an order that used a coupon is refunded: its points come back with the whole, in proportion, or not."""
    points_refund: Literal["pro_rata", "money_first"] = "money_first"
    """When an order paid partly with points is refunded: in proportion, or money first and then points."""
    expired_coupon: Literal["keep", "give_back"] = "keep"
    """Whether the points of a coupon that ran out unused are gone or come back."""
    returned_days: Annotated[int, Field(ge=0, le=365)] = 30
    """Points that come back to a lot that has run out can be spent for so many days; 0: they are gone at once."""


class Draw(Named):
    """A prize draw. The order of winners follows from the seed and the entries alone."""

    name: Text
    closes_at: Instant
    winners: Annotated[int, Field(ge=1, le=10_000)]
    commitment: Commitment


class Cause(Named):
    """Something to donate to."""

    name: Text


class Membership(Named):
    """A paid membership: a dated right."""

    name: Text


class Adjustments(Strict):
    """What people of the shop may add or take by hand."""

    points_max: Gift = 10_000
    """By one adjustment."""
    approval_above: Points | None = None
    """Greater ones wait for a second person."""


class PointTransfers(Strict):
    """Members give points to one another."""

    minimum: Gift = 1
    maximum: Gift = 10_000
    per_day: Gift | None = None


class Households(Strict):
    """Members who spend together: what one lacks comes from the others, soonest-expiring points first."""

    members_max: Annotated[int, Field(ge=2, le=20)] = 6
