"""Which tier held when an order was placed, and which orders a changed standing concerns."""

from collections.abc import Sequence
from datetime import datetime

from contracts.tiers import StandingInterval

Intervals = Sequence[StandingInterval]
Span = tuple[datetime, datetime | None]
"""From, until and including; no end: for ever."""


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


def changed_span(old: Intervals, new: Intervals) -> Span | None:
    """The time in which the two may name different tiers; None when they are the same.

    What both begin or end with alike is cut off, so that a new upgrade does not touch the orders before it.
    """
    if list(old) == list(new):
        return None
    same = 0
    while same < min(len(old), len(new)) and old[same] == new[same]:
        same += 1
    changed = [*old[same:], *new[same:]]
    ends = [interval.valid_until for interval in changed]
    known = [end for end in ends if end is not None]
    return min(interval.starts_at for interval in changed), max(known) if len(known) == len(ends) else None
