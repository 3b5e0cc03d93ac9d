"""Spending points: at once, or held first and then captured or released; and the reversal of what was spent."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from contracts.ids import derived_id
from contracts.points import Bucket, Cause, PointsHeldV1, PointsRedeemedV1, PointsReleasedV1, PointsWaivedV1
from contracts.program import DrawEntry, Perk, Program, Reward
from contracts.rewards import RewardExpiredV1

from .account import Account, Decision, begin, debit_active, post
from .announcing import is_waived, told
from .catalogue import (
    RefusedError,
    check_allowed,
    check_covered,
    find_reward,
    limits_of,
    price_of,
    situation_now,
)
from .clawback import forgive
from .commands import Capture, Command, Redeem, Release, Reverse
from .concluding import finish
from .coupons import Coupon
from .drawing import closed
from .giving import about, count_limits, draw_code, give_back, issue, restore, returned
from .rulebook import rulebook
from .sharing import borrow
from .terms import renew
from .using import settle_coupon, tell_returned
from .world import Announcement, Trace, World

Answer = dict[str, Any]


def begin_command(
    world: World, account: Account, kind: str, command: Command, key: str, actor: str | None = None,
    reason: str | None = None,
) -> Decision:  # fmt: skip
    """Open the decision of a command; its key is the client's idempotency key."""
    cause = Cause(kind="command", id=key, actor=actor, reason=reason)
    return begin(
        account, kind, f"command:{key}", cause, occurred_at=world.now, recorded_at=world.now,
        input=command.model_dump_json(),
    )  # fmt: skip


def program_now(world: World, account: Account, decision: Decision) -> Program:
    """The version in force. Raises `RefusedError` (no_program_in_force)."""

    def version() -> int | None:
        found = world.in_force(account.program_id)
        return found.version if found else None

    number = decision.pin("program_version", version)
    program = world.programs.version(account.program_id, number) if number else None
    if program is None:
        raise RefusedError("no_program_in_force", "No version of the program is in force yet.")
    return program


def redeem(world: World, account: Account, command: Redeem, key: str, trace: Trace) -> Answer:
    """Spend points on a reward, or hold them for it. Raises `RefusedError`, and then nothing of it may be kept."""
    decision = begin_command(world, account, "redeem", command, key)
    program, member = program_now(world, account, decision), world.members[account.member_id]
    reward, book = find_reward(program, command.reward_id), rulebook(program)
    state = situation_now(member, program, world.now)
    check_allowed(program, reward, member, account, state, world.used)
    _check_draw(world, account, decision, reward)
    if isinstance(reward, Perk) and reward.standing_code is not None:
        raise RefusedError("standing_code", "This reward has one code for all who may have it: nothing is spent.")
    price = price_of(program, reward, state, command.amount_minor)
    borrow(world, account, price.points - account.active, key, trace)
    check_covered(account, price.points)
    coupon_id = derived_id(decision.effective_at, "coupon", account.member_id, decision.sequence)
    coupon = Coupon(
        coupon_id, account.program_id, account.member_id, reward.id, reward.type, program.version, price.points,
        decision.effective_at, state="held", value_minor=price.value_minor, order=command.order,
        windows=limits_of(reward, book, world.now),
    )  # fmt: skip
    count_limits(world, account, coupon, 1)
    if price.points:
        to: Bucket = "held" if command.hold else "redeemed"
        uses = debit_active(
            account, price.points, credit=to, at=decision.effective_at, program_version=program.version
        )  # fmt: skip
        coupon.uses = list(uses)
    world.coupons[coupon_id] = coupon
    world.touched_coupons.add(coupon_id)
    _keep_alive(world, account, decision)
    events: list[Announcement] = []
    if command.hold:
        coupon.held_until = decision.effective_at + timedelta(minutes=program.redemption.hold_minutes)
        events.append(_spent(world, account, decision, coupon, PointsHeldV1, held_until=coupon.held_until))
    else:
        coupon.code = draw_code(world, account, decision, reward, coupon_id)
        events.append(_spent(world, account, decision, coupon, PointsRedeemedV1))
        events.append(issue(world, account, decision, book, reward, coupon))
    return _answer(world, account, decision, coupon, events, trace, handed_out=not command.hold)


def capture(world: World, account: Account, command: Capture, key: str, trace: Trace) -> Answer:
    """Take held points for good. Raises `RefusedError` when they are not held any more."""
    decision = begin_command(world, account, "capture", command, key)
    coupon = _held(world, account, command.coupon_id, decision)
    book = world.book(account.program_id, coupon.program_version)
    reward = find_reward(book.program, coupon.reward_id)
    _check_draw(world, account, decision, reward)
    if coupon.points:
        post(
            account, "held", "redeemed", coupon.points, at=decision.effective_at,
            program_version=coupon.program_version,
        )  # fmt: skip
    if book.program.earning.clawback != "unlimited":
        # What could only be owed while points were held is now decided by the policy: waived. Other debts stay.
        for_hold = sum(
            taking.points for lot in account.lots.values() for taking in lot.takings if taking.kind == "held"
        )  # fmt: skip
        owed = max(0, min(for_hold, account.deficit - account.held))
        forgive(account, owed, at=decision.effective_at, program_version=coupon.program_version, kinds=("held",))
    coupon.order = command.order or coupon.order
    coupon.code = draw_code(world, account, decision, reward, coupon.coupon_id)
    events = [_spent(world, account, decision, coupon, PointsRedeemedV1)]
    if any(is_waived(posting) for posting in decision.postings):
        events.append(told(world, account, decision, PointsWaivedV1, is_waived, coupon.program_version))
    events.append(issue(world, account, decision, book, reward, coupon))
    return _answer(world, account, decision, coupon, events, trace, handed_out=True)


def release(world: World, account: Account, command: Release, key: str, trace: Trace) -> Answer:
    """Give held points back. Raises `RefusedError` when they are not held any more."""
    decision = begin_command(world, account, "release", command, key)
    coupon = _held(world, account, command.coupon_id, decision)
    events = let_go(world, account, decision, coupon)
    return _answer(world, account, decision, coupon, events, trace)


def let_go(world: World, account: Account, decision: Decision, coupon: Coupon) -> list[Announcement]:
    """Held points go back into their lots; those of a lot that has run out run out now."""
    book = world.book(account.program_id, coupon.program_version)
    restore(world, account, coupon.uses, 0, coupon.points, decision, book, debit="held", grace_days=0)
    coupon.state = "released"
    world.touched_coupons.add(coupon.coupon_id)
    count_limits(world, account, coupon, -1)
    return [_spent(world, account, decision, coupon, PointsReleasedV1)]


def reverse(world: World, account: Account, command: Reverse, key: str, trace: Trace) -> Answer:
    """Undo a redemption, all or so many points of it. The coupon is void once all came back. Raises `RefusedError`."""
    decision = begin_command(world, account, "reverse", command, key)
    coupon = find_coupon(world, account, command.coupon_id)
    if coupon.state not in ("issued", "used", "expired"):
        raise RefusedError("not_reversible", f"The coupon is {coupon.state}: there is nothing to reverse.")
    left = coupon.points - coupon.returned
    points = left if command.points is None else command.points
    if points > left or (command.points is None and not left and coupon.points):
        raise RefusedError("too_many", f"{left} points of it can come back.")
    give_back(world, account, decision, coupon, coupon.returned + points)
    coupon.by_hand = coupon.returned
    void = coupon.returned == coupon.points
    if void:
        coupon.state = "returned"
        count_limits(world, account, coupon, -1)
    events = [tell_returned(world, account, decision, coupon)] if points else []
    events.append(returned(account, decision, coupon, "reversed", void=void))
    return _answer(world, account, decision, coupon, events, trace)


def run_out(world: World, account: Account, decision: Decision, coupon: Coupon) -> list[Announcement]:
    """A hold whose time is over is released; a coupon that ran out unused gives its points back, by policy."""
    if coupon.state == "held":
        return let_go(world, account, decision, coupon)
    assert coupon.expires_at is not None
    coupon.state = "expired"
    world.touched_coupons.add(coupon.coupon_id)
    event = RewardExpiredV1.model_validate({**about(account, coupon), "expired_at": coupon.expires_at})
    event_id = derived_id(coupon.expires_at, event.TYPE, coupon.coupon_id)
    events: list[Announcement] = [(event, event_id, coupon.expires_at)]
    book = world.book(account.program_id, coupon.program_version)
    if book.program.redemption.expired_coupon == "give_back" and coupon.returned < coupon.points:
        give_back(world, account, decision, coupon, coupon.points)
        events.append(tell_returned(world, account, decision, coupon))
        events.append(returned(account, decision, coupon, "expired", void=True))
    return events


def find_coupon(world: World, account: Account, coupon_id: UUID) -> Coupon:
    """A coupon of this member. Raises `RefusedError` (unknown_coupon)."""
    coupon = world.coupons.get(coupon_id)
    if coupon is None or world.owner(coupon.member_id) != account.member_id:
        raise RefusedError("unknown_coupon", "This member has no such coupon.")
    return coupon


def _held(world: World, account: Account, coupon_id: UUID, decision: Decision) -> Coupon:
    coupon = find_coupon(world, account, coupon_id)
    if coupon.state != "held":
        raise RefusedError("not_held", f"The points are not held any more: the coupon is {coupon.state}.")
    if coupon.held_until is not None and coupon.held_until <= decision.effective_at:
        raise RefusedError("not_held", "The hold has run out.")
    return coupon


def _check_draw(world: World, account: Account, decision: Decision, reward: Reward) -> None:
    """A ticket that is issued after its draw has closed would be no entry. Raises `RefusedError` (draw_closed).

    Not asked on a replay: what was accepted stays, though other versions were published since.
    """
    if not isinstance(reward, DrawEntry) or decision.recorded is not None:
        return
    closed_at = closed(world.programs.versions(account.program_id), reward.draw, decision.effective_at)
    if closed_at is not None:
        raise RefusedError("draw_closed", f"The draw closed at {closed_at:%Y-%m-%d %H:%M} UTC.")


def _keep_alive(world: World, account: Account, decision: Decision) -> None:
    """Spending counts as doing something."""
    renew(world, account, "redemption", decision.effective_at, decision.effective_at)


def _spent(
    world: World, account: Account, decision: Decision, coupon: Coupon, kind: Any, **values: Any
) -> Announcement:
    def concerns(posting: Any) -> bool:
        return bool({posting.debit, posting.credit} & {"held", "redeemed"})

    values |= {"coupon_id": coupon.coupon_id, "reward_id": coupon.reward_id}
    return told(world, account, decision, kind, concerns, coupon.program_version, **values)


def _answer(
    world: World, account: Account, decision: Decision, coupon: Coupon, events: list[Announcement], trace: Trace,
    *, handed_out: bool = False,
) -> Answer:  # fmt: skip
    finish(world, account, decision, trace, events)
    if handed_out:
        settle_coupon(world, account, decision, coupon, trace)
    return describe(coupon) | {"balances": account.balances().model_dump()}


def describe(coupon: Coupon) -> Answer:
    """A coupon as its member sees it."""
    return {
        "coupon_id": coupon.coupon_id, "reward_id": coupon.reward_id, "kind": coupon.kind, "state": coupon.state,
        "points": coupon.points, "returned": coupon.returned, "value_minor": coupon.value_minor, "code": coupon.code,
        "held_until": coupon.held_until, "issued_at": coupon.issued_at, "expires_at": coupon.expires_at,
        "order": coupon.order,
    }  # fmt: skip
