"""A standing is a function of the base points of all orders: one list of intervals, past and to come."""

from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple
from zoneinfo import ZoneInfo

from contracts.points import BaseStep
from contracts.program import Level, Program, ProgramBook, Tiers
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


class Ladder(NamedTuple):
    """The levels of a program, from a moment on."""

    since: datetime
    tiers: Tiers
    zone: ZoneInfo


def ladders_of(programs: ProgramBook, program: Program, now: datetime) -> list[Ladder]:
    """Those that were in force one after the other, up to that of `program`; versions with the same levels are one."""
    versions = (event.document for event in programs.versions(program.id))
    known = sorted((item.effective_from, item.version, item) for item in versions if item.effective_from <= now)
    found: list[Ladder] = []
    greatest = 0
    for since, version, item in known:
        if greatest < version <= program.version:
            greatest = version
            if not found or found[-1][1:] != (item.tiers, item.time_zone):
                found.append(Ladder(since, item.tiers, item.time_zone))
    return found


def standing_over(facts: Collection[Fact], ladders: Sequence[Ladder]) -> tuple[StandingInterval, ...]:
    """The intervals by each ladder for as long as it held: what was reached under an old one stays as it was."""
    found: list[StandingInterval] = []
    for ladder, following in zip(ladders, [*ladders[1:], None], strict=True):
        pieces = intervals(facts, ladder.tiers, ladder.zone)
        if ladder is not ladders[0]:
            pieces = _from(pieces, ladder.since, ladder.tiers.levels[0].id if found else None)
        if following is not None:
            pieces = _until(pieces, following.since)
        if found and pieces and (found[-1].tier_id, found[-1].valid_until) == (pieces[0].tier_id, pieces[0].starts_at):
            joined = found.pop().model_copy(update={"valid_until": pieces[0].valid_until})
            pieces = (joined, *pieces[1:])
        found += pieces
    return tuple(found)


def _from(pieces: tuple[StandingInterval, ...], since: datetime, lowest: str | None) -> tuple[StandingInterval, ...]:
    """What holds after a moment. `lowest`: the tier that is told where nothing holds; None if nothing has to be."""
    kept = [item for item in pieces if item.valid_until is None or item.valid_until > since]
    if kept and kept[0].starts_at < since:
        kept[0] = kept[0].model_copy(update={"starts_at": since, "starts_with": None})
    elif lowest is not None and not (kept and kept[0].starts_at == since):
        end = kept[0].starts_at if kept else None
        kept.insert(0, StandingInterval(tier_id=lowest, starts_at=since, valid_until=end))
    return tuple(kept)


def _until(pieces: tuple[StandingInterval, ...], end: datetime) -> tuple[StandingInterval, ...]:
    """What holds up to a moment."""
    kept = [item for item in pieces if item.starts_at < end]
    if kept and (kept[-1].valid_until is None or kept[-1].valid_until > end):
        kept[-1] = kept[-1].model_copy(update={"valid_until": end})
    return tuple(kept)


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
