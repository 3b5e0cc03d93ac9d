"""One transaction: messages in, state and outgoing events out, committed together."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple
from uuid import UUID, uuid4

import asyncpg

from contracts.base import Event
from contracts.envelope import Envelope, to_headers
from contracts.topics import RECORD_BYTES_MAX, TOPIC_OF

from .db import Retry
from .outbox import Row, insert
from .telemetry import current_traceparent

__all__ = ["Cause", "Message", "Permanent", "Process", "Retry", "Transaction"]


class Permanent(Exception):
    """An event that can never be applied; the text says why. It becomes a dead letter."""


class TooLargeError(ValueError):
    """An event is larger than the broker takes."""


class Message(NamedTuple):
    """One event with its envelope and where it was read."""

    data: Event
    envelope: Envelope
    topic: str
    partition: int
    offset: int
    text: str | None = None
    """The data as it was read."""


class Cause(NamedTuple):
    """What the events of a change are caused by."""

    correlation_id: str
    causation_id: str | None = None
    traceparent: str | None = None

    @classmethod
    def of(cls, message: Message) -> "Cause":
        """Caused by an event."""
        envelope = message.envelope
        return cls(envelope.correlation_id, str(envelope.id), envelope.traceparent)

    @classmethod
    def fresh(cls, kind: str) -> "Cause":
        """Caused by a request or the clock: the start of a new correlation, in the trace of the request if any."""
        return cls(f"{kind}-{uuid4()}", None, current_traceparent())


@dataclass
class Transaction:
    """What a handler works with. It never commits or rolls back itself."""

    connection: asyncpg.Connection
    now: datetime
    service: str
    _locked: set[str] = field(default_factory=set)
    _rows: list[Row] = field(default_factory=list)

    def mark_locked(self, keys: Iterable[object]) -> None:
        """Say that the rows behind these keys (member ids) are locked by this transaction."""
        self._locked.update(str(key) for key in keys)

    def publish(self, event: Event, *, id: UUID, time: datetime, cause: Cause) -> None:
        """Send an event with this transaction. `id` is derived from stored facts, so that a replay sends the same.

        The row behind the event's key must be locked: only then the order of the outbox is the order of commits.
        Raises ValueError if it is not; TooLargeError if the broker would not take it, and all that follow would wait.
        """
        # What is not there is not written: readers take the default, and every byte is sent, stored and read again.
        value = event.model_dump_json(exclude_none=True).encode()
        self.send(type(event), event.key(), value, id=id, time=time, cause=cause)

    def send(self, kind: type[Event], key: str, value: bytes, *, id: UUID, time: datetime, cause: Cause) -> None:
        """As `publish`, for an event whose JSON is there already."""
        if key not in self._locked:
            raise ValueError(f"{kind.TYPE} for {key} is published without its row being locked")
        # Not checked again: all of it was valid when it came in.
        envelope = Envelope.model_construct(
            id=id,
            type=kind.TYPE,
            source=self.service,
            subject=key,
            time=time,
            correlation_id=cause.correlation_id,
            causation_id=cause.causation_id,
            traceparent=cause.traceparent,
        )
        if len(value) > RECORD_BYTES_MAX - 4096:
            raise TooLargeError(f"{kind.TYPE} for {key} has {len(value)} bytes, more than the broker takes")
        self.add(Row(TOPIC_OF[kind].name, key.encode(), value, to_headers(envelope)))

    def add(self, row: Row) -> None:
        """Send a record as it is; for copies of dead letters."""
        self._rows.append(row)

    async def flush(self) -> int:
        """Write the outbox rows; the shell calls it once, last before the commit. Returns how many there were."""
        count = len(self._rows)
        if count:
            await insert(self.connection, self._rows)
            self._rows = []
        return count


Process = Callable[[Transaction, list[Message]], Awaitable[None]]
