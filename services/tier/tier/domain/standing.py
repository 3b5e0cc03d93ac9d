"""A standing is a function of the base points of all orders: one list of intervals, past and to come."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from zoneinfo import ZoneInfo

from contracts.points import BaseStep
from contracts.program import Level, Tiers
from contracts.tiers import StandingInterval

from .window import leaves_at

Position = tuple[datetime, int, str]
"""A place in the history: at one moment first the orders by their key (rank 0), then everything else (rank 1)."""


@dataclass(frozen=True, slots=True)
class Fact:
    """What one order counts for, as last judged."""

    source: str
    order_id: str
    placed_at: datetime
    revision: int
    sequence: int
    """Of the decision that judged it: between two judgements of one revision the later wins."""
    steps: tuple[BaseStep, ...]

    @property
    def key(self) -> str:
        return f"{self.source}:{self.order_id}"

    def newer_than(self, known: "Fact | None") -> bool:
        return known is None or (self.revision, self.sequence) > (known.revision, known.sequence)


def intervals(facts: Iterable[Fact], ladder: Tiers, zone: ZoneInfo) -> tuple[StandingInterval, ...]:
    """All tiers held and to be held if nothing else happens. Empty while it was never more than the lowest.

    The tier at a place in the history is the highest level whose threshold is reached by what was counted before that
    place. An order counts from its `placed_at`, for the orders after it, up to and including the moment at which it
    leaves the window. A refund and the leaving act after all orders of their moment. Orders of one moment see each
    other by their key, so that an order never benefits from itself.
    """
    changes = list(_changes(facts, ladder, zone))
    ends = [position[0] for position, _ in changes[1:]]
    return tuple(
        StandingInterval(tier_id=level.id, starts_at=at, starts_with=key or None, valid_until=end)
        for ((at, _, key), level), end in zip(changes, [*ends, None], strict=False)
    )


def _changes(facts: Iterable[Fact], ladder: Tiers, zone: ZoneInfo) -> Iterator[tuple[Position, Level]]:
    moves = sorted(move for fact in facts for move in _moves(fact, ladder.window_months, zone))
    thresholds = [level.threshold for level in ladder.levels]
    held, points = 0, 0
    for position, together in groupby(moves, key=itemgetter(0)):
        points += sum(delta for _, delta in together)
        reached = bisect_right(thresholds, points) - 1
        if reached != held:
            held = reached
            yield position, ladder.levels[held]


def _moves(fact: Fact, window_months: int, zone: ZoneInfo) -> Iterator[tuple[Position, int]]:
    end = (leaves_at(fact.placed_at, window_months, zone), 1, "")
    counted = 0
    for step in fact.steps:
        position = (fact.placed_at, 0, fact.key) if step.acts_from <= fact.placed_at else (step.acts_from, 1, "")
        if position > end:
            break
        yield position, step.base_points - counted
        counted = step.base_points
    yield end, -counted


def points_after(facts: Iterable[Fact], at: datetime, ladder: Tiers, zone: ZoneInfo) -> int:
    """Tier points that count just after `at`, all that happened at that moment included."""
    moves = (move for fact in facts for move in _moves(fact, ladder.window_months, zone))
    return sum(delta for (moment, _, _), delta in moves if moment <= at)


def held_after(standing: Sequence[StandingInterval], at: datetime) -> StandingInterval | None:
    """The interval that holds just after `at`; None is the lowest tier, never left so far."""
    return next((item for item in reversed(standing) if item.starts_at <= at), None)


def next_change_after(standing: Sequence[StandingInterval], at: datetime) -> datetime | None:
    """When the tier changes next if nothing else happens."""
    return next((item.starts_at for item in standing if item.starts_at > at), None)
