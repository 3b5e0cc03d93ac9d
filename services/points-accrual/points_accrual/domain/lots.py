"""Lots: the points that one claim brought, from their grant to their end."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, NamedTuple
from uuid import UUID

from contracts.points import ClaimKind


class ClaimKey(NamedTuple):
    """What points are given for: an order (`source:order_id`), an activity, one party's part in a referral, …"""

    kind: ClaimKind
    id: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.id}"


@dataclass(slots=True)
class Taking:
    """Points taken back of what a lot's claim was granted, and from where: a clawback that can be undone."""

    kind: Literal["pending", "active", "expired", "deficit", "held", "waived"]
    """`held`: owed only until a hold ends, because the points that could pay it are reserved."""
    points: int
    lot_id: UUID | None = None
    """Of the lot that active points came from; it may be another's."""
    since: int = 0
    """Of what is owed: the decision that took it, since what comes in pays those of before first."""


@dataclass(slots=True)
class Lot:
    """What a claim brought on the same terms: pending, then active until it ends."""

    lot_id: UUID
    claim: ClaimKey
    program_version: int
    opened_at: datetime
    activates_at: datetime | None
    """None: when the order is fulfilled."""
    expires_at: datetime | None
    terms: str = ""
    """The name of its terms in the program; the default ones have none."""
    state: Literal["pending", "active", "ended"] = "pending"
    remaining: int = 0
    expired: int = 0
    """Points of it that ran out and were not taken back since."""
    lapses_at: datetime | None = None
    """Until when the order must be fulfilled."""
    warnings: tuple[datetime, ...] = ()
    """When the member is yet to be warned that it runs out."""
    takings: list[Taking] = field(default_factory=list)
    """What was taken back of the claim's grant, last at the end."""

    @property
    def awaiting(self) -> bool:
        """Whether it waits until its order is fulfilled."""
        return self.state == "pending" and self.activates_at is None

    @property
    def due_at(self) -> datetime | None:
        """When something happens to it by itself."""
        if self.state == "ended":
            return None
        if self.state == "pending":
            return self.activates_at or self.lapses_at
        return self.warnings[0] if self.warnings else self.expires_at

    def outlasts(self, moment: datetime) -> bool:
        """Whether it has not run out by then."""
        return self.expires_at is None or self.expires_at > moment

    def consumed_before(self) -> tuple[bool, datetime, datetime, UUID]:
        """Soonest-expiring first, those that never do last, then the oldest, then by id."""
        return self.expires_at is None, self.expires_at or self.opened_at, self.opened_at, self.lot_id
