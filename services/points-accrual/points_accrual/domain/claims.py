"""What the ledger remembers of whoever earns: the member, their orders, and their part in referrals."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from contracts.members import MemberChangedV1
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
    revision: int
    placed_at: datetime
    first_recorded_at: datetime
    """The earliest of all revisions seen, also of those that came too late to count: its age must not depend on
    which came first."""
    base: tuple[BaseStep, ...] = ()
    document_sequence: int = 0
    """Of the decision that took the newest revision: its input is the document."""
    document: str = ""
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


def concerns_orders(member: Member, event: MemberChangedV1) -> bool:
    """Whether a newer state of a member changes what their orders earn. An erasure takes nothing back."""
    same = (event.status, event.enrolled_at) == (member.status, member.enrolled_at)
    return event.version > member.version and not same and event.status != "erased"


def inputs(member: Member, claim: Order | Referral) -> dict[str, Any]:
    """What a judgement is made from, beside the event that calls for it: pinned with the decision."""
    facts: dict[str, Any] = {
        "program_version": claim.program_version,
        "program_hash": claim.program_hash,
        "member_version": member.version,
        "standing_version": member.standing_version,
    }
    if isinstance(claim, Order):
        return facts | {"revision": claim.revision, "first_recorded_at": claim.first_recorded_at.isoformat()}
    return facts | {"referral_version": claim.version}
