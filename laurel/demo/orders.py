"""One order of the shop through its life, told as Shopify tells it; and what it should earn, worked out apart."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from .people import Person

CATALOGUE = (
    ("Linen shirt", 4900), ("Wool scarf", 3550), ("Canvas tote", 1899), ("Ceramic mug", 1250), ("Desk lamp", 7999),
    ("Notebook", 899), ("Leather belt", 5200), ("Rain jacket", 11900), ("Candle", 1675), ("Tea tin", 1120),
)  # fmt: skip
GIFT_CARD = ("Gift card", 5000)
SHIPPING_CENTS = 595
TAX_PERCENT = 7


@dataclass(frozen=True)
class Item:
    """A line. Cents are for all pieces together."""

    line_id: int
    title: str
    price_cents: int
    quantity: int
    discount_cents: int = 0
    gift_card: bool = False

    @property
    def net_cents(self) -> int:
        return self.price_cents * self.quantity - self.discount_cents


@dataclass(frozen=True)
class Back:
    """A refund: one piece or more of one line, and its share of what the line cost."""

    refund_id: int
    at: datetime
    item: Item
    quantity: int
    cents: int


@dataclass
class Order:
    """An order as the shop knows it at one moment; it changes over its life."""

    number: int
    buyer: Person
    placed_at: datetime
    items: tuple[Item, ...]
    attributes: dict[str, str] = field(default_factory=dict)
    codes: tuple[str, ...] = ()
    test: bool = False
    status: str = "pending"
    updated_at: datetime | None = None
    fulfilled_at: datetime | None = None
    cancelled_at: datetime | None = None
    refunds: list[Back] = field(default_factory=list)

    @property
    def order_id(self) -> int:
        return 5_800_000_000_000 + self.number

    @property
    def subtotal_cents(self) -> int:
        return sum(item.net_cents for item in self.items)

    @property
    def base_cents(self) -> int:
        """What counts as spent: the lines after discounts without gift cards, less what came back of them.

        Nothing for orders that were never paid, were cancelled, or are tests.
        """
        if self.test or self.cancelled_at is not None or self.status in ("pending", "voided"):
            return 0
        bought = sum(item.net_cents for item in self.items if not item.gift_card)
        return bought - sum(back.cents for back in self.refunds if not back.item.gift_card)

    def payload(self) -> dict[str, Any]:
        """The order as a webhook tells it now."""
        subtotal, tax = self.subtotal_cents, self.subtotal_cents * TAX_PERCENT // 100
        gross = sum(item.price_cents * item.quantity for item in self.items)
        updated_at = (self.updated_at or self.placed_at).isoformat()
        address = _address(self.buyer)
        return {
            "id": self.order_id,
            "admin_graphql_api_id": f"gid://shopify/Order/{self.order_id}",
            "name": f"#{1000 + self.number}",
            "order_number": 1000 + self.number,
            "created_at": self.placed_at.isoformat(),
            "processed_at": self.placed_at.isoformat(),
            "updated_at": updated_at,
            "cancelled_at": self.cancelled_at.isoformat() if self.cancelled_at else None,
            "cancel_reason": "customer" if self.cancelled_at else None,
            "currency": "USD",
            "presentment_currency": "USD",
            "taxes_included": False,
            "test": self.test,
            "financial_status": self.status,
            "fulfillment_status": "fulfilled" if self.fulfilled_at else None,
            "source_name": "web",
            "email": self.buyer.email,
            "contact_email": self.buyer.email,
            "customer_locale": self.buyer.locale,
            "buyer_accepts_marketing": True,
            "customer": None if self.buyer.guest else self.buyer.record(),
            "browser_ip": f"203.0.{self.buyer.number // 250}.{self.buyer.number % 250}",
            "total_line_items_price": _money(gross),
            "total_discounts": _money(gross - subtotal),
            "subtotal_price": _money(subtotal),
            "total_tax": _money(tax),
            "total_price": _money(subtotal + tax + SHIPPING_CENTS),
            "total_price_set": _both(subtotal + tax + SHIPPING_CENTS),
            "subtotal_price_set": _both(subtotal),
            "tax_lines": [{"title": "Sales tax", "rate": TAX_PERCENT / 100, "price": _money(tax)}],
            "shipping_lines": [{"title": "Standard", "price": _money(SHIPPING_CENTS), "discount_allocations": []}],
            "discount_codes": [{"code": code, "amount": "0.00", "type": "fixed_amount"} for code in self.codes],
            "note_attributes": [{"name": name, "value": value} for name, value in self.attributes.items()],
            "payment_gateway_names": ["shopify_payments"],
            "billing_address": address,
            "shipping_address": address,
            "line_items": [_line(item) for item in self.items],
            "fulfillments": self._fulfillments(),
            "refunds": [self.refund(back) for back in self.refunds],
        }

    def refund(self, back: Back) -> dict[str, Any]:
        """A refund as `refunds/create` tells it."""
        tax = back.cents * TAX_PERCENT // 100
        return {
            "id": back.refund_id,
            "order_id": self.order_id,
            "created_at": back.at.isoformat(),
            "processed_at": back.at.isoformat(),
            "note": None,
            "refund_line_items": [
                {
                    "id": back.refund_id + 1,
                    "line_item_id": back.item.line_id,
                    "quantity": back.quantity,
                    "subtotal": _money(back.cents),
                    "total_tax": _money(tax),
                    "line_item": _line(back.item),
                }
            ],
            "transactions": [
                {
                    "id": back.refund_id + 2,
                    "kind": "refund",
                    "status": "success",
                    "amount": _money(back.cents + tax),
                    "currency": "USD",
                    "created_at": back.at.isoformat(),
                }
            ],
            "order_adjustments": [],
        }

    def _fulfillments(self) -> list[dict[str, Any]]:
        if self.fulfilled_at is None:
            return []
        return [{"id": self.order_id + 1, "status": "success", "created_at": self.fulfilled_at.isoformat()}]


def _address(buyer: Person) -> dict[str, str]:
    return {
        "first_name": buyer.first_name,
        "last_name": buyer.last_name,
        "address1": f"{buyer.number} Main Street",
        "city": "Springfield",
        "zip": f"{10_000 + buyer.number}",
        "province_code": "IL",
        "country_code": "US",
    }


def _money(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02}"


def _both(cents: int) -> dict[str, Any]:
    amount = {"amount": _money(cents), "currency_code": "USD"}
    return {"shop_money": amount, "presentment_money": amount}


def _line(item: Item) -> dict[str, Any]:
    discounts = [{"amount": _money(item.discount_cents), "discount_application_index": 0}]
    return {
        "id": item.line_id,
        "product_id": 9_000_000 + sum(item.title.encode()),
        "variant_id": 9_500_000 + sum(item.title.encode()),
        "sku": item.title.upper().replace(" ", "-"),
        "title": item.title,
        "name": item.title,
        "vendor": "Aurora",
        "price": _money(item.price_cents),
        "quantity": item.quantity,
        "gift_card": item.gift_card,
        "taxable": not item.gift_card,
        "discount_allocations": discounts if item.discount_cents else [],
        "tax_lines": [],
    }
