"""Where conditions hold, as sets: so that it can be told whether they ever do, and whether others do with them."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import reduce
from typing import Literal

from contracts.program import WEEKDAYS, Conditions, Program, When

Judged = Literal["order", "activity", "date", "spending"]
"""What conditions are asked of: an order, an activity, a day in a member's life, somebody who wants a reward."""
UNKNOWN: dict[Judged, frozenset[str]] = {
    "order": frozenset(),
    "activity": frozenset({"currencies", "countries", "channels"}),
    "date": frozenset({"currencies", "countries", "channels", "sources"}),
    "spending": frozenset({"countries", "channels", "sources"}),
}
"""What is not known then, so that a condition on it never holds."""
ALL_DAY = (1 << 1440) - 1
Values = frozenset[str]


@dataclass(frozen=True, slots=True)
class Scope:
    """Where all of some conditions hold."""

    first: date = date.min
    last: date = date.max
    minutes: int = ALL_DAY
    """Those of the day, a bit each."""
    one: dict[tuple[str, str], Values] = field(default_factory=dict)
    """Of what has one value at a time, by field and name: which it may have. What is not named may have any."""
    many: frozenset[tuple[str, Values]] = frozenset()
    """Of what a member can have several of: one of these each."""
    birthday: bool = False

    @property
    def empty(self) -> bool:
        return self.first > self.last or not self.minutes or not all(self.one.values())

    def __and__(self, other: "Scope") -> "Scope":
        one = dict(self.one)
        for key, values in other.one.items():
            one[key] = one[key] & values if key in one else values
        return _narrowed(
            Scope(
                max(self.first, other.first), min(self.last, other.last), self.minutes & other.minutes, one,
                self.many | other.many, self.birthday or other.birthday,
            )
        )  # fmt: skip

    def within(self, other: "Scope") -> bool:
        """The other holds wherever this does."""
        return (
            self.first >= other.first
            and self.last <= other.last
            and not self.minutes & ~other.minutes
            and all(key in self.one and self.one[key] <= values for key, values in other.one.items())
            and all(any(a == name and b <= values for a, b in self.many) for name, values in other.many)
            and (self.birthday or not other.birthday)
        )


@dataclass(frozen=True, slots=True)
class Holds:
    """Where something applies: a scope, without some others."""

    scope: Scope
    exceptions: tuple[Scope, ...] = ()

    @property
    def never(self) -> bool:
        return self.scope.empty or any(self.scope.within(item) for item in self.exceptions)

    def __and__(self, other: "Holds") -> "Holds":
        return Holds(self.scope & other.scope, self.exceptions + other.exceptions)

    def within(self, other: "Holds") -> bool:
        """The other applies wherever this does."""
        return self.scope.within(other.scope) and all(
            any(theirs.within(ours) for ours in self.exceptions) or (self.scope & theirs).empty
            for theirs in other.exceptions
        )


def holds_of(when: When, program: Program) -> Holds:
    """Where `when` holds while a version is in force."""
    start = Scope(first=start_of(program))
    exceptions = () if when.unless is None else (scope_of(when.unless, program),)
    return Holds(start & scope_of(when, program), exceptions)


def start_of(program: Program) -> date:
    """The day on which the version takes effect, in its own zone."""
    return program.effective_from.astimezone(program.time_zone).date()


def scope_of(when: Conditions, program: Program) -> Scope:
    """Where conditions hold, exceptions aside. All values there are, are the same as none."""
    everything = {"weekdays": frozenset(WEEKDAYS), "tiers": frozenset(level.id for level in program.tiers.levels)}
    one: dict[tuple[str, str], Values] = {}
    for name in ("weekdays", "tiers", "currencies", "countries", "channels", "sources"):
        values = frozenset(getattr(when, name))
        if values and values != everything.get(name):
            one[name, ""] = values
    one |= {("attributes", name): frozenset(values) for name, values in when.attributes.items()}
    many = frozenset(
        (name, frozenset(getattr(when, name))) for name in ("memberships", "segments") if getattr(when, name)
    )
    return _narrowed(
        Scope(
            when.first_day or date.min, when.last_day or date.max, _minutes(when.hours), one, many, when.birthday_month
        )
    )  # fmt: skip


def _minutes(hours: str | None) -> int:
    if hours is None:
        return ALL_DAY
    first, last = (int(part[:2]) * 60 + int(part[3:]) for part in hours.split("-"))
    before = (1 << first) - 1
    until = (1 << last) - 1
    return until & ~before if first < last else ALL_DAY & ~(before & ~until)


def _narrowed(scope: Scope) -> Scope:
    """A few days have only some weekdays."""
    span = (scope.last - scope.first).days
    if not 0 <= span < 6:
        return scope
    days = frozenset(WEEKDAYS[(scope.first + timedelta(days=more)).weekday()] for more in range(span + 1))
    known = scope.one.get(("weekdays", ""), days)
    one = scope.one | {("weekdays", ""): days & known}
    return Scope(scope.first, scope.last, scope.minutes, one, scope.many, scope.birthday)


def together(several: Iterable[Holds]) -> Holds:
    """Where all of them apply."""
    return reduce(lambda one, other: one & other, several, Holds(Scope()))
