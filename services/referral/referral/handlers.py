"""Events in, codes and referrals out: load → decide → save."""

from collections.abc import Callable, Iterable

from contracts.base import Event
from contracts.ids import derived_id
from contracts.members import MemberChangedV1
from contracts.orders import OrderChangedV1
from contracts.program import ProgramBook
from contracts.referrals import ReferralCodeAssignedV1
from shared.sweeper import Round
from shared.transaction import Cause, Message, Permanent, Transaction

from . import store
from .domain.world import Announcement, World


async def process(programs: ProgramBook, tx: Transaction, batch: list[Message]) -> None:
    """One batch, in one transaction."""
    world = await store.load(tx, programs, batch)
    for message in batch:
        HANDLERS[type(message.data)](world, message)
        _publish(tx, world, Cause.of(message))
    await store.save(tx, world)


async def sweep(programs: ProgramBook, tx: Transaction, due: Round) -> int:
    """Look at members under a new version of their program, which may be the first with referrals. Returns how many."""
    world = await store.load_unseen(tx, programs, due)
    for member_id in due.keys:
        world.revisit(world.members[member_id])
    _publish(tx, world, Cause.fresh("sweep"))
    await store.save(tx, world)
    return len(due.keys)


def _publish(tx: Transaction, world: World, cause: Cause) -> None:
    publish(tx, world.announced, cause)
    world.announced.clear()


def publish(tx: Transaction, announced: Iterable[Announcement], cause: Cause) -> None:
    """Send what is announced; the members are locked."""
    for event in announced:
        facts: list[object]
        if isinstance(event, ReferralCodeAssignedV1):
            at, facts = event.assigned_at, [event.member_id]
        else:
            at, facts = event.occurred_at, [event.referral_id, event.version, event.role]
        tx.publish(event, id=derived_id(at, event.TYPE, *facts), time=at, cause=cause)


def _member(world: World, message: Message) -> None:
    event = message.data
    assert isinstance(event, MemberChangedV1)
    world.change_member(event)


def _order(world: World, message: Message) -> None:
    event = message.data
    assert isinstance(event, OrderChangedV1)
    if not world.programs.known(event.program_id):
        raise Permanent(f"program {event.program_id} does not exist")
    world.change_order(event)


HANDLERS: dict[type[Event], Callable[[World, Message], None]] = {MemberChangedV1: _member, OrderChangedV1: _order}
