"""Entries for what the shop and other services tell: orders and what becomes of them, activities, standings."""

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag

from contracts.base import MonthDay, Slug

from .parts import Entry, Part
from .units import Count, Moment, Money, Name


class Line(Part):
    """A line of an order. Its name in `lines` is its id, and its product unless that is given."""

    id: Name | None = None
    product: Name | None = None
    sku: str | None = None
    categories: tuple[str, ...] = ()
    vendor: str | None = None
    collections: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    quantity: Annotated[int, Field(ge=1)] = 1
    price: Money = Decimal(0)
    """Of one piece."""
    discount: Money = Decimal(0)
    """Of the whole line."""
    tax: Money = Decimal(0)
    gift_card: bool = False


def _price_or_line(value: object) -> str:
    return "line" if isinstance(value, dict | Line) else "price"


def _kind(value: object) -> str:
    return "mapping" if isinstance(value, dict) else "list"


PricedLine = Annotated[Annotated[Money, Tag("price")] | Annotated[Line, Tag("line")], Discriminator(_price_or_line)]
Lines = Annotated[
    Annotated[dict[Name, PricedLine], Tag("mapping")] | Annotated[tuple[Line, ...], Tag("list")], Discriminator(_kind)
]


class Presentment(Part):
    """The currency that the buyer saw and paid in."""

    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
    rate: Annotated[Decimal, Field(gt=0)]
    """So much of it for one of the shop's."""


class OrderEntry(Entry):
    """An order is placed. Amounts are in the shop's currency."""

    order: Name
    lines: Lines
    shipping: Money = Decimal(0)
    tax: Money | None = None
    """Of the whole; without, the sum of the lines' taxes."""
    tip: Money = Decimal(0)
    total: Money | None = None
    """Without: lines, shipping, tip, and tax unless prices include it."""
    taxes_included: bool = False
    discount_codes: tuple[str, ...] = ()
    """Names of coupons in this story, or any codes."""
    gift_card_paid: Money = Decimal(0)
    points_paid: Money = Decimal(0)
    """The part paid with points, in money."""
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] | None = None
    presentment: Presentment | None = None
    country: Annotated[str, Field(pattern=r"^[A-Z]{2}$")] | None = None
    channel: str | None = None
    source: Slug = "shop"
    paid: bool = True
    paid_at: Moment | None = None
    fulfilled: Moment | None = None
    test: bool = False


class PayEntry(Entry):
    """An order is paid."""

    pay: Name


class FulfilEntry(Entry):
    """An order is fulfilled."""

    fulfil: Name


class CancelEntry(Entry):
    """An order is cancelled."""

    cancel: Name


class BackLine(Part):
    """What came back of a line."""

    quantity: Annotated[int, Field(ge=0)] = 1
    amount: Money | None = None
    """Without: the share of the quantity."""
    tax: Money | None = None


def _amount_or_part(value: object) -> str:
    return "part" if isinstance(value, dict | BackLine) else "amount"


Back = Annotated[Annotated[Money, Tag("amount")] | Annotated[BackLine, Tag("part")], Discriminator(_amount_or_part)]
BackLines = Annotated[
    Annotated[dict[Name, Back], Tag("mapping")] | Annotated[tuple[Name, ...], Tag("list")], Discriminator(_kind)
]


class RefundEntry(Entry):
    """Money goes back. Without lines, shipping and amount: all of it."""

    refund: Name
    id: Name | None = None
    lines: BackLines = ()
    """Amounts by line; or a list of lines that came back whole."""
    shipping: Money = Decimal(0)
    amount: Money | None = None
    """What was paid back in all, where it is not the sum of the parts."""
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] | None = None
    """Of these amounts: the shop's, unless the buyer's is named."""
    rate: Annotated[Decimal, Field(gt=0)] | None = None
    """Of the day of the refund, between the shop's currency and the buyer's."""
    goodwill: bool = False


class EditEntry(Entry):
    """An order is changed: lines come and go, and the total with them."""

    edit: Name
    add: Lines = Field(default={})
    remove: tuple[Name, ...] = ()
    shipping: Money | None = None


class DisputeEntry(Entry):
    """The buyer contests the payment with the bank; later the shop wins or loses."""

    dispute: Name
    id: Name = "1"
    state: Literal["open", "won", "lost"] = "open"
    amount: Money | None = None
    """Without: the whole order."""


class ActivityEntry(Entry):
    """A member does something."""

    activity: Slug
    id: Name | None = None
    object: str | None = None
    verified: bool = True
    attributes: dict[str, str] = Field(default={})
    source: Slug = "shop"


class RevokeEntry(Entry):
    """An activity is undone, for good."""

    revoke: Name


class TierEntry(Entry):
    """A member has a tier."""

    tier: Slug
    since: Moment | None = Field(default=None, alias="from")
    until: Moment | None = None
    reached_by: Name | None = None
    """The order that reached it, which does not benefit from it."""


class MembershipEntry(Entry):
    """A member has a paid membership."""

    membership: Slug
    since: Moment | None = Field(default=None, alias="from")
    until: Moment


class SegmentsEntry(Entry):
    """The segments of a member, all of them."""

    segments: tuple[Slug, ...]


class EnrolEntry(Entry):
    """Somebody becomes a member."""

    enrol: Name


class AttributesEntry(Entry):
    """The shop learns more of a member."""

    attributes: dict[str, str] = Field(default={})
    birthday: MonthDay | None = None


class ReferralEntry(Entry):
    """A referral of one member, as the advocate who shared a code or the friend who came."""

    referral: Literal["advocate", "friend"]
    id: Name = "1"
    state: Literal["confirmed", "reversed"] = "confirmed"
    order_minor: Count = 0


class MergeParts(Part):
    """Two who turn out to be one: everything goes from one to the other."""

    source: Name = Field(alias="from")
    into: Name


class MergeEntry(Entry):
    """Two members are one."""

    merge: MergeParts
