"""What a later version of a program changes for members, in sentences. Every field of the document is looked at."""

from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from pydantic import BaseModel

from contracts.program import Program

from .words import listed, number

SAID = {
    "Earning.max_age_days": "Orders that reach Laurel up to {new} days late earn, instead of {old}.",
    "Earning.clawback": "Of points that were spent before their refund “{new}” is taken back, instead of “{old}”.",
    "Earning.write_off_days": "Points owed are forgiven after {new} days, instead of {old}.",
    "Earning.rounding": "What an order earns is rounded by “{new}”, instead of “{old}”.",
    "Pending.days": "{of}Points can be spent {new} days after the payment, instead of {old}.",
    "Expiry.months": "{of}Points run out after {new} months, instead of {old}.",
    "Expiry.days": "{of}Points run out after {new} days, instead of {old}.",
    "Expiry.inactive_months": "{of}Points run out after {new} months without doing anything, instead of {old}.",
    "SpendRule.points_per_unit": "{of}{new} points for each unit of money, instead of {old}.",
    "OnOrders.minimum_minor": "{of}The least order is {new} minor units, instead of {old}.",
    "Campaign.multiplier": "{of}It multiplies by {new}, instead of {old}.",
    "Campaign.budget": "{of}Its budget is {new} points, instead of {old}.",
    "Cap.points": "{of}At most {new} points, instead of {old}.",
    "Level.threshold": "{of}It is reached with {new} tier points, instead of {old}.",
    "Level.multiplier": "{of}Its orders earn ×{new}, instead of ×{old}.",
    "Tiers.window_months": "Tier points count for {new} months, instead of {old}.",
    "Priced.cost": "{of}It costs {new} points, instead of {old}.",
    "Priced.stock": "{of}There are {new} in all, instead of {old}.",
    "Priced.valid_days": "{of}The coupon can be used for {new} days, instead of {old}.",
    "Referral.advocate_points": "Who brings a friend gets {new} points, instead of {old}.",
    "Referral.friend_points": "A friend gets {new} points, instead of {old}.",
    "Point.value_minor": "A point is worth {new} minor units, instead of {old}.",
    "Conditions.last_day": "{of}It ends with {new}, instead of {old}.",
    "Conditions.first_day": "{of}It begins with {new}, instead of {old}.",
}
"""By class and field: what its change means."""
NOUNS = {
    "rules": "Rule", "campaigns": "Campaign", "caps": "Cap", "groups": "Group", "terms": "Terms", "levels": "Tier",
    "challenges": "Challenge", "rewards": "Reward", "offers": "Offer", "memberships": "Membership", "draws": "Draw",
    "causes": "Cause",
}  # fmt: skip
"""What the items of a list are."""


def differences(old: Program, new: Program) -> list[str]:
    """Sentences, in the order of the document; empty when nothing changes but the version and its beginning."""
    return [*_model(old, new, "", "")]


def _model(old: BaseModel, new: BaseModel, path: str, of: str) -> Iterator[str]:
    for name in type(new).model_fields:
        if path == "" and name in ("version", "effective_from"):
            continue
        before, after = getattr(old, name), getattr(new, name)
        if before != after:
            place = f"{path}.{name}" if path else name
            yield from _value(before, after, place, of, f"{declaring(type(new), name)}.{name}")


def _value(old: Any, new: Any, path: str, of: str, key: str) -> Iterator[str]:
    if isinstance(old, BaseModel) and type(old) is type(new):
        yield from _model(old, new, path, of)
    elif _have_ids(old) and _have_ids(new) and (old or new):
        yield from _items(old, new, path, of)
    else:
        plain = f"{{of}}{_words(path)}: {{new}}, instead of {{old}}."
        # A number's sentence would say the opposite of a limit that is gone: none left, where there is none to keep.
        said = plain if old is None or new is None else SAID.get(key, plain)
        sentence = said.format(of=of, old=_shown(old), new=_shown(new))
        yield sentence[0].upper() + sentence[1:]


def _items(old: Any, new: Any, path: str, of: str) -> Iterator[str]:
    """Things with ids: new ones, ones that are gone, changed ones, another order."""
    noun = NOUNS.get(path.rpartition(".")[2], "Item")
    before, after = ({item.id: item for item in items} for items in (old, new))
    for item in old:
        if item.id not in after:
            yield f"{of}{noun} {item.id} is gone."
    for item in new:
        name = f"{of}{noun} {item.id}"
        if item.id not in before:
            yield f"{name} is new: {_shown(item)}."
        elif type(before[item.id]) is not type(item):
            yield f"{name} is of another kind: {_shown(item)}."
        elif before[item.id] != item:
            yield from _model(before[item.id], item, path, f"{name}: ")
    kept = [item.id for item in old if item.id in after]
    if kept != [item.id for item in new if item.id in before]:
        yield f"{of}{noun}s stand in another order: {listed([item.id for item in new])}."


def _have_ids(value: Any) -> bool:
    return isinstance(value, tuple) and all(isinstance(item, BaseModel) and hasattr(item, "id") for item in value)


def declaring(model: type[BaseModel], name: str) -> str:
    """The class that says what a field means: those that inherit it say the same."""
    return next(base.__name__ for base in reversed(model.__mro__) if name in getattr(base, "__annotations__", {}))


def _words(path: str) -> str:
    """The end of a path, as words."""
    parts = [part for part in path.split(".") if part not in NOUNS]
    return " ".join(parts).replace("_", " ")


def _shown(value: Any) -> str:
    """A value as people read it."""
    if value is None:
        return "not set"
    if value in ((), {}):
        return "none"
    if isinstance(value, BaseModel):
        given = value.model_dump(exclude_defaults=True)
        return ", ".join(f"{name.replace('_', ' ')} {_shown(item)}" for name, item in given.items() if name != "id")
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | Decimal):
        return number(value)
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M} UTC"
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, dict):
        return ", ".join(f"{name} {_shown(item)}" for name, item in value.items())
    if isinstance(value, tuple | list | frozenset):
        return listed([_shown(item) for item in value])
    return str(value)
