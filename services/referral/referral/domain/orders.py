"""What referrals need to know of an order: whether it counts, which codes it carried, and whose it may be."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from contracts.orders import Disputes, OrderChangedV1, OrderLine, Refund, RefundLine
from contracts.program import Program, ProgramBook

from .codes import candidates

Flaw = Literal["not_counted", "unpaid", "cancelled", "refunded", "below_minimum"]
Payment = Literal["unpaid", "paid", "refunded", "voided"]
OrderKey = tuple[str, str]

_PAYMENTS: dict[str, Payment] = {
    "paid": "paid",
    "partially_refunded": "paid",
    "refunded": "refunded",
    "voided": "voided",
}


@dataclass(frozen=True, slots=True)
class Order:
    """An order at its latest revision."""

    source: str
    order_id: str
    revision: int
    placed_at: datetime
    payment: Payment
    cancelled: bool
    test: bool
    currency: str
    net_minor: int
    """The subtotal after refunds, in the shop's currency."""
    codes: tuple[str, ...]
    """What it carried that may be a referral code; discount codes first."""
    email: str | None
    """This and the next two are fingerprints."""
    address: str | None
    card: str | None
    program_version: int = 0
    """The version of the program that judges it, whatever is published later; 0: none covered its time so far."""
    waiting: str | None = None
    """The event as JSON until a version does, if it depends on that what it carried or how much it is."""

    @property
    def key(self) -> OrderKey:
        return self.source, self.order_id

    @property
    def place(self) -> tuple[datetime, str, str]:
        """Its place in the buyer's history."""
        return self.placed_at, self.source, self.order_id

    def pinned(self, programs: ProgramBook, program_id: str) -> "Order":
        """Under the version in force at its time, unless it has one."""
        program = None if self.program_version else programs.in_force(program_id, self.placed_at)
        if program is None:
            return self
        event = OrderChangedV1.model_validate_json(self.waiting) if self.waiting else None
        # A process of the release before keeps a newer revision without its event: of that nothing is waiting.
        if event is None or event.revision != self.revision:
            return replace(self, program_version=program.version, waiting=None)
        return read_order(event, program)


def read_order(event: OrderChangedV1, program: Program | None) -> Order:
    """The order as far as referrals need it, under the version that judges it. Until there is one, every attribute may
    be the code.
    """
    disputes = program.earning.disputes if program else "when_opened"
    told = event.attributes
    if program is not None:
        told = {name: text for name, text in told.items() if program.referral and name == program.referral.attribute}
    return Order(
        source=event.source,
        order_id=event.order_id,
        revision=event.revision,
        placed_at=event.placed_at,
        payment=_PAYMENTS.get(event.payment, "unpaid"),
        cancelled=event.cancelled_at is not None,
        test=event.test,
        currency=event.currency,
        net_minor=net_minor(event, disputes),
        codes=candidates([*event.discount_codes, *told.values()]),
        email=event.fingerprints.email,
        address=event.fingerprints.address,
        card=event.fingerprints.payment,
        program_version=program.version if program else 0,
        waiting=event.model_dump_json() if program is None and (told or event.disputes) else None,
    )


def net_minor(event: OrderChangedV1, disputes: Disputes = "when_opened") -> int:
    """The subtotal less what came back of lines and beyond; refunds of tax and shipping leave it alone, those of
    goodwill too. What the buyer contested came back, unless the shop won.
    """
    back = sum(_refunded_minor(refund, event) for refund in event.refunds if not refund.goodwill)
    back += sum((item.amount or event.total).shop_minor for item in event.disputes if item.came_back(disputes))
    return max(0, event.subtotal.shop_minor - max(0, back))


def _refunded_minor(refund: Refund, event: OrderChangedV1) -> int:
    """What one refund takes off the subtotal. What the payment provider paid back is the last word, where it is known:
    less than was explained came back in proportion, more came back beyond the lines.
    """
    lines = sum(_line_minor(line, event.lines) for line in refund.lines)
    if refund.paid is None:
        return lines + refund.adjustment.shop_minor
    tax = 0 if event.taxes_included else sum(line.tax.shop_minor for line in refund.lines)
    explained, paid = lines + tax + refund.shipping.shop_minor, max(0, refund.paid.shop_minor)
    return lines * paid // explained if paid < explained else lines + paid - explained


def _line_minor(refunded: RefundLine, lines: Sequence[OrderLine]) -> int:
    """Money given back for a line; by its share of the line's quantity where the refund does not say."""
    if refunded.subtotal is not None:
        return refunded.subtotal.shop_minor
    line = next((line for line in lines if line.line_id == refunded.line_id), None)
    if line is None or not line.quantity:
        return 0
    price = line.gross.shop_minor - line.discount.shop_minor
    return price * min(refunded.quantity, line.quantity) // line.quantity


def flaw(order: Order, program: Program | None) -> Flaw | None:
    """Why an order does not count for referrals under the program of its time; None when it does.

    It counts when it is paid, in the program's currency, not a test, neither cancelled nor wholly refunded, and its
    subtotal after refunds is above nothing and not below the minimum.
    """
    if program is None or program.referral is None or order.test or order.currency != program.currency:
        return "not_counted"
    if order.cancelled or order.payment == "voided":
        return "cancelled"
    if order.payment == "unpaid":
        return "unpaid"
    if order.payment == "refunded" or order.net_minor == 0:
        return "refunded"
    return "below_minimum" if order.net_minor < program.referral.minimum_minor else None


def bought_before(order: Order, program: Program | None) -> bool:
    """Whether it was a purchase at a time when the program brought nobody: no minimum was asked for then."""
    if program is not None and program.referral is not None:
        return False
    return order.payment == "paid" and order.net_minor > 0 and not order.test and not order.cancelled
