"""What rewards cost, and whether a member may have one now: if not, why, and when."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from math import ceil
from typing import Any

from contracts.money import minor_digits
from contracts.program import AnyAmount, DrawEntry, Perk, Priced, Program, ProgramBook, Reward

from .account import Account
from .calendar import day_end, day_start, period
from .claims import Member
from .conditions import Situation, compile_when
from .rulebook import Rulebook, rulebook
from .standing import memberships_at, tier_at
from .world import UseKey

Used = Callable[[UseKey], int]
UNCODED = frozenset({"membership", "draw_entry", "donation"})
"""Rewards without a code: Laurel itself, or the shop, keeps them."""


class RefusedError(Exception):
    """Something that cannot be done now; `reason` names why, the text says it, `until` when it may be tried again."""

    def __init__(self, reason: str, text: str, *, until: datetime | None = None) -> None:
        super().__init__(text)
        self.reason, self.until = reason, until


@dataclass(frozen=True, slots=True)
class Price:
    """What a reward costs a member now."""

    points: int
    price_minor: int
    value_minor: int | None
    offer: str | None


def find_reward(program: Program | None, reward_id: str) -> Reward:
    """A reward of the program in force. Raises `RefusedError` (unknown_reward)."""
    reward = program.reward(reward_id) if program else None
    if reward is None:
        raise RefusedError("unknown_reward", f"The program has no reward {reward_id!r}.")
    return reward


def situation_now(member: Member, program: Program, now: datetime) -> Situation:
    """What conditions may ask of somebody who wants something now."""
    level = program.tiers.level(tier_at(member.intervals, now, "\uffff"))
    return Situation(
        now, program.time_zone, level.id, memberships_at(member.memberships, now), member.segments,
        member.attributes, member.birthday, program.currency,
    )  # fmt: skip


def price_of(program: Program, reward: Reward, situation: Situation, amount_minor: int | None) -> Price:
    """What it costs: by tier, or for an amount, less what an offer takes off, rounded up.

    Raises `RefusedError` (amount) when an amount is missing, not asked for, or outside the bounds.
    """
    value = getattr(reward, "value_minor", None)
    if isinstance(reward, AnyAmount) and reward.points_per_unit is not None:
        if amount_minor is None:
            raise RefusedError("amount", f"{reward.id!r} is for any amount: say amount_minor.")
        low, high = reward.amount_minor_min, reward.amount_minor_max
        if not low <= amount_minor <= high:
            raise RefusedError("amount", f"The amount must be between {low} and {high} minor units.")
        scale = 10 ** minor_digits(program.currency)
        exact, value = reward.points_per_unit * amount_minor / scale, amount_minor
    elif amount_minor is not None:
        raise RefusedError("amount", f"{reward.id!r} has a fixed cost: leave amount_minor out.")
    else:
        exact = Decimal(reward.cost_by_tier.get(situation.tier_id, reward.cost or 0))
    factor, offer = best_offer(program, reward, situation)
    return Price(ceil(exact * factor), reward.price_minor, value, offer)


def best_offer(program: Program, reward: Priced, situation: Situation) -> tuple[Decimal, str | None]:
    """The offer that takes most off, the first of equals."""
    best: tuple[Decimal, str | None] = Decimal(1), None
    for offer in program.offers:
        if offer.rewards and reward.id not in offer.rewards:
            continue
        if offer.cost_factor < best[0] and all(test(situation) for _, test in compile_when(offer.when, situation.zone)):
            best = offer.cost_factor, offer.id
    return best


def limits_of(reward: Priced, book: Rulebook, at: datetime) -> dict[str, str]:
    """The limits that one more of a reward counts for: names and windows."""
    found = {f"reward:{reward.id}:{limit.per}": period(at, limit.per, book.zone) for limit in reward.limits}
    return found | ({f"stock:{reward.id}": ""} if reward.stock is not None else {})


def stock_of(programs: ProgramBook, program_id: str, reward_id: str, now: datetime) -> int | None:
    """How many there are in all of a reward: by the version in force, or the last before it that has the reward. None:
    as many as are wanted.
    """
    current = programs.in_force(program_id, now)
    for event in sorted(programs.versions(program_id), key=lambda event: event.version, reverse=True):
        reward = event.document.reward(reward_id)
        if reward is not None and (current is None or event.version <= current.version):
            return reward.stock
    return None


def stock_key(program_id: str, reward_id: str) -> UseKey:
    """Where it is counted how many of a reward were given."""
    return UseKey(program_id, None, f"stock:{reward_id}", "")


def limit_key(program_id: str, member: Member, name: str, window: str) -> UseKey:
    """Where a limit of rewards is counted: stock with all, the rest with the member."""
    return UseKey(program_id, None if name.startswith("stock:") else member.member_id, name, window)


def check_allowed(
    program: Program, reward: Reward, member: Member, account: Account, situation: Situation, used: Used
) -> None:
    """Everything but the points. Raises `RefusedError`."""
    if member.status != "member":
        raise RefusedError("not_a_member", "Only members can spend points.")
    if account.frozen:
        raise RefusedError("frozen", "The account is frozen: the shop can say why.")
    _check_conditions(reward, situation)
    if isinstance(reward, DrawEntry):
        draw = next(item for item in program.draws if item.id == reward.draw)
        if situation.at >= draw.closes_at:
            raise RefusedError("draw_closed", f"The draw closed at {draw.closes_at:%Y-%m-%d %H:%M} UTC.")
    book = rulebook(program)
    for limit in reward.limits:
        window = period(situation.at, limit.per, book.zone)
        if used(limit_key(program.id, member, f"reward:{reward.id}:{limit.per}", window)) >= limit.times:
            until = _next_window(situation.at, limit.per, book)
            raise RefusedError("limit_reached", f"At most {limit.times} per {limit.per}.", until=until)
    if reward.stock is not None and used(limit_key(program.id, member, f"stock:{reward.id}", "")) >= reward.stock:
        raise RefusedError("out_of_stock", f"{reward.id!r} is out of stock.")


def _check_conditions(reward: Priced, situation: Situation) -> None:
    when, zone = reward.when, situation.zone
    for name, test in compile_when(when, zone):
        if test(situation):
            continue
        if name == "first_day" and when.first_day:
            until = day_start(when.first_day, zone)
            raise RefusedError("not_yet", f"From {when.first_day} on.", until=until)
        if name == "last_day":
            raise RefusedError("over", f"Until {when.last_day}.")
        if name in ("tiers", "memberships", "segments"):
            which = ", ".join(getattr(when, name))
            raise RefusedError(f"other_{name}", f"Only for {name}: {which}.")
        raise RefusedError("conditions", f"Its condition {name} does not hold now.")


def _next_window(at: datetime, per: str, book: Rulebook) -> datetime | None:
    """When the next period begins; None after a lifetime."""
    if per == "lifetime":
        return None
    day, name = at.astimezone(book.zone).date(), period(at, per, book.zone)  # type: ignore[arg-type]
    while period(day_start(day, book.zone), per, book.zone) == name:  # type: ignore[arg-type]
        day += timedelta(days=1)
    return day_start(day, book.zone)


def check_covered(account: Account, points: int) -> None:
    """Raises `RefusedError` (insufficient_points), which says how many are missing, and when pending ones suffice."""
    missing = points - account.active
    if missing <= 0:
        return
    until, coming = None, account.active - account.deficit
    waiting = [lot for lot in account.lots.values() if lot.state == "pending" and lot.activates_at and lot.remaining]
    for lot in sorted(waiting, key=lambda lot: (lot.activates_at, lot.lot_id)):
        coming += lot.remaining
        if coming >= points:
            until = lot.activates_at
            break
    raise RefusedError("insufficient_points", f"{points} points are needed, {missing} are missing.", until=until)


def availability(
    program: Program, member: Member, account: Account, now: datetime, used: Used, pool_left: Callable[[str], int]
) -> list[dict[str, Any]]:
    """Each reward: whether this member may have it now, what it costs them, and if not why, and when."""
    found = []
    situation = situation_now(member, program, now)
    for reward in program.rewards:
        any_amount = isinstance(reward, AnyAmount) and reward.points_per_unit is not None
        least = reward.amount_minor_min if isinstance(reward, AnyAmount) and any_amount else None
        price = price_of(program, reward, situation, least)
        item: dict[str, Any] = {
            "reward_id": reward.id, "type": reward.type, "name": reward.name, "points": price.points,
            "price_minor": price.price_minor, "value_minor": price.value_minor, "offer": price.offer,
            "any_amount": any_amount, "available": True, "reason": None, "text": None, "until": None,
        }  # fmt: skip
        try:
            check_allowed(program, reward, member, account, situation, used)
            if reward.codes == "pool" and reward.type not in UNCODED and not pool_left(reward.id):
                raise RefusedError("no_codes_left", "The pool of codes for this reward is empty.")
            check_covered(account, price.points)
            if isinstance(reward, Perk) and reward.standing_code is not None:
                item["standing_code"] = reward.standing_code
        except RefusedError as refusal:
            item |= {"available": False, "reason": refusal.reason, "text": str(refusal), "until": refusal.until}
        found.append(item)
    return found


def end_of_days(at: datetime, days: int, book: Rulebook) -> datetime:
    """The end of the local day so many days after a moment."""
    return day_end(at.astimezone(book.zone).date() + timedelta(days=days), book.zone)
