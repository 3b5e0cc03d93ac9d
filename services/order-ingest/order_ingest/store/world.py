"""The orders, people and activities that a batch touches, in memory: plain data that records what changed."""

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from contracts.activities import ActivityRecordedV1
from contracts.commerce import ActivityReport, MemberReport, OrderReport
from contracts.program import ProgramBook
from shared.transaction import Cause

from ..domain.facts import DisputeReport, RefundReport
from ..domain.identity import IdentityKey, Person
from ..domain.members import MemberState
from ..domain.merge import EMPTY, OrderState

Nameless = RefundReport | DisputeReport
"""Told apart from the order that says whose they are."""
Report = OrderReport | MemberReport | ActivityReport | Nameless
SourceKey = tuple[str, str, str]
"""Program, source, and the source's own id."""


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
        """The activity it tells, if any."""
        if isinstance(self.report, ActivityReport):
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
    """An activity: the hash of what was said of it first, and whose it is once it was published."""

    content: bytes
    member_id: UUID | None = None
    event: ActivityRecordedV1 | None = None
    cause: Cause | None = None


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
