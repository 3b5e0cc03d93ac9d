"""What counts of an order: the money of each line, as placed and after what came back. All of it is exact.

Refunds, cancellations and disputes are one thing here: money that came back.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from itertools import combinations
from typing import Literal, NamedTuple

from contracts.orders import Dispute, Disputes, OrderFacts, OrderLine, Refund, RefundLine
from contracts.program import Basis

from .amounts import Exact, apportion

PAID = frozenset({"paid", "partially_refunded", "refunded"})
"""Payment states of an order that was paid at some time."""
PointsRefund = Literal["pro_rata", "money_first"]


class Counted(NamedTuple):
    """What counts as spent, in shop minor units."""

    lines: list[Exact]
    beyond: Exact
    """Shipping and tips, where they count."""

    @property
    def total(self) -> Exact:
        return sum(self.lines) + self.beyond

    def times(self, share: Exact) -> "Counted":
        """So much of it."""
        return self if share == 1 else Counted([line * share for line in self.lines], self.beyond * share)


@dataclass(frozen=True, slots=True)
class Part:
    """A part of an order that can come back: a line, the shipping or the tip."""

    counted: Exact
    """Shop minor units that count as spent while nothing came back."""
    paid: int
    """Its price in presentment minor units: refunds are shares of it."""
    returned: Exact = 0
    """What came back of it, in presentment minor units; may exceed `paid`."""

    def rest(self, extra: Exact = 0) -> Exact:
        """What still counts when `extra` came back besides."""
        back = self.returned + extra
        if not back:
            return self.counted
        if back >= self.paid:
            return 0
        return self.counted * (1 - Fraction(back) / self.paid)


def returns(order: OrderFacts, disputes: Disputes) -> tuple[Refund, ...]:
    """All money that came back: refunds but those of goodwill, and disputes that count as given back."""
    if not order.refunds and not order.disputes:
        return ()
    refunds = [refund for refund in order.refunds if not refund.goodwill]
    for item in order.disputes:
        at = item.opened_at if disputes == "when_opened" else item.closed_at or item.opened_at
        if item.came_back(disputes):
            refunds.append(_contested(order, item, at))
    return tuple(refunds)


def _contested(order: OrderFacts, dispute: Dispute, at: datetime) -> Refund:
    amount = dispute.amount or order.total
    return Refund(refund_id=f"dispute-{dispute.dispute_id}"[:255], occurred_at=at, paid=amount)


def is_gone(order: OrderFacts, before: datetime | None = None) -> bool:
    """Nothing of it counts: cancelled, or not paid (any more). `before` leaves out what happened at or after it."""
    if order.cancelled_at is not None and (before is None or order.cancelled_at < before):
        return True
    if before is not None:
        return False
    if order.payment == "refunded":  # Paid back to please, it still counts; else the platform's word is the last.
        return not any(refund.goodwill for refund in order.refunds)
    return order.payment not in PAID


def counted(
    order: OrderFacts, basis: Basis, back: Sequence[Refund] = (), points_refund: PointsRefund = "pro_rata"
) -> Counted:
    """The money that counts as spent.

    The order's own shop amounts are kept exact. What came back is a share of each part in presentment money, so that
    the rate is the one that the order itself pinned, and nothing more than the order can come back. Of an order paid
    partly with points it was points and money in proportion, or money first.
    """
    found = _after(order, basis, back) if back else _placed(order, basis)
    cards = 0 if basis.gift_card_tender else order.gift_card_paid.shop_minor
    points = 0 if basis.points_tender else order.points_paid.shop_minor
    if cards <= 0 and points <= 0:
        return found
    other, spent = _share(order, cards), _share(order, points)
    if back and spent and points_refund == "money_first" and found.total:
        left = found.total - _placed(order, basis).total * spent  # What the money paid for, less all that came back.
        cards_of_money = other / (1 - spent) if spent < 1 else Fraction(1)
        return found.times(max(Fraction(0), left) / found.total * max(Fraction(0), 1 - cards_of_money))
    return found.times(max(Fraction(0), 1 - other - spent))


def _placed(order: OrderFacts, basis: Basis) -> Counted:
    shop, taxes = _bounded_shop(order)
    lines = [
        _counted(order, basis, line, bounded, tax) if basis.gift_cards_bought or not line.gift_card else 0
        for line, bounded, tax in zip(order.lines, shop, taxes, strict=True)
    ]
    beyond = (order.shipping.shop_minor if basis.shipping else 0) + (order.tip.shop_minor if basis.tip else 0)
    return Counted(lines, beyond)


def _share(order: OrderFacts, tender_minor: int) -> Fraction:
    """The share of the order that was paid in a certain way."""
    total = order.total.shop_minor
    return min(Fraction(1), Fraction(tender_minor, total)) if tender_minor > 0 and total > 0 else Fraction(0)


def refunded_share(order: OrderFacts, back: Sequence[Refund]) -> Fraction:
    """Which part of an order's goods, with tax and discounts, came back: 0 nothing, 1 all."""
    basis = Basis(tax=True, gift_cards_bought=True, points_tender=True)
    whole = counted(order, basis).total
    if not whole:
        return Fraction(1 if is_gone(order) else 0)
    return 1 - Fraction(counted(order, basis, back).total) / whole


def refunded_minor(order: OrderFacts, back: Sequence[Refund]) -> int:
    """The money that came back in all, at most the order's total: presentment minor units."""
    lines = [line.gross.presentment_minor - line.discount.presentment_minor for line in order.lines]
    lines_back, shipping, extra = _returned(order, back, _bounded(lines, order.subtotal.presentment_minor))
    tax = 0 if order.taxes_included else sum(item.tax.presentment_minor for refund in back for item in refund.lines)
    return min(order.total.presentment_minor, int(sum(lines_back) + shipping + extra + tax))


def _after(order: OrderFacts, basis: Basis, back: Sequence[Refund]) -> Counted:
    """What is left of lines, then of shipping and tip: money beyond the lines comes off these in this order."""
    parts, shipping, tip, extra = _parts(order, basis, back)
    eligible = [place for place, line in enumerate(order.lines) if basis.gift_cards_bought or not line.gift_card]
    rest, extra = _without([parts[place] for place in eligible], extra)
    lines: list[Exact] = [0] * len(parts)
    for place, value in zip(eligible, rest, strict=True):
        lines[place] = value
    beyond: Exact = 0
    if basis.shipping:
        more, extra = _without([shipping], extra)
        beyond += more[0]
    if basis.tip:
        beyond += _without([tip], extra)[0][0]
    return Counted(lines, beyond)


def _without(parts: Sequence[Part], extra: Exact) -> tuple[list[Exact], Exact]:
    """What counts after `extra` came back of the parts, in proportion to what they have left; and what is over."""
    if not extra:
        return [part.rest() for part in parts], 0
    left = [max(0, part.paid - part.returned) for part in parts]
    whole = sum(left)
    taken = min(extra, whole)
    rest = [part.rest(Fraction(taken) * own / whole if whole else 0) for part, own in zip(parts, left, strict=True)]
    return rest, extra - taken


def _parts(order: OrderFacts, basis: Basis, back: Sequence[Refund]) -> tuple[list[Part], Part, Part, Exact]:
    """The lines, the shipping and the tip with what came back of each, and the money that came back beyond them."""
    shop, taxes = _bounded_shop(order)
    paid = _bounded(
        [line.gross.presentment_minor - line.discount.presentment_minor for line in order.lines],
        order.subtotal.presentment_minor,
    )
    values = [_counted(order, basis, *line) for line in zip(order.lines, shop, taxes, strict=True)]
    lines_back, shipping_back, extra = _returned(order, back, paid)
    extra *= _untaxed(order)
    lines = []
    for line, value, price, returned in zip(order.lines, values, paid, lines_back, strict=True):
        extra += max(0, returned - price)
        # What cost nothing comes back by quantity.
        lines.append(Part(value, price, returned) if price else Part(value * kept_share(line, back), 0))
    shipping = Part(order.shipping.shop_minor, order.shipping.presentment_minor, shipping_back)
    return lines, shipping, Part(order.tip.shop_minor, order.tip.presentment_minor), extra


def kept_share(line: OrderLine, back: Sequence[Refund]) -> Exact:
    """The share of a line's quantity that did not come back."""
    quantity = sum(item.quantity for refund in back for item in refund.lines if item.line_id == line.line_id)
    return max(Fraction(0), 1 - Fraction(quantity, line.quantity)) if quantity and line.quantity else 1


def _bounded_shop(order: OrderFacts) -> tuple[list[int], list[int]]:
    """The lines within the subtotal, and their taxes: spread over them where only the order tells it."""
    nets = [line.gross.shop_minor - line.discount.shop_minor for line in order.lines]
    nets = _bounded(nets, order.subtotal.shop_minor)
    taxes = [line.tax.shop_minor for line in order.lines]
    return nets, apportion(order.tax.shop_minor, nets) if order.tax.shop_minor > 0 and not any(taxes) else taxes


LINES_TRIED = 12
"""Of longer orders the lines that an edit took away are not looked for."""


def _taken_away(nets: list[int], subtotal: int) -> set[int]:
    """The lines that make the sum exceed the subtotal: the smallest set of just that sum, where it is the only one."""
    excess = sum(nets) - max(0, subtotal)
    places = [place for place, net in enumerate(nets) if net]
    if excess <= 0 or len(places) > LINES_TRIED:
        return set()
    for size in range(1, len(places) + 1):
        found = [chosen for chosen in combinations(places, size) if sum(nets[place] for place in chosen) == excess]
        if found:
            return set(found[0]) if len(found) == 1 else set()
    return set()


def _bounded(nets: list[int], subtotal: int) -> list[int]:
    """The order's own subtotal bounds the sum of its lines: snapshots keep lines that an edit took away."""
    nets = [max(0, net) for net in nets]
    gone = _taken_away(nets, subtotal) if sum(nets) > subtotal else ()
    nets = [0 if place in gone else net for place, net in enumerate(nets)]
    return apportion(max(0, subtotal), nets) if sum(nets) > subtotal else nets


def _counted(order: OrderFacts, basis: Basis, line: OrderLine, bounded: int, tax: int) -> Exact:
    """What counts of a line as placed: with or without its discounts and its tax, within the bound."""
    net = line.gross.shop_minor - line.discount.shop_minor
    if net <= 0:
        return max(0, line.gross.shop_minor) if basis.before_discounts else 0
    with_tax: Exact = bounded
    if tax and basis.tax != order.taxes_included:
        with_tax = Fraction(bounded) * max(0, net + (tax if basis.tax else -tax)) / net
    return Fraction(with_tax) * line.gross.shop_minor / net if basis.before_discounts else with_tax


def _returned(order: OrderFacts, back: Sequence[Refund], paid: list[int]) -> tuple[list[Exact], Exact, Exact]:
    """What came back of each line and of the shipping, and beyond: presentment minor units.

    The money is what counts. Where less was paid back than the lines explain the shop kept the rest, and each line
    came back in proportion; where more was, the difference is money beyond the lines.
    """
    place = {line.line_id: index for index, line in enumerate(order.lines)}
    lines: list[Exact] = [0] * len(paid)
    shipping: Exact = 0
    extra: Exact = 0
    for refund in back:
        told = [_told(order, item, place.get(item.line_id), paid) for item in refund.lines]
        tax = 0 if order.taxes_included else sum(item.tax.presentment_minor for item in refund.lines)
        explained = sum(amount for _, amount in told) + tax + refund.shipping.presentment_minor
        money = refund.paid.presentment_minor if refund.paid else explained + refund.adjustment.presentment_minor
        money = max(0, money)
        share = Fraction(money) / explained if money < explained else 1
        extra += max(0, money - explained)
        shipping += share * refund.shipping.presentment_minor
        for index, amount in told:
            if index is None:
                extra += share * amount
            elif not paid[index] and order.lines[index].gross.presentment_minor > (
                order.lines[index].discount.presentment_minor
            ):
                continue  # An edit took the line away: what was paid back for it is told by the subtotal already.
            else:
                lines[index] += share * amount
    return lines, shipping, extra


def _untaxed(order: OrderFacts) -> Exact:
    """The share of the order's money that is no tax, where tax comes on top of prices: also of money that came back for
    no line in particular.
    """
    total = order.total.presentment_minor
    tax = order.tax.presentment_minor or sum(line.tax.presentment_minor for line in order.lines)
    return Fraction(total - tax, total) if not order.taxes_included and 0 < tax < total else 1


def _told(order: OrderFacts, item: RefundLine, index: int | None, paid: list[int]) -> tuple[int | None, Exact]:
    """The place of a line, and what a refund says came back of it: an amount, or its share of the quantity."""
    if item.subtotal is not None:
        return index, item.subtotal.presentment_minor
    if index is None or not order.lines[index].quantity:
        return index, 0
    quantity = order.lines[index].quantity
    return index, Fraction(paid[index] * min(item.quantity, quantity), quantity)
