"""Making kept decisions again, one by one: the same ledger must come of them, to the last transfer."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from contracts.activities import ActivityRecordedV1
from contracts.base import Event, Model
from contracts.members import MemberChangedV1
from contracts.orders import OrderChangedV1
from contracts.points import Cause
from contracts.referrals import ReferralConfirmedV1, ReferralReversedV1
from contracts.segments import SegmentsChangedV1
from contracts.tiers import StandingChangedV1

from . import adjusting, commands, sharing, spending, sweeping
from .account import Account, begin
from .again import judge_one
from .dates import grant_date
from .deciding import take_activity, take_member, take_order, take_referral, take_segments, take_standing
from .lots import ClaimKey
from .merging import receive
from .using import CouponFacts, apply
from .world import Trace, Trigger, World

TRACE = Trace("rebuild")


@dataclass(frozen=True, slots=True)
class Kept:
    """A decision as it was kept."""

    sequence: int
    kind: str
    key: str
    cause: Cause
    occurred_at: datetime
    effective_at: datetime
    input: str
    pinned: dict[str, Any]

    def read(self, model: type[Model]) -> Any:
        """Its input."""
        return model.model_validate_json(self.input)

    @property
    def client_key(self) -> str:
        """The key that a command came with."""
        return self.key.partition(":")[2]

    def trigger(self) -> Trigger:
        """What called for a claim to be judged again."""
        kind, version, _ = self.key.split(":", 2)
        return Trigger(
            kind, int(version), self.cause.id, self.occurred_at, self.effective_at, TRACE  # type: ignore[arg-type]
        )  # fmt: skip


def replay(world: World, account: Account, kept: Kept) -> None:
    """Make one decision again. What follows from it is a kept decision of its own, and is not made here."""
    if kept.sequence <= account.sequence:  # It was made together with the one before.
        return
    account.recorded = kept.pinned
    world.now, world.reading = kept.occurred_at, kept.input
    REPLAYS[kept.kind](world, account, kept)


def _fact(model: type[Event], take: Callable[..., None]) -> Callable[[World, Account, Kept], None]:
    def again(world: World, account: Account, kept: Kept) -> None:  # noqa: ARG001 - the event says whose it is
        take(world, kept.read(model), kept.cause.id, TRACE)

    return again


def _referral(world: World, account: Account, kept: Kept) -> None:  # noqa: ARG001 - the event says whose it is
    model = ReferralReversedV1 if '"reason":' in kept.input else ReferralConfirmedV1
    take_referral(world, kept.read(model), kept.cause.id, TRACE)


def _judge(world: World, account: Account, kept: Kept) -> None:
    command = kept.read(commands.JudgeAgain)
    claim = world.claims[account.program_id, ClaimKey(command.kind, command.claim_id)]
    judge_one(world, account, kept.trigger(), claim)


def _lapse(world: World, account: Account, kept: Kept) -> None:
    sweeping.lapse(world, account, kept.read(commands.Lapse))


def _date(world: World, account: Account, kept: Kept) -> None:
    command = kept.read(commands.Date)
    trigger = Trigger("date", 0, kept.cause.id, kept.occurred_at, kept.effective_at, TRACE)
    key = ClaimKey("date", command.claim_id)
    number = kept.cause.number
    grant_date(world, account, key, command.rule_id, command.program_version, command.at, trigger, number)


def _coupon(world: World, account: Account, kept: Kept) -> None:
    facts = kept.read(CouponFacts)
    decision = begin(
        account, kept.kind, kept.key, kept.cause, occurred_at=kept.occurred_at, recorded_at=kept.effective_at,
        input=kept.input,
    )  # fmt: skip
    apply(world, account, decision, world.coupons[facts.coupon_id], facts.order, facts.points_back, TRACE)


def _take_over(world: World, account: Account, kept: Kept) -> None:
    command = kept.read(commands.TakeOver)
    decision = begin(
        account, kept.kind, kept.key, kept.cause, occurred_at=kept.occurred_at, recorded_at=kept.effective_at,
        input=kept.input,
    )  # fmt: skip
    decision.pin("taken", dict)
    receive(world, account, command.from_member_id, decision, TRACE)


def _command(model: type[commands.Command], act: Callable[..., Any]) -> Callable[[World, Account, Kept], None]:
    def again(world: World, account: Account, kept: Kept) -> None:
        act(world, account, kept.read(model), kept.client_key, TRACE)

    return again


def _sweep(world: World, account: Account, kept: Kept) -> None:
    sweeping.sweep(world, account, kept.read(commands.Sweep))


def _run_out(world: World, account: Account, kept: Kept) -> None:
    sweeping.pass_coupon(world, account, kept.read(commands.RunOut), kept.occurred_at)


def _write_off(world: World, account: Account, kept: Kept) -> None:
    sweeping.write_off(world, account, kept.read(commands.WriteOff), kept.occurred_at)


def _gift(world: World, account: Account, kept: Kept) -> None:
    sweeping.give_gift(world, account, kept.read(commands.GiveGift), kept.occurred_at)


def _receive(world: World, account: Account, kept: Kept) -> None:
    command = kept.read(commands.Receive)
    sharing.receive(world, account, command, command.key, TRACE)


REPLAYS: dict[str, Callable[[World, Account, Kept], None]] = {
    "order": _fact(OrderChangedV1, take_order),
    "activity": _fact(ActivityRecordedV1, take_activity),
    "referral": _referral,
    "member": _fact(MemberChangedV1, take_member),
    "standing": _fact(StandingChangedV1, take_standing),
    "segments": _fact(SegmentsChangedV1, take_segments),
    "judge": _judge,
    "lapse": _lapse,
    "date": _date,
    "coupon": _coupon,
    "take_over": _take_over,
    "sweep": _sweep,
    "run_out": _run_out,
    "write_off": _write_off,
    "gift": _gift,
    "redeem": _command(commands.Redeem, spending.redeem),
    "capture": _command(commands.Capture, spending.capture),
    "release": _command(commands.Release, spending.release),
    "reverse": _command(commands.Reverse, spending.reverse),
    "adjust": _command(commands.Adjust, adjusting.adjust),
    "freeze": _command(commands.Freeze, adjusting.freeze),
    "unfreeze": _command(commands.Unfreeze, adjusting.freeze),
    "extend": _command(commands.Extend, adjusting.extend),
    "reinstate": _command(commands.Reinstate, adjusting.reinstate),
    "import": _command(commands.Import, adjusting.bring_in),
    "hand_out": _command(commands.HandOut, sharing.hand_out),
    "receive": _receive,
    "join": _command(commands.Join, sharing.join),
}
"""By the kind of the decision. `hand_over` is made with the member's event that calls for it."""
