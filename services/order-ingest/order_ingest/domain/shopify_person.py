"""Who a Shopify payload is about. Details that are odd are left out: only ids and what is verified decide anything."""

import re

from .payload import Node

_COUNTRY = re.compile(r"[A-Za-z]{2}")
_EMAIL = re.compile(r"\s*[^@\s]+@[^@\s]+\s*")
Fields = dict[str, str | bool | None]


def read_buyer(order: Node) -> Fields:
    """The customer of an order, or the guest that only an e-mail address tells."""
    email = _email(order, "email") or _email(order, "contact_email")
    node = order.node("customer")
    customer = read_customer(node) if node else None
    if customer is not None:
        address = None if customer["email"] else email  # What was typed at the checkout is not what was verified.
        customer["email"] = customer["email"] or address
        customer["locale"] = _locale(order, "customer_locale") or customer["locale"]
        return customer
    named = order.node("billing_address") or order.node("shipping_address") or Node({})
    return {
        "email": email,
        "first_name": named.text("first_name", 255),
        "last_name": named.text("last_name", 255),
        "locale": _locale(order, "customer_locale"),
        # A box left empty at one checkout takes no earlier consent back.
        "email_consent": True if order.flag("buyer_accepts_marketing") else None,
    }


def read_customer(node: Node) -> Fields | None:
    """A customer record; None where it has no id."""
    customer_id = node.text("id")
    if customer_id is None:
        return None
    email = _email(node, "email")
    return {
        "customer_id": customer_id,
        "email": email,
        "email_verified": email is not None and node.flag("verified_email"),
        "account": node.text("state") == "enabled",
        "first_name": node.text("first_name", 255),
        "last_name": node.text("last_name", 255),
        "locale": _locale(node, "locale"),
        "email_consent": _consent(node),
    }


def read_address(node: Node | None) -> str | None:
    """An address in one line, without the person's name."""
    if node is None:
        return None
    place = [node.text("province_code") or node.text("province"), node.text("country_code") or node.text("country")]
    parts = [*(node.text(key) for key in ("address1", "address2", "zip", "city")), *place]
    return ", ".join(part.strip() for part in parts if part)[:1000] or None


def read_country(order: Node) -> str | None:
    """Where an order goes, or where it was billed; what is no code of two letters says nothing."""
    for key in ("shipping_address", "billing_address"):
        address = order.node(key)
        code = (address.text("country_code") or "").strip() if address else ""
        if _COUNTRY.fullmatch(code):
            return code.upper()
    return None


def _consent(node: Node) -> bool | None:
    told = node.node("email_marketing_consent")
    state = told.text("state") if told else None
    if state is not None:
        return state == "subscribed"
    accepts = node.data.get("accepts_marketing")
    return accepts if isinstance(accepts, bool) else None


def _email(node: Node, key: str) -> str | None:
    value = node.text(key)
    return value if value is not None and len(value) <= 320 and _EMAIL.fullmatch(value) else None


def _locale(node: Node, key: str) -> str | None:
    value = node.text(key)
    return value if value is not None and len(value) <= 35 else None
