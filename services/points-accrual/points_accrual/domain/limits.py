"""Caps, limits and budgets: who comes first is served first, and nothing is ever exceeded.

The room that a claim was given is pinned: it never grows because something came back, and what a refund of it sets free
is there for those who come after. What multiplies points multiplies what ceilings leave of them. What one leaves of
several rules counts first as points of those that are multiplied: so a refund of the others brings nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

from .amounts import apportion
from .claims import Claim
from .judging import Verdict
from .rulebook import Ceiling, Rulebook
from .weighing import Multiple

LIMITED = ("order", "activity")
"""The kinds of claims that count against limits."""
Room = Callable[[Ceiling, str], int]
"""What is left of a ceiling in a window beside what the claim itself has of it."""


@dataclass(slots=True)
class Limited:
    """What is granted of what was wanted."""

    granted: dict[str, int]
    cuts: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """By rule, what cut it."""
    pins: dict[str, list[object]] = field(default_factory=dict)
    """By ceiling: its window, the most that was ever asked for, and how much of that was allowed."""
    multiples: dict[str, Multiple] = field(default_factory=dict)
    """What is left of what multiplies, in the order in which it does."""


def limited(claim: Claim, book: Rulebook, verdict: Verdict, room: Room) -> Limited:
    """Cut what rules give to what ceilings allow; rules under one ceiling are cut in proportion.

    Only orders and activities are limited: referrals, days and challenges come as often as the program says.
    """
    wanted = {rule_id: points for rule_id, points in verdict.wanted.items() if points}
    result = Limited(wanted, {}, dict(pinned(claim)))
    if verdict.multiples:
        result.multiples = {name: replace(item, of=dict(item.of)) for name, item in verdict.multiples.items()}
    for ceiling in book.ceilings if claim.key.kind in LIMITED else ():
        scope = [rule_id for rule_id in result.granted if ceiling.covers(rule_id) and result.granted[rule_id]]
        if scope:
            _cut(result, ceiling, scope, claim, book, room)
    return result


def pinned(claim: Claim) -> dict[str, list[object]]:
    """The room that a claim was given."""
    found: dict[str, list[object]] = claim.pins.get("caps", {})
    return found


def _cut(result: Limited, ceiling: Ceiling, scope: list[str], claim: Claim, book: Rulebook, room: Room) -> None:
    parts = [result.granted[rule_id] for rule_id in scope]
    total = sum(parts)
    amount = total if ceiling.points is not None else 1
    window, asked, allowed = result.pins.get(ceiling.name) or (window_of(ceiling, claim, book), 0, 0)
    assert isinstance(window, str) and isinstance(asked, int) and isinstance(allowed, int)  # noqa: PT018
    if amount > asked:
        allowed += max(0, min(amount - asked, room(ceiling, window) - allowed))
        result.pins[ceiling.name] = [window, amount, allowed]
    has = used_by(claim, ceiling)
    if min(amount, allowed) > has:  # What the claim had before and lost, others may have taken since.
        allowed = min(allowed, max(has, room(ceiling, window)))
    if allowed >= amount:
        return
    left = apportion(allowed, parts) if ceiling.points is not None else [0] * len(parts)
    for rule_id, kept in zip(scope, left, strict=True):
        _lower(result, ceiling, rule_id, kept)
    if result.multiples:
        _follow(result, ceiling, scope, sum(left) * book.unit, book.unit)


def _lower(result: Limited, ceiling: Ceiling, rule_id: str, points: int) -> None:
    if points < result.granted.get(rule_id, 0):
        result.granted[rule_id] = points
        result.cuts[rule_id] = (*result.cuts.get(rule_id, ()), ceiling.name)


def _follow(result: Limited, ceiling: Ceiling, scope: list[str], left: int, unit: int) -> None:
    """Lower what multiplies points that were cut, and what multiplies that in turn. What is under the same ceiling was
    cut with them.
    """
    fallen: dict[str, Multiple] = {}
    for name, multiple in result.multiples.items():
        if ceiling.covers(name):
            continue
        before = multiple.exact
        multiple.follow(scope, left)
        for other, follower in fallen.items():
            multiple.follow((other,), follower.exact)
        if multiple.exact != before:
            fallen[name] = multiple
            _lower(result, ceiling, name, int(multiple.exact // unit))


def window_of(ceiling: Ceiling, claim: Claim, book: Rulebook) -> str:
    """In which window of a ceiling a claim counts."""
    about = claim.facts.object_id if ceiling.per == "object" and claim.key.kind == "activity" else None
    return book.window(ceiling, claim.key.id, about, claim.at)


def used_by(claim: Claim, ceiling: Ceiling) -> int:
    """What a claim has of a ceiling as it stands."""
    points = sum(points for rule_id, points in claim.granted.items() if ceiling.covers(rule_id))
    return points if ceiling.points is not None else int(points > 0)
