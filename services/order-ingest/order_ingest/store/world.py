"""The orders, people and activities that a batch touches, in memory: plain data that records what changed."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from contracts.activities import ActivityFacts, ActivityRecordedV1
from contracts.commerce import ActivityReport, MemberReport, OrderReport
from contracts.program import ProgramBook
from shared.transaction import Cause

from ..domain.facts import DisputeReport, RefundReport, RevocationReport
from ..domain.identity import Address, IdentityKey, Person
from ..domain.members import MemberState
from ..domain.merge import EMPTY, OrderState

Nameless = RefundReport | DisputeReport | RevocationReport
"""Told apart from the order or activity that says whose they are."""
Report = OrderReport | MemberReport | ActivityReport | Nameless
SourceKey = tuple[str, str, str]
"""Program, source, and the source's own id."""


def columns(keys: Iterable[SourceKey]) -> list[list[str]]:
    """Keys as the three arrays that statements take."""
    return [list(column) for column in zip(*keys, strict=True)] or [[], [], []]


@dataclass(frozen=True, slots=True)
class Fact:
    """Something a platform told, and when it reached Laurel."""

    program_id: str
    report: Report
    recorded_at: datetime
    cause: Cause

    @property
    def person(self) -> Person | None:
        """Who it names, if anybody."""
        if isinstance(self.report, Nameless):
            return None
        return Person.of(self.program_id, self.report.source, self.report.customer)

    @property
    def order_key(self) -> SourceKey | None:
        """The order it is about, if any."""
        if isinstance(self.report, OrderReport | RefundReport | DisputeReport):
            return self.program_id, self.report.source, self.report.order_id
        return None

    @property
    def activity_key(self) -> SourceKey | None:
        """The activity it tells or undoes, if any."""
        if isinstance(self.report, ActivityReport | RevocationReport):
            return self.program_id, self.report.source, self.report.activity_id
        return None


@dataclass(slots=True)
class MemberRow:
    """A member, before and now. `recorded_at`, `cause`: of the last fact that changed them."""

    member_id: UUID
    program_id: str
    version: int = 0
    contact_version: int = 0
    before: MemberState | None = None
    state: MemberState | None = None
    recorded_at: datetime | None = None
    cause: Cause | None = None

    def become(self, state: MemberState, recorded_at: datetime, cause: Cause) -> None:
        """Take on a state; what says nothing new changes nothing."""
        if state != self.state:
            self.state, self.recorded_at, self.cause = state, recorded_at, cause


@dataclass(slots=True)
class OrderRow:
    """An order, before and now. `recorded_at` is its revision's; `changed_by` the last fact that changed the state."""

    key: SourceKey
    member_id: UUID | None = None
    revision: int = 0
    recorded_at: datetime | None = None
    before: OrderState = EMPTY
    state: OrderState = EMPTY
    changed_by: Fact | None = None

    def become(self, state: OrderState, fact: Fact) -> None:
        """Take on a state; what says nothing new changes nothing."""
        if state != self.state:
            self.state, self.changed_by = state, fact


@dataclass(slots=True)
class ActivityRow:
    """An activity: the hash of what was said of it first, and once it was published what was told and whose it is.

    `revoked_at` may be known before that.
    """

    key: SourceKey
    content: bytes
    member_id: UUID | None = None
    published: bool = False
    revoked_at: datetime | None = None
    facts: ActivityFacts | None = None
    changed: bool = False
    events: list[tuple[ActivityRecordedV1, Cause]] = field(default_factory=list)

    def revoke(self, at: datetime | None) -> bool:
        """Undo it, for good. Returns whether that is news."""
        if at is None or self.revoked_at is not None:
            return False
        self.revoked_at, self.changed = at, True
        return True

    def publish(self, facts: ActivityFacts, fact: Fact) -> None:
        """Tell it, as it is now. There is no third time: what is published again is revoked, for good."""
        known = {
            "program_id": self.key[0], "member_id": self.member_id, "revision": 2 if self.published else 1,
            "revoked_at": self.revoked_at, "recorded_at": fact.recorded_at,
        }  # fmt: skip
        self.events.append((ActivityRecordedV1.model_validate({**dict(facts), **known}), fact.cause))
        self.facts, self.published, self.changed = facts, True, True


@dataclass(slots=True)
class World:
    """All that a batch touches, locked by its transaction."""

    programs: ProgramBook
    salt: bytes
    now: datetime
    owners: dict[IdentityKey, UUID] = field(default_factory=dict)
    claims: dict[IdentityKey, UUID] = field(default_factory=dict)
    """Identities that lead to a member since this batch."""
    orders: dict[SourceKey, OrderRow] = field(default_factory=dict)
    activities: dict[SourceKey, ActivityRow] = field(default_factory=dict)
    members: dict[UUID, MemberRow] = field(default_factory=dict)

    def sources_of(self, member_id: UUID) -> frozenset[str]:
        """Where a member has a customer id."""
        state = self.members[member_id].state
        return frozenset(ref.source for ref in state.customers) if state else frozenset()

    def address_of(self, member_id: UUID) -> Address | None:
        """The e-mail address they told, as identities have it."""
        state = self.members[member_id].state
        told = state.told.get("email") if state else None
        return (str(told.value).strip().lower(), told.at) if told else None

    def leads_since(self, key: IdentityKey) -> datetime | None:
        """Since when an address leads to the member that it leads to."""
        holder = self.owners.get(key)
        state = self.members[holder].state if holder else None
        return state.identity_emails.get(key.value) if state else None
