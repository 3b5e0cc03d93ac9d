"""How amounts read: money with the decimals of its currency, counts with their noun, lists in a sentence."""

from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction

from contracts.money import minor_digits


def money(minor: int | Decimal | Fraction, currency: str) -> str:
    """Such as `1,234.50 USD`; parts of a minor unit are shown as they are, up to six decimals more."""
    digits = minor_digits(currency)
    exact = Fraction(minor) / 10**digits
    text = f"{_decimal(exact):,.{digits + 6}f}"
    whole, _, decimals = text.partition(".")
    decimals = decimals[:digits] + decimals[digits:].rstrip("0")
    return f"{whole}.{decimals} {currency}" if decimals else f"{whole} {currency}"


def number(value: int | Decimal | Fraction) -> str:
    """Such as `1,234.5`, without zeros at its end."""
    text = f"{_decimal(Fraction(value)):,.6f}"
    return text.rstrip("0").rstrip(".")


def _decimal(value: Fraction) -> Decimal:
    return Decimal(value.numerator) / Decimal(value.denominator)


def percent(share: Fraction) -> str:
    """Such as `62.5 %`: rounded down, so that a threshold that is passed is not shown as reached."""
    return f"{number(Fraction(int(share * 1000), 10))} %"


def count(value: int | Decimal, one: str, many: str | None = None) -> str:
    """Such as `1 day` or `30 days`."""
    return f"{number(value)} {one if value == 1 else many or one + 's'}"


def listed(words: Iterable[str], last: str = "and") -> str:
    """Such as `a, b and c`."""
    items = list(words)
    return f" {last} ".join([", ".join(items[:-1]), items[-1]]) if len(items) > 1 else "".join(items)
