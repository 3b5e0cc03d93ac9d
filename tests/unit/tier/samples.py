"""Programs and facts for the tests of tier."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from contracts.points import BaseStep
from contracts.program import (
    Earning,
    Level,
    Messages,
    Point,
    Program,
    ProgramBook,
    ProgramPublishedV1,
    SpendRule,
    Tiers,
)
from tier.domain.standing import Fact

T0 = datetime(2025, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
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
