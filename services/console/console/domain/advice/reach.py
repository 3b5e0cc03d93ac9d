"""Points and rewards that no member ever gets whole: goals out of reach, caps that are smaller than what they cut."""

from collections.abc import Iterator

from contracts.program import WEEKDAYS, ActivityRule, Campaign, Cap, Challenge, DateRule, ItemRule, OrderRule

from ..words import count
from .view import Advice, Item, View

DIFFERENT = {"products": "products", "categories": "categories", "vendors": "vendors"}
"""What counts different things, and the field of a match that names them."""


def reach(view: View) -> Iterator[Advice]:
    """Goals out of reach, and points that are always cut."""
    for item in view.challenges:
        yield from _goals(item)
    for item in [*view.rules, *view.campaigns]:
        if isinstance(item.value, ItemRule | OrderRule | ActivityRule | DateRule | Campaign):
            yield from _cut(item, view)
    yield from _transfers(view)


def _goals(item: Item) -> Iterator[Advice]:
    challenge: Challenge = item.value
    goals = sorted(challenge.at)
    most = _most(challenge)
    if most is not None and min(goals or [challenge.every or 1]) > most[0]:
        where = (*item.path, "at") if goals else (*item.path, "every")
        yield Advice(where, f"this challenge is never reached: {most[1]}", f"{most[0]} or less")
    if challenge.within_days is not None and len(goals) > 1:
        text = (
            f"only {goals[0]} is ever reached: with within_days, what was rewarded does not count again, so the count "
            "begins anew there"
        )
        yield Advice((*item.path, "at"), text, "give each goal a challenge of its own")
    elif challenge.times is not None and challenge.times < len(goals):
        never = ", ".join(str(goal) for goal in goals[challenge.times :])
        text = f"{never} is never rewarded: after {count(challenge.times, 'time')} the challenge is over"
        yield Advice((*item.path, "times"), text, f"times: {len(goals)} or more, or fewer goals")


def _most(challenge: Challenge) -> tuple[int, str] | None:
    """The most that can be counted, where something bounds it, and why."""
    name = DIFFERENT.get(challenge.counts)
    named = len(set(getattr(challenge.match, name))) if name else 0
    if named:
        return named, f"it counts different {challenge.counts}, and match names only {named}"
    days = challenge.when.weekdays
    if challenge.streak == "day" and days and set(days) != set(WEEKDAYS):
        longest = _longest_run([day in days for day in WEEKDAYS])
        return longest, f"it counts days in a row, but its weekdays allow only {longest}"
    return None


def _longest_run(days: list[bool]) -> int:
    """Of days in a row, over the end of the week."""
    longest = run = 0
    for day in days * 2:
        run = run + 1 if day else 0
        longest = max(longest, run)
    return longest


def _cut(item: Item, view: View) -> Iterator[Advice]:
    """What is given at once is more than what a cap, a limit or the budget lets through."""
    points = item.value.points
    if points is None:
        return
    caps = [cap for cap in view.program.earning.caps if not cap.rules or item.id in cap.rules]
    least = min(caps, key=lambda cap: cap.points, default=None)
    if least is not None and least.points < points:
        text = (
            f"gives {count(points, 'point')}, but the cap {least.id} lets at most {least.points} through {_per(least)}"
        )
        yield Advice((*item.path, "points"), text, "raise the cap, or give less")
    if isinstance(item.value, Campaign) and item.value.budget is not None and item.value.budget < points:
        text = f"gives {count(points, 'point')}, but the budget is only {item.value.budget}"
        yield Advice((*item.path, "budget"), text, "raise the budget, or give less")
    if isinstance(item.value, ActivityRule):
        for place, limit in enumerate(item.value.limits):
            if limit.points is not None and limit.points < points:
                text = f"gives {count(points, 'point')}, but this limit lets at most {limit.points} through"
                yield Advice((*item.path, "limits", place, "points"), text, "raise the limit, or give less")


def _per(cap: Cap) -> str:
    words = {"claim": "at once", "program": "for all members together", "lifetime": "in a member's life"}
    return words.get(cap.per, f"a {cap.per}")


def _transfers(view: View) -> Iterator[Advice]:
    rules = view.program.transfers
    if rules is None:
        return
    if rules.minimum > rules.maximum:
        text = "nobody can give points away: the minimum is greater than the maximum"
        yield Advice(("transfers", "minimum"), text, "exchange the two")
    elif rules.per_day is not None and rules.per_day < rules.minimum:
        text = f"nobody can give points away: at least {rules.minimum} at once, but at most {rules.per_day} a day"
        yield Advice(("transfers", "per_day"), text, f"{rules.minimum} or more")
