"""Commands in, published programs out: load → decide → save. The console consumes no events yet."""

from collections.abc import Callable

from contracts.base import Event
from contracts.ids import derived_id
from contracts.program import Program, ProgramBook, ProgramPublishedV1
from shared.transaction import Cause, Message, Transaction

from . import store
from .domain.publishing import judge


async def process(_: Transaction, batch: list[Message]) -> None:
    """No topic is consumed, so nothing comes."""
    assert not batch


async def publish(
    programs: ProgramBook, tx: Transaction, document: Program, *, backdate: bool, published_by: str
) -> bool:
    """Publish a version; False if the same was published before. Raises RefusalError.

    What is on the topic counts as published too: after a restore the database may know less.
    """
    on_topic = {event.version: event.hash for event in programs if event.program_id == document.id}
    known = on_topic | await store.load(tx, document.id)
    if judge(document, known, now=tx.now, backdate=backdate) == "known":
        return False
    event = ProgramPublishedV1(
        program_id=document.id,
        version=document.version,
        hash=document.hash(),
        published_at=tx.now,
        document=document,
    )
    await store.save(tx, event, published_by=published_by)
    tx.publish(
        event,
        id=derived_id(event.published_at, event.TYPE, event.key(), event.hash),
        time=event.published_at,
        cause=Cause.fresh("publish"),
    )
    return True


HANDLERS: dict[type[Event], Callable[..., None]] = {}
IGNORED: frozenset[type[Event]] = frozenset()
