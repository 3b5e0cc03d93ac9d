"""Segments: which groups of the merchant's making a member belongs to. Compacted; each record is the whole state."""

from typing import Annotated, ClassVar

from pydantic import Field

from .base import Event, Instant, MemberId, Slug


class SegmentsChangedV1(Event):
    """The segments of a member, all of them, at this version."""

    TYPE: ClassVar[str] = "loyalty.segments.changed.v1"

    member_id: MemberId
    version: Annotated[int, Field(ge=1)]
    segments: Annotated[tuple[Slug, ...], Field(max_length=1000)]
    recorded_at: Instant
