"""What deliveries say once they are read: facts in any order, any number of times."""

from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Annotated, Literal

from pydantic import Field

from contracts.base import Currency, Instant, Model, ShortText, Slug
from contracts.money import minor_digits
from contracts.orders import ZERO, Amount, Dispute, Fingerprints, OrderFacts, OrderLine, Refund, RefundLine


class PayloadError(ValueError):
    """A payload that cannot be understood; the text says what is wrong and where, without personal data."""


class Money(Model):
    """An amount in major units, as platforms write it; without presentment money it is the shop's alone."""

    shop: Decimal
    presentment: Decimal | None = None

    def __add__(self, other: "Money") -> "Money":
        both = self.presentment is not None and other.presentment is not None
        presentment = (self.presentment or Decimal(0)) + (other.presentment or Decimal(0)) if both else None
        return Money(shop=self.shop + other.shop, presentment=presentment)

    def __neg__(self) -> "Money":
        return self * -1

    def __mul__(self, factor: int) -> "Money":
        # Adding zero turns -0 into 0: equal money is written alike.
        presentment = None if self.presentment is None else self.presentment * factor + 0
        return Money(shop=self.shop * factor + 0, presentment=presentment)


NOTHING = Money(shop=Decimal(0), presentment=Decimal(0))


class Scale(Model):
    """The two currencies of an order and the rate between them, pinned by its own total."""

    currency: Currency
    presentment_currency: Currency
    rate: Decimal = Decimal(1)
    """Presentment money for one unit of the shop's."""

    def amount(self, money: Money) -> Amount:
        """In minor units, each half rounded away from zero: floats of platforms carry noise far below that."""
        presentment = money.shop * self.rate if money.presentment is None else money.presentment
        return Amount(
            shop_minor=_minor(money.shop, self.currency),
            presentment_minor=_minor(presentment, self.presentment_currency),
        )

    @classmethod
    def of(cls, order: OrderFacts) -> "Scale":
        """The scale of an order that is known."""
        rate = Decimal(1)
        for amount in (order.total, order.subtotal):
            if amount.shop_minor:
                shop = Decimal(amount.shop_minor).scaleb(-minor_digits(order.currency))
                rate = Decimal(amount.presentment_minor).scaleb(-minor_digits(order.presentment_currency)) / shop
                break
        return cls(currency=order.currency, presentment_currency=order.presentment_currency, rate=rate)


def _minor(value: Decimal, currency: str) -> int:
    return int(value.scaleb(minor_digits(currency)).to_integral_value(ROUND_HALF_UP))


class LooseRefundLine(Model):
    """What came back of one line, in major units."""

    line_id: ShortText
    quantity: Annotated[int, Field(ge=0, le=1_000_000)]
    subtotal: Money | None = None
    tax: Money = NOTHING


class LooseRefund(Model):
    """A refund in major units: one that comes before its order may not even say its currency."""

    refund_id: ShortText
    occurred_at: Instant
    lines: tuple[LooseRefundLine, ...] = ()
    shipping: Money = NOTHING
    adjustment: Money = NOTHING
    paid: Decimal | None = None
    paid_currency: str | None = None
    """The currency of `paid`: the shop's or the buyer's; the shop's when not said."""
    outside: Money = NOTHING
    """The part of `paid` that was for tips and duties: orders do not count it, so neither does what comes back."""
    goodwill: bool = False
    """Only where the platform itself says so; a refund without lines may as well be for what came back."""


class RefundReport(Model):
    """A refund told without its order."""

    source: Slug
    order_id: ShortText
    refund: LooseRefund


class LooseDispute(Model):
    """A contested payment in major units; it too may come before its order."""

    dispute_id: ShortText
    opened_at: Instant
    amount: Annotated[Decimal, Field(ge=0)] | None = None
    """None: the whole order."""
    currency: str | None = None
    """Of `amount`: the shop's or the buyer's; the shop's when not said."""
    outcome: Literal["open", "won", "lost"] = "open"
    closed_at: Instant | None = None


class DisputeReport(Model):
    """A dispute told without its order."""

    source: Slug
    order_id: ShortText
    dispute: LooseDispute


class RevocationReport(Model):
    """An activity undone, told by its id alone."""

    source: Slug
    activity_id: ShortText
    revoked_at: Instant


class Snapshot(OrderFacts):
    """An order as a platform told it at one moment, without clear personal data."""

    version: Annotated[int, Field(ge=0)] = 0
    fingerprints: Fingerprints = Fingerprints()


def settle(refund: LooseRefund, scale: Scale, taxes_included: bool, lines: dict[str, OrderLine]) -> Refund:
    """The refund in the money of its order."""
    return Refund(
        refund_id=refund.refund_id,
        occurred_at=refund.occurred_at,
        lines=tuple(_settle_line(line, scale, taxes_included, lines.get(line.line_id)) for line in refund.lines),
        shipping=scale.amount(refund.shipping),
        adjustment=scale.amount(refund.adjustment),
        paid=_paid(refund, scale),
        goodwill=refund.goodwill,
    )


def _settle_line(line: LooseRefundLine, scale: Scale, taxes_included: bool, ordered: OrderLine | None) -> RefundLine:
    tax = scale.amount(line.tax)
    subtotal = None if line.subtotal is None else scale.amount(line.subtotal)
    if subtotal is not None and taxes_included and ordered is not None and ordered.quantity and tax != ZERO:
        # Where prices hold the tax, some shops' refunds leave it out and some do not: the line's own price tells.
        price = (ordered.gross.shop_minor - ordered.discount.shop_minor) * line.quantity / ordered.quantity
        with_tax = subtotal + tax
        if abs(with_tax.shop_minor - price) < abs(subtotal.shop_minor - price):
            subtotal = with_tax
    return RefundLine(line_id=line.line_id, quantity=line.quantity, subtotal=subtotal, tax=tax)


def _paid(refund: LooseRefund, scale: Scale) -> Amount | None:
    """What was paid back for what the order counts; None where nobody says, or in a currency of neither side."""
    paid = _converted(refund.paid, refund.paid_currency, scale)
    if paid is None:
        return None
    outside = scale.amount(refund.outside)
    return Amount(
        shop_minor=max(0, paid.shop_minor - outside.shop_minor),
        presentment_minor=max(0, paid.presentment_minor - outside.presentment_minor),
    )


def contested(dispute: LooseDispute, scale: Scale) -> Dispute:
    """The dispute in the money of its order. In a currency of neither side it is about the whole order, as most are."""
    return Dispute(
        dispute_id=dispute.dispute_id,
        opened_at=dispute.opened_at,
        amount=_converted(dispute.amount, dispute.currency, scale),
        outcome=dispute.outcome,
        closed_at=dispute.closed_at,
    )


def _converted(value: Decimal | None, currency: str | None, scale: Scale) -> Amount | None:
    """An amount of one side in the money of both; None where it is not said, or in a currency of neither."""
    if value is None:
        return None
    if currency in (None, scale.currency):
        return scale.amount(Money(shop=value))
    if currency == scale.presentment_currency and scale.rate:
        return scale.amount(Money(shop=value / scale.rate, presentment=value))
    return None


def earliest(*moments: datetime | None) -> datetime | None:
    """The first of the moments that are known."""
    return min((moment for moment in moments if moment is not None), default=None)
