"""CloudEvents 1.0 in Kafka's binary mode: the attributes are headers, the value is the JSON of the data alone."""

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated
from urllib.parse import quote
from uuid import UUID

from pydantic import AfterValidator, BeforeValidator, ValidationError

from .base import Instant, Model, ShortText

SPEC_VERSION = "1.0"
CONTENT_TYPE = "application/json"
TRACEPARENT_CHARS_MAX = 64
"""Of version 00 they have 55; what later versions add need not be passed on."""


class EnvelopeError(ValueError):
    """The headers of a record are no CloudEvents envelope; the text says which and why."""


def _is_plain(text: str) -> bool:
    """Whether it can be passed on in headers of HTTP and mail, too."""
    return text.isascii() and text.isprintable()


def _plain(text: str) -> str:
    return text if _is_plain(text) else quote(text, safe="")[:255]


def _traceable(text: object) -> object:
    fits = isinstance(text, str) and len(text) <= TRACEPARENT_CHARS_MAX and _is_plain(text)
    return text if fits else None


class Envelope(Model):
    """The attributes of one event, beside its data."""

    id: UUID
    """Known for ever: the same event published again has the same id."""
    type: ShortText
    source: ShortText
    """The service that published it, such as `points-accrual`."""
    subject: ShortText
    """The member it is about; for programs `program_id:version`."""
    time: Instant
    """When it happened in the world."""
    correlation_id: Annotated[ShortText, AfterValidator(_plain)]
    """The same for all that follows from one delivery, command or sweep. Anything but printable ASCII is encoded."""
    causation_id: ShortText | None = None
    """The id of the event that caused this one."""
    traceparent: Annotated[str | None, BeforeValidator(_traceable)] = None
    """W3C trace context; what cannot be one is left out."""


_HEADERS = {
    "ce_id": "id",
    "ce_type": "type",
    "ce_source": "source",
    "ce_subject": "subject",
    "ce_time": "time",
    "ce_correlationid": "correlation_id",
    "ce_causationid": "causation_id",
    "traceparent": "traceparent",
}
HEADER_NAMES = ("ce_specversion", "content-type", *_HEADERS)
_FIXED = (("ce_specversion", SPEC_VERSION.encode()), ("content-type", CONTENT_TYPE.encode()))


def to_headers(envelope: Envelope) -> list[tuple[str, bytes]]:
    """The Kafka headers of an event; optional ones that are unset are left out."""
    headers = [*_FIXED]
    for header, field in _HEADERS.items():
        value = getattr(envelope, field)
        if value is not None:
            headers.append((header, _text(value).encode()))
    return headers


def _text(value: object) -> str:
    """As JSON would have it."""
    return value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else str(value)


def from_headers(headers: Iterable[tuple[str, bytes | None]]) -> Envelope:
    """Read the envelope; headers of others are ignored. Raises `EnvelopeError`."""
    values: dict[str, str] = {}
    version = None
    for name, raw in headers:
        if name != "ce_specversion" and name not in _HEADERS:
            continue
        if raw is None:
            raise EnvelopeError(f"header {name} is null")
        try:
            text = raw.decode()
        except UnicodeDecodeError as error:
            raise EnvelopeError(f"header {name} is not UTF-8") from error
        if name == "ce_specversion":
            version = text
        else:
            values[_HEADERS[name]] = text
    if version != SPEC_VERSION:
        raise EnvelopeError(f"ce_specversion is {version!r}, expected {SPEC_VERSION!r}")
    try:
        return Envelope.model_validate(values)
    except ValidationError as error:
        wrong = "; ".join(f"{item['loc'][0]}: {item['msg']}" for item in error.errors(include_input=False))
        raise EnvelopeError(f"headers: {wrong}") from error
