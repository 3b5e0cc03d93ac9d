"""Versions of programs: the event that publishes one, and all of them in memory."""

from collections.abc import Iterator
from typing import ClassVar

from ..base import Event, Instant
from .document import Program


class ProgramPublishedV1(Event):
    """A version of a program was published. Kept for ever."""

    TYPE: ClassVar[str] = "loyalty.program.published.v1"

    version: int
    hash: str
    published_at: Instant
    document: Program

    def key(self) -> str:
        return f"{self.program_id}:{self.version}"


class ProgramBook:
    """All published versions, in memory; a version once known never changes."""

    def __init__(self) -> None:
        self._versions: dict[str, dict[int, ProgramPublishedV1]] = {}

    def add(self, event: ProgramPublishedV1) -> None:
        """Keep a version. Raises ValueError if its number has another hash, or its hash is not its document's."""
        if event.hash != event.document.hash():
            raise ValueError(f"program {event.key()}: the hash is not that of the document")
        known = self._versions.setdefault(event.program_id, {}).setdefault(event.version, event)
        if known.hash != event.hash:
            raise ValueError(f"program {event.key()} is known with another hash; publish a new version instead")

    def in_force(self, program_id: str, at: Instant) -> Program | None:
        """The version that judges what happened at `at`: of those effective by then, the greatest number."""
        versions = self._versions.get(program_id, {}).values()
        effective = [event.document for event in versions if event.document.effective_from <= at]
        return max(effective, key=lambda program: program.version, default=None)

    def began(self, program_id: str, version: int) -> Instant:
        """Since when that version can have judged anything. Raises KeyError if it is not known."""
        event = self._versions[program_id][version]
        return max(event.published_at, event.document.effective_from)

    def version(self, program_id: str, version: int) -> Program | None:
        """That version, or None."""
        event = self._versions.get(program_id, {}).get(version)
        return event.document if event else None

    def hash_of(self, program_id: str, version: int) -> str:
        """The hash that version was published with. Raises KeyError if it is not known."""
        return self._versions[program_id][version].hash

    def known(self, program_id: str) -> bool:
        """Any version of it was published, in force or not."""
        return program_id in self._versions

    def versions(self, program_id: str) -> list[ProgramPublishedV1]:
        """All versions of a program, as they were published."""
        return list(self._versions.get(program_id, {}).values())

    def latest(self, program_id: str) -> Program | None:
        """The greatest version, in force or not."""
        versions = self._versions.get(program_id)
        return versions[max(versions)].document if versions else None

    def __iter__(self) -> Iterator[ProgramPublishedV1]:
        return (event for versions in self._versions.values() for event in versions.values())
