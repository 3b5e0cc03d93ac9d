"""Issuing rewards, for points or as gifts, and bringing back the points of those that did not last."""

from datetime import timedelta
from typing import Literal
from uuid import UUID

from contracts.ids import derived_id
from contracts.points import Bucket
from contracts.program import (
    AnyAmount,
    Donation,
    DrawEntry,
    FreeProduct,
    MembershipReward,
    PercentOff,
    Perk,
    Reward,
)
from contracts.rewards import RewardIssuedV1, RewardReturnedV1

from .account import Account, Decision, credit_active, debit_active, post
from .catalogue import UNCODED, RefusedError, end_of_days, limit_key, stock_key, stock_of
from .claims import Claim
from .coupons import Coupon
from .drawing import closed
from .rulebook import Rulebook
from .terms import keep_up
from .world import Announcement, World


def draw_code(
    world: World, account: Account, decision: Decision, reward: Reward, what: object, drawn: str | None = None
) -> str | None:
    """A code for a coupon, where it has one of its own; `drawn` already, maybe. Raises `RefusedError` when the pool is
    empty.
    """
    if not has_code(reward):
        return None
    code: str | None = decision.pin(f"code:{what}", lambda: drawn or world.new_code(account.program_id, reward.id))
    if code is None:
        raise RefusedError("no_codes_left", "The pool of codes for this reward is empty; the shop must import more.")
    return code


def has_code(reward: Reward) -> bool:
    """Whether each coupon of a reward has a code of its own."""
    return reward.type not in UNCODED and not (isinstance(reward, Perk) and reward.standing_code is not None)


def issue(
    world: World, account: Account, decision: Decision, book: Rulebook, reward: Reward, coupon: Coupon
) -> Announcement:
    """Hand a coupon out: from now on it can be used."""
    at = decision.effective_at
    coupon.state, coupon.issued_at, coupon.held_until = "issued", at, None
    days = None if reward.type in UNCODED else reward.valid_days  # A gift to a cause is not unused after some days.
    coupon.expires_at = at + timedelta(days=days) if days else None
    world.coupons[coupon.coupon_id] = coupon
    world.touched_coupons.add(coupon.coupon_id)
    event = RewardIssuedV1(
        program_id=account.program_id, member_id=account.member_id, coupon_id=coupon.coupon_id, reward_id=reward.id,
        kind=reward.type, program_version=book.program.version, code=coupon.code,
        code_origin=reward.codes if coupon.code else None, value_minor=coupon.value_minor,
        percent=reward.percent if isinstance(reward, PercentOff) else None,
        maximum_minor=reward.maximum_minor if isinstance(reward, PercentOff) else None,
        product=reward.product if isinstance(reward, FreeProduct) else None, price_minor=reward.price_minor,
        currency=book.program.currency, minimum_order_minor=reward.minimum_order_minor,
        membership_id=reward.membership if isinstance(reward, MembershipReward) else None,
        membership_days=reward.days if isinstance(reward, MembershipReward) else None,
        draw_id=reward.draw if isinstance(reward, DrawEntry) else None,
        cause_id=reward.cause if isinstance(reward, Donation) else None, points=coupon.points,
        challenge_id=coupon.challenge[0] if coupon.challenge else None, issued_at=at, expires_at=coupon.expires_at,
    )  # fmt: skip
    return event, derived_id(at, event.TYPE, coupon.coupon_id), at


def waits(claim: Claim) -> bool:
    """Whether a challenge was reached whose gift waits for a code, or for stock."""
    told = claim.detail
    return bool(claim.key.kind == "challenge" and told.get("waiting") and told["reached"] and told["reward"])


def give(
    world: World, account: Account, decision: Decision, claim: Claim, drawn: str | None = None
) -> list[Announcement]:
    """The coupon of a challenge, with the code that was `drawn`, or a new one. With an empty pool, or no stock left, it
    waits; a ticket whose draw has closed is not given any more.
    """
    assert claim.program_version is not None
    book = world.book(account.program_id, claim.program_version)
    reward = book.program.reward(claim.detail["reward"])
    assert reward is not None
    challenge, number, generation = (claim.detail[name] for name in ("challenge", "number", "generation"))
    # What is pinned is named by whose it is: one decision may give each of two who turned out to be one their first.
    what = f"{claim.key.id}:{generation}"
    if _comes_too_late(world, account, decision, reward, what):
        claim.detail.pop("waiting", None)
        return []
    try:
        counts = _check_stock(world, account, decision, reward.id, what)
        code = draw_code(world, account, decision, reward, what, drawn)
    except RefusedError:
        claim.detail["waiting"] = True
        return []
    claim.detail.pop("waiting", None)
    coupon_id = derived_id(decision.effective_at, "gift", claim.key, generation)
    value = reward.value_minor if isinstance(reward, AnyAmount) else None
    coupon = Coupon(
        coupon_id, account.program_id, account.member_id, reward.id, reward.type, book.program.version, 0,
        decision.effective_at, value_minor=value, code=code, challenge=(challenge, number),
        windows={stock_key(account.program_id, reward.id).name: ""} if counts else {},
    )  # fmt: skip
    count_limits(world, account, coupon, 1)
    claim.detail["coupon_id"] = str(coupon_id)
    return [issue(world, account, decision, book, reward, coupon)]


def _comes_too_late(world: World, account: Account, decision: Decision, reward: Reward, what: str) -> bool:
    """Whether the draw that a ticket is for has closed. Pinned: later versions may know the draw otherwise."""
    if not isinstance(reward, DrawEntry):
        return False
    versions, draw = world.programs.versions(account.program_id), reward.draw
    late = decision.pin(f"closed:{what}", lambda: closed(versions, draw, decision.effective_at) is not None)
    return bool(late)


def in_stock(world: World, program_id: str, reward_id: str) -> bool | None:
    """Whether one more of a reward can be given; None when there are as many as are wanted."""
    stock = stock_of(world.programs, program_id, reward_id, world.now)
    return None if stock is None else world.used(stock_key(program_id, reward_id)) < stock


def _check_stock(world: World, account: Account, decision: Decision, reward_id: str, what: str) -> bool:
    """Whether a gift counts for the stock. Raises `RefusedError` when none is left.

    Pinned, like all that members share, where there is a stock: gifts of before it was counted have nothing pinned.
    """
    name = f"stock:{what}"
    recorded = decision.recorded
    left = in_stock(world, account.program_id, reward_id) if recorded is None else recorded.get(name)
    if left is None:
        return False
    if not decision.pin(name, lambda: left):
        raise RefusedError("out_of_stock", f"{reward_id!r} is out of stock.")
    return True


def count_limits(world: World, account: Account, coupon: Coupon, change: int) -> None:
    """Count a coupon, or no longer, against the limits that it counts for."""
    for name, window in coupon.windows.items():
        world.use(limit_key(account.program_id, world.members[account.member_id], name, window), change)


def take_back(world: World, account: Account, decision: Decision, coupon: Coupon) -> list[Announcement]:
    """A gift that was not used, and is not deserved any more."""
    coupon.state = "returned"
    world.touched_coupons.add(coupon.coupon_id)
    count_limits(world, account, coupon, -1)
    return [returned(account, decision, coupon, "revoked", void=True)]


def returned(
    account: Account, decision: Decision, coupon: Coupon,
    reason: Literal["reversed", "refunded", "expired", "revoked"], *, void: bool,
) -> Announcement:  # fmt: skip
    """How the shop learns that a reward came back."""
    event = RewardReturnedV1(
        **about(account, coupon), reason=reason, points=coupon.returned, void=void,
        returned_at=decision.effective_at,
    )  # fmt: skip
    return event, derived_id(event.returned_at, event.TYPE, coupon.coupon_id, decision.sequence), event.returned_at


def about(account: Account, coupon: Coupon) -> dict[str, object]:
    """What all events of a coupon say."""
    return {
        "program_id": account.program_id, "member_id": account.member_id, "coupon_id": coupon.coupon_id,
        "reward_id": coupon.reward_id, "kind": coupon.kind, "issued_at": coupon.issued_at,
    }  # fmt: skip


def restore(
    world: World, account: Account, uses: list[tuple[UUID, int]], skip: int, points: int, decision: Decision,
    book: Rulebook, *, debit: Bucket, grace_days: int,
) -> None:  # fmt: skip
    """Points go back into the lots that they came from, those used last first; `skip` went back before.

    A lot that has run out is alive again for the days of grace; without any its points are gone at once.
    """
    at = decision.effective_at
    for lot_id, used in reversed(uses):
        passed = min(skip, used)
        skip -= passed
        part = min(points, used - passed)
        if not part:
            continue
        points -= part
        lot = account.lots[lot_id]
        keep_up(world, account, lot)
        if lot.state == "ended" and grace_days:
            lot.state, lot.warnings = "active", ()
            lot.expires_at = end_of_days(at, grace_days, book)
        credit_active(account, lot, part, debit=debit, at=at)
    assert not points, "a coupon gives back what it cost, and no more"


def give_back(world: World, account: Account, decision: Decision, coupon: Coupon, target: int) -> int:
    """Bring the points that came back of a coupon to `target` in all. Returns the change.

    Too much was given back when an order turns out to stand after all: that is taken from what the member has; the
    rest is owed, where the program says so.
    """
    book = world.book(account.program_id, coupon.program_version)
    change = target - coupon.returned
    if change > 0:
        days = book.program.redemption.returned_days
        restore(world, account, coupon.uses, coupon.returned, change, decision, book, debit="redeemed", grace_days=days)
    elif change < 0:
        change = -_take_again(account, decision, -change, book)
    coupon.returned += change
    world.touched_coupons.add(coupon.coupon_id)
    return change


def _take_again(account: Account, decision: Decision, points: int, book: Rulebook) -> int:
    at, version = decision.effective_at, book.program.version
    there = min(points, account.active)
    if there:
        debit_active(account, there, credit="redeemed", at=at, program_version=version)
    if there < points and book.program.earning.clawback == "unlimited":
        post(account, "deficit", "redeemed", points - there, at=at, program_version=version)
        return points
    return there
