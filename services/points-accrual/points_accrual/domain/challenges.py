"""Challenges as a function of what counts now: every time each was reached, and how far the member is.

What counts is walked through in the order in which it happened in the world, each by the version of the program that
judged it. So it does not matter when or in which order it became known.
"""

import hashlib
import hmac
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from contracts.program import Challenge

from .calendar import period, period_number
from .rulebook import Rulebook

REACHED_MAX = 10_000
"""Times that one challenge can be reached by one member: far beyond sense, it stops a program that is a mistake."""
Contribution = tuple[datetime, str, int, int, tuple[str, ...]]
"""When, the claim, the version of the program, the amount, and which things."""
SeedOf = Callable[[str], bytes | None]
"""The secret behind a commitment."""


@dataclass(frozen=True, slots=True)
class Reach:
    """A challenge was reached once."""

    at: datetime
    claim: str
    """What reached it."""
    program_version: int
    points: int
    reward: str | None


@dataclass(slots=True)
class Tally:
    """How often one challenge was reached, and how far the member is now."""

    reaches: list[Reach] = field(default_factory=list)
    window: str = "lifetime"
    progress: int = 0
    target: int | None = None
    program_version: int = 0

    def state(self) -> tuple[str, int, int | None, int]:
        """What the member sees of it."""
        return self.window, self.progress, self.target, len(self.reaches)


class _Walk:
    """One challenge of one member while it is counted."""

    def __init__(self, member_id: UUID, seed_of: SeedOf) -> None:
        self.member_id, self.seed_of = member_id, seed_of
        self.tally = Tally()
        self.count = 0
        self.things: set[str] = set()
        self.recent: deque[tuple[datetime, int, tuple[str, ...]]] = deque()
        self.last: int | None = None

    def take(self, item: Contribution, challenge: Challenge, book: Rulebook) -> None:
        at, claim, version, value, things = item
        before, self.tally.program_version = self.count, version
        if challenge.streak is not None:
            before = self._streak(period_number(at, challenge.streak, book.zone))
        elif challenge.within_days is not None:
            before = self._rolling(at, value, things, timedelta(days=challenge.within_days))
        else:
            window = period(at, challenge.period, book.zone)
            if window != self.tally.window:
                self.tally.window, self.count, before = window, 0, 0
                self.things = set()
            self._add(value, things)
        for _ in self._passed(challenge, before, self.count):
            if len(self.tally.reaches) < min(challenge.times or REACHED_MAX, REACHED_MAX):
                self.tally.reaches.append(Reach(at, claim, version, challenge.points, challenge.reward))
            if challenge.within_days is not None:
                self.recent.clear()
                self.count = 0
                break
        self.tally.progress = self.count
        self.tally.target = _target(challenge, self.count, len(self.tally.reaches))

    def _add(self, value: int, things: tuple[str, ...]) -> None:
        self.things.update(things)
        self.count = self.count + value if value else max(self.count, len(self.things))

    def _streak(self, number: int) -> int:
        """Another period of the streak, the same one, or the first of a new one. Returns the length before."""
        before = self.count
        if self.last is None or number > self.last + 1:
            self.count, before = 1, 0
        elif number == self.last + 1:
            self.count += 1
        self.last = number
        return before

    def _rolling(self, at: datetime, value: int, things: tuple[str, ...], span: timedelta) -> int:
        while self.recent and at - self.recent[0][0] > span:
            self.recent.popleft()
        before = self._within()
        self.recent.append((at, value, things))
        self.count = self._within()
        return before

    def _within(self) -> int:
        different = {thing for _, _, things in self.recent for thing in things}
        return len(different) or sum(value for _, value, _ in self.recent)

    def _passed(self, challenge: Challenge, before: int, after: int) -> Iterator[int]:
        """The goals between two counts."""
        if challenge.every is not None:
            first = before // challenge.every + 1
            yield from range(first, min(after // challenge.every, first + REACHED_MAX) + 1)
        elif challenge.surprise_in is not None:
            block = before // challenge.surprise_in
            while block * challenge.surprise_in < after and block < REACHED_MAX:
                place = self._surprise(challenge, block)
                if place is not None and before < place <= after:
                    yield place
                block += 1
        else:
            goals = sorted(challenge.at)
            yield from goals[bisect_right(goals, before) : bisect_right(goals, after)]

    def _surprise(self, challenge: Challenge, block: int) -> int | None:
        """Which count of a block of so many is rewarded; None while the seed is not known here."""
        assert challenge.surprise_in is not None
        seed = self.seed_of(challenge.commitment or "")
        if seed is None:
            return None
        return block * challenge.surprise_in + surprise(
            seed, challenge.id, self.member_id, block, challenge.surprise_in
        )


def _target(challenge: Challenge, count: int, reached: int) -> int | None:
    """What is to be reached next."""
    if challenge.times is not None and reached >= challenge.times:
        return None
    if challenge.every is not None:
        return (count // challenge.every + 1) * challenge.every
    return min((goal for goal in challenge.at if goal > count), default=None)


def surprise(seed: bytes, challenge_id: str, member_id: UUID, block: int, size: int) -> int:
    """The place, from 1, in a block of `size` counts that is rewarded: HMAC-SHA256 of challenge, member and block."""
    message = f"{challenge_id}\x1f{member_id}\x1f{block}".encode()
    return int.from_bytes(hmac.digest(seed, message, hashlib.sha256)[:8], "big") % size + 1


def tally(
    challenge_id: str,
    contributions: Iterable[Contribution],
    book_of: Callable[[int], Rulebook],
    member_id: UUID,
    seed_of: SeedOf,
) -> Tally:
    """Count one challenge; `contributions` sorted as they happened."""
    walk = _Walk(member_id, seed_of)
    for item in contributions:
        book = book_of(item[2])
        goal = book.goals.get(challenge_id)
        if goal is not None:
            walk.take(item, goal.challenge, book)
    return walk.tally


def started_over(before: Tally, challenge: Challenge) -> Tally:
    """What the member sees of it where nothing counts any more: the way anew, by the version that counted last."""
    return Tally(window=before.window, target=_target(challenge, 0, 0), program_version=before.program_version)
