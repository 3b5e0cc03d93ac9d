"""What advice looks at: a program, and everything in it that has conditions, with its place."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from contracts.program import ActivityRule, Campaign, Challenge, DateRule, OnOrders, Program

from .scope import Holds, Judged, holds_of

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Advice:
    """Something that is legal but unwise: where, what comes of it, and how to mend it. `strong`: it loses money."""

    path: Path
    text: str
    mend: str
    strong: bool = False


@dataclass(frozen=True, slots=True)
class Item:
    """A rule, campaign, challenge, reward or offer."""

    path: Path
    value: Any
    judged: Judged
    holds: Holds

    @property
    def id(self) -> str:
        return str(self.value.id)


class View:
    """A program with its items."""

    def __init__(self, program: Program) -> None:
        self.program = program
        earning = program.earning
        self.rules = self._items(("earning", "rules"), earning.rules)
        self.campaigns = self._items(("earning", "campaigns"), earning.campaigns)
        self.challenges = self._items(("challenges",), program.challenges)
        self.rewards = self._items(("rewards",), program.rewards)
        self.offers = self._items(("offers",), program.offers)

    @property
    def items(self) -> list[Item]:
        """In the order of the document."""
        return [*self.rules, *self.campaigns, *self.challenges, *self.rewards, *self.offers]

    @property
    def order_rules(self) -> list[Item]:
        return [item for item in self.rules if isinstance(item.value, OnOrders)]

    def multiplied(self, campaign: Campaign) -> list[Item]:
        """The rules that a campaign multiplies: those it names, else all on orders."""
        named = [item for item in self.rules if item.id in campaign.rules]
        return named if campaign.rules else self.order_rules

    def _items(self, path: Path, values: Iterable[Any]) -> list[Item]:
        return [
            Item((*path, place), value, self._judged(value), holds_of(value.when, self.program))
            for place, value in enumerate(values)
        ]

    def _judged(self, value: Any) -> Judged:
        if isinstance(value, Campaign) and value.rules:
            kinds = {type(rule) for rule in self.program.earning.rules if rule.id in value.rules}
            return "activity" if kinds == {ActivityRule} else "order"
        if isinstance(value, Challenge):
            return "activity" if value.activity else "order"
        if isinstance(value, ActivityRule):
            return "activity"
        if isinstance(value, DateRule):
            return "date"
        return "order" if isinstance(value, OnOrders | Campaign) else "spending"
