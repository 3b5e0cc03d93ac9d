"""The state that one batch works on, and what it adds to it."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, NamedTuple
from uuid import UUID

from contracts.envelope import Envelope
from contracts.program import ProgramBook

from .account import Account, OrderKey, Origin, ReferralKey
from .announcing import Announcement
from .claims import Member, Order, Referral
from .standing import Span

SKEW_MAX = timedelta(minutes=5)


def believed(recorded_at: datetime, now: datetime) -> datetime:
    """A recorded time is pinned: further ahead of us than some minutes it is another machine's wrong clock."""
    return min(recorded_at, now + SKEW_MAX)


class Trace(NamedTuple):
    """What events of a change are caused by, as their envelopes say it."""

    correlation_id: str
    causation_id: str | None
    traceparent: str | None

    @classmethod
    def of(cls, envelope: Envelope) -> "Trace":
        """Caused by an event."""
        return cls(envelope.correlation_id, str(envelope.id), envelope.traceparent)

    @classmethod
    def fresh(cls, cause: str) -> "Trace":
        """Caused by the clock, or by a program."""
        return cls(f"points-accrual:{cause}", None, None)


@dataclass(frozen=True, slots=True)
class Trigger:
    """Why claims are judged again: a standing, an enrolment or a program."""

    kind: Literal["standing", "enrolment", "program"]
    version: int
    event_id: str
    occurred_at: datetime
    recorded_at: datetime
    trace: Trace

    def key(self, origin: Origin) -> str:
        """The decision's key: one effect per trigger and claim."""
        return f"{self.kind}:{self.version}:{origin}"


class Place(NamedTuple):
    """Where the judging of a member's orders has come to, in their order by time."""

    placed_at: datetime
    source: str
    order_id: str


class Unread(NamedTuple):
    """Orders after that place, placed until that time, were not loaded."""

    after: Place
    until: datetime | None


@dataclass(frozen=True, slots=True)
class Continuation:
    """Orders that are still to be judged again, because one transaction judges only so many."""

    trigger: Trigger
    after: Place
    until: datetime | None


@dataclass(slots=True)
class World:
    """Accounts locked in this transaction, with what the batch can need of them."""

    programs: ProgramBook
    now: datetime
    accounts: dict[UUID, Account] = field(default_factory=dict)
    members: dict[UUID, Member] = field(default_factory=dict)
    orders: dict[tuple[str, OrderKey], Order] = field(default_factory=dict)
    stale: set[tuple[str, OrderKey]] = field(default_factory=set)
    """Orders of which this batch tells nothing new; they were not loaded."""
    orders_of: dict[UUID, dict[OrderKey, Order]] = field(default_factory=dict)
    referrals: dict[UUID, dict[ReferralKey, Referral]] = field(default_factory=dict)
    """By member."""
    unread: dict[UUID, Unread] = field(default_factory=dict)
    """Members of whom not all orders to judge again were loaded."""
    continuations: dict[UUID, Continuation | None] = field(default_factory=dict)
    moved: set[UUID] = field(default_factory=set)
    """Members whose continuation changed."""
    outbox: list[tuple[Announcement, Trace]] = field(default_factory=list)

    def keep(self, program_id: str, order: Order) -> None:
        """Make an order findable, by its identity and by its member."""
        self.orders[program_id, order.origin] = order
        self.orders_of.setdefault(order.member_id, {})[order.origin] = order

    def placed_in(self, member_id: UUID, span: Span) -> list[Order]:
        """The member's orders placed in that time, in the order of their placing."""
        start, end = span
        orders = self.orders_of.get(member_id, {}).values()
        inside = [order for order in orders if start <= order.placed_at and (end is None or order.placed_at <= end)]
        return sorted(inside, key=lambda order: (order.placed_at, order.origin))
