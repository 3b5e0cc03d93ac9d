"""What can never apply, and what can never be reached or had."""

from collections.abc import Iterator

from contracts.program import AnyAmount, Campaign, Challenge, Conditions, DrawEntry, Offer, OnOrders, Priced

from ..words import listed
from .lines import fits_none, match_within
from .scope import UNKNOWN, start_of
from .view import Advice, Item, Path, View

NOUNS = {"rules": "rule", "campaigns": "campaign", "challenges": "challenge", "rewards": "reward", "offers": "offer"}
WHOSE = {
    "activity": "activities have none",
    "date": "a day in a member's life has none",
    "spending": "it is unknown when points are spent",
}
"""Why a condition is unknown then."""


def never(view: View) -> Iterator[Advice]:
    """Everything that is written in vain."""
    for item in view.items:
        yield from _conditions(item, view)
        if isinstance(item.value, OnOrders | Campaign | Challenge):
            yield from _match(item)
    for items, path in ((view.rules, "rules"), (view.campaigns, "campaigns")):
        yield from _shadowed(items, view, path)
    yield from _campaigns(view)
    yield from _offers(view)
    yield from _rewards(view)


def _conditions(item: Item, view: View) -> Iterator[Advice]:
    when, path = item.value.when, (*item.path, "when")
    start, noun = start_of(view.program), NOUNS[str(item.path[-2])]
    unknown = [name for name in sorted(UNKNOWN[item.judged]) if getattr(when, name)]
    if when.last_day is not None and when.last_day < start:
        text = f"this {noun} never applies: it ended on {when.last_day}, before this version takes effect on {start}"
        yield Advice((*path, "last_day"), text, f"set a later last_day, or leave the {noun} out")
    elif unknown:
        text = f"this {noun} never applies: it asks for {listed(unknown)}, but {WHOSE[item.judged]}"
        yield Advice((*path, unknown[0]), text, f"leave {listed(unknown)} out")
    elif item.judged == "spending" and when.currencies and view.program.currency not in when.currencies:
        text = f"this {noun} never applies: points are spent in {view.program.currency} alone"
        yield Advice((*path, "currencies"), text, "leave currencies out")
    elif item.holds.scope.empty:
        first, last = item.holds.scope.first, item.holds.scope.last
        text = f"this {noun} never applies: from {first} to {last} there is no {listed(when.weekdays, 'or')}"
        yield Advice((*path, "weekdays"), text, "name other weekdays, or a longer time")
    elif item.holds.never:
        text = f"this {noun} never applies: unless holds whenever the other conditions do"
        yield Advice((*path, "unless"), text, "let unless say less than the conditions beside it")
    elif item.judged == "order":
        yield from _currencies(item, view)


def _currencies(item: Item, view: View) -> Iterator[Advice]:
    """Buyers can pay in the shop's own currency at the least."""
    own, when = view.program.currency, item.value.when
    if when.currencies and own not in when.currencies:
        asked = listed(when.currencies, "or")
        text = f"who pays in {own}, the shop's own currency, has nothing of it: it asks for {asked}"
        yield Advice(
            (*item.path, "when", "currencies"), text, f"add {own}, or make sure that the shop takes the others"
        )
    elif when.unless is not None and own in when.unless.currencies and _alone(when.unless):
        text = f"who pays in {own}, the shop's own currency, has nothing of it"
        yield Advice((*item.path, "when", "unless", "currencies"), text, f"leave {own} out there")


def _alone(unless: Conditions) -> bool:
    """The currencies are the only condition."""
    return unless.model_copy(update={"currencies": ()}) == Conditions()


def _match(item: Item) -> Iterator[Advice]:
    match, noun = item.value.match, NOUNS[str(item.path[-2])]
    if fits_none(match):
        text = f"this {noun} never applies: but_not takes out every line that fits"
        yield Advice((*item.path, "match", "but_not"), text, "take out less, or match more")
    different, most = getattr(item.value, "minimum_products", 0), len(set(match.products))
    if match.products and different > most:
        text = f"this {noun} never applies: it asks for {different} different products, but match names only {most}"
        yield Advice((*item.path, "minimum_products"), text, f"{most} or less, or name more products")


def _shadowed(items: list[Item], view: View, name: str) -> Iterator[Advice]:
    """In a group of which the first counts, what comes after one that applies wherever it does."""
    for group in view.program.earning.groups:
        if group.stacking != "first_match":
            continue
        members = [item for item in items if getattr(item.value, "group", None) == group.id]
        for place, item in enumerate(members):
            earlier = next((other for other in members[:place] if _covers(other, item)), None)
            if earlier is not None:
                text = (
                    f"this {NOUNS[name]} never counts: in the group {group.id} the first that applies counts, and "
                    f"{earlier.id} before it applies whenever it does"
                )
                yield Advice((*item.path, "group"), text, f"put it before {earlier.id}")


def _covers(earlier: Item, later: Item) -> bool:
    one, other = earlier.value, later.value
    return (
        later.holds.within(earlier.holds)
        and match_within(other.match, one.match)
        and one.minimum_products <= other.minimum_products
        and (one.minimum_minor == 0 or (one.minimum_minor <= other.minimum_minor and one.basis == other.basis))
    )


def _campaigns(view: View) -> Iterator[Advice]:
    """Campaigns that multiply rules of which none applies while they run."""
    for item in view.campaigns:
        if item.value.multiplier is None or item.holds.never:
            continue
        rules = view.multiplied(item.value)
        if not any(not (item.holds & rule.holds).never for rule in rules):
            text = "this campaign never applies: none of the rules that it multiplies applies while it runs"
            if not rules:
                text = "this campaign never applies: there is no rule on orders that it could multiply"
            yield Advice((*item.path, "rules" if item.value.rules else "multiplier"), text, "name other rules")


def _offers(view: View) -> Iterator[Advice]:
    for item in view.offers:
        offer: Offer = item.value
        rewards = [reward for reward in view.rewards if not offer.rewards or reward.id in offer.rewards]
        if not item.holds.never and not any(not (item.holds & reward.holds).never for reward in rewards):
            text = "this offer never applies: no reward that it is for can be had while it runs"
            yield Advice((*item.path, "rewards") if offer.rewards else item.path, text, "name other rewards or days")


def _rewards(view: View) -> Iterator[Advice]:
    draws = {draw.id: draw for draw in view.program.draws}
    for item in view.rewards:
        reward: Priced = item.value
        if reward.stock == 0:
            yield Advice((*item.path, "stock"), "nobody can have this reward: its stock is 0", "raise the stock")
        if isinstance(reward, AnyAmount) and reward.amount_minor_min > reward.amount_minor_max:
            text = "nobody can have this reward: the least amount is greater than the greatest"
            yield Advice((*item.path, "amount_minor_min"), text, "exchange the two")
        if isinstance(reward, DrawEntry):
            closes = draws[reward.draw].closes_at.astimezone(view.program.time_zone).date()
            if start_of(view.program) <= closes < item.holds.scope.first:
                text = f"nobody can have this reward: the draw closes on {closes}, before its first_day"
                yield Advice((*item.path, "when", "first_day"), text, "let it begin earlier")
    yield from _closed(view)


def _closed(view: View) -> Iterator[Advice]:
    for place, draw in enumerate(view.program.draws):
        if draw.closes_at <= view.program.effective_from:
            text = (
                f"nobody can enter this draw: it closed at {draw.closes_at:%Y-%m-%d %H:%M} UTC, before this version "
                f"takes effect at {view.program.effective_from:%Y-%m-%d %H:%M} UTC"
            )
            path: Path = ("draws", place, "closes_at")
            yield Advice(path, text, "let it close later; if it was held already, let it and its reward go")
