"""What is open to loss: no end, no limit, nobody who checks, points spent before the refund."""

from collections.abc import Iterator

from contracts.program import (
    ActivityRule,
    Basis,
    Campaign,
    Challenge,
    DateRule,
    OnOrders,
    Pending,
    PercentOff,
    Perk,
    Priced,
    Program,
)

from ..words import number
from .view import Advice, Item, Path, View

PENDING_DAYS_MIN = 7
"""Most returns of goods are not known sooner."""
PERCENT_MAX = 50


def loose(view: View) -> Iterator[Advice]:
    """Everything that is open to loss."""
    for item in [*view.campaigns, *view.offers]:
        yield from _endless(item)
    for item in view.rules:
        if isinstance(item.value, ActivityRule):
            yield from _activity(item, view)
        elif isinstance(item.value, DateRule):
            yield from _date(item)
    for item in view.challenges:
        if item.value.activity is not None and not item.value.verified:
            yield _unverified(item, "challenge")
    for item in [*view.rules, *view.campaigns, *view.challenges]:
        if isinstance(item.value, OnOrders | Campaign | Challenge):
            yield from _basis(item)
    yield from _refunds(view)
    for item in view.rewards:
        yield from _reward(item, view.program)
    yield from _people(view.program)


def _endless(item: Item) -> Iterator[Advice]:
    value = item.value
    if value.when.last_day is not None:
        return
    if not isinstance(value, Campaign):
        yield Advice(item.path, "this offer has no end", "set when.last_day, far away if it is meant to stay")
    elif value.budget is None:
        text = "this campaign has neither an end nor a budget: nothing bounds what it gives"
        yield Advice(item.path, text, "set when.last_day, far away if it is meant to stay, or budget")
    else:
        text = f"this campaign has no end: it runs until its budget of {number(value.budget)} points is used up"
        yield Advice(item.path, text, "set when.last_day, far away if it is meant to stay")


def _activity(item: Item, view: View) -> Iterator[Advice]:
    rule: ActivityRule = item.value
    caps = [cap for cap in view.program.earning.caps if cap.per != "claim" and (not cap.rules or rule.id in cap.rules)]
    if not rule.limits and not caps:
        text = f"a member can earn these points again and again, as often as {rule.activity!r} is told"
        yield Advice(item.path, text, "set limits, such as [{per: object, times: 1}, {per: month, times: 5}]")
    if not rule.verified:
        yield _unverified(item, "rule")


def _unverified(item: Item, noun: str) -> Advice:
    text = f"this {noun} takes activities that nobody checked: who can send them can make points"
    return Advice((*item.path, "verified"), text, "leave verified out, so that the platform must have checked them")


def _date(item: Item) -> Iterator[Advice]:
    rule: DateRule = item.value
    if rule.type == "birthday" and rule.enrolled_days == 0:
        text = "who joins just before a birthday, or claims to have it tomorrow, gets these points at once"
        yield Advice(item.path, text, "set enrolled_days, such as 30")
    if rule.type == "enrolment":
        for name in ("days_before", "enrolled_days"):
            if getattr(rule, name):
                yield Advice((*item.path, name), f"{name} means nothing for enrolment", "leave it out")


def _basis(item: Item) -> Iterator[Advice]:
    basis: Basis = item.value.basis
    if basis.gift_cards_bought and basis.gift_card_tender:
        text = "the same money earns twice: when a gift card is bought, and when it is spent"
        yield Advice((*item.path, "basis", "gift_cards_bought"), text, "set one of the two to false")
    for name in ("shipping", "tip"):
        if getattr(basis, name) and not item.value.match.every:
            text = f"{name} does not count here: it belongs to no line, and match chooses lines"
            yield Advice((*item.path, "basis", name), text, "leave it out, or leave match out")


def _refunds(view: View) -> Iterator[Advice]:
    """Where only pending points are taken back, they must wait longer than goods take to come back."""
    earning = view.program.earning
    if earning.test_orders:
        text = "test orders earn points that can be spent like any others"
        yield Advice(("earning", "test_orders"), text, "set it to false outside of a trial")
    if earning.clawback != "only_pending":
        return
    used = {item.value.terms for item in [*view.order_rules, *view.campaigns]}
    places: list[tuple[Path, Pending]] = [(("earning", "pending"), earning.pending)] if None in used else []
    places += [
        (("earning", "terms", place, "pending"), terms.pending)
        for place, terms in enumerate(earning.terms)
        if terms.id in used
    ]
    for path, pending in places:
        if pending.days < PENDING_DAYS_MIN:
            text = (
                f"points can be spent after {pending.days} days, and clawback takes only pending ones: who returns "
                "goods later keeps them"
            )
            yield Advice(
                (*path, "days"), text, "let points wait as long as goods can be returned, or clawback: unlimited"
            )


def _reward(item: Item, program: Program) -> Iterator[Advice]:
    reward: Priced = item.value
    costs = [reward.cost, *reward.cost_by_tier.values()]
    bounded = reward.limits or reward.stock is not None
    if isinstance(reward, Perk) and reward.standing_code is not None:
        if any(costs):
            text = "nobody pays these points: with a standing_code all who may have the perk use that code"
            yield Advice((*item.path, "standing_code"), text, "leave standing_code out, or cost: 0")
    elif 0 in costs and not bounded and not reward.price_minor:
        text = "this reward costs nothing, and a member may have it as often as they like"
        yield Advice((*item.path, "cost"), text, "set limits, such as [{per: month, times: 1}]", strong=True)
    if isinstance(reward, PercentOff) and reward.maximum_minor is None and reward.percent >= PERCENT_MAX:
        text = f"{number(reward.percent)} % off an order of any size"
        yield Advice((*item.path, "percent"), text, "set maximum_minor")
    yield from _by_tier(item, program)


def _by_tier(item: Item, program: Program) -> Iterator[Advice]:
    """A higher tier should not pay more."""
    reward: Priced = item.value
    if reward.cost is None:
        return
    paid: list[tuple[int, str]] = []
    for level in program.tiers.levels:
        if reward.when.tiers and level.id not in reward.when.tiers:
            continue
        cost = reward.cost_by_tier.get(level.id, reward.cost)
        lower = min(paid, default=(cost, ""))
        if cost > lower[0]:
            where = (*item.path, "cost_by_tier", *([level.id] if level.id in reward.cost_by_tier else []))
            text = (
                f"members of {level.id} pay {number(cost)} points, those of the lower tier {lower[1]} only {lower[0]}"
            )
            yield Advice(where, text, "let a higher tier pay the same or less")
        paid.append((cost, level.id))


def _people(program: Program) -> Iterator[Advice]:
    limits, referral = program.adjustments, program.referral
    if limits.approval_above is not None and limits.approval_above >= limits.points_max:
        text = f"no second person is ever asked: nothing above points_max, {number(limits.points_max)}, can be given"
        yield Advice(("adjustments", "approval_above"), text, "set it below points_max")
    if referral and referral.minimum_minor == 0 and (referral.advocate_points or referral.friend_points):
        text = "a friend's order of any size brings these points: a cheap way to make them with made-up friends"
        yield Advice(("referral", "minimum_minor"), text, "set minimum_minor to more than the points are worth")
