"""What must fit together within a program: names that one part gives and another uses."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from .conditions import Conditions, When
from .earning import ActivityRule, Campaign, DateRule
from .rewards import Donation, DrawEntry, MembershipReward

if TYPE_CHECKING:
    from .document import Program

RESERVED = frozenset({"tier", "referral", "default", "order", "redemption"})
"""Ids that rules must not have: transfers and terms use them for Laurel's own."""
_OF_ORDERS = ("match", "minimum_minor", "minimum_products")
"""What asks for lines or money."""
Path = tuple[str | int, ...]


class Fault(NamedTuple):
    """Something that does not fit, and where."""

    path: Path
    text: str

    @property
    def field(self) -> str:
        return ".".join(str(part) for part in self.path)


def faults(program: Program) -> list[Fault]:
    """Everything that does not fit together, in the order of the document."""
    parts = (_ids, _earning, _challenges, _spending, _conditions, _chance)
    return [fault for part in parts for fault in part(program)]


def faults_of_new(program: Program) -> list[Fault]:
    """What a version that is to be published must not say. Those that were published before say it and are read still:
    a check that came later must not make them unreadable.
    """
    found = [Fault(("zone",), "is another zone on each machine")] if program.zone in ("localtime", "Factory") else []
    activities = {rule.id for rule in program.earning.rules if isinstance(rule, ActivityRule)}
    for place, rule in enumerate(program.earning.rules):
        path: Path = ("earning", "rules", place)
        kinds = [(limit.per, limit.times is None) for limit in getattr(rule, "limits", ())]
        if len(set(kinds)) < len(kinds):
            found.append(Fault((*path, "limits"), "two are of one kind and period: keep the lower"))
        if rule.type == "enrolment":
            text = "only birthdays and anniversaries have it: enrolment brings its points at once"
            found += _given(path, rule, ("days_before", "enrolled_days"), text)
    for place, campaign in enumerate(program.earning.campaigns):
        if activities.intersection(campaign.rules):
            text = "only orders have it, but rules on activities are named: give those a campaign of their own"
            found += _given(("earning", "campaigns", place), campaign, _OF_ORDERS, text)
    for place, challenge in enumerate(program.challenges):
        path = ("challenges", place)
        if challenge.activity is None:
            found += _given(path, challenge, ("attributes",), "only activities have them, but orders are counted")
        else:
            found += _given(path, challenge, _OF_ORDERS, "only orders have it, but activities are counted")
    for place, reward in enumerate(program.rewards):
        if isinstance(reward, Donation | DrawEntry | MembershipReward):
            text = "only coupons run out, and this reward has none"
            found += _given(("rewards", place), reward, ("valid_days",), text)
    return found


def _ids(program: Program) -> Iterator[Fault]:
    """Rules, campaigns and challenges share one space of ids: each names the points that it gives."""
    earning: Path = ("earning",)
    givers = [((*earning, "rules"), program.earning.rules), ((*earning, "campaigns"), program.earning.campaigns),
              (("challenges",), program.challenges)]  # fmt: skip
    yield from _twice(givers)
    for path, items in givers:
        for place, item in enumerate(items):
            if item.id in RESERVED:
                yield Fault((*path, place, "id"), f"{item.id!r} is a word of Laurel's own: choose another id")
    for name in ("groups", "caps", "terms"):
        yield from _twice([((*earning, name), getattr(program.earning, name))])
    for name in ("rewards", "offers", "memberships", "draws", "causes"):
        yield from _twice([((name,), getattr(program, name))])


def _twice(lists: Iterable[tuple[Path, Iterable[Any]]]) -> Iterator[Fault]:
    seen: dict[str, str] = {}
    for path, items in lists:
        for place, item in enumerate(items):
            field = ".".join(map(str, (*path, place)))
            if seen.setdefault(item.id, field) != field:
                yield Fault((*path, place, "id"), f"{item.id!r} is the id of {seen[item.id]} already")


def _earning(program: Program) -> Iterator[Fault]:
    earning = program.earning
    groups, terms = {group.id for group in earning.groups}, {item.id for item in earning.terms}
    rules = {rule.id for rule in earning.rules}
    for name, items in (("rules", earning.rules), ("campaigns", earning.campaigns)):
        for place, item in enumerate(items):
            path: Path = ("earning", name, place)
            yield from _known((*path, "group"), item.group, groups, "earning.groups")
            yield from _known((*path, "terms"), item.terms, terms, "earning.terms")
            if isinstance(item, Campaign):
                if item.points is not None and item.rules:
                    yield Fault((*path, "rules"), "extra points multiply no rules: leave rules out")
                yield from _each((*path, "rules"), item.rules, rules - _dated(program), "earning.rules")
            elif isinstance(item, ActivityRule | DateRule) and item.group is not None:
                yield Fault((*path, "group"), "only rules on orders stack in groups")
    for place, cap in enumerate(earning.caps):
        known = rules - _dated(program) | {item.id for item in earning.campaigns}
        named = "rules on orders and activities, and campaigns"
        yield from _each(("earning", "caps", place, "rules"), cap.rules, known, named)


def _dated(program: Program) -> set[str]:
    return {rule.id for rule in program.earning.rules if isinstance(rule, DateRule)}


def _challenges(program: Program) -> Iterator[Fault]:
    terms, rewards = {item.id for item in program.earning.terms}, {reward.id for reward in program.rewards}
    for place, challenge in enumerate(program.challenges):
        path: Path = ("challenges", place)
        yield from _known((*path, "terms"), challenge.terms, terms, "earning.terms")
        yield from _known((*path, "reward"), challenge.reward, rewards, "rewards")
        reward = program.reward(challenge.reward) if challenge.reward else None
        if reward is not None and reward.cost is None:
            yield Fault((*path, "reward"), f"{reward.id!r} is for any amount: a challenge gives one of fixed cost")


def _spending(program: Program) -> Iterator[Fault]:
    tiers, rewards = {level.id for level in program.tiers.levels}, {reward.id for reward in program.rewards}
    for place, reward in enumerate(program.rewards):
        path: Path = ("rewards", place)
        for tier in reward.cost_by_tier:
            yield from _known((*path, "cost_by_tier", tier), tier, tiers, "tiers.levels")
        if isinstance(reward, MembershipReward):
            known = {item.id for item in program.memberships}
            yield from _known((*path, "membership"), reward.membership, known, "memberships")
        elif isinstance(reward, DrawEntry):
            yield from _known((*path, "draw"), reward.draw, {item.id for item in program.draws}, "draws")
        elif isinstance(reward, Donation):
            yield from _known((*path, "cause"), reward.cause, {item.id for item in program.causes}, "causes")
    for place, offer in enumerate(program.offers):
        yield from _each(("offers", place, "rewards"), offer.rewards, rewards, "rewards")


def conditions(program: Program) -> Iterator[tuple[Path, Conditions]]:
    """Every set of conditions of the document, with its place."""
    earning: Path = ("earning",)
    lists: list[tuple[Path, Iterable[Any]]] = [
        ((*earning, "rules"), program.earning.rules), ((*earning, "campaigns"), program.earning.campaigns),
        (("challenges",), program.challenges), (("rewards",), program.rewards), (("offers",), program.offers),
    ]  # fmt: skip
    for path, items in lists:
        for place, item in enumerate(items):
            when: When = item.when
            yield (*path, place, "when"), when
            if when.unless is not None:
                yield (*path, place, "when", "unless"), when.unless


def _conditions(program: Program) -> Iterator[Fault]:
    tiers, memberships = {level.id for level in program.tiers.levels}, {item.id for item in program.memberships}
    for path, when in conditions(program):
        yield from _each((*path, "tiers"), when.tiers, tiers, "tiers.levels")
        yield from _each((*path, "memberships"), when.memberships, memberships, "memberships")


def commitments(program: Program) -> Iterator[tuple[Path, str, str]]:
    """What chance decides: its place, its id, and the commitment of its seed."""
    lists: list[tuple[str, Iterable[Any]]] = [("challenges", program.challenges), ("draws", program.draws)]
    for name, items in lists:
        for place, item in enumerate(items):
            if item.commitment is not None:
                yield (name, place), item.id, item.commitment


def _chance(program: Program) -> Iterator[Fault]:
    """A seed that a draw has shown would tell what else it decides."""
    seen: dict[str, str] = {}
    for path, _, commitment in commitments(program):
        field = ".".join(map(str, path))
        if seen.setdefault(commitment, field) != field:
            text = f"is that of {seen[commitment]} already: `laurel seed` makes another"
            yield Fault((*path, "commitment"), text)


def _given(path: Path, item: Any, names: Iterable[str], text: str) -> Iterator[Fault]:
    """What is said but would be ignored."""
    for name in names:
        if hasattr(item, name) and getattr(item, name) != type(item).model_fields[name].default:
            yield Fault((*path, name), text)


def _known(path: Path, value: str | None, known: set[str], where: str) -> Iterator[Fault]:
    if value is not None and value not in known:
        names = ", ".join(sorted(known)) or "there is none"
        yield Fault(path, f"{where} has no {value!r} (known: {names})")


def _each(path: Path, values: Iterable[str], known: set[str], where: str) -> Iterator[Fault]:
    for place, value in enumerate(values):
        yield from _known((*path, place), value, known, where)
