"""How a story writes values: money as decimals of a currency, moments in the program's zone."""

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field

from contracts.money import minor_digits
from contracts.orders import Amount


class Mistake(Exception):
    """Something in a story that cannot be; `path` leads from the entry to the field."""

    def __init__(self, text: str, *path: str | int) -> None:
        super().__init__(text)
        self.path = path


def _a_moment(value: str) -> str:
    try:
        datetime.fromisoformat(value)
    except ValueError:
        raise ValueError("is no date or moment: write 2026-03-01 or 2026-03-01 18:30") from None
    return value


Moment = Annotated[str, AfterValidator(_a_moment)]
"""`2026-03-01` is the first moment of that day, `2026-03-01 18:30` a local time; an offset may follow."""
Money = Annotated[Decimal, Field(ge=0, max_digits=18)]
Count = Annotated[int, Field(ge=0)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 #._:-]{0,99}$")]


def moment(value: str, zone: ZoneInfo) -> datetime:
    """In UTC."""
    found = datetime.fromisoformat(value)
    return (found if found.tzinfo else found.replace(tzinfo=zone)).astimezone(UTC)


def local(at: datetime, zone: ZoneInfo) -> str:
    """As people of the program read it: the day, and the time unless it is midnight."""
    here = at.astimezone(zone)
    shown = f"{here:%Y-%m-%d %H:%M:%S}"
    return shown.removesuffix(":00").removesuffix(" 00:00")


def minor(value: Decimal, currency: str) -> int:
    """Integer minor units. Raises `Mistake` for more decimals than the currency has."""
    scaled = value.scaleb(minor_digits(currency))
    if scaled != scaled.to_integral_value():
        raise Mistake(f"{value} has more decimals than {currency} has ({minor_digits(currency)})")
    return int(scaled)


@dataclass(frozen=True, slots=True)
class Exchange:
    """The two currencies of an order: the shop's own, in which a story counts, and what the buyer saw."""

    shop: str
    presentment: str
    rate: Decimal = Decimal(1)
    """So much of the buyer's currency for one of the shop's."""

    def amount(self, value: Decimal) -> Amount:
        """Money told in the shop's currency."""
        return Amount(shop_minor=minor(value, self.shop), presentment_minor=_near(value * self.rate, self.presentment))

    def from_presentment(self, value: Decimal, rate: Decimal | None = None) -> Amount:
        """Money told in the buyer's currency; `rate`: that of the day, where it differs."""
        shop = value / (rate or self.rate)
        return Amount(shop_minor=_near(shop, self.shop), presentment_minor=minor(value, self.presentment))


def _near(value: Decimal, currency: str) -> int:
    return int(value.scaleb(minor_digits(currency)).to_integral_value(ROUND_HALF_EVEN))
