"""Paid memberships are a function of the coupons that bought them: dated rights, one after the other."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from contracts.rewards import RewardIssuedV1, RewardReturnedV1
from contracts.tiers import MembershipInterval

from .window import LAST


@dataclass(frozen=True, slots=True)
class Return:
    """What became of a coupon; of what is told of it the latest counts, and of one moment that most came back."""

    at: datetime
    points: int
    void: bool


@dataclass(frozen=True, slots=True)
class Issue:
    """What a coupon gives."""

    membership_id: str
    days: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Coupon:
    """A coupon for a membership, as far as it is known: either of the two may arrive first."""

    coupon_id: UUID
    issue: Issue | None = None
    returned: Return | None = None

    def with_issue(self, event: RewardIssuedV1) -> "Coupon":
        """It was issued. Raises ValueError when the event does not say what for."""
        if event.membership_id is None or event.membership_days is None:
            raise ValueError(f"coupon {event.coupon_id} is for a membership, but names none")
        issue = Issue(event.membership_id, event.membership_days, event.issued_at)
        return Coupon(self.coupon_id, self.issue or issue, self.returned)

    def with_return(self, event: RewardReturnedV1) -> "Coupon":
        """It was given back, all or in part, or stands again."""
        told = Return(event.returned_at, event.points, event.void)
        newer = self.returned is None or (told.at, told.points, told.void) > (
            self.returned.at, self.returned.points, self.returned.void
        )  # fmt: skip
        return Coupon(self.coupon_id, self.issue, told if newer else self.returned)


def memberships_of(coupons: Iterable[Coupon]) -> tuple[MembershipInterval, ...]:
    """All memberships, past and to come, by their beginning.

    One begins when its coupon is issued, or at the end of the one of its kind that runs by then, so that no bought day
    is lost. A coupon that is taken back ends it at that moment: like a refund it acts from its own time on.
    """
    by_id: dict[str, list[tuple[datetime, UUID, Issue, Return | None]]] = defaultdict(list)
    for coupon in coupons:
        if coupon.issue is not None:
            by_id[coupon.issue.membership_id].append(
                (coupon.issue.at, coupon.coupon_id, coupon.issue, coupon.returned)
            )  # fmt: skip
    found: list[MembershipInterval] = []
    for membership_id, bought in by_id.items():
        free = min(at for at, *_ in bought)
        for at, _, issue, returned in sorted(bought, key=lambda item: item[:2]):
            starts_at = max(at, free)
            ends_at = min(starts_at + timedelta(days=issue.days), LAST)
            if returned is not None and returned.void:
                ends_at = min(ends_at, returned.at)
            if ends_at > starts_at:
                found.append(MembershipInterval(membership_id=membership_id, starts_at=starts_at, ends_at=ends_at))
                free = ends_at
    return tuple(sorted(found, key=lambda item: (item.starts_at, item.membership_id)))
