"""Points that are worth more than the money that earns them, and rewards that are worth more than their points."""

from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction

from contracts.money import minor_digits
from contracts.program import AnyAmount, Campaign, Program, SpendRule

from ..words import money, number, percent
from .view import Advice, Item, View

BACK_MAX = Fraction(3, 10)
"""Programs give back some hundredths of what is spent; more is rarely meant."""
REWARD_MAX = 2
"""A reward may be worth more than its points; so many times is rarely meant."""


def worth(view: View) -> Iterator[Advice]:
    """Everything that gives more than it brings."""
    tier = max((level.multiplier for level in view.program.tiers.levels), default=Decimal(1))
    for item in view.rules:
        if isinstance(item.value, SpendRule):
            yield from _rate(item, view, tier)
    for item in view.rewards:
        yield from _reward(item, view.program)


def _rate(item: Item, view: View, tier: Decimal) -> Iterator[Advice]:
    """What comes back of the money, at best: with the highest tier and all campaigns that can come together."""
    rule: SpendRule = item.value
    campaigns = [other for other in view.campaigns if _adds(other, item, view)]
    best = Fraction(rule.points_per_unit * tier) * _together(campaigns, view.program)
    back = best * Fraction(view.program.point.value_minor) / 10 ** minor_digits(view.program.currency)
    where = (*item.path, "points_per_unit")
    how = " with the highest tier" if tier != 1 else ""
    how += f" and the campaigns {', '.join(other.id for other in campaigns)}" if campaigns else ""
    text = f"at best{how} this gives back {percent(back)} of the money: {number(best)} points a unit, each worth "
    text += money(view.program.point.value_minor, view.program.currency)
    if back >= 1:
        yield Advice(where, f"{text}; the points are worth more than what earns them", "give less", strong=True)
    elif back >= BACK_MAX:
        yield Advice(where, text, "give less, or make sure that this is meant")


def _adds(campaign: Item, rule: Item, view: View) -> bool:
    value: Campaign = campaign.value
    multiplies = value.multiplier is not None and any(item.id == rule.id for item in view.multiplied(value))
    return multiplies and not (campaign.holds & rule.holds).never


def _together(campaigns: list[Item], program: Program) -> Fraction:
    """The product, or the sum, of the multipliers; of a group of which one counts the greatest alone."""
    single = {group.id for group in program.earning.groups if group.stacking != "sum"}
    best: dict[str, Fraction] = {}
    for place, item in enumerate(campaigns):
        group = item.value.group
        key = group if group in single else f"#{place}"
        best[key] = max(best.get(key, Fraction(1)), Fraction(item.value.multiplier))
    if program.earning.multipliers == "add":
        return 1 + sum((factor - 1 for factor in best.values()), Fraction(0))
    product = Fraction(1)
    for factor in best.values():
        product *= factor
    return product


def _reward(item: Item, program: Program) -> Iterator[Advice]:
    reward = item.value
    if not isinstance(reward, AnyAmount):
        return
    value = Fraction(program.point.value_minor)
    costs = [cost for cost in (reward.cost, *reward.cost_by_tier.values()) if cost]
    if reward.points_per_unit is not None:
        each = Fraction(10 ** minor_digits(program.currency)) / Fraction(reward.points_per_unit)
    elif costs and reward.value_minor:
        each = Fraction(reward.value_minor - reward.price_minor, min(costs))
    else:
        return
    if value and each > REWARD_MAX * value:
        name = "cost" if reward.points_per_unit is None else "points_per_unit"
        text = (
            f"here a point is worth {money(each, program.currency)}, and the program says "
            f"{money(program.point.value_minor, program.currency)}"
        )
        yield Advice((*item.path, name), text, "let it cost more, or raise point.value_minor", strong=True)
