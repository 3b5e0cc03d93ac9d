"""What an order is worth: the money that counts, as placed and as it stands, and the points and base points of it.

All of it is exact (integers and fractions); only `entitlement` and `base_steps` round, once per order.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache

from contracts.money import minor_digits
from contracts.orders import OrderFacts, OrderLine, Refund, RefundLine
from contracts.points import BaseStep
from contracts.program import Basis, Program, SpendRule

from .amounts import Exact, apportion, rounded

PAID = frozenset({"paid", "partially_refunded", "refunded"})
"""Payment states of an order that was paid at some time."""


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


@dataclass(frozen=True, slots=True)
class Share:
    """What one rule makes of an order."""

    rule_id: str
    placed_minor: Exact
    """The basis of the order as placed, in minor units."""
    now_minor: Exact
    """The same after refunds."""
    points: Exact
    """Before multiplier and rounding: the smaller of as placed and as it stands."""


@dataclass(frozen=True, slots=True)
class Entitlement:
    """What an order should have under a program, in whole points."""

    shares: tuple[Share, ...]
    exact: Exact
    """Of all rules, after the multiplier, before rounding."""
    points: int
    by_rule: dict[str, int]


def entitlement(
    order: OrderFacts, program: Program, multiplier: Decimal, *, before: datetime | None = None
) -> Entitlement:
    """What a paid order should have: the sum over rules of min(as placed, as it stands), rounded once, then split.

    `before` leaves out refunds and a cancellation that happened at or after that moment.
    """
    refunds = order.refunds if before is None else tuple(item for item in order.refunds if item.occurred_at < before)
    cancelled = order.cancelled_at is not None and (before is None or order.cancelled_at < before)
    gone = cancelled or (before is None and order.payment not in PAID - {"refunded"})
    shares = tuple(_share(order, rule, program, refunds, gone) for rule in program.earning.rules)
    exact = sum(share.points for share in shares) * _fraction(multiplier)
    points = rounded(exact, program.earning.rounding)
    split = apportion(points, [share.points for share in shares])
    return Entitlement(shares, exact, points, {share.rule_id: part for share, part in zip(shares, split, strict=True)})


def base_steps(order: OrderFacts, program: Program, due: Entitlement) -> tuple[BaseStep, ...]:
    """The base points of a paid order over time: as placed, lower from the moment of each refund, 0 when cancelled.

    Base points know no multiplier. What is dated before the order acts from the order's own moment. `due` is what the
    order should have now.
    """
    if not order.refunds and order.cancelled_at is None and order.payment != "refunded":
        base = rounded(sum(share.points for share in due.shares), program.earning.rounding)
        return (BaseStep(acts_from=order.placed_at, base_points=base),)
    moments = {refund.occurred_at for refund in order.refunds}
    if order.cancelled_at is not None:
        moments.add(order.cancelled_at)
    steps = [BaseStep(acts_from=order.placed_at, base_points=_base(order, program, (), gone=False))]
    for moment in sorted(moments):
        known = tuple(refund for refund in order.refunds if refund.occurred_at <= moment)
        gone = order.cancelled_at is not None and order.cancelled_at <= moment
        _step_down(steps, moment, _base(order, program, known, gone=gone))
    if order.payment not in PAID - {"refunded"}:
        _step_down(steps, max(moments, default=order.updated_at), 0)
    return tuple(steps)


def _step_down(steps: list[BaseStep], moment: datetime, points: int) -> None:
    """Add a step, if it is one; base points never rise again."""
    last = steps[-1]
    if points >= last.base_points:
        return
    if moment <= last.acts_from:
        steps.pop()
        moment = last.acts_from
    steps.append(BaseStep(acts_from=moment, base_points=points))


def _base(order: OrderFacts, program: Program, refunds: Sequence[Refund], *, gone: bool) -> int:
    exact = sum(_share(order, rule, program, refunds, gone).points for rule in program.earning.rules)
    return rounded(exact, program.earning.rounding)


def _share(order: OrderFacts, rule: SpendRule, program: Program, refunds: Sequence[Refund], gone: bool) -> Share:
    placed = basis_minor(order, rule.basis)
    now = 0 if gone else placed if not refunds else min(placed, basis_minor(order, rule.basis, refunds))
    earning = 0 if now < rule.minimum_minor else now
    scale = 10 ** minor_digits(program.currency)
    return Share(rule.id, placed, now, earning * _fraction(rule.points_per_unit) / scale)


@lru_cache(maxsize=1024)
def _fraction(value: Decimal) -> Fraction:
    return Fraction(value)


def basis_minor(order: OrderFacts, basis: Basis, refunds: Sequence[Refund] = ()) -> Exact:
    """The money that counts as spent, in shop minor units.

    The order's own shop amounts are kept exact. What came back is a share of each part in presentment money, so that
    the rate is the one that the order itself pinned, and nothing more than the order can come back.
    """
    if refunds:
        counted = _after_refunds(order, basis, refunds)
    else:
        shop, taxes = _bounded_shop(order)
        lines = zip(order.lines, shop, taxes, strict=True)
        counted = sum(_counted(order, basis, *item) for item in lines if _eligible(basis, item[0]))
        counted += order.shipping.shop_minor if basis.shipping else 0
        counted += order.tip.shop_minor if basis.tip else 0
    return counted * _tender(order, basis)


def _eligible(basis: Basis, line: OrderLine) -> bool:
    return basis.gift_cards_bought or not line.gift_card


def _after_refunds(order: OrderFacts, basis: Basis, refunds: Sequence[Refund]) -> Exact:
    """What is left of lines, then of shipping and tip: money beyond the lines comes off these in this order."""
    lines, shipping, tip, extra = _parts(order, basis, refunds)
    eligible = [part for line, part in zip(order.lines, lines, strict=True) if _eligible(basis, line)]
    counted, extra = _without(eligible, extra)
    if basis.shipping:
        more, extra = _without([shipping], extra)
        counted += more
    if basis.tip:
        counted += _without([tip], extra)[0]
    return counted


def _without(parts: Sequence[Part], extra: Exact) -> tuple[Exact, Exact]:
    """What counts after `extra` came back of the parts, in proportion to what they have left; and what is over."""
    if not extra:
        return sum(part.rest() for part in parts), 0
    left = [max(0, part.paid - part.returned) for part in parts]
    whole = sum(left)
    taken = min(extra, whole)
    rest = sum(part.rest(Fraction(taken) * own / whole if whole else 0) for part, own in zip(parts, left, strict=True))
    return rest, extra - taken


def _parts(order: OrderFacts, basis: Basis, refunds: Sequence[Refund]) -> tuple[list[Part], Part, Part, Exact]:
    """The lines, the shipping and the tip with what came back of each, and the money that came back beyond them."""
    shop, taxes = _bounded_shop(order)
    paid = _bounded(
        [line.gross.presentment_minor - line.discount.presentment_minor for line in order.lines],
        order.subtotal.presentment_minor,
    )
    counted = [_counted(order, basis, *line) for line in zip(order.lines, shop, taxes, strict=True)]
    back, shipping_back, extra = _returned(order, refunds, paid)
    lines = []
    for line, value, price, returned in zip(order.lines, counted, paid, back, strict=True):
        extra += max(0, returned - price)
        # What cost nothing comes back by quantity.
        lines.append(Part(value, price, returned) if price else Part(value * _kept(line, refunds), 0))
    shipping = Part(order.shipping.shop_minor, order.shipping.presentment_minor, shipping_back)
    return lines, shipping, Part(order.tip.shop_minor, order.tip.presentment_minor), extra


def _kept(line: OrderLine, refunds: Sequence[Refund]) -> Exact:
    """The share of a line's quantity that did not come back."""
    quantity = sum(item.quantity for refund in refunds for item in refund.lines if item.line_id == line.line_id)
    return max(Fraction(0), 1 - Fraction(quantity, line.quantity)) if quantity and line.quantity else 1


def _bounded_shop(order: OrderFacts) -> tuple[list[int], list[int]]:
    """The lines within the subtotal, and their taxes: spread over them where only the order tells it."""
    nets = [line.gross.shop_minor - line.discount.shop_minor for line in order.lines]
    nets = _bounded(nets, order.subtotal.shop_minor)
    taxes = [line.tax.shop_minor for line in order.lines]
    return nets, apportion(order.tax.shop_minor, nets) if order.tax.shop_minor > 0 and not any(taxes) else taxes


def _bounded(nets: list[int], subtotal: int) -> list[int]:
    """The order's own subtotal bounds the sum of its lines: snapshots keep lines that an edit took away."""
    nets = [max(0, net) for net in nets]
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


def _returned(order: OrderFacts, refunds: Sequence[Refund], paid: list[int]) -> tuple[list[Exact], Exact, Exact]:
    """What came back of each line and of the shipping, and beyond: presentment minor units.

    The money is what counts. Where less was paid back than the lines explain the shop kept the rest, and each line
    came back in proportion; where more was, the difference is money beyond the lines.
    """
    place = {line.line_id: index for index, line in enumerate(order.lines)}
    back: list[Exact] = [0] * len(paid)
    shipping: Exact = 0
    extra: Exact = 0
    for refund in refunds:
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
            else:
                back[index] += share * amount
    return back, shipping, extra


def _told(order: OrderFacts, item: RefundLine, index: int | None, paid: list[int]) -> tuple[int | None, Exact]:
    """The place of a line, and what a refund says came back of it: an amount, or its share of the quantity."""
    if item.subtotal is not None:
        return index, item.subtotal.presentment_minor
    if index is None or not order.lines[index].quantity:
        return index, 0
    quantity = order.lines[index].quantity
    return index, Fraction(paid[index] * min(item.quantity, quantity), quantity)


def _tender(order: OrderFacts, basis: Basis) -> Exact:
    """The share of the order that was paid with what counts as money."""
    excluded = 0 if basis.gift_card_tender else order.gift_card_paid.shop_minor
    excluded += 0 if basis.points_tender else order.points_paid.shop_minor
    if excluded <= 0 or order.total.shop_minor <= 0:
        return 1
    return max(Fraction(0), 1 - Fraction(excluded, order.total.shop_minor))
