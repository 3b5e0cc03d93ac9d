"""Which tier held when an order was placed, and which orders a changed standing concerns."""

from collections.abc import Sequence
from datetime import UTC, datetime

from contracts.points import BaseStep
from contracts.program import Program
from contracts.tiers import MembershipInterval, StandingInterval

Intervals = Sequence[StandingInterval]
Span = tuple[datetime, datetime | None]
"""From, until and including; no end: for ever."""
EVER: Span = (datetime(1, 1, 1, tzinfo=UTC), None)


def tier_at(intervals: Intervals, placed_at: datetime, order: str) -> str | None:
    """The tier that covers an order (`source:order_id`); None is the lowest.

    A tier begins strictly after `starts_at`, at that very moment only for orders that sort after the one that
    reached it, and covers `valid_until` itself.
    """
    for interval in reversed(intervals):
        begun = placed_at > interval.starts_at or (
            placed_at == interval.starts_at and interval.starts_with is not None and order > interval.starts_with
        )
        if begun and (interval.valid_until is None or placed_at <= interval.valid_until):
            return interval.tier_id
    return None


def memberships_at(memberships: Sequence[MembershipInterval], at: datetime) -> frozenset[str]:
    """The paid memberships held at a moment."""
    return frozenset(item.membership_id for item in memberships if item.starts_at <= at < item.ends_at)


def changed_memberships(old: Sequence[MembershipInterval], new: Sequence[MembershipInterval]) -> Span | None:
    """The time in which the two may differ."""
    differ = set(old) ^ set(new)
    if not differ:
        return None
    return min(item.starts_at for item in differ), max(item.ends_at for item in differ)


def changed_span(old: Intervals, new: Intervals) -> Span | None:
    """The time in which the two may name different tiers; None when they never do."""
    bounds = {interval.starts_at for interval in (*old, *new)}
    bounds |= {interval.valid_until for interval in (*old, *new) if interval.valid_until is not None}
    ordered: list[datetime] = sorted(bounds)
    differ = [index for index, bound in enumerate(ordered) if _from(old, bound) != _from(new, bound)]
    if not differ:
        return None
    last = differ[-1] + 1
    return ordered[differ[0]], ordered[last] if last < len(ordered) else None


def _from(intervals: Intervals, bound: datetime) -> tuple[str | None, str | None]:
    """The tier right after a bound, and the order that reached it there."""
    for interval in reversed(intervals):
        if interval.starts_at <= bound and (interval.valid_until is None or interval.valid_until > bound):
            return interval.tier_id, interval.starts_with if interval.starts_at == bound else None
    return None, None


def hull(one: Span | None, other: Span | None) -> Span | None:
    """The shortest span that holds both."""
    if one is None or other is None:
        return one or other
    return min(one[0], other[0]), None if one[1] is None or other[1] is None else max(one[1], other[1])


def tier_by_points(
    program: Program, earlier: Sequence[Sequence[BaseStep]], more: Sequence[BaseStep], at: datetime
) -> tuple[str, str, int | None]:
    """The tier that base points within the window reach, before and with some more, and what the next one still takes.

    A forecast for dry runs: tiers themselves are the tier service's to say.
    """
    counted = sum(points_at(steps, at) for steps in earlier)
    total = counted + points_at(more, at)
    levels = program.tiers.levels
    before = [level for level in levels if level.threshold <= counted][-1]
    after = [level for level in levels if level.threshold <= total][-1]
    above = next((level for level in levels if level.threshold > total), None)
    return before.id, after.id, above.threshold - total if above else None


def points_at(steps: Sequence[BaseStep], at: datetime) -> int:
    """The base points of an order at a moment."""
    known = [step for step in steps if step.acts_from <= at]
    return known[-1].base_points if known else 0
