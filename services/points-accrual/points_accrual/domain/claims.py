"""What the ledger remembers of whoever earns: the member, and everything that points were ever given for."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from contracts.activities import ActivityRecordedV1
from contracts.base import Event
from contracts.members import MemberChangedV1
from contracts.orders import OrderChangedV1
from contracts.points import ActivityRef, BaseStep, OrderRef
from contracts.tiers import MembershipInterval, StandingInterval

from .lots import ClaimKey


@dataclass(slots=True)
class Member:
    """What other services say of a member, each at its newest version."""

    member_id: UUID
    status: Literal["unknown", "shopper", "member", "erased"] = "unknown"
    enrolled_at: datetime | None = None
    version: int = 0
    merged_into: UUID | None = None
    attributes: dict[str, str] = field(default_factory=dict)
    birthday: str | None = None
    """Month and day, the first that was told."""
    intervals: tuple[StandingInterval, ...] = ()
    memberships: tuple[MembershipInterval, ...] = ()
    standing_version: int = 0
    segments: frozenset[str] = frozenset()
    segments_version: int = 0
    dates_version: int = 0
    """The version of the program by which `next_date_at` was found; 0: not yet."""
    next_date_at: datetime | None = None
    """When a birthday or another day of the member brings points next."""
    changed: bool = False


Counts = dict[str, tuple[int, tuple[str, ...]]]
"""What counts for challenges: by challenge an amount, and which different things."""


@dataclass(slots=True, kw_only=True)
class Claim:
    """Something that points are given for: its facts, by which version of the program it is judged, what it has."""

    key: ClaimKey
    member_id: UUID
    """Whose it was first, for ever; after a merge the account is another's."""
    at: datetime
    """When it happened in the world: placed, done, reached."""
    version: int = 1
    """Of its facts: the revision of an order or activity."""
    first_recorded_at: datetime
    """The earliest of all revisions seen, also of those that came too late to count: its age must not depend on
    which came first."""
    program_version: int | None = None
    """None: not judged yet."""
    program_hash: str | None = None
    reason: str | None = None
    """Why it has nothing."""
    granted: dict[str, int] = field(default_factory=dict)
    """Points by rule, after clawbacks."""
    lots: dict[str, UUID] = field(default_factory=dict)
    """By the name of their terms."""
    pins: dict[str, Any] = field(default_factory=dict)
    """What was taken in when it was first judged and stays: room in caps, segments, attributes."""
    base: tuple[BaseStep, ...] = ()
    counts: Counts = field(default_factory=dict)
    detail: dict[str, Any] = field(default_factory=dict)
    """What it is, where no event says so: the challenge and the how-manieth time, the day."""
    document_of: UUID | None = None
    document_sequence: int = 0
    """The decision that took the newest facts: its input is the document."""
    document: str = ""
    parsed: Event | None = None
    changed: bool = False

    @property
    def facts(self) -> Any:
        """The document, read when it is first needed."""
        if self.parsed is None:
            self.parsed = _MODELS[self.key.kind].model_validate_json(self.document)
        return self.parsed

    @property
    def total(self) -> int:
        """What it has."""
        return sum(self.granted.values())

    def order_ref(self) -> OrderRef:
        """How events name an order."""
        source, _, order_id = self.key.id.partition(":")
        return OrderRef.model_construct(source=source, order_id=order_id, revision=self.version, placed_at=self.at)

    def activity_ref(self) -> ActivityRef:
        """How events name an activity."""
        source, _, activity_id = self.key.id.partition(":")
        return ActivityRef.model_construct(
            source=source, activity_id=activity_id, revision=self.version, kind=self.facts.kind, occurred_at=self.at
        )


_MODELS: Mapping[str, type[Event]] = {"order": OrderChangedV1, "activity": ActivityRecordedV1}


def order_key(source: str, order_id: str) -> ClaimKey:
    """An order within its program."""
    return ClaimKey("order", f"{source}:{order_id}")


def concerns_claims(member: Member, event: MemberChangedV1) -> bool:
    """Whether a newer state of a member changes what their claims earn. An erasure takes nothing back."""
    same = (event.status, event.enrolled_at) == (member.status, member.enrolled_at)
    return event.version > member.version and not same and event.status != "erased"
