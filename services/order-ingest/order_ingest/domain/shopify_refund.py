"""Shopify refunds, which say their money in four places.

Money refunded = sum of (line subtotal + total_tax) - sum of (adjustment amount + tax_amount): a shipping refund is a
negative adjustment; a positive discrepancy is money that was not paid back. Inferred from genuine payloads.
"""

from decimal import Decimal

from .facts import NOTHING, LooseRefund, LooseRefundLine, Money, PayloadError
from .payload import Node


def read_refund(node: Node) -> LooseRefund:
    """One refund, alone or inside its order."""
    occurred_at = node.instant("created_at") or node.instant("processed_at")
    if occurred_at is None:
        raise PayloadError(f"{node.at('created_at')} is missing")
    adjustments = node.nodes("order_adjustments")
    shipping = [_money(item) for item in adjustments if item.text("kind") == "shipping_refund"]
    other = [_money(item) for item in adjustments if item.text("kind") != "shipping_refund"]
    shipping_money = -sum(shipping, NOTHING)
    if not shipping:
        # Since 2024-10 refunded shipping is told apart; where both are told, they mean the same money.
        shipping_money = sum(map(_shipping_line, node.nodes("refund_shipping_lines")), NOTHING)
    tips: list[Node] = []
    items: list[Node] = []
    for item in node.nodes("refund_line_items"):
        (tips if is_tip(item.node("line_item")) else items).append(item)
    paid, paid_currency = _paid(node)
    return LooseRefund(
        refund_id=node.required("id"),
        occurred_at=occurred_at,
        lines=tuple(map(_line, items)),
        shipping=shipping_money,
        adjustment=-sum(other, NOTHING),
        paid=paid,
        paid_currency=paid_currency,
        outside=sum(map(_line_money, tips), _duties(node)),
    )


def is_tip(line: Node | None) -> bool:
    """Tips are lines of their own in Shopify. They earn nothing, and what comes back of them takes nothing."""
    if line is None or "tip_payment_gateway" not in line.data:
        return False
    return line.data["tip_payment_gateway"] is not None or (line.text("title") or "").lower() == "tip"


def _money(adjustment: Node) -> Money:
    return (adjustment.money("amount") or NOTHING) + (adjustment.money("tax_amount") or NOTHING)


def _shipping_line(line: Node) -> Money:
    return (line.money("subtotal_amount") or NOTHING) + (line.money("tax_amount") or NOTHING)


def _line_money(item: Node) -> Money:
    return (item.money("subtotal") or NOTHING) + (item.money("total_tax") or NOTHING)


def _duties(node: Node) -> Money:
    """Duties given back, told as a list or as a list in an object."""
    holder = node.node("duties") if isinstance(node.data.get("duties"), dict) else node
    amounts = [item.money("amount") for item in (holder or node).nodes("duties")]
    return sum((amount for amount in amounts if amount is not None), NOTHING)


def _line(item: Node) -> LooseRefundLine:
    inside = item.node("line_item")
    line_id = item.text("line_item_id") or (inside.text("id") if inside else None)
    if line_id is None:
        raise PayloadError(f"{item.at('line_item_id')} is missing")
    return LooseRefundLine(
        line_id=line_id,
        quantity=item.whole("quantity"),
        subtotal=item.money("subtotal"),
        tax=item.money("total_tax") or NOTHING,
    )


def _paid(node: Node) -> tuple[Decimal | None, str | None]:
    """What the provider paid back and in which currency; unknown without transactions, or while one is pending."""
    transactions = [item for item in node.nodes("transactions") if item.text("kind") == "refund"]
    if not transactions or any(item.text("status") == "pending" for item in transactions):
        return None, None
    succeeded = [item for item in transactions if item.text("status") in (None, "success")]
    currencies = {item.text("currency") for item in succeeded}
    if len(currencies) > 1:
        return None, None
    amounts = [item.decimal("amount") for item in succeeded]
    return sum((amount for amount in amounts if amount is not None), Decimal(0)), next(iter(currencies), None)
