"""A version of the program, compiled once into plain functions and integers: rules are asked for every order."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Literal
from zoneinfo import ZoneInfo

from contracts.money import minor_digits
from contracts.orders import OrderFacts
from contracts.program import (
    ActivityRule,
    Basis,
    Campaign,
    Challenge,
    Cliff,
    DateRule,
    Expiry,
    ItemRule,
    Limit,
    OnOrders,
    OrderRule,
    Pending,
    Program,
    Span,
    SpendRule,
)

from .amounts import MILLION
from .calendar import day_end, day_start, period
from .conditions import FIELDS, Fits, Test, compile_match, compile_when, values_of

TIER = "tier"
"""The rule id of what a tier's multiplier adds."""
REFERRAL = "referral"
SPARE = MILLION**2
"""Room in the unit for two multipliers, so that their products stay whole."""


@dataclass(frozen=True, slots=True)
class Giver:
    """A rule on orders or a campaign: what can give points for an order."""

    id: str
    kind: Literal["spend", "item", "order", "multiplier"]
    amount: int
    """Spend: units for a minor unit of money. Item, order: units. Multiplier: millionths beyond one."""
    tests: tuple[tuple[str, Test], ...]
    fits: Fits | None
    minimum_minor: int
    minimum_products: int
    cliff: Cliff
    basis: int
    """Its place in `Rulebook.bases`."""
    group: str | None
    terms: str
    base: bool
    """It counts for tiers."""
    multiplies: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class ActivityGiver:
    """A rule on activities."""

    rule: ActivityRule
    tests: tuple[tuple[str, Test], ...]


@dataclass(frozen=True, slots=True)
class Goal:
    """A challenge."""

    challenge: Challenge
    tests: tuple[tuple[str, Test], ...]
    fits: Fits | None
    basis: int


@dataclass(frozen=True, slots=True)
class Ceiling:
    """A cap, a limit or a budget: at most so many points, or so many times, within a window."""

    name: str
    per: Literal["claim", "object", "program"] | Span
    points: int | None
    times: int | None
    rules: frozenset[str] | None
    """None: all of an order or activity."""
    first: datetime | None = None
    last: datetime | None = None

    def covers(self, rule_id: str) -> bool:
        return self.rules is None or rule_id in self.rules


@dataclass(slots=True)
class Rulebook:
    """See the module."""

    program: Program
    zone: ZoneInfo
    unit: int
    """So many units are a point."""
    bases: list[Basis] = field(default_factory=list)
    rules: list[Giver] = field(default_factory=list)
    campaigns: list[Giver] = field(default_factory=list)
    activities: dict[str, list[ActivityGiver]] = field(default_factory=dict)
    dates: dict[str, tuple[DateRule, tuple[tuple[str, Test], ...]]] = field(default_factory=dict)
    goals: dict[str, Goal] = field(default_factory=dict)
    ceilings: list[Ceiling] = field(default_factory=list)
    activity_rules: frozenset[str] = frozenset()
    tiers: dict[str, int] = field(default_factory=dict)
    """By tier the millionths that it adds to what rules give; negative where it takes away."""
    multipliers: frozenset[str] = frozenset()
    """Campaigns that multiply: also what activities earn."""
    apart: frozenset[str] = frozenset()
    """What a ceiling may cut apart from what multiplies it."""
    apart_orders: frozenset[str] = frozenset()
    """Those of them that orders may have."""
    all_base: bool = True
    renews: bool = False
    """Some points run out by inactivity."""
    pins_people: bool = False
    """Some condition asks for segments or attributes."""
    _terms: dict[str, str] = field(default_factory=dict)
    _index: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    _general: list[int] = field(default_factory=list)
    _fields: tuple[str, ...] = ()

    def candidates(self, order: OrderFacts) -> Iterable[Giver]:
        """The rules that can fit a line of the order, in the order of the file."""
        if not self._fields:
            return self.rules
        found = set(self._general)
        for line in order.lines:
            for name in self._fields:
                for value in values_of(line, name):
                    found.update(self._index.get((name, value), ()))  # type: ignore[arg-type]
        return [self.rules[place] for place in sorted(found)]

    def terms(self, name: str, kind: str) -> tuple[Pending, Expiry]:
        """When points of these terms can be spent and run out. Only what orders bring about waits by default."""
        earning = self.program.earning
        for item in earning.terms:
            if item.id == name:
                return item.pending, item.expiry
        return (earning.pending if kind in ("order", "challenge") else Pending()), earning.expiry

    def terms_of(self, rule_id: str) -> str:
        """The name of the terms of what gives points."""
        return self._terms.get(rule_id, "")

    def window(self, ceiling: Ceiling, claim_id: str, object_id: str | None, at: datetime) -> str:
        """In which window of a ceiling something counts."""
        if ceiling.per == "claim":
            return claim_id
        if ceiling.per == "object":
            return object_id or claim_id
        return "" if ceiling.per == "program" else period(at, ceiling.per, self.zone)


_COMPILED: dict[tuple[str, int], Rulebook] = {}


def rulebook(program: Program) -> Rulebook:
    """The compiled program; compiled when it is first asked for. Versions are few, and live as long as the process."""
    key = program.id, program.version
    found = _COMPILED.get(key)
    if found is None or found.program is not program:
        found = _COMPILED[key] = _compile(program)
    return found


def millionths(value: Decimal) -> int:
    """A rate of the document as an integer."""
    return int(value * MILLION)


def _compile(program: Program) -> Rulebook:
    earning = program.earning
    book = Rulebook(program, program.time_zone, MILLION * 10 ** minor_digits(program.currency) * SPARE)
    book.tiers = {level.id: millionths(level.multiplier) - MILLION for level in program.tiers.levels}
    for rule in earning.rules:
        if isinstance(rule, ActivityRule):
            giver = ActivityGiver(rule, compile_when(rule.when, book.zone))
            book.activities.setdefault(rule.activity, []).append(giver)
        elif isinstance(rule, DateRule):
            book.dates[rule.id] = rule, compile_when(rule.when, book.zone)
        else:
            book.rules.append(_giver(book, rule))
    everything = frozenset(rule.id for rule in book.rules)
    book.campaigns = [_campaign(book, item, everything) for item in earning.campaigns]
    for challenge in program.challenges:
        tests = compile_when(challenge.when, book.zone)
        goal = Goal(challenge, tests, compile_match(challenge.match), _basis(book, challenge.basis))
        book.goals[challenge.id] = goal
    book.activity_rules = frozenset(rule.id for rule in earning.rules if isinstance(rule, ActivityRule))
    book.multipliers = frozenset(giver.id for giver in book.campaigns if giver.kind == "multiplier")
    book.ceilings = _ceilings(book)
    book.apart = _apart(book)
    book.apart_orders = book.apart - book.activity_rules
    book.all_base = all(giver.base for giver in book.rules)
    named = [*earning.rules, *earning.campaigns, *program.challenges]
    book._terms = {item.id: item.terms for item in named if item.terms}
    expiries = [earning.expiry, *(item.expiry for item in earning.terms)]
    book.renews = any(rule.inactive_months is not None for rule in expiries)
    book.pins_people = any(_asks_people(item) for item in named)
    _index(book)
    return book


def _asks_people(item: OnOrders | ActivityRule | DateRule | Campaign | Challenge) -> bool:
    whens = [item.when, *([item.when.unless] if item.when.unless else [])]
    return any(when.segments or when.attributes or when.birthday_month for when in whens)


def _basis(book: Rulebook, basis: Basis) -> int:
    if basis not in book.bases:
        book.bases.append(basis)
    return book.bases.index(basis)


def _giver(book: Rulebook, rule: SpendRule | ItemRule | OrderRule) -> Giver:
    amount = millionths(rule.points_per_unit) * SPARE if isinstance(rule, SpendRule) else rule.points * book.unit
    return Giver(
        id=rule.id, kind=rule.type, amount=amount, tests=compile_when(rule.when, book.zone),
        fits=compile_match(rule.match), minimum_minor=rule.minimum_minor, minimum_products=rule.minimum_products,
        cliff=rule.cliff, basis=_basis(book, rule.basis), group=rule.group, terms=rule.terms or "",
        base=not rule.when.personal,
    )  # fmt: skip


def _campaign(book: Rulebook, item: Campaign, everything: frozenset[str]) -> Giver:
    kind: Literal["order", "multiplier"] = "order" if item.points is not None else "multiplier"
    amount = item.points * book.unit if item.points is not None else millionths(item.multiplier or Decimal(1)) - MILLION
    return Giver(
        id=item.id, kind=kind, amount=amount, tests=compile_when(item.when, book.zone),
        fits=compile_match(item.match), minimum_minor=item.minimum_minor, minimum_products=item.minimum_products,
        cliff=item.cliff, basis=_basis(book, item.basis), group=item.group, terms=item.terms or "", base=False,
        multiplies=frozenset(item.rules) or everything,
    )  # fmt: skip


def _ceilings(book: Rulebook) -> list[Ceiling]:
    """Limits of rules, then budgets of campaigns, then caps: what one of them cuts does not count for the next."""
    earning = book.program.earning
    found: list[Ceiling] = []
    for rule in earning.rules:
        if isinstance(rule, ActivityRule):
            lowest: dict[str, Limit] = {}
            for limit in sorted(rule.limits, key=lambda item: item.times or item.points or 0):
                # Not by its place: what was counted so far must count on when a new version lists them otherwise.
                lowest.setdefault(f"{rule.id}:{limit.per}:{'times' if limit.times else 'points'}", limit)
            for name, limit in lowest.items():
                found.append(Ceiling(name, limit.per, limit.points, limit.times, frozenset({rule.id})))
    for item in earning.campaigns:
        if item.budget is not None:
            first, last = item.when.first_day, item.when.last_day
            found.append(
                Ceiling(
                    f"{item.id}:budget", "program", item.budget, None, frozenset({item.id}),
                    day_start(first, book.zone) if first else None, day_end(last, book.zone) if last else None,
                )
            )  # fmt: skip
    caps = (Ceiling(cap.id, cap.per, cap.points, None, frozenset(cap.rules) or None) for cap in earning.caps)
    return [*found, *caps]


def _apart(book: Rulebook) -> frozenset[str]:
    """Rules, the tier and campaigns under a ceiling that leaves out something that multiplies them."""
    multiplying = [(giver.id, giver.multiplies) for giver in book.campaigns if giver.kind == "multiplier"]
    if any(extra > 0 for extra in book.tiers.values()):
        multiplying.insert(0, (TIER, frozenset(rule.id for rule in book.rules)))
    found: set[str] = set()
    earlier: set[str] = set()
    for name, multiplied in multiplying:
        for ceiling in book.ceilings:
            if ceiling.rules is not None and name not in ceiling.rules:
                found |= ceiling.rules & (multiplied | earlier)
        if book.program.earning.multipliers == "multiply":
            earlier.add(name)
    return frozenset(found)


def _index(book: Rulebook) -> None:
    """Where there are many rules on single products or categories, only those of the order's lines are asked."""
    on_orders = [rule for rule in book.program.earning.rules if isinstance(rule, OnOrders)]
    fields = set()
    for place, rule in enumerate(on_orders):
        name = next((name for name in FIELDS if getattr(rule.match, name)), None)
        if name is None:
            book._general.append(place)
        else:
            fields.add(name)
            for value in getattr(rule.match, name):
                book._index.setdefault((name, value), []).append(place)
    book._fields = tuple(sorted(fields))
