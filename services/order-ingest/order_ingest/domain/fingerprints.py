"""Salted hashes for fraud checks: equal for what is the same to a person, useless to who does not hold the salt."""

import hashlib
import hmac
import ipaddress
import re
import unicodedata

from contracts.commerce import OrderReport
from contracts.orders import Fingerprints

_DOTS_IGNORED = frozenset({"gmail.com", "googlemail.com"})


def email_fingerprint(salt: bytes, email: str | None) -> str | None:
    """Of the address without aliases: `+tag` everywhere, dots at Google's, upper case."""
    if email is None:
        return None
    local, _, domain = email.strip().lower().rpartition("@")
    local = local.partition("+")[0]
    if domain in _DOTS_IGNORED:
        local, domain = local.replace(".", ""), "gmail.com"
    return _keyed(salt, "email", f"{local}@{domain}")


def order_fingerprints(salt: bytes, report: OrderReport) -> Fingerprints:
    """Of an order's e-mail, shipping address and browser."""
    return Fingerprints(
        email=email_fingerprint(salt, report.customer.email),
        address=_address(salt, report.shipping_address),
        ip=_ip(salt, report.browser_ip),
    )


def _address(salt: bytes, address: str | None) -> str | None:
    """Case, accents, punctuation and spacing do not tell two homes apart."""
    plain = unicodedata.normalize("NFKD", (address or "").casefold())
    words = re.findall(r"\w+", "".join(char for char in plain if not unicodedata.combining(char)))
    return _keyed(salt, "address", " ".join(words)) if words else None


def _ip(salt: bytes, text: str | None) -> str | None:
    """Addresses that many share by construction (private, loopback, unspecified) say nothing."""
    try:
        address = ipaddress.ip_address((text or "").strip())
    except ValueError:
        return None
    return _keyed(salt, "ip", address.compressed) if address.is_global else None


def _keyed(salt: bytes, kind: str, text: str) -> str:
    return hmac.new(salt, f"{kind}:{text}".encode(), hashlib.sha256).hexdigest()
