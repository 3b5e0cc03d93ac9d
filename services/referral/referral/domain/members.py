"""A member as advocate and as friend: the code, the orders with their fingerprints, and the referrals as friend."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, NamedTuple
from uuid import UUID

from .orders import Order, OrderKey

State = Literal["confirmed", "rejected", "unqualified"]
Kind = Literal["confirmed", "rejected", "reversed"]
News = tuple[Kind, str | None]
"""What a change is announced as, and its reason."""


class ReferralKey(NamedTuple):
    """A referral of a friend: whose code on which order. At most one of a friend's is confirmed at a time."""

    order: OrderKey
    advocate_id: UUID


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an order with somebody's code is worth. It may change with every fact, in any direction."""

    state: State
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Referral:
    """A referral as it stands; `version` counts what was announced of it, and `told` is the last of that."""

    referral_id: UUID
    key: ReferralKey
    verdict: Verdict
    told: News | None
    version: int
    order_revision: int
    order_minor: int
    placed_at: datetime
    changed_at: datetime


@dataclass(slots=True)
class Member:
    """Someone known by an order or a profile; `version` is 0 until a profile arrived."""

    member_id: UUID
    program_id: str
    version: int = 0
    status: str | None = None
    email: str | None = None
    """Fingerprint."""
    code: str | None = None
    code_assigned_at: datetime | None = None
    program_version: int = 0
    """The version of the program that they were last looked at under; 0: none yet."""
    adopted_at: datetime | None = None
    """When a referral of theirs was taken over after a restore, until all has been read again."""
    orders: dict[OrderKey, Order] = field(default_factory=dict)
    referrals: dict[ReferralKey, Referral] = field(default_factory=dict)
    changed: bool = False
    """Whether this batch changed the row, and below which of the orders and referrals."""
    changed_orders: dict[OrderKey, Order] = field(default_factory=dict)
    changed_referrals: dict[ReferralKey, Referral] = field(default_factory=dict)

    def learn(self, order: Order) -> bool:
        """Keep an order unless this revision or a later one is known. Returns whether it was news."""
        known = self.orders.get(order.key)
        if known is not None and known.revision >= order.revision:
            return False
        self.orders[order.key] = self.changed_orders[order.key] = order
        return True

    def keep(self, referral: Referral) -> None:
        """Keep a referral's new state."""
        self.referrals[referral.key] = self.changed_referrals[referral.key] = referral
