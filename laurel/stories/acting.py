"""What members and people of the shop ask of the ledger: the entries of a story that are commands."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from contracts.base import EARLIEST
from contracts.ids import derived_id
from points_accrual.domain import adjusting, commands, sharing, spending

from . import asked
from .documents import program_of, read_document
from .parts import Entry
from .stage import Stage, published
from .units import Mistake, minor, moment

Act = Callable[[Stage, Any, datetime], None]


def _redeem(stage: Stage, entry: asked.RedeemEntry, at: datetime) -> None:
    amount = None if entry.amount is None else minor(entry.amount, stage.program.currency)
    order = stage.draft(entry.order, "order").claim_id if entry.order else None
    command = commands.Redeem(reward_id=entry.redeem, amount_minor=amount, hold=entry.hold, order=order)
    answer = stage.ledger.do(spending.redeem, stage.someone(entry).member_id, command, at)
    stage.coupons[entry.called or entry.redeem] = answer["coupon_id"]


def _capture(stage: Stage, entry: asked.CaptureEntry, at: datetime) -> None:
    order = stage.draft(entry.order, "order").claim_id if entry.order else None
    coupon = stage.coupon(entry.capture, "capture")
    stage.ledger.do(
        spending.capture, coupon.member_id, commands.Capture(coupon_id=coupon.coupon_id, order=order), at
    )  # fmt: skip


def _release(stage: Stage, entry: asked.ReleaseEntry, at: datetime) -> None:
    coupon = stage.coupon(entry.release, "release")
    stage.ledger.do(spending.release, coupon.member_id, commands.Release(coupon_id=coupon.coupon_id), at)


def _reverse(stage: Stage, entry: asked.ReverseEntry, at: datetime) -> None:
    coupon = stage.coupon(entry.reverse, "reverse")
    command = commands.Reverse(coupon_id=coupon.coupon_id, points=entry.points)
    stage.ledger.do(spending.reverse, coupon.member_id, command, at)


def _by_hand(entry: asked.ByHand) -> dict[str, str]:
    return {"actor": entry.actor, "reason": entry.reason}


def _adjust(stage: Stage, entry: asked.AdjustEntry, at: datetime) -> None:
    expires = moment(entry.expires, stage.zone) if entry.expires else None
    command = commands.Adjust(points=entry.adjust, expires_at=expires, **_by_hand(entry))
    stage.ledger.do(adjusting.adjust, stage.someone(entry).member_id, command, at)


def _freeze(stage: Stage, entry: asked.FreezeEntry, at: datetime) -> None:
    command = commands.Freeze(actor=entry.actor, reason=entry.freeze)
    stage.ledger.do(adjusting.freeze, stage.someone(entry).member_id, command, at)


def _unfreeze(stage: Stage, entry: asked.UnfreezeEntry, at: datetime) -> None:
    command = commands.Unfreeze(actor=entry.actor, reason=entry.unfreeze)
    stage.ledger.do(adjusting.freeze, stage.someone(entry).member_id, command, at)


def _extend(stage: Stage, entry: asked.ExtendEntry, at: datetime) -> None:
    someone = stage.someone(entry)
    lot_id = None
    if entry.lot is not None:
        lot_id = next(iter(stage.claim(entry.lot, someone, "lot").lots.values()), None)
    command = commands.Extend(until=moment(entry.extend, stage.zone), lot_id=lot_id, **_by_hand(entry))
    stage.ledger.do(adjusting.extend, someone.member_id, command, at)


def _reinstate(stage: Stage, entry: asked.ReinstateEntry, at: datetime) -> None:
    someone = stage.someone(entry)
    claim = stage.claim(entry.reinstate, someone, "reinstate")
    lots = [lot for lot in stage.account(someone.name).lots.values() if lot.claim == claim.key]
    lot = next((lot for lot in lots if lot.expired), lots[0] if lots else None)
    if lot is None:
        raise Mistake(f"{entry.reinstate!r} never brought points", "reinstate")
    command = commands.Reinstate(
        lot_id=lot.lot_id, until=moment(entry.until, stage.zone), points=entry.points, **_by_hand(entry)
    )
    stage.ledger.do(adjusting.reinstate, someone.member_id, command, at)


def _give(stage: Stage, entry: asked.GiveEntry, at: datetime) -> None:
    to = stage.named(entry.give.to, "give", "to")
    command = commands.Send(to_member_id=to.member_id, points=entry.give.points)
    stage.ledger.give(stage.someone(entry).member_id, command, at)


def _household(stage: Stage, entry: asked.HouseholdEntry, at: datetime) -> None:
    household = None if entry.household == "none" else derived_id(EARLIEST, "household", entry.household)
    stage.ledger.do(sharing.join, stage.someone(entry).member_id, commands.Join(household_id=household), at)


def _import(stage: Stage, entry: asked.ImportEntry, at: datetime) -> None:
    def when(value: str | None) -> datetime | None:
        return moment(value, stage.zone) if value else None

    lots = tuple(
        commands.OpeningLot(
            points=lot.points, expires_at=when(lot.expires), activates_at=when(lot.activates),
            earned_at=when(lot.earned),
        )
        for lot in entry.opening.lots
    )  # fmt: skip
    counts = tuple(
        commands.OpeningCount(challenge_id=name, value=value) for name, value in entry.opening.counts.items()
    )
    command = commands.Import(
        import_id=entry.opening.id, as_of=at, lots=lots, tier_points=entry.opening.tier_points, counts=counts
    )
    stage.ledger.do(adjusting.bring_in, stage.someone(entry).member_id, command, at)


def _publish(stage: Stage, entry: asked.PublishEntry, at: datetime) -> None:
    """A later version: the whole document, or what changes of the one before."""
    if isinstance(entry.publish, str):
        base, change = read_document(stage.story.path.parent / entry.publish), {}
    else:
        base = stage.document
        next_version = {"version": str(int(base["version"]) + 1), "effective_from": at.isoformat()}
        change = next_version | entry.publish
    try:
        stage.document, program = program_of(base, change)
    except ValidationError as error:
        texts = (f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors(include_url=False))
        raise Mistake("; ".join(texts), "publish") from None
    if program.id != stage.program.id:
        raise Mistake(f"is a version of {program.id}, not of {stage.program.id}", "publish")
    stage.ledger.send(published(program, at))


ACTS: dict[type[Entry], Act] = {
    asked.RedeemEntry: _redeem,
    asked.CaptureEntry: _capture,
    asked.ReleaseEntry: _release,
    asked.ReverseEntry: _reverse,
    asked.AdjustEntry: _adjust,
    asked.FreezeEntry: _freeze,
    asked.UnfreezeEntry: _unfreeze,
    asked.ExtendEntry: _extend,
    asked.ReinstateEntry: _reinstate,
    asked.GiveEntry: _give,
    asked.HouseholdEntry: _household,
    asked.ImportEntry: _import,
    asked.PublishEntry: _publish,
}
