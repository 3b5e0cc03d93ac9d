"""Shopify payloads to vary: the genuine samples, and an order as Shopify writes them today."""

import json
from pathlib import Path
from typing import Any

FIXTURES = Path(__file__).parents[2] / "fixtures" / "shopify"


def genuine(name: str) -> bytes:
    return (FIXTURES / name).read_bytes()


def both(shop: str, presentment: str | None = None, currencies: tuple[str, str] = ("USD", "USD")) -> dict[str, Any]:
    return {
        "shop_money": {"amount": shop, "currency_code": currencies[0]},
        "presentment_money": {"amount": presentment or shop, "currency_code": currencies[1]},
    }


def line(
    line_id: int = 11, price: str = "100.00", quantity: int = 1, discount: str = "0.00", **fields: Any
) -> dict[str, Any]:
    allocations = [{"amount": discount, "amount_set": both(discount), "discount_application_index": 0}]
    return {
        "id": line_id,
        "product_id": 5,
        "variant_id": None,
        "title": "Kettle",
        "sku": "",
        "vendor": None,
        "quantity": quantity,
        "current_quantity": quantity,
        "price": price,
        "price_set": both(price),
        "total_discount": "0.00",
        "discount_allocations": allocations if discount != "0.00" else [],
        "gift_card": False,
        "tax_lines": [],
        **fields,
    }


def order(**fields: Any) -> dict[str, Any]:
    document: dict[str, Any] = {
        "id": 4001,
        "name": "#4001",
        "email": "ada@example.com",
        "contact_email": "ada@example.com",
        "created_at": "2024-05-01T10:00:00+02:00",
        "processed_at": "2024-05-01T09:59:58+02:00",
        "updated_at": "2024-05-01T10:00:05+02:00",
        "cancelled_at": None,
        "currency": "USD",
        "presentment_currency": "USD",
        "financial_status": "paid",
        "fulfillment_status": None,
        "taxes_included": False,
        "test": False,
        "subtotal_price": "100.00",
        "total_price": "100.00",
        "total_tax": "0.00",
        "total_discounts": "0.00",
        "source_name": "web",
        "line_items": [line()],
        "shipping_lines": [],
        "discount_codes": [],
        "note_attributes": [],
        "refunds": [],
        "customer": {
            "id": 77,
            "email": "ada@example.com",
            "verified_email": True,
            "state": "enabled",
            "first_name": "Ada",
            "last_name": "L",
        },
        "a_field_of_tomorrow": {"x": [1]},
    }
    return document | fields


def refund(refund_id: int = 9001, lines: tuple[tuple[int, int, str, str], ...] = (), **fields: Any) -> dict[str, Any]:
    """`lines`: line id, quantity, subtotal, tax."""
    return {
        "id": refund_id,
        "order_id": 4001,
        "created_at": "2024-05-03T10:00:00+02:00",
        "refund_line_items": [
            {
                "id": index,
                "line_item_id": line_id,
                "quantity": quantity,
                "subtotal": float(subtotal),
                "subtotal_set": both(subtotal),
                "total_tax": float(tax),
                "total_tax_set": both(tax),
            }
            for index, (line_id, quantity, subtotal, tax) in enumerate(lines)
        ],
        "transactions": [],
        "order_adjustments": [],
        **fields,
    }


def dispute(dispute_id: int = 7001, **fields: Any) -> dict[str, Any]:
    return {
        "id": dispute_id,
        "order_id": 4001,
        "type": "chargeback",
        "amount": "100.00",
        "currency": "USD",
        "reason": "fraudulent",
        "network_reason_code": "4837",
        "status": "needs_response",
        "evidence_due_by": "2024-05-20T02:00:00+02:00",
        "evidence_sent_on": None,
        "finalized_on": None,
        "initiated_at": "2024-05-10T02:00:00+02:00",
        **fields,
    }


def body(document: dict[str, Any]) -> bytes:
    return json.dumps(document).encode()
