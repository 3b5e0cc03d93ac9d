"""What members got of rewards: a coupon from the hold of its points to its end."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal
from uuid import UUID

from contracts.rewards import RewardKind

State = Literal["held", "released", "issued", "used", "expired", "returned"]


@dataclass(slots=True)
class Coupon:
    """A reward of one member. Its code is as good as money."""

    coupon_id: UUID
    program_id: str
    member_id: UUID
    reward_id: str
    kind: RewardKind
    program_version: int
    points: int
    """What it cost; 0 for a gift."""
    opened_at: datetime
    state: State = "issued"
    uses: list[tuple[UUID, int]] = field(default_factory=list)
    """The lots that paid for it, in the order in which they were used."""
    returned: int = 0
    """Points that came back so far."""
    by_hand: int = 0
    """Of them, those that somebody of the shop gave back: no order takes them again."""
    value_minor: int | None = None
    code: str | None = None
    held_until: datetime | None = None
    issued_at: datetime | None = None
    expires_at: datetime | None = None
    order: str | None = None
    """The order that used it, or that it pays for: `source:order_id`."""
    challenge: tuple[str, int] | None = None
    """The challenge that gave it, and the how-manieth time."""
    windows: dict[str, str] = field(default_factory=dict)
    """Of the limits that it counts for, by name."""

    @property
    def due_at(self) -> datetime | None:
        """When something happens to it by itself."""
        if self.state == "held":
            return self.held_until
        return self.expires_at if self.state == "issued" else None

    @property
    def live(self) -> bool:
        """It can still be used, or was."""
        return self.state in ("held", "issued", "used")
