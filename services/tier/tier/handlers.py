"""Events in, standings out: load → decide → save."""

from collections.abc import Callable
from datetime import datetime

from contracts.base import Event
from contracts.members import MemberChangedV1
from contracts.points import (
    PointsActivatedV1,
    PointsClawedBackV1,
    PointsExpiredV1,
    PointsGrantedV1,
    PointsRedeemedV1,
)
from contracts.program import ProgramBook
from shared.transaction import Cause, Message, Permanent, Transaction

from . import store
from .domain.member import Member
from .store import World

SWEEP_MEMBERS_MAX = 500


async def process(programs: ProgramBook, tx: Transaction, batch: list[Message]) -> None:
    """One batch, in one transaction."""
    world = await store.load(tx, programs, batch)
    for message in batch:
        HANDLERS[type(message.data)](world, message)
    await store.save(tx, world)


async def sweep(programs: ProgramBook, tx: Transaction, partition: int, horizon: datetime) -> int:
    """Announce what has come true by `horizon`, and hold members against a new version's ladder. Returns how many."""
    world = await store.load_due(tx, programs, partition, horizon, limit=SWEEP_MEMBERS_MAX)
    cause = Cause.fresh("sweep")
    for member in world.members.values():
        due = member.next_change_at
        _reassess(world, member, horizon, due if due is not None and due <= horizon else None, cause)
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
    assert isinstance(event, PointsGrantedV1 | PointsClawedBackV1)
    if not world.programs.known(event.program_id):
        raise Permanent(f"program {event.program_id} does not exist")
    member = world.members[event.member_id]
    if event.base is not None and member.learn(event.base, event.sequence):
        _reassess(world, member, world.now, event.occurred_at, Cause.of(message))


def _reassess(world: World, member: Member, now: datetime, occurred_at: datetime | None, cause: Cause) -> None:
    """Hold a member against the ladder in force. Without one the facts wait: the sweeper comes when there is."""
    program = world.programs.in_force(member.program_id, world.now)
    if program is not None:
        event = member.reassess(world.programs, program, now, occurred_at or program.effective_from)
        world.announce(event, cause)


HANDLERS: dict[type[Event], Callable[[World, Message], None]] = {
    MemberChangedV1: _member,
    PointsGrantedV1: _points,
    PointsClawedBackV1: _points,
}
IGNORED: frozenset[type[Event]] = frozenset({PointsActivatedV1, PointsExpiredV1, PointsRedeemedV1})
