"""From raw records to messages; what cannot be read becomes a failure that leaves its batch alone."""

from typing import NamedTuple

import asyncpg
from aiokafka import ConsumerRecord
from pydantic import ValidationError

from contracts.base import Event
from contracts.envelope import EnvelopeError, from_headers
from contracts.topics import EVENTS

from .dead_letters import UNKNOWN_TYPE, Failure
from .transaction import Message


class Decoded(NamedTuple):
    """A record with what came of it: a message, a failure, or neither where the service does not need its type."""

    record: ConsumerRecord
    message: Message | None = None
    failure: Failure | None = None


def decode(record: ConsumerRecord, handled: frozenset[type[Event]], ignored: frozenset[type[Event]]) -> Decoded:
    """Read one record; whatever is in it, this does not raise."""
    try:
        return _decode(record, handled, ignored)
    except Exception as error:  # noqa: BLE001 - an exception here would stop every partition
        return Decoded(record, failure=Failure("Undecodable", type(error).__name__))


def _decode(record: ConsumerRecord, handled: frozenset[type[Event]], ignored: frozenset[type[Event]]) -> Decoded:
    if record.value is None:
        # A tombstone says that a key is gone; its topic's owner tells it as an event, too.
        return Decoded(record)
    try:
        envelope = from_headers(record.headers)
    except EnvelopeError as error:
        return Decoded(record, failure=Failure("EnvelopeError", str(error)))
    model = EVENTS.get(envelope.type)
    if model is None or model not in handled | ignored:
        text = f"type {envelope.type!r} is not known to this version of the service; replay it after an upgrade"
        return Decoded(record, failure=Failure(UNKNOWN_TYPE, text, envelope.type))
    if model in ignored:
        return Decoded(record)
    try:
        data = model.model_validate_json(record.value)
    except ValidationError as error:
        return Decoded(record, failure=Failure("ValidationError", explain(error), envelope.type))
    if (record.key or b"") != data.key().encode():
        text = f"the record's key is not the {data.key()!r} that its data says"
        return Decoded(record, failure=Failure("WrongKey", text, envelope.type))
    return Decoded(
        record, Message(data, envelope, record.topic, record.partition, record.offset, record.value.decode())
    )


def describe(error: Exception) -> str:
    """What went wrong, without the values that were at hand: those may be personal data or codes."""
    if isinstance(error, ValidationError):
        return explain(error)
    if isinstance(error, asyncpg.PostgresError):
        return str(error.args[0]) if error.args else type(error).__name__
    return str(error) or repr(error)


def explain(error: ValidationError) -> str:
    """Which fields are wrong and why, without their values: those may be personal data."""
    parts = (
        f"{'.'.join(str(part) for part in item['loc']) or 'value'}: {item['msg']}"
        for item in error.errors(include_input=False, include_url=False, include_context=False)
    )
    return "; ".join(parts)
