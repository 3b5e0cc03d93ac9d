"""After a restore: programs and segments are taken over from their topics; and sent again when Kafka has lost them."""

from uuid import UUID

from contracts.program import ProgramPublishedV1
from contracts.segments import SegmentsChangedV1
from shared.transaction import Cause, Message, Transaction

from . import store
from .handlers import publish_segments, publish_version

RESTORED = "restored"
"""Who did it, where the topic does not say."""


async def adopt(tx: Transaction, batch: list[Message]) -> None:
    """Take over what was published and is not known any more."""
    for message in batch:
        if isinstance(message.data, ProgramPublishedV1):
            event = message.data
            if event.version not in await store.load(tx, event.program_id):
                await store.save(tx, event, published_by=RESTORED)
    told = [message for message in batch if isinstance(message.data, SegmentsChangedV1)]
    people = await store.load_people(tx, told)
    for message in told:
        assert isinstance(message.data, SegmentsChangedV1)
        people[message.data.member_id].adopt(message.data, by=RESTORED)
    await store.save_people(tx, people.values())


async def republish_programs(tx: Transaction, after: str | None, limit: int) -> tuple[str | None, int]:
    """Send again some versions of programs, oldest first. Returns the last one's key, None at the end, and how many."""
    events = await store.published_versions(tx, after, limit)
    for event in events:
        publish_version(tx, event, Cause.fresh("republish"))
    return (f"{events[-1].program_id} {events[-1].version}" if events else None), len(events)


async def republish_segments(tx: Transaction, after: str | None, limit: int) -> tuple[str | None, int]:
    """Send again the segments of some members."""
    people = await store.people_with_segments(tx, UUID(after) if after else None, limit)
    for person in people:
        publish_segments(tx, person.told(), Cause.fresh("republish"))
    return (str(people[-1].member_id) if people else None), len(people)
