"""Shopify's payloads, 2008 to today, as facts. What the body says counts; the topic header is covered by no MAC."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from pydantic import ValidationError

from contracts.commerce import Customer, MemberReport, OrderReport
from contracts.orders import ZERO, Amount, OrderLine

from .facts import NOTHING, DisputeReport, Money, PayloadError, RefundReport, Scale, earliest, settle
from .payload import Node, load
from .shopify_dispute import read_dispute
from .shopify_person import read_address, read_buyer, read_country, read_customer
from .shopify_refund import is_tip, read_refund

Report = OrderReport | RefundReport | DisputeReport | MemberReport

_PAYMENTS = {
    None: "pending",
    "pending": "pending",
    "unpaid": "pending",
    "authorized": "authorized",
    "partially_paid": "partially_paid",
    "paid": "paid",
    "partially_refunded": "partially_refunded",
    "refunded": "refunded",
    "voided": "voided",
    "expired": "voided",
}
_CUSTOMER_FIELDS = {"email", "first_name", "verified_email", "orders_count", "accepts_marketing", "state"}


def read(body: bytes, source: str) -> Report | None:
    """The fact that a body tells; None if it concerns no order. Raises `PayloadError`: what is wrong, and where."""
    data = load(body)
    [(key, inner)] = data.items() if len(data) == 1 else [("", None)]
    if key in ("order", "refund", "dispute", "customer") and isinstance(inner, dict):
        data = inner  # REST exports wrap what webhooks send bare.
    try:
        return _report(data, source)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        raise PayloadError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error


def _report(data: dict[str, Any], source: str) -> Report | None:
    node = Node(data)
    if "order_id" in data and ("refund_line_items" in data or "transactions" in data):
        return RefundReport(source=source, order_id=node.required("order_id"), refund=read_refund(node))
    if "order_id" in data and "initiated_at" in data:
        return read_dispute(node, source)
    if "line_items" in data and "financial_status" in data and "order_id" not in data:
        return _order(Node(data, currency=node.required("currency")), source)
    if "id" in data and "line_items" not in data and data.keys() & _CUSTOMER_FIELDS:
        return _member(node, source)
    raise PayloadError("the body is neither an order, nor a refund, nor a dispute, nor a customer")


def _member(node: Node, source: str) -> MemberReport:
    updated_at = node.instant("updated_at") or node.instant("created_at")
    if updated_at is None:
        raise PayloadError("updated_at is missing")
    customer = read_customer(node)
    if customer is None:
        raise PayloadError("id is missing")
    return MemberReport(source=source, customer=Customer.model_validate(customer), updated_at=updated_at)


def _order(node: Node, source: str) -> OrderReport:
    scale = _scale(node)
    status = node.text("financial_status")
    if status not in _PAYMENTS:
        raise PayloadError(f"financial_status is {str(status)[:40]!r}, which is not known")
    lines = _lines(node, scale)
    by_id = {line.line_id: line for line in lines}
    taxes_included = node.flag("taxes_included")
    refunds = [settle(read_refund(item), scale, taxes_included, by_id) for item in node.nodes("refunds")]
    total = _needed(node, "total_price", scale)
    payment = _PAYMENTS[status]
    times = _times(node, payment, min((refund.occurred_at for refund in refunds), default=None))
    return OrderReport.model_validate(
        {
            "source": source,
            "order_id": node.required("id"),
            "order_name": node.text("name", 255),
            "currency": scale.currency,
            "presentment_currency": scale.presentment_currency,
            "taxes_included": taxes_included,
            **times,
            "payment": payment,
            "test": node.flag("test"),
            "channel": node.text("source_name", 255),
            "country": read_country(node),
            "lines": lines,
            "subtotal": _needed(node, "subtotal_price", scale),
            "shipping": scale.amount(_shipping(node)),
            "tax": scale.amount(node.money("total_tax") or _sum(node, "tax_lines", "price")),
            "tip": scale.amount(node.money("total_tip_received") or NOTHING),
            "total": total,
            "gift_card_paid": _gift_card_paid(node, payment, total, scale),
            "discount_codes": _codes(node),
            "attributes": _attributes(node),
            "refunds": refunds,
            "customer": Customer.model_validate(read_buyer(node)),
            "browser_ip": _browser_ip(node),
            "shipping_address": read_address(node.node("shipping_address")),
        }
    )


def _scale(node: Node) -> Scale:
    """The rate is the total's, or that of what the lines cost where the total is nothing."""
    rate = Decimal(1)
    for key in ("total_price", "total_line_items_price"):
        money = node.money(key)
        if money is not None and money.shop and money.presentment is not None:
            rate = money.presentment / money.shop
            break
    currency = node.required("currency")
    return Scale(currency=currency, presentment_currency=node.text("presentment_currency") or currency, rate=rate)


def _needed(node: Node, key: str, scale: Scale) -> Amount:
    money = node.money(key)
    if money is None:
        raise PayloadError(f"{node.at(key)} is missing")
    return scale.amount(money)


def _sum(node: Node, key: str, field: str) -> Money:
    amounts = [item.money(field) for item in node.nodes(key)]
    return sum((amount for amount in amounts if amount is not None), NOTHING)


def _times(node: Node, payment: str, first_refund_at: datetime | None) -> dict[str, datetime | None]:
    """When things happened.

    An imported order keeps its true day in `processed_at`, so the earlier of it and `created_at` is when it was
    placed. Shopify does not say when an order was paid: it is no later than the last change that this payload knows,
    nor than the first refund; merged with other payloads the earliest stays.
    """
    placed_at = earliest(node.instant("created_at"), node.instant("processed_at"))
    if placed_at is None:
        raise PayloadError("created_at is missing")
    updated_at = node.instant("updated_at") or placed_at
    paid_at = None
    if payment in ("paid", "partially_refunded", "refunded"):
        captured = [
            moment
            for item in node.nodes("transactions")
            if item.text("kind") in ("sale", "capture") and item.text("status") == "success"
            if (moment := item.instant("processed_at") or item.instant("created_at"))
        ]
        paid_at = max(captured, default=None) or earliest(updated_at, first_refund_at)
        paid_at = max(paid_at or placed_at, placed_at)
    return {
        "placed_at": placed_at,
        "updated_at": updated_at,
        "paid_at": paid_at,
        "cancelled_at": node.instant("cancelled_at"),
        "fulfilled_at": _fulfilled_at(node, updated_at),
    }


def _fulfilled_at(node: Node, updated_at: datetime) -> datetime | None:
    """When the last of it left; only once all of it has."""
    if node.text("fulfillment_status") != "fulfilled":
        return None
    moments = [
        moment
        for item in node.nodes("fulfillments")
        if item.text("status") in (None, "success")
        if (moment := item.instant("created_at"))
    ]
    return max(moments, default=updated_at)


def _lines(node: Node, scale: Scale) -> list[OrderLine]:
    items = [item for item in node.nodes("line_items") if not is_tip(item)]
    lines = [_line(item, scale) for item in items]
    if any(line.discount != ZERO for line in lines):
        return lines
    discounts = scale.amount(node.money("total_discounts") or NOTHING)
    return _spread(lines, discounts, _needed(node, "subtotal_price", scale))


def _line(item: Node, scale: Scale) -> OrderLine:
    price, quantity = item.money("price"), item.whole("quantity")
    if price is None:
        raise PayloadError(f"{item.at('price')} is missing")
    # `total_discount` is "0.00" where allocations are told; only payloads older than these need it.
    discount = _sum(item, "discount_allocations", "amount")
    if not discount.shop:
        discount = item.money("total_discount") or NOTHING
    return OrderLine.model_validate(
        {
            "line_id": item.required("id"),
            "product_id": item.text("product_id"),
            "variant_id": item.text("variant_id"),
            "sku": item.text("sku", 255),
            "title": item.text("title", 1000),
            "vendor": item.text("vendor", 255),
            "quantity": quantity,
            "gross": scale.amount(price * quantity),
            "discount": scale.amount(discount),
            "tax": scale.amount(_sum(item, "tax_lines", "price")),
            "gift_card": item.flag("gift_card") or item.text("fulfillment_service") == "gift_card",
        }
    )


def _spread(lines: list[OrderLine], discounts: Amount, subtotal: Amount) -> list[OrderLine]:
    """Payloads older than discount allocations tell one discount for the order: spread it by price.

    Never more than the lines lack towards the order's subtotal, because the sum may hold a discount on shipping.
    Gift cards sold are never discounted. Largest remainder, so that the parts add up.
    """
    open_lines = [index for index, line in enumerate(lines) if not line.gift_card]
    parts: dict[str, dict[int, int]] = {}
    for field in ("shop_minor", "presentment_minor"):
        weights = {index: int(getattr(lines[index].gross, field)) for index in open_lines}
        lacking = sum(int(getattr(line.gross, field)) for line in lines) - int(getattr(subtotal, field))
        parts[field] = _shares(min(int(getattr(discounts, field)), lacking), weights)
    return [
        line.model_copy(update={"discount": Amount(**{field: shares.get(index, 0) for field, shares in parts.items()})})
        for index, line in enumerate(lines)
    ]


def _shares(total: int, weights: dict[int, int]) -> dict[int, int]:
    whole = sum(weights.values())
    if total <= 0 or whole <= 0:
        return {}
    shares = {index: total * weight // whole for index, weight in weights.items()}
    rest = sorted(weights, key=lambda index: (-(total * weights[index] % whole), index))
    for index in rest[: total - sum(shares.values())]:
        shares[index] += 1
    return shares


def _shipping(node: Node) -> Money:
    """What shipping cost after its discounts."""
    if "shipping_lines" not in node.data:
        return node.money("total_shipping_price") or NOTHING
    cost = NOTHING
    for line in node.nodes("shipping_lines"):
        if not line.flag("is_removed"):
            discounted = line.money("discounted_price")
            price = line.money("price") or NOTHING
            cost += discounted if discounted is not None else price + -_sum(line, "discount_allocations", "amount")
    return cost


def _gift_card_paid(node: Node, payment: str, total: Amount, scale: Scale) -> Amount:
    """Orders do not say how much was paid by gift card, unless it was all, or their transactions are told."""
    paid = NOTHING
    for item in node.nodes("transactions"):
        if item.text("gateway") == "gift_card" and item.text("kind") in ("sale", "capture"):
            amount = item.decimal("amount") if item.text("status") == "success" else None
            paid += Money(shop=amount or Decimal(0))
    if paid.shop:
        return scale.amount(paid)
    all_of_it = node.data.get("payment_gateway_names") == ["gift_card"] and payment not in ("pending", "voided")
    return total if all_of_it else ZERO


def _codes(node: Node) -> list[str]:
    codes = [item.text("code", 255) for key in ("discount_codes", "discount_applications") for item in node.nodes(key)]
    return list(dict.fromkeys(code for code in codes if code))[:100]


def _attributes(node: Node) -> dict[str, str]:
    """Cart attributes; their values may be texts, numbers or nothing."""
    if isinstance(node.data.get("note_attributes"), dict):
        told = node.data["note_attributes"].items()
    else:
        told = [(item.text("name"), item.data.get("value")) for item in node.nodes("note_attributes")]
    known = [(str(name)[:255], str(value)) for name, value in told if name and isinstance(value, (str, int, Decimal))]
    return dict(known[:100])


def _browser_ip(node: Node) -> str | None:
    details = node.node("client_details")
    return node.text("browser_ip", 64) or (details.text("browser_ip", 64) if details else None)
