"""Programs and facts for the tests of tier."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

from contracts.points import BaseStep
from contracts.program import (
    Earning,
    Level,
    Membership,
    Messages,
    Point,
    Program,
    ProgramBook,
    ProgramPublishedV1,
    SpendRule,
    Tiers,
)
from contracts.rewards import RewardIssuedV1, RewardReturnedV1
from tier.domain.standing import Fact

T0 = datetime(2025, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
MEMBER = UUID("00000000-0000-4000-8000-000000000001")
LADDER = {"basic": 0, "silver": 100, "gold": 300}


def program(
    levels: dict[str, int] | None = None, *, version: int = 1, months: int = 12, zone: str = "UTC",
    effective_from: datetime = datetime(2020, 1, 1, tzinfo=UTC),
) -> Program:  # fmt: skip
    ladder = tuple(Level(id=name, name={"en": name}, threshold=at) for name, at in (levels or LADDER).items())
    return Program(
        id="aurora",
        version=version,
        name={"en": "Aurora"},
        currency="EUR",
        zone=zone,
        effective_from=effective_from,
        point=Point(name={"en": "points"}, value_minor=Decimal(1)),
        earning=Earning(rules=(SpendRule(type="spend", id="spend", points_per_unit=Decimal(1)),)),
        tiers=Tiers(window_months=months, levels=ladder),
        memberships=(Membership(id="plus", name={"en": "Plus"}), Membership(id="club", name={"en": "Club"})),
        messages=Messages(sender_name="Aurora"),
    )


def published(document: Program) -> ProgramPublishedV1:
    return ProgramPublishedV1(
        program_id=document.id,
        version=document.version,
        hash=document.hash(),
        published_at=document.effective_from,
        document=document,
    )


def book(*documents: Program) -> ProgramBook:
    programs = ProgramBook()
    for document in documents:
        programs.add(published(document))
    return programs


def fact(
    order: str, at: datetime, points: int, *refunds: tuple[datetime, int], revision: int = 1, sequence: int = 1
) -> Fact:
    """An order that counts `points`, and from each refund on only so many."""
    moments = ((at, points), *refunds)
    steps = tuple(BaseStep(acts_from=moment, base_points=rest) for moment, rest in moments)
    return Fact("shop", order, at, revision, sequence, steps)


def issued(
    coupon: int, at: datetime, days: int = 30, membership: str = "plus", member_id: UUID = MEMBER
) -> RewardIssuedV1:
    """A coupon for a membership."""
    return RewardIssuedV1(
        program_id="aurora", member_id=member_id, coupon_id=UUID(int=coupon), reward_id=membership, kind="membership",
        program_version=1, currency="EUR", membership_id=membership, membership_days=days, points=500, issued_at=at,
    )  # fmt: skip


def returned(
    coupon: int, at: datetime, *, void: bool = True, points: int = 500, member_id: UUID = MEMBER
) -> RewardReturnedV1:
    """A coupon for a membership that came back."""
    return RewardReturnedV1(
        program_id="aurora", member_id=member_id, coupon_id=UUID(int=coupon), reward_id="plus", kind="membership",
        reason="reversed", points=points, void=void, returned_at=at,
    )  # fmt: skip
