"""Reading JSON that others wrote: tolerant of what is missing or extra, strict about what would make money wrong."""

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NoReturn

from contracts.texts import unstorable

from .facts import Money, PayloadError

_DECIMAL = re.compile(r"[+-]?\d{1,13}(\.\d{1,20})?")
_ODD_ESCAPE = re.compile(r"\\u(0000|d[89a-f])", re.IGNORECASE)
_DIGITS_MAX = 12
"""Amounts of a million millions or more are no prices."""


def load(body: bytes) -> dict[str, Any]:
    """The JSON object of a body, numbers as Decimal from their text. Raises `PayloadError`."""
    try:
        text = body.decode("utf-8")
        value = json.loads(text, parse_float=Decimal, parse_constant=_refuse)
        if _ODD_ESCAPE.search(text) and unstorable(value):
            raise PayloadError("a text holds a zero character or half of a surrogate pair")
    except UnicodeDecodeError as error:
        raise PayloadError(f"the body is not UTF-8, at byte {error.start}") from error
    except json.JSONDecodeError as error:
        raise PayloadError(f"the body is not JSON: {error.msg} at character {error.pos}") from error
    except (ValueError, RecursionError, ArithmeticError) as error:
        if isinstance(error, PayloadError):
            raise
        raise PayloadError(f"the body is JSON that nobody writes: {type(error).__name__}") from error
    if not isinstance(value, dict):
        raise PayloadError("the body is not a JSON object")
    return value


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


@dataclass(frozen=True, slots=True)
class Node:
    """A JSON object and where it is. `currency`: the shop's, which money inside must be in, where it is known."""

    data: dict[str, Any]
    path: str = ""
    currency: str | None = None

    def at(self, key: str) -> str:
        """Where a field is, for messages."""
        return f"{self.path}.{key}" if self.path else key

    def text(self, key: str, longest: int | None = None) -> str | None:
        """A text, or a whole number as text; blank is none. What is longer is cut."""
        value = self.data.get(key)
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        if value is None or (isinstance(value, str) and not value.strip()):
            return None
        if not isinstance(value, str):
            raise PayloadError(f"{self.at(key)} is not a text")
        return value if longest is None else value[:longest]

    def required(self, key: str) -> str:
        """A text that must be there, such as an id."""
        value = self.text(key)
        if value is None:
            raise PayloadError(f"{self.at(key)} is missing")
        return value

    def flag(self, key: str) -> bool:
        """True only where it is said."""
        return self.data.get(key) in (True, "true")

    def whole(self, key: str) -> int:
        """A whole number, written as a number or a text."""
        value = self._decimal(self.data.get(key), self.at(key))
        if value is None or value != value.to_integral_value():
            raise PayloadError(f"{self.at(key)} is not a whole number")
        return int(value)

    def instant(self, key: str) -> datetime | None:
        """A moment with its offset, in UTC."""
        value = self.text(key)
        if value is None:
            return None
        try:
            moment = datetime.fromisoformat(value)
            if moment.tzinfo is None:
                raise PayloadError(f"{self.at(key)} is a time without an offset")
            return moment.astimezone(UTC)
        except (ValueError, OverflowError) as error:
            if isinstance(error, PayloadError):
                raise
            raise PayloadError(f"{self.at(key)} is not a time") from error

    def node(self, key: str) -> "Node | None":
        """An object inside."""
        value = self.data.get(key)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise PayloadError(f"{self.at(key)} is not an object")
        return Node(value, self.at(key), self.currency)

    def nodes(self, key: str) -> list["Node"]:
        """The objects of a list; none when it is missing."""
        value = self.data.get(key)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise PayloadError(f"{self.at(key)} is not a list of objects")
        return [Node(item, f"{self.at(key)}[{index}]", self.currency) for index, item in enumerate(value)]

    def decimal(self, key: str) -> Decimal | None:
        """A number, written as a number or a text."""
        return self._decimal(self.data.get(key), self.at(key))

    def money(self, key: str) -> Money | None:
        """An amount: `<key>_set` with shop and presentment money, or else the plain field in the shop's currency."""
        both = self.node(f"{key}_set")
        shop = both.node("shop_money") if both else None
        if both is None or shop is None or shop.data.get("amount") is None:
            plain = self.decimal(key)
            return None if plain is None else Money(shop=plain)
        told = shop.text("currency_code")
        if told is not None and self.currency is not None and told != self.currency:
            raise PayloadError(f"{shop.path} is in {told}, but the order is in {self.currency}")
        buyer = both.node("presentment_money")
        amount = shop.decimal("amount")
        assert amount is not None
        return Money(shop=amount, presentment=buyer.decimal("amount") if buyer else None)

    @staticmethod
    def _decimal(value: object, where: str) -> Decimal | None:
        if value is None or value == "":
            return None
        if isinstance(value, str) and _DECIMAL.fullmatch(value.strip()):
            value = Decimal(value.strip())
        elif isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**_DIGITS_MAX:
            value = Decimal(value)
        if not isinstance(value, Decimal):
            raise PayloadError(f"{where} is not a number")
        if value and not -30 < value.adjusted() < _DIGITS_MAX:
            raise PayloadError(f"{where} is out of range")
        return value
