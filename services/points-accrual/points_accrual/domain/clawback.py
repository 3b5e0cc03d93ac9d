"""How the difference between what was granted and what should be is posted, in both directions."""

from dataclasses import replace
from datetime import datetime
from typing import Literal

from contracts.points import Bucket

from .account import Account, credit_active, debit_active, post
from .lots import Lot, Taking
from .terms import keep_up
from .world import World

Policy = Literal["only_pending", "within_balance", "unlimited", "own"]
"""`own`: only what the claim itself still has; the rest is waived. So a challenge that is not reached any more takes
back what was not used, and what was used is owed by the next time it is reached.
"""


def raise_by(world: World, account: Account, lot: Lot, points: int, *, rule_id: str, at: datetime) -> None:
    """Grant more. First the claim's own clawbacks are undone, last first; only the rest is new, in the same lot."""
    while points and lot.takings:
        last = lot.takings[-1]
        part = min(points, last.points)
        _undo(world, account, lot, last, part, rule_id=rule_id, at=at)
        last.points -= part
        points -= part
        if not last.points:
            lot.takings.pop()
    account.touched.add(lot.lot_id)
    if points:
        _credit(world, account, lot, points, debit="source", rule_id=rule_id, at=at)


def _credit(
    world: World, account: Account, lot: Lot, points: int, *, debit: Bucket, rule_id: str, at: datetime
) -> None:  # fmt: skip
    if lot.state == "pending":
        _post(account, lot, debit, "pending", points, rule_id, at)
        lot.remaining += points
    else:
        keep_up(world, account, lot)
        credit_active(account, lot, points, debit=debit, at=at, rule_id=rule_id)


def _undo(
    world: World, account: Account, lot: Lot, taking: Taking, points: int, *, rule_id: str, at: datetime
) -> None:  # fmt: skip
    if taking.kind == "waived":
        _post(account, lot, "clawed_back", "waived", points, rule_id, at)
    elif taking.kind == "expired":
        _post(account, lot, "clawed_back", "expired", points, rule_id, at)
        lot.expired += points
    elif taking.kind == "active" and taking.lot_id is not None and taking.lot_id != lot.lot_id:
        other = account.lots[taking.lot_id]
        keep_up(world, account, other)
        credit_active(account, other, points, debit="clawed_back", at=at, rule_id=rule_id, by=lot)
    else:  # What is still owed is forgiven first by crediting it; the rest is the lot's own again.
        _credit(world, account, lot, points, debit="clawed_back", rule_id=rule_id, at=at)


def lower_by(
    account: Account, lot: Lot, points: int, *, rule_id: str, policy: Policy, in_time: int, at: datetime
) -> None:
    """Take back. `in_time`: how many of them a policy treats as pending, because the cause precedes the activation.

    From the origin's own pending, own active and own expired points, then from other active lots, soonest first, then
    owed; what the policy does not allow is waived, which is booked, so that no later revision tries it again.
    """
    account.touched.add(lot.lot_id)
    own = min(points, lot.remaining)
    if lot.state == "active" and policy == "only_pending":
        own = min(own, in_time)
    if own:
        _take_own(account, lot, own, rule_id, at)
        points -= own
    expired = min(points, lot.expired)
    if expired:
        _post(account, lot, "expired", "clawed_back", expired, rule_id, at)
        lot.expired -= expired
        _taken(lot, Taking("expired", expired))
        points -= expired
    others = min(points, account.active, _from_others(account, lot, policy, in_time - own - expired))
    if others:
        version = lot.program_version
        uses = debit_active(
            account, others, credit="clawed_back", at=at, program_version=version, rule_id=rule_id, claim=lot.claim
        )
        for lot_id, used in uses:
            _taken(lot, Taking("active", used, lot_id))
        points -= others
    for kind, part in _rest(account, lot, points, policy, max(0, in_time - own - expired - others)):
        _post(account, lot, "waived" if kind == "waived" else "deficit", "clawed_back", part, rule_id, at)
        _taken(lot, Taking(kind, part, since=0 if kind == "waived" else account.sequence))


def _from_others(account: Account, lot: Lot, policy: Policy, in_time: int) -> int:
    """How many points may be taken from lots of other claims. Where only pending points are, those that were spendable
    by mistake alone: a hold reserves them, and would have reserved others.
    """
    if policy == "only_pending":
        return max(0, min(in_time, _reserved(account, lot)))
    return 0 if policy == "own" else account.active


def _reserved(account: Account, lot: Lot) -> int:
    """What a hold keeps from being taken, and neither a debt nor other points stand for yet."""
    elsewhere = sum(item.points for item in lot.takings if item.kind == "active" and item.lot_id != lot.lot_id)
    return max(0, account.held - account.deficit - elsewhere)


def _rest(
    account: Account, lot: Lot, points: int, policy: Policy, in_time: int
) -> list[tuple[Literal["deficit", "held", "waived"], int]]:
    """What is not there is owed, or waived. What reserved points could pay is owed until the hold ends."""
    if policy == "unlimited":
        return [("deficit", points)] if points else []
    may = {"within_balance": points, "only_pending": min(points, in_time)}.get(policy, 0)
    free = _reserved(account, lot) if policy == "only_pending" else max(0, account.held - account.deficit)
    reserved = min(may, free)
    parts: list[tuple[Literal["deficit", "held", "waived"], int]] = [("held", reserved), ("waived", points - reserved)]
    return [(kind, part) for kind, part in parts if part]


def forgive(account: Account, points: int, *, at: datetime, program_version: int, kinds: tuple[str, ...]) -> None:
    """Waive what is owed; takings of these kinds become waived ones, so that undoing them later gives no points.

    The latest first: what came in since has paid those before.
    """
    points = min(points, account.deficit)
    if not points:
        return
    post(account, "waived", "deficit", points, at=at, program_version=program_version)
    owed = [
        (taking.since, lot.opened_at, lot.lot_id, place)
        for lot in account.lots.values() for place, taking in enumerate(lot.takings) if taking.kind in kinds
    ]  # fmt: skip
    for _, _, lot_id, place in sorted(owed, reverse=True):
        lot = account.lots[lot_id]
        taking = lot.takings[place]
        part = min(points, taking.points)
        if part:
            points -= part
            # Later places of this lot were dealt with before: theirs may shift.
            rest = [replace(taking, points=taking.points - part)] if part < taking.points else []
            lot.takings[place : place + 1] = [*rest, Taking("waived", part)]
            account.touched.add(lot_id)


def _take_own(account: Account, lot: Lot, points: int, rule_id: str, at: datetime) -> None:
    pending = lot.state == "pending"
    post(
        account,
        "pending" if pending else "active",
        "clawed_back",
        points,
        at=at,
        program_version=lot.program_version,
        lot=lot,
        rule_id=rule_id,
        uses=() if pending else ((lot.lot_id, points),),
    )
    lot.remaining -= points
    _taken(lot, Taking("pending", points) if pending else Taking("active", points, lot.lot_id))


def _taken(lot: Lot, taking: Taking) -> None:
    last = lot.takings[-1] if lot.takings else None
    if last and (last.kind, last.lot_id, last.since) == (taking.kind, taking.lot_id, taking.since):
        last.points += taking.points
    else:
        lot.takings.append(taking)


def _post(account: Account, lot: Lot, debit: Bucket, credit: Bucket, points: int, rule_id: str, at: datetime) -> None:
    post(account, debit, credit, points, at=at, program_version=lot.program_version, lot=lot, rule_id=rule_id)
