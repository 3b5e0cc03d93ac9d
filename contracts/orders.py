"""Orders: one document per order, whole in every event, with a revision that grows by one with each change."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from .base import Attributes, Currency, Event, Instant, MemberId, Minor, Model, ShortText, Slug

Disputes = Literal["when_opened", "when_lost"]
"""When contested money counts as given back."""
PaymentState = Literal["pending", "authorized", "partially_paid", "paid", "partially_refunded", "refunded", "voided"]


class Amount(Model):
    """One amount in both currencies of an order: the shop's own, and the one the buyer saw."""

    shop_minor: Minor
    presentment_minor: Minor

    def __add__(self, other: "Amount") -> "Amount":
        return Amount(
            shop_minor=self.shop_minor + other.shop_minor,
            presentment_minor=self.presentment_minor + other.presentment_minor,
        )


ZERO = Amount(shop_minor=0, presentment_minor=0)


class OrderLine(Model):
    """A line as it was ordered; refunds are kept apart and never change it."""

    line_id: ShortText
    product_id: ShortText | None = None
    variant_id: ShortText | None = None
    sku: str | None = Field(default=None, max_length=255)
    title: str | None = Field(default=None, max_length=1000)
    vendor: str | None = Field(default=None, max_length=255)
    categories: tuple[ShortText, ...] = ()
    collections: tuple[ShortText, ...] = ()
    tags: tuple[ShortText, ...] = ()
    quantity: Annotated[int, Field(ge=0, le=1_000_000)]
    gross: Amount
    """Price times quantity, before discounts; holds the tax when `taxes_included`."""
    discount: Amount = ZERO
    """All discounts allocated to the line, positive."""
    tax: Amount = ZERO
    gift_card: bool = False
    """The line sells a gift card."""


class RefundLine(Model):
    """What came back of one line."""

    line_id: ShortText
    quantity: Annotated[int, Field(ge=0, le=1_000_000)]
    subtotal: Amount | None = None
    """Money given back for it without tax (with it when `taxes_included`); none: by its share of the quantity."""
    tax: Amount = ZERO


class Refund(Model):
    """Money given back, once, known by its id; several of them add up."""

    refund_id: ShortText
    occurred_at: Instant
    lines: tuple[RefundLine, ...] = ()
    shipping: Amount = ZERO
    """Part of the money that was for shipping."""
    adjustment: Amount = ZERO
    """Money beyond lines, tax and shipping: positive more was paid back, negative less."""
    paid: Amount | None = None
    """What the payment provider says was paid back, where it is known."""
    goodwill: bool = False
    """A payment to please, for nothing that came back: it takes no points."""


class Dispute(Model):
    """A payment that the buyer contested with the bank, known by its id."""

    dispute_id: ShortText
    opened_at: Instant
    amount: Amount | None = None
    """None: the whole order."""
    outcome: Literal["open", "won", "lost"] = "open"
    """`won`: the shop keeps the money."""
    closed_at: Instant | None = None

    def came_back(self, policy: Disputes) -> bool:
        """Whether its money counts as given back."""
        return self.outcome == "lost" or (self.outcome == "open" and policy == "when_opened")


class Fingerprints(Model):
    """Salted hashes for fraud checks only, never an identity. Empty where the order did not say."""

    email: str | None = None
    """Of the normalised address: aliases (`+tag`, dots at providers that ignore them) taken away."""
    address: str | None = None
    payment: str | None = None
    ip: str | None = None


class OrderFacts(Model):
    """What is known of an order, whoever tells it."""

    source: Slug
    """The shop's stable name; with `order_id` the order's identity within its program."""
    order_id: ShortText
    order_name: str | None = Field(default=None, max_length=255)
    """What people call it, such as `#1001`."""
    currency: Currency
    presentment_currency: Currency
    taxes_included: bool = False
    placed_at: Instant
    paid_at: Instant | None = None
    fulfilled_at: Instant | None = None
    cancelled_at: Instant | None = None
    updated_at: Instant
    payment: PaymentState
    test: bool = False
    channel: str | None = Field(default=None, max_length=255)
    country: Annotated[str, Field(pattern=r"^[A-Z]{2}$")] | None = None
    """Where it goes, ISO 3166; where it was billed if it goes nowhere."""
    lines: Annotated[tuple[OrderLine, ...], Field(max_length=10_000)]
    subtotal: Amount
    """Of all lines after discounts; it bounds the sum of the lines."""
    shipping: Amount = ZERO
    tax: Amount = ZERO
    tip: Amount = ZERO
    total: Amount
    gift_card_paid: Amount = ZERO
    """The part paid with gift cards."""
    points_paid: Amount = ZERO
    """The part paid with points."""
    discount_codes: Annotated[tuple[ShortText, ...], Field(max_length=100)] = ()
    attributes: Attributes = Field(default_factory=dict)
    """Free texts of the cart. What the program asks for is passed on, such as a referral code."""
    refunds: Annotated[tuple[Refund, ...], Field(max_length=10_000)] = ()
    disputes: Annotated[tuple[Dispute, ...], Field(max_length=1000)] = ()

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        for name, ids in (
            ("lines", [line.line_id for line in self.lines]),
            ("refunds", [refund.refund_id for refund in self.refunds]),
            ("disputes", [dispute.dispute_id for dispute in self.disputes]),
        ):
            if len(set(ids)) != len(ids):
                raise ValueError(f"{name}: an id occurs twice")
        return self


class OrderChangedV1(Event, OrderFacts):
    """An order is known, or known better: the whole canonical order at this revision."""

    TYPE: ClassVar[str] = "loyalty.order.changed.v1"

    member_id: MemberId
    """The one it was first published with, for ever."""
    revision: Annotated[int, Field(ge=1)]
    """Grows with every change; older ones than the one known are ignored."""
    recorded_at: Instant
    """When the delivery that made this revision reached Laurel."""
    fingerprints: Fingerprints = Fingerprints()
    version: Annotated[int, Field(ge=0, le=2**53)] | None = None
    """What the platform numbers the states of the order with; none where it does not."""
