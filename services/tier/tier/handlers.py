"""Events in, standings out: load → decide → save."""

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

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
from shared.clock import in_turns
from shared.sweeper import Round
from shared.transaction import Cause, Message, Permanent, Transaction

from . import store
from .domain.member import Member
from .store import World

ANSWER_EVERY = 5
"""So many members are held against the ladder before requests that wait are given a turn."""


async def process(programs: ProgramBook, tx: Transaction, batch: list[Message]) -> None:
    """One batch, in one transaction. Who is concerned is held against the ladder once: that looks at all they ever
    bought, and only where they stand after the batch is told.
    """
    world = await store.load(tx, programs, batch)
    news: dict[UUID, tuple[datetime, Cause]] = {}
    for message in batch:
        happened_at = HANDLERS[type(message.data)](world, message)
        if happened_at is not None:
            news[UUID(message.data.key())] = happened_at, Cause.of(message)
    async for member_id in in_turns(news, ANSWER_EVERY):
        _reassess(world, world.members[member_id], world.now, *news[member_id])
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


def _member(world: World, message: Message) -> datetime | None:
    event = message.data
    assert isinstance(event, MemberChangedV1)
    member = world.members[event.member_id]
    if event.version > member.profile_version:
        member.profile_version, member.status, member.changed = event.version, event.status, True
    # At once, so that the sweeper need not look at everybody who is new.
    return None if member.program_version else event.recorded_at


def _points(world: World, message: Message) -> datetime | None:
    event = message.data
    assert isinstance(event, ClaimEvent)
    _check_program(world, event)
    member = world.members[event.member_id]
    return event.occurred_at if event.base is not None and member.learn(event.base, event.sequence) else None


def _issued(world: World, message: Message) -> datetime | None:
    event = message.data
    assert isinstance(event, RewardIssuedV1)
    if event.kind != "membership":
        return None
    _check_program(world, event)
    member = world.members[event.member_id]
    try:
        news = member.learn_coupon(event.coupon_id, lambda coupon: coupon.with_issue(event))
    except ValueError as error:
        raise Permanent(str(error)) from error
    return event.issued_at if news else None


def _returned(world: World, message: Message) -> datetime | None:
    event = message.data
    assert isinstance(event, RewardReturnedV1)
    if event.kind != "membership":
        return None
    _check_program(world, event)
    member = world.members[event.member_id]
    news = member.learn_coupon(event.coupon_id, lambda coupon: coupon.with_return(event))
    return event.returned_at if news else None


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


HANDLERS: dict[type[Event], Callable[[World, Message], datetime | None]] = {
    MemberChangedV1: _member,
    PointsGrantedV1: _points,
    PointsClawedBackV1: _points,
    PointsImportedV1: _points,
    RewardIssuedV1: _issued,
    RewardReturnedV1: _returned,
}
"""When what is news happened; None when nothing is."""
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
