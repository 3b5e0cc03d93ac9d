"""What people of the shop do to accounts by hand, each with who and why; and points of an earlier program."""

from datetime import datetime
from typing import Any

from contracts.ids import derived_id
from contracts.points import (
    AccountFrozenV1,
    AccountUnfrozenV1,
    BaseStep,
    OrderBase,
    OrderRef,
    PointsAdjustedV1,
    PointsImportedV1,
)
from contracts.program import Program

from .account import Account, Decision, credit_active, debit_active, post
from .announcing import told
from .calendar import expiry
from .catalogue import RefusedError
from .claims import Claim
from .commands import Adjust, Extend, Freeze, Import, OpeningLot, Reinstate, Unfreeze
from .concluding import finish
from .lots import ClaimKey, Lot
from .reaching import count_challenge, reassess
from .rulebook import Rulebook, rulebook
from .spending import begin_command, program_now
from .terms import warn
from .world import Announcement, Counted, Trace, World

Answer = dict[str, Any]


def adjust(world: World, account: Account, command: Adjust, key: str, trace: Trace) -> Answer:
    """Add points as a lot of their own, or take active ones. Raises `RefusedError`."""
    decision = begin_command(world, account, "adjust", command, key, command.actor, command.reason)
    program = program_now(world, account, decision)
    book, at = rulebook(program), decision.effective_at
    check(program, command, None if decision.recorded is not None else at)
    if command.points > 0:
        claim = ClaimKey("adjustment", f"{account.member_id}:{decision.sequence}")
        ends = command.expires_at or expiry(at, book.terms("", "adjustment")[1], book.zone)
        lot = _new_lot(account, book, claim, at, ends)
        credit_active(account, lot, command.points, debit="adjusted", at=at)
    elif account.active < -command.points:
        raise RefusedError("insufficient_points", f"The member has {account.active} points: no more can be taken.")
    else:
        debit_active(account, -command.points, credit="adjusted", at=at, program_version=program.version)
    event = told(
        world, account, decision, PointsAdjustedV1, lambda item: "adjusted" in (item.debit, item.credit),
        program.version, change=command.points,
    )  # fmt: skip
    return _answer(world, account, decision, [event], trace)


def check(program: Program, command: Adjust, at: datetime | None) -> None:
    """Raises `RefusedError` for an adjustment that nobody may make, also not with a second person. `at`: now; None on a
    replay, which takes what was accepted before that was asked.
    """
    points, ends = command.points, command.expires_at
    if not points:
        raise RefusedError("amount", "Zero points change nothing.")
    if abs(points) > program.adjustments.points_max:
        raise RefusedError("amount", f"At most {program.adjustments.points_max} points by one adjustment.")
    if points > 0 and ends is not None and at is not None and ends <= at:
        raise RefusedError("expired", f"Points that ran out on {ends:%Y-%m-%d %H:%M} UTC are not added any more.")


def _new_lot(
    account: Account, book: Rulebook, claim: ClaimKey, at: datetime, expires_at: datetime | None, place: int = 0
) -> Lot:
    lot_id = derived_id(at, "lot", account.member_id, claim, place)
    lot = Lot(lot_id, claim, book.program.version, at, at, expires_at, "", "active")
    account.lots[lot_id] = lot
    warn(account, lot, book.terms("", claim.kind)[1], book)
    return lot


def freeze(world: World, account: Account, command: Freeze | Unfreeze, key: str, trace: Trace) -> Answer:
    """Freeze an account, or unfreeze it."""
    frozen = isinstance(command, Freeze)
    decision = begin_command(
        world, account, "freeze" if frozen else "unfreeze", command, key, command.actor, command.reason
    )
    account.frozen, account.changed = frozen, True
    kind = AccountFrozenV1 if frozen else AccountUnfrozenV1
    event = kind(
        program_id=account.program_id, member_id=account.member_id, sequence=decision.sequence,
        occurred_at=decision.occurred_at, actor=command.actor, reason=command.reason,
    )  # fmt: skip
    event_id = derived_id(event.occurred_at, event.TYPE, account.member_id, decision.sequence)
    return _answer(world, account, decision, [(event, event_id, event.occurred_at)], trace)


def extend(world: World, account: Account, command: Extend, key: str, trace: Trace) -> Answer:
    """Let points run out later; never sooner. Raises `RefusedError` when nothing would run out before."""
    decision = begin_command(world, account, "extend", command, key, command.actor, command.reason)
    lots = [
        lot
        for lot in account.lots.values()
        if lot.state == "active" and lot.remaining and lot.expires_at is not None and lot.expires_at < command.until
        and command.lot_id in (None, lot.lot_id)
    ]  # fmt: skip
    if not lots:
        raise RefusedError("nothing_to_extend", "No such points run out before that.")
    for lot in lots:
        lot.expires_at = command.until
        book = world.book(account.program_id, lot.program_version)
        warn(account, lot, book.terms(lot.terms, lot.claim.kind)[1], book)
        account.touched.add(lot.lot_id)
    return _answer(world, account, decision, [], trace) | {"points": sum(lot.remaining for lot in lots)}


def reinstate(world: World, account: Account, command: Reinstate, key: str, trace: Trace) -> Answer:
    """Let points that ran out be spent again. Raises `RefusedError` when not so many ran out."""
    decision = begin_command(world, account, "reinstate", command, key, command.actor, command.reason)
    lot = account.lots.get(command.lot_id)
    if lot is None or not lot.expired:
        raise RefusedError("nothing_expired", "Nothing of such a lot has run out.")
    points = lot.expired if command.points is None else command.points
    if points > lot.expired:
        raise RefusedError("amount", f"Only {lot.expired} points of it ran out.")
    if command.until <= decision.effective_at:
        raise RefusedError("until", "`until` has passed.")
    lot.state, lot.expires_at = "active", _until(lot, command)
    lot.expired -= points
    book = world.book(account.program_id, lot.program_version)
    warn(account, lot, book.terms(lot.terms, lot.claim.kind)[1], book)
    credit_active(account, lot, points, debit="expired", at=decision.effective_at)
    return _answer(world, account, decision, [], trace)  # `finish` tells it, like all that lives again.


def _until(lot: Lot, command: Reinstate) -> datetime | None:
    """Never sooner than what lives of the lot runs out: that is not what anybody asked for."""
    ends = lot.expires_at
    sooner = lot.state == "active" and lot.remaining and (ends is None or command.until < ends)
    return ends if sooner else command.until


def bring_in(world: World, account: Account, command: Import, key: str, trace: Trace) -> Answer:
    """Take over what a member brings from an earlier program: lots, tier points and counts. Raises `RefusedError`."""
    decision = begin_command(world, account, "import", command, key)
    program = program_now(world, account, decision)
    book = rulebook(program)
    claim = Claim(
        key=ClaimKey("import", f"{account.member_id}:{command.import_id}"), member_id=account.member_id,
        at=command.as_of, first_recorded_at=decision.effective_at, program_version=program.version,
        program_hash=world.programs.hash_of(account.program_id, program.version), changed=True,
    )  # fmt: skip
    world.keep(account.program_id, claim)
    for place, opening in enumerate(command.lots):
        _open(account, book, claim.key, decision, opening, place)
    unknown = [item.challenge_id for item in command.counts if item.challenge_id not in book.goals]
    if unknown:
        raise RefusedError("unknown_challenge", f"The program has no challenge {', '.join(unknown)}.")
    for item in command.counts:
        count_challenge(world, account.member_id, item.challenge_id)
    claim.counts = {item.challenge_id: (item.value, tuple(sorted(item.things))) for item in command.counts}
    if claim.counts:
        kept = Counted(claim.at, program.version, claim.counts)
        world.counted.setdefault(account.member_id, {})[claim.key] = kept
    event = told(
        world, account, decision, PointsImportedV1, lambda item: item.debit == "imported", program.version,
        claim_kind="import", claim_id=claim.key.id, base=_opening_base(command, account), rules=(),
    )  # fmt: skip
    events = [event, *reassess(world, account, decision, None, set(claim.counts))]
    return _answer(world, account, decision, events, trace)


def _open(
    account: Account, book: Rulebook, claim: ClaimKey, decision: Decision, opening: OpeningLot, place: int
) -> None:
    at = decision.effective_at
    if opening.earned_at is not None and opening.earned_at > at:
        raise RefusedError("earned_at", f"Lot {place + 1}: `earned_at` is in the future; nobody has those points yet.")
    if opening.expires_at is not None and opening.expires_at <= at:
        raise RefusedError("expired", f"Lot {place + 1} has run out already.")
    if opening.expires_at and opening.activates_at and opening.expires_at <= opening.activates_at:
        raise RefusedError("until", f"Lot {place + 1} would run out before it can be spent.")
    lot = _new_lot(account, book, claim, opening.earned_at or at, opening.expires_at, place)
    if opening.activates_at is not None and opening.activates_at > at:
        lot.state, lot.activates_at, lot.remaining = "pending", opening.activates_at, opening.points
        account.touched.add(lot.lot_id)
        post(account, "imported", "pending", opening.points, at=at, program_version=book.program.version, lot=lot)
    else:
        credit_active(account, lot, opening.points, debit="imported", at=at)


def _opening_base(command: Import, account: Account) -> OrderBase | None:
    if not command.tier_points:
        return None
    order_id = f"{command.import_id}:{account.member_id}"
    ref = OrderRef(source="import", order_id=order_id, revision=1, placed_at=command.as_of)
    return OrderBase(order=ref, steps=(BaseStep(acts_from=command.as_of, base_points=command.tier_points),))


def _answer(world: World, account: Account, decision: Decision, events: list[Announcement], trace: Trace) -> Answer:
    finish(world, account, decision, trace, events)
    return {"sequence": decision.sequence, "balances": account.balances().model_dump()}
