"""Events in, messages to be sent out: load → decide → save."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from contracts.base import Event
from contracts.challenges import ChallengeCompletedV1, ChallengeProgressedV1
from contracts.members import ContactChangedV1, MemberChangedV1
from contracts.points import (
    AccountFrozenV1,
    AccountUnfrozenV1,
    PointsActivatedV1,
    PointsAdjustedV1,
    PointsClawedBackV1,
    PointsExpiredV1,
    PointsExpiringV1,
    PointsGrantedV1,
    PointsHeldV1,
    PointsImportedV1,
    PointsRedeemedV1,
    PointsReinstatedV1,
    PointsReleasedV1,
    PointsReturnedV1,
    PointsTransferredV1,
    PointsWaivedV1,
)
from contracts.referrals import ReferralCodeAssignedV1, ReferralConfirmedV1, ReferralRejectedV1, ReferralReversedV1
from contracts.rewards import RewardEvent, RewardExpiredV1, RewardIssuedV1, RewardReturnedV1, RewardUsedV1
from contracts.tiers import StandingChangedV1
from shared.transaction import Message, Transaction

from . import store
from .domain import calls
from .domain.calls import Call
from .domain.world import Recipient, World


async def process(too_old: timedelta, tx: Transaction, batch: list[Message]) -> None:
    """One batch, in one transaction. Nothing is sent here: the loops of `mailer` and `webhook` do that later."""
    world = await store.load(tx, batch, oldest=tx.now - too_old)
    for message in batch:
        HANDLERS[type(message.data)](world, message)
    await store.save(tx, world)


def _contact(world: World, message: Message) -> None:
    event = message.data
    assert isinstance(event, ContactChangedV1)
    recipient = world.recipients[event.member_id]
    if event.version <= recipient.contact_version:
        return
    recipient.contact_version, recipient.changed = event.version, True
    if recipient.status != "erased":
        recipient.email, recipient.first_name, recipient.last_name = event.email, event.first_name, event.last_name
    world.wake(recipient)


def _member(world: World, message: Message) -> None:
    event = message.data
    assert isinstance(event, MemberChangedV1)
    recipient = world.recipients[event.member_id]
    if event.version <= recipient.version:
        return
    known = recipient.version > 0
    joined = event.status == "member" and recipient.status != "member"
    recipient.version, recipient.status, recipient.locale = event.version, event.status, event.locale
    recipient.changed = True
    if event.status == "erased":
        recipient.email = recipient.first_name = recipient.last_name = None
    if joined:
        _note(world, message, recipient, calls.welcome(event, known=known))


def _code(world: World, message: Message) -> None:
    event = message.data
    assert isinstance(event, ReferralCodeAssignedV1)
    recipient = world.recipients[event.member_id]
    if recipient.referral_code is None:
        recipient.referral_code, recipient.changed = event.code, True
        world.wake(recipient)


def _reward(world: World, message: Message) -> None:
    event = message.data
    assert isinstance(event, RewardEvent)
    recipient = world.recipients[event.member_id]
    if isinstance(event, RewardIssuedV1):
        _note(world, message, recipient, calls.coupon(event))
    call = calls.reward_changed(event)
    since = world.endpoints.get(event.program_id)
    if since is None or (event.issued_at or call.recorded_at) < since:
        return
    if isinstance(event, RewardIssuedV1) and event.coupon_id in world.told_of:
        return  # A dead letter of long ago, say: the shop would make a discount that may have been taken back.
    _note(world, message, recipient, call)


def _tells(call_of: Callable[[Any], Call | None]) -> Callable[[World, Message], None]:
    """For events that call for one message to their member, and change nothing."""

    def handle(world: World, message: Message) -> None:
        recipient = world.recipients[message.data.member_id]  # type: ignore[attr-defined]
        _note(world, message, recipient, call_of(message.data))

    return handle


def _note(world: World, message: Message, recipient: Recipient, call: Call | None) -> None:
    if call is not None:
        envelope = message.envelope
        world.call(call, recipient, envelope.id, envelope.correlation_id, envelope.traceparent)


HANDLERS: dict[type[Event], Callable[[World, Message], None]] = {
    ContactChangedV1: _contact,
    MemberChangedV1: _member,
    ReferralCodeAssignedV1: _code,
    PointsGrantedV1: _tells(calls.granted),
    StandingChangedV1: _tells(calls.upgraded),
    PointsExpiringV1: _tells(calls.expiring),
    ChallengeCompletedV1: _tells(calls.completed),
    RewardIssuedV1: _reward,
    RewardUsedV1: _reward,
    RewardReturnedV1: _reward,
    RewardExpiredV1: _reward,
}
IGNORED: frozenset[type[Event]] = frozenset(
    {
        AccountFrozenV1,
        AccountUnfrozenV1,
        ChallengeProgressedV1,
        PointsActivatedV1,
        PointsAdjustedV1,
        PointsClawedBackV1,
        PointsExpiredV1,
        PointsHeldV1,
        PointsImportedV1,
        PointsRedeemedV1,
        PointsReinstatedV1,
        PointsReleasedV1,
        PointsReturnedV1,
        PointsTransferredV1,
        PointsWaivedV1,
        ReferralConfirmedV1,
        ReferralRejectedV1,
        ReferralReversedV1,
    }
)
