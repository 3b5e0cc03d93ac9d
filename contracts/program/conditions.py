"""When something applies, to whom, and to which lines of an order."""

from datetime import date
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from ..base import Currency, ShortText, Slug
from .common import Strict

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WEEKDAYS: tuple[Weekday, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
Hours = Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d-(([01]\d|2[0-3]):[0-5]\d|24:00)$")]
"""Such as `18:00-22:00`: from the first minute up to the last, which is outside. `22:00-02:00` runs over midnight."""
Country = Annotated[str, Field(pattern=r"^[A-Z]{2}$")]
Values = Annotated[tuple[ShortText, ...], Field(min_length=1, max_length=1000)]


class Conditions(Strict):
    """All that are given must hold; where a list is given, one of it. Days and hours are those of the program's zone.

    Tiers and memberships are those held when it happened. Segments and attributes are those known when it is first
    judged, and stay so.
    """

    first_day: date | None = None
    """From the beginning of this day."""
    last_day: date | None = None
    """To the end of this day."""
    weekdays: tuple[Weekday, ...] = ()
    hours: Hours | None = None
    tiers: tuple[Slug, ...] = ()
    memberships: tuple[Slug, ...] = ()
    segments: tuple[Slug, ...] = ()
    attributes: dict[str, Values] = Field(default={}, max_length=20)
    """Of the member: one of these values each."""
    birthday_month: bool = False
    """In the month of the member's birthday."""
    currencies: tuple[Currency, ...] = ()
    """Which the buyer saw and paid in."""
    countries: tuple[Country, ...] = ()
    """Where the order goes, ISO 3166."""
    channels: tuple[ShortText, ...] = ()
    sources: tuple[Slug, ...] = ()
    """The shops."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.first_day and self.last_day and self.last_day < self.first_day:
            raise ValueError("last_day is before first_day: it never holds")
        if self.hours and self.hours[:5] == self.hours[6:]:
            raise ValueError("hours begin and end at the same minute: write none for the whole day")
        return self

    @property
    def personal(self) -> bool:
        """It asks who the member is, so what it guards counts for no tier: no feedback."""
        return bool(self.tiers or self.memberships or self.segments or self.attributes or self.birthday_month)


class When(Conditions):
    """Conditions, and exceptions from them."""

    unless: Conditions | None = None
    """It does not apply where all of this holds."""

    @property
    def personal(self) -> bool:
        return super().personal or (self.unless is not None and self.unless.personal)


class Lines(Strict):
    """Lines of an order: a line must fit every field that is given, with one of its values."""

    products: tuple[ShortText, ...] = ()
    skus: tuple[ShortText, ...] = ()
    categories: tuple[ShortText, ...] = ()
    vendors: tuple[ShortText, ...] = ()
    collections: tuple[ShortText, ...] = ()
    tags: tuple[ShortText, ...] = ()

    @property
    def every(self) -> bool:
        """Every line fits."""
        return not (
            self.products or self.skus or self.categories or self.vendors or self.collections or self.tags
        )  # fmt: skip


class Match(Lines):
    """Lines that fit, without those of `but_not`."""

    but_not: Lines | None = None

    @property
    def every(self) -> bool:
        return super().every and (self.but_not is None or self.but_not.every)
