"""Members and commands in, programs and segments out: load → decide → save."""

from collections.abc import Callable, Sequence
from uuid import UUID

from contracts.base import Event
from contracts.ids import derived_id
from contracts.members import MemberChangedV1
from contracts.program import Program, ProgramBook, ProgramPublishedV1
from contracts.segments import SegmentsChangedV1
from shared import backlog
from shared.transaction import Cause, Message, TooLargeError, Transaction

from . import store
from .domain.publishing import RefusalError, check_sent, judge
from .domain.segments import ERASURE, Person


async def process(tx: Transaction, batch: list[Message]) -> None:
    """One batch, in one transaction."""
    people = await store.load_people(tx, batch)
    for message in batch:
        HANDLERS[type(message.data)](tx, people, message)
    await store.save_people(tx, people.values())


def _member(tx: Transaction, people: dict[UUID, Person], message: Message) -> None:
    event = message.data
    assert isinstance(event, MemberChangedV1)
    person = people[event.member_id]
    person.learn(event.version, event.status)
    if person.status == "erased":
        # The topic keeps the last record for ever: it must not say which groups somebody was in.
        publish_segments(tx, person.assign((), now=tx.now, by=ERASURE), Cause.of(message))


async def assign_segments(
    tx: Transaction, program_id: str, member_id: UUID, segments: Sequence[str], *, assigned_by: str
) -> Person | None:
    """Bring a member's segments to these. None when the program has no such member."""
    person = await store.load_person(tx, program_id, member_id)
    if person is None:
        return None
    publish_segments(tx, person.assign(segments, now=tx.now, by=assigned_by), Cause.fresh("segments"))
    await store.save_people(tx, [person])
    return person


def publish_segments(tx: Transaction, event: SegmentsChangedV1 | None, cause: Cause) -> None:
    """Send the segments of a member, who is locked."""
    if event is not None:
        event_id = derived_id(event.recorded_at, event.TYPE, event.member_id, event.version)
        tx.publish(event, id=event_id, time=event.recorded_at, cause=cause)


async def publish(
    programs: ProgramBook, tx: Transaction, document: Program, *, backdate: bool, published_by: str
) -> bool:
    """Publish a version; False if the same was published before. Raises RefusalError.

    What is on the topic counts as published too: after a restore the database may know less.
    """
    on_topic = programs.versions(document.id)
    known = {event.version: event.hash for event in on_topic} | await store.load(tx, document.id)
    earlier = [event.document for event in on_topic]
    if judge(document, known, earlier, now=tx.now, backdate=backdate) == "known":
        return False
    if not backdate:
        check_sent((await backlog.read(tx.connection)).outbox_seconds)
    event = ProgramPublishedV1(
        program_id=document.id,
        version=document.version,
        hash=document.hash(),
        published_at=tx.now,
        document=document,
    )
    await store.save(tx, event, published_by=published_by)
    try:
        publish_version(tx, event, Cause.fresh("publish"))
    except TooLargeError as error:
        raise RefusalError("too_large", f"{error}: say it with fewer rules, campaigns or texts") from error
    return True


def publish_version(tx: Transaction, event: ProgramPublishedV1, cause: Cause) -> None:
    """Send a version of a program, which is locked."""
    event_id = derived_id(event.published_at, event.TYPE, event.key(), event.hash)
    tx.publish(event, id=event_id, time=event.published_at, cause=cause)


HANDLERS: dict[type[Event], Callable[[Transaction, dict[UUID, Person], Message], None]] = {MemberChangedV1: _member}
IGNORED: frozenset[type[Event]] = frozenset()
