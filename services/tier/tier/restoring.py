"""After a restore: standings are taken over from the topic, and held against the facts when those are read again."""

from uuid import UUID

from contracts.ids import derived_id
from contracts.program import ProgramBook
from contracts.tiers import StandingChangedV1
from shared.transaction import Cause, Message, Transaction

from . import store


async def adopt(programs: ProgramBook, tx: Transaction, batch: list[Message]) -> None:
    """Take over what was announced and is not known any more; its version is gone past, never used again."""
    world = await store.load(tx, programs, batch)
    news = []
    for message in batch:
        event = message.data
        assert isinstance(event, StandingChangedV1)
        program = programs.in_force(event.program_id, event.recorded_at)
        version = program.version if program is not None else 1
        if world.members[event.member_id].adopt(event, version, tx.now):
            news.append((event, version))
    await store.save(tx, world)
    await store.save_changes(tx, news)


async def republish(tx: Transaction, after: str | None, limit: int) -> tuple[str | None, int]:
    """Send again the standing of some members. Returns the last one's id, None at the end, and how many there were."""
    events = await store.read_announced(tx, UUID(after) if after else None, limit)
    for event in events:
        event_id = derived_id(event.occurred_at, event.TYPE, event.member_id, event.version)
        tx.publish(event, id=event_id, time=event.occurred_at, cause=Cause.fresh("republish"))
    return (str(events[-1].member_id) if events else None), len(events)
