"""Conditions of the program, compiled once into plain functions of a situation or of an order's line."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from contracts.orders import OrderLine
from contracts.program import WEEKDAYS, Conditions, Lines, Match, When

from .calendar import day_end, day_start


@dataclass(slots=True)
class Situation:
    """What conditions may ask: when it happened, whose it is, and where."""

    at: datetime
    zone: ZoneInfo
    tier_id: str
    memberships: frozenset[str] = frozenset()
    segments: frozenset[str] = frozenset()
    attributes: dict[str, str] | None = None
    birthday: str | None = None
    currency: str | None = None
    country: str | None = None
    channel: str | None = None
    source: str | None = None
    _local: datetime | None = None

    @property
    def local(self) -> datetime:
        """The moment in the program's zone."""
        if self._local is None:
            self._local = self.at.astimezone(self.zone)
        return self._local


Test = Callable[[Situation], bool]
Fits = Callable[[OrderLine], bool]


def compile_when(when: When, zone: ZoneInfo) -> tuple[tuple[str, Test], ...]:
    """One named test for each condition that is given; none: it always holds."""
    tests = _compile(when, zone)
    if when.unless is not None:
        inner = _compile(when.unless, zone)
        tests.append(("unless", lambda s: not all(test(s) for _, test in inner)))
    return tuple(tests)


def _compile(when: Conditions, zone: ZoneInfo) -> list[tuple[str, Test]]:
    return [*_times(when, zone), *_people(when), *_places(when)]


def _times(when: Conditions, zone: ZoneInfo) -> list[tuple[str, Test]]:
    tests: list[tuple[str, Test]] = []
    if when.first_day is not None:
        start = day_start(when.first_day, zone)
        tests.append(("first_day", lambda s: s.at >= start))
    if when.last_day is not None:
        end = day_end(when.last_day, zone)
        tests.append(("last_day", lambda s: s.at < end))
    if when.weekdays:
        days = frozenset(WEEKDAYS.index(day) for day in when.weekdays)
        tests.append(("weekdays", lambda s: s.local.weekday() in days))
    if when.hours is not None:
        first, last = (int(part[:2]) * 60 + int(part[3:]) for part in when.hours.split("-"))
        tests.append(("hours", lambda s: _within(s.local.hour * 60 + s.local.minute, first, last)))
    return tests


def _within(minute: int, first: int, last: int) -> bool:
    """In a span of the day that may run over midnight."""
    return first <= minute < last if first < last else minute >= first or minute < last


def _people(when: Conditions) -> list[tuple[str, Test]]:
    tests: list[tuple[str, Test]] = []
    if when.tiers:
        tiers = frozenset(when.tiers)
        tests.append(("tiers", lambda s: s.tier_id in tiers))
    if when.memberships:
        memberships = frozenset(when.memberships)
        tests.append(("memberships", lambda s: not memberships.isdisjoint(s.memberships)))
    if when.segments:
        segments = frozenset(when.segments)
        tests.append(("segments", lambda s: not segments.isdisjoint(s.segments)))
    if when.attributes:
        wanted = {name: frozenset(values) for name, values in when.attributes.items()}
        tests.append(("attributes", lambda s: _have(s.attributes or {}, wanted)))
    if when.birthday_month:
        tests.append(("birthday_month", lambda s: s.birthday is not None and int(s.birthday[:2]) == s.local.month))
    return tests


def _have(attributes: dict[str, str], wanted: dict[str, frozenset[str]]) -> bool:
    return all(attributes.get(name) in values for name, values in wanted.items())


def _places(when: Conditions) -> list[tuple[str, Test]]:
    tests: list[tuple[str, Test]] = []
    if when.currencies:
        currencies = frozenset(when.currencies)
        tests.append(("currencies", lambda s: s.currency in currencies))
    if when.countries:
        countries = frozenset(when.countries)
        tests.append(("countries", lambda s: s.country in countries))
    if when.channels:
        channels = frozenset(when.channels)
        tests.append(("channels", lambda s: s.channel in channels))
    if when.sources:
        sources = frozenset(when.sources)
        tests.append(("sources", lambda s: s.source in sources))
    return tests


FIELDS = ("products", "skus", "categories", "vendors", "collections", "tags")


def values_of(line: OrderLine, field: str) -> tuple[str | None, ...]:
    """What a line says for a field of a match. A product is known by its own id or by that of its variant."""
    if field == "products":
        return line.product_id, line.variant_id
    if field == "skus":
        return (line.sku,)
    if field == "vendors":
        return (line.vendor,)
    values: tuple[str, ...] = getattr(line, field)
    return values


def compile_match(match: Match) -> Fits | None:
    """A test of lines; None when every line fits."""
    if match.every:
        return None
    wanted = _wanted(match)
    if match.but_not is None or match.but_not.every:
        return lambda line: _fit(line, wanted)
    unwanted = _wanted(match.but_not)
    return lambda line: _fit(line, wanted) and not _fit(line, unwanted)


def _wanted(lines: Lines) -> tuple[tuple[str, frozenset[str]], ...]:
    return tuple((field, frozenset(values)) for field in FIELDS if (values := getattr(lines, field)))


def _fit(line: OrderLine, wanted: tuple[tuple[str, frozenset[str]], ...]) -> bool:
    return all(not values.isdisjoint(values_of(line, field)) for field, values in wanted)
