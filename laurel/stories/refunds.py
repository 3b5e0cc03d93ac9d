"""Refunds of a story, as the wire has them."""

from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal

from contracts.orders import ZERO, Amount, OrderLine, Refund, RefundLine

from .facts import BackLine, RefundEntry
from .units import Exchange, Mistake


def refund_of(
    entry: RefundEntry, name: str, at: datetime, lines: Sequence[OrderLine], total: Amount, money: Exchange
) -> Refund:
    """What came back. Lines that are not known yet, because an edit added them, are left out until they are."""
    if entry.currency not in (None, money.shop, money.presentment):
        raise Mistake(f"must be {money.shop} or {money.presentment}, the currencies of the order", "currency")

    def amount(value: Decimal) -> Amount:
        if entry.currency in (None, money.shop):
            return money.amount(value)
        return money.from_presentment(value, entry.rate)

    known = {line.line_id: line for line in lines}
    named = entry.lines if isinstance(entry.lines, dict) else dict.fromkeys(entry.lines)
    whole = not named and entry.amount is None and not entry.shipping
    paid = total if whole else None if entry.amount is None else amount(entry.amount)
    return Refund(
        refund_id=entry.id or name,
        occurred_at=at,
        lines=tuple(_line(known[line], part, amount) for line, part in named.items() if line in known),
        shipping=amount(entry.shipping) if entry.shipping else ZERO,
        paid=paid,
        goodwill=entry.goodwill,
    )


def _line(line: OrderLine, part: Decimal | BackLine | None, amount: Callable[[Decimal], Amount]) -> RefundLine:
    if isinstance(part, Decimal):
        return RefundLine(line_id=line.line_id, quantity=1, subtotal=amount(part))
    quantity = line.quantity if part is None else part.quantity
    tax = _share(line.tax, quantity, line.quantity)
    if part is not None and part.tax is not None:
        tax = amount(part.tax)
    told = amount(part.amount) if part is not None and part.amount is not None else None
    return RefundLine(line_id=line.line_id, quantity=quantity, subtotal=told, tax=tax)


def _share(whole: Amount, quantity: int, of: int) -> Amount:
    return Amount(
        shop_minor=whole.shop_minor * quantity // of, presentment_minor=whole.presentment_minor * quantity // of
    )
