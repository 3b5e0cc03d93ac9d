"""The segments of members, whole at each version."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from contracts.segments import SegmentsChangedV1

ERASURE = "erasure"
"""Who takes the segments of a person who was erased."""


@dataclass(slots=True)
class Person:
    """A member; `profile_version` is 0 until a profile arrived, `segments_version` until there were segments."""

    member_id: UUID
    program_id: str
    profile_version: int = 0
    status: Literal["shopper", "member", "erased"] = "shopper"
    segments: tuple[str, ...] = ()
    segments_version: int = 0
    changed_at: datetime | None = None
    changed_by: str | None = None
    changed: bool = False

    def learn(self, version: int, status: Literal["shopper", "member", "erased"]) -> None:
        """Keep a newer profile."""
        if version > self.profile_version:
            self.profile_version, self.status, self.changed = version, status, True

    def assign(self, segments: Iterable[str], *, now: datetime, by: str) -> SegmentsChangedV1 | None:
        """Bring the segments to these. Returns what is to be published; nothing when they are these already."""
        wanted = tuple(sorted(set(segments)))
        if wanted == self.segments:
            return None
        self.segments, self.segments_version = wanted, self.segments_version + 1
        self.changed_at, self.changed_by, self.changed = now, by, True
        return self.told()

    def told(self) -> SegmentsChangedV1:
        """What was told last."""
        assert self.changed_at is not None
        return SegmentsChangedV1(
            program_id=self.program_id,
            member_id=self.member_id,
            version=self.segments_version,
            segments=self.segments,
            recorded_at=self.changed_at,
        )

    def adopt(self, event: SegmentsChangedV1, *, by: str) -> None:
        """Take over what was told, if it is newer."""
        if event.version > self.segments_version and self.status != "erased":
            self.segments, self.segments_version = event.segments, event.version
            self.changed_at, self.changed_by, self.changed = event.recorded_at, by, True
