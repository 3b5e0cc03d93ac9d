"""One batch: load what its members need, decide for each event in turn, save the changes and what they publish."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from contracts.activities import ActivityRecordedV1
from contracts.base import Event
from contracts.members import MemberChangedV1
from contracts.orders import OrderChangedV1
from contracts.program import ProgramBook
from contracts.referrals import ReferralCodeAssignedV1, ReferralConfirmedV1, ReferralRejectedV1, ReferralReversedV1
from contracts.segments import SegmentsChangedV1
from contracts.tiers import StandingChangedV1
from shared.clock import in_turns
from shared.sweeper import Round
from shared.telemetry import CLOCK_SKEW_SECONDS
from shared.transaction import Message, Permanent, Transaction

from . import store
from .domain.account import Account
from .domain.again import continue_judging, judge_waiting
from .domain.deciding import (
    WrongProgramError,
    take_activity,
    take_member,
    take_order,
    take_referral,
    take_segments,
    take_standing,
)
from .domain.sweeping import give_waiting, pass_time
from .domain.world import SKEW_MAX, Trace, World

ANSWER_EVERY = 5
"""So many events are judged before requests that wait are given a turn."""


async def process(programs: ProgramBook, tx: Transaction, batch: list[Message]) -> None:
    """Apply a batch in one transaction."""
    _watch_clocks(batch, tx.now)
    world = await store.load(tx, programs, batch)
    async for message in in_turns(batch, ANSWER_EVERY):
        envelope = message.envelope
        world.reading = message.text
        event_id = str(envelope.id)
        trace = Trace(envelope.correlation_id, event_id, envelope.traceparent)
        try:
            HANDLERS[type(message.data)](world, message.data, event_id, trace)
        except WrongProgramError as error:
            raise Permanent(str(error)) from error
    await store.save(tx, world)


def _watch_clocks(batch: list[Message], now: datetime) -> None:
    """Times recorded further ahead than is believed mean that a clock at the edge is wrong."""
    ahead = max(
        (message.data.recorded_at for message in batch if isinstance(message.data, OrderChangedV1)), default=now
    )
    if ahead > now + SKEW_MAX:
        CLOCK_SKEW_SECONDS.set((ahead - now).total_seconds())


async def sweep(programs: ProgramBook, tx: Transaction, due: Round) -> int:
    """What time alone changes, and claims that wait to be judged. Returns how many members it touched."""
    for load, decide in (
        (store.load_due, pass_time),
        (store.load_continued, _continue),
        (store.load_unjudged, judge_waiting),
        (store.load_waiting, give_waiting),
    ):
        world = await load(tx, programs, due)
        if world.accounts:
            for member_id in sorted(world.accounts):
                account = world.accounts[member_id]
                decide(world, account, due.horizon)
                account.changed = True  # when it is due next was found anew
            await store.save(tx, world)
            if world.moved or any(account.decisions for account in world.accounts.values()):
                return len(world.accounts)
            # What is due and stays so must not keep from the others for ever what comes after it here.
    return 0


def _continue(world: World, account: Account, horizon: datetime) -> None:  # noqa: ARG001 - all phases are alike
    if world.continuations.get(account.member_id) is not None:
        continue_judging(world, account)


HANDLERS: dict[type[Event], Callable[[World, Any, str, Trace], None]] = {
    MemberChangedV1: take_member,
    StandingChangedV1: take_standing,
    SegmentsChangedV1: take_segments,
    ReferralConfirmedV1: take_referral,
    ReferralReversedV1: take_referral,
    OrderChangedV1: take_order,
    ActivityRecordedV1: take_activity,
}
IGNORED: frozenset[type[Event]] = frozenset({ReferralCodeAssignedV1, ReferralRejectedV1})
