"""Events in, standings out: load → decide → save."""

from collections.abc import Callable
from datetime import datetime

from contracts.base import Event
from contracts.challenges import ChallengeCompletedV1, ChallengeProgressedV1
from contracts.members import MemberChangedV1
from contracts.points import (
    AccountFrozenV1,
    AccountUnfrozenV1,
    ClaimEvent,
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
from contracts.program import ProgramBook
from contracts.rewards import RewardExpiredV1, RewardIssuedV1, RewardReturnedV1, RewardUsedV1
from shared.sweeper import Round
from shared.transaction import Cause, Message, Permanent, Transaction

from . import store
from .domain.member import Member
from .store import World


async def process(programs: ProgramBook, tx: Transaction, batch: list[Message]) -> None:
    """One batch, in one transaction."""
    world = await store.load(tx, programs, batch)
    for message in batch:
        HANDLERS[type(message.data)](world, message)
    await store.save(tx, world)


async def sweep(programs: ProgramBook, tx: Transaction, due: Round) -> int:
    """Announce what has come true by now, and hold members against a new version's ladder. Returns how many."""
    world = await store.load_due(tx, programs, due)
    cause = Cause.fresh("sweep")
    for member in world.members.values():
        member.adopted_at = None
        at = member.next_change_at
        _reassess(world, member, due.horizon, at if at is not None and at <= due.horizon else None, cause)
    await store.save(tx, world)
    return len(world.members)


def _member(world: World, message: Message) -> None:
    event = message.data
    assert isinstance(event, MemberChangedV1)
    member = world.members[event.member_id]
    if event.version > member.profile_version:
        member.profile_version, member.status, member.changed = event.version, event.status, True
    if not member.program_version:
        # At once, so that the sweeper need not look at everybody who is new.
        _reassess(world, member, world.now, event.recorded_at, Cause.of(message))


def _points(world: World, message: Message) -> None:
    event = message.data
    assert isinstance(event, ClaimEvent)
    _check_program(world, event)
    member = world.members[event.member_id]
    if event.base is not None and member.learn(event.base, event.sequence):
        _reassess(world, member, world.now, event.occurred_at, Cause.of(message))


def _issued(world: World, message: Message) -> None:
    event = message.data
    assert isinstance(event, RewardIssuedV1)
    if event.kind != "membership":
        return
    _check_program(world, event)
    member = world.members[event.member_id]
    try:
        news = member.learn_coupon(event.coupon_id, lambda coupon: coupon.with_issue(event))
    except ValueError as error:
        raise Permanent(str(error)) from error
    if news:
        _reassess(world, member, world.now, event.issued_at, Cause.of(message))


def _returned(world: World, message: Message) -> None:
    event = message.data
    assert isinstance(event, RewardReturnedV1)
    if event.kind != "membership":
        return
    _check_program(world, event)
    member = world.members[event.member_id]
    if member.learn_coupon(event.coupon_id, lambda coupon: coupon.with_return(event)):
        _reassess(world, member, world.now, event.returned_at, Cause.of(message))


def _check_program(world: World, event: Event) -> None:
    if not world.programs.known(event.program_id):
        raise Permanent(f"program {event.program_id} does not exist")


def _reassess(world: World, member: Member, now: datetime, occurred_at: datetime | None, cause: Cause) -> None:
    """Hold a member against the ladder in force. Without one the facts wait: the sweeper comes when there is.

    So they do after a restore, until all has been read again.
    """
    if member.adopted_at is not None:
        return
    program = world.programs.in_force(member.program_id, now)
    if program is not None:
        event = member.reassess(world.programs, program, now, occurred_at or program.effective_from)
        world.announce(event, cause)


HANDLERS: dict[type[Event], Callable[[World, Message], None]] = {
    MemberChangedV1: _member,
    PointsGrantedV1: _points,
    PointsClawedBackV1: _points,
    PointsImportedV1: _points,
    RewardIssuedV1: _issued,
    RewardReturnedV1: _returned,
}
IGNORED: frozenset[type[Event]] = frozenset(
    {
        PointsActivatedV1,
        PointsExpiringV1,
        PointsExpiredV1,
        PointsReinstatedV1,
        PointsWaivedV1,
        PointsAdjustedV1,
        PointsTransferredV1,
        PointsHeldV1,
        PointsReleasedV1,
        PointsRedeemedV1,
        PointsReturnedV1,
        AccountFrozenV1,
        AccountUnfrozenV1,
        ChallengeProgressedV1,
        ChallengeCompletedV1,
        RewardUsedV1,
        RewardExpiredV1,
    }
)
