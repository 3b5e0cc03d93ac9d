"""What the ledger remembers of whoever earns: the member, their orders, and their part in referrals."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from contracts.orders import OrderChangedV1
from contracts.points import BaseStep, OrderRef
from contracts.tiers import StandingInterval

from .account import OrderKey, ReferralKey


@dataclass(slots=True)
class Member:
    """What other services say of a member, each at its newest version."""

    member_id: UUID
    status: Literal["unknown", "shopper", "member", "erased"] = "unknown"
    enrolled_at: datetime | None = None
    version: int = 0
    intervals: tuple[StandingInterval, ...] = ()
    standing_version: int = 0
    changed: bool = False


@dataclass(slots=True, kw_only=True)
class Claim:
    """What an origin was granted so far, by which version of the program, and why so much."""

    member_id: UUID
    program_version: int | None = None
    """None: not judged yet."""
    program_hash: str | None = None
    reason: str | None = None
    """Why it earns nothing."""
    explanation: dict[str, Any] = field(default_factory=dict)
    granted: dict[str, int] = field(default_factory=dict)
    """Points by rule, after clawbacks."""
    lot_id: UUID | None = None
    changed: bool = False


@dataclass(slots=True, kw_only=True)
class Order(Claim):
    """An order as last received, and its judgement."""

    origin: OrderKey
    document: str
    """The newest revision, as JSON."""
    revision: int
    placed_at: datetime
    first_recorded_at: datetime
    """The earliest of all revisions seen, also of those that came too late to count: its age must not depend on
    which came first."""
    base: tuple[BaseStep, ...] = ()
    parsed: OrderChangedV1 | None = None

    @property
    def facts(self) -> OrderChangedV1:
        """The document, read when it is first needed."""
        if self.parsed is None:
            self.parsed = OrderChangedV1.model_validate_json(self.document)
        return self.parsed

    def ref(self) -> OrderRef:
        """How events name it."""
        source, order_id = self.origin
        return OrderRef(source=source, order_id=order_id, revision=self.revision, placed_at=self.placed_at)


@dataclass(slots=True, kw_only=True)
class Referral(Claim):
    """One party's part in a referral, at its newest version."""

    origin: ReferralKey
    version: int
    confirmed: bool
    placed_at: datetime
