"""What outstanding points may cost, for those who keep the books."""

from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import ConfigDict, Field
from pydantic.config import JsonDict

from contracts.base import Instant
from contracts.program import Program, ProgramBook
from shared.access import Principal, require
from shared.http import Problem
from shared.service import Context

from ..domain.calendar import day_start, months_later
from ..domain.liability import allocate, half_up, liability_minor, month_of, recognised, redemption_rate
from ..store import accounting
from .views import Body, View, problems

Admin = Annotated[Principal, require("admin")]
Share = Annotated[
    Decimal | None,
    Query(ge=0, le=1, decimal_places=6, description="Of points that will be redeemed; else estimated."),
]
Cost = Annotated[
    Decimal | None,
    Query(ge=0, le=10**9, decimal_places=6, description="Minor units that a point costs; else as rewards cost it."),
]
MONTHS_MIN = 12
"""So old must the oldest points be before the past tells what will be redeemed."""
BANDS = ((0, 3), (3, 6), (6, 12), (12, 24), (24, None))
"""Ages in months."""


class AgeBand(View):
    """Points in lots by their age."""

    state: str
    months_from: int
    months_to: int | None
    points: int


EXPECTED: JsonDict = {
    "rate": "0.840000", "rate_from": "cohorts", "breakage": "0.160000", "cost_minor": "1.000000",
    "cost_from": "rewards",
}  # fmt: skip


class Expectation(View):
    """The share of points that will be redeemed, and what a point costs; with where that comes from."""

    rate: str
    rate_from: str
    """`given`, `cohorts` (what happened to points of whole months that were over by then), or `prudence` (all of them:
    nothing was redeemed yet)."""
    breakage: str
    cost_minor: str
    cost_from: str
    """`given`, `rewards` (what the rewards of the 12 months before were worth), or `program` (what it says)."""


class LiabilityView(View):
    """Points outstanding at a moment, and what they may cost."""

    model_config = ConfigDict(
        use_attribute_docstrings=True,
        json_schema_extra={
            "example": {
                "as_of": "2026-11-01T00:00:00Z", "currency": "EUR",
                "points": {"pending": 12000, "active": 85000, "held": 500, "deficit": 1500}, "outstanding": 96000,
                "ages": None, "expectation": EXPECTED, "liability_minor": 80640,
            }
        },
    )  # fmt: skip

    as_of: Instant
    currency: str
    points: dict[str, int]
    """By state; `deficit` is what members owe."""
    outstanding: int
    """Pending, active and held, less owed."""
    ages: list[AgeBand] | None
    """Now only."""
    expectation: Expectation
    liability_minor: int


class MonthView(View):
    """A month's movements: `opening` and all `moves` make `closing`, exactly. It is the next month's opening, in points
    and in money, whenever it is asked for."""

    model_config = ConfigDict(
        use_attribute_docstrings=True,
        json_schema_extra={
            "example": {
                "month": "2026-10", "currency": "EUR", "opening": 90000,
                "moves": {
                    "source": 21000, "redeemed": -9000, "expired": -2500, "clawed_back": -3500, "waived": 0,
                    "transferred": 0, "adjusted": 0, "imported": 0,
                },
                "closing": 96000, "opening_expectation": EXPECTED, "expectation": EXPECTED, "opening_minor": 75600,
                "closing_minor": 80640,
            }
        },
    )  # fmt: skip

    month: str
    currency: str
    opening: int
    moves: dict[str, int]
    """`source`: granted. `transferred`: between members, zero for all together."""
    closing: int
    """Of the month that runs: so far."""
    opening_expectation: Expectation
    expectation: Expectation
    """By the end of the month."""
    opening_minor: int
    closing_minor: int


class AllocationRequest(Body):
    """A sale, the points that came with it, and how many of them are expected to be redeemed."""

    model_config = ConfigDict(
        extra="forbid",
        use_attribute_docstrings=True,
        json_schema_extra={
            "example": {"sale_minor": 100000, "points": 10000, "expected": 9500, "redeemed": 8500, "expected_now": 9700}
        },
    )

    sale_minor: Annotated[int, Field(ge=0, le=2**53)]
    points: Annotated[int, Field(gt=0, le=2**53)]
    expected: Annotated[int, Field(ge=0, le=2**53)]
    redeemed: Annotated[int, Field(ge=0, le=2**53)] = 0
    """So far."""
    expected_now: Annotated[int, Field(ge=0, le=2**53)] | None = None
    """Where the expectation changed since the sale. The sale's split stays; the revenue of its points follows."""


class AllocationView(View):
    """The sale split by IFRS 15, and the revenue of the points redeemed so far."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"goods_minor": 91324, "points_minor": 8676, "recognised_minor": 7603, "deferred_minor": 1073}
        }
    )

    goods_minor: int
    points_minor: int
    recognised_minor: int
    deferred_minor: int


def add_routes(router: APIRouter, context: Context, programs: ProgramBook) -> None:
    """Liability now, by month, and the allocation of a sale."""
    _add_now(router, context, programs)
    _add_months(router, context, programs)
    _add_allocation(router, context, programs)


def _add_now(router: APIRouter, context: Context, programs: ProgramBook) -> None:
    @router.get("/liability", tags=["liability"], responses=problems(status_409="No program."),
                summary="Points outstanding now or at any moment of the past, and what they may cost")  # fmt: skip
    async def get_liability(
        principal: Admin, at: Instant | None = None, rate: Share = None, cost_minor: Cost = None
    ) -> LiabilityView:
        now = context.clock.now()
        moment, program = at or now, _program(programs, principal, context)
        if moment > now:
            raise Problem(422, "Invalid request", f"at lies in the future: it is {now.isoformat()}")
        sums = await context.read(lambda connection: accounting.moved(connection, program.id, None, at))
        held = accounting.balances(sums)
        bands = None
        if at is None:
            bands = _bands(await context.read(lambda connection: accounting.ages(connection, program.id, now)))
        expected, share, cost = await _expect(context, programs, program, moment, rate, cost_minor)
        return LiabilityView(
            as_of=moment, currency=program.currency, points=held, outstanding=_outstanding(held), ages=bands,
            expectation=expected, liability_minor=liability_minor(_outstanding(held), share, cost),
        )  # fmt: skip


def _add_months(router: APIRouter, context: Context, programs: ProgramBook) -> None:
    @router.get("/liability/months/{month}", tags=["liability"], responses=problems(status_409="No program."),
                summary="A month of the program's zone: opening, movements, closing")  # fmt: skip
    async def get_month(
        principal: Admin, month: Annotated[str, Path(pattern=r"^20\d\d-(0[1-9]|1[0-2])$")],
        rate: Share = None, cost_minor: Cost = None,
    ) -> MonthView:  # fmt: skip
        now, program = context.clock.now(), _program(programs, principal, context)
        first = date(int(month[:4]), int(month[5:]), 1)
        start, end = (day_start(day, program.time_zone) for day in (first, months_later(first, 1)))
        if start > now:
            raise Problem(422, "Invalid request", f"{month} has not begun")
        before = await context.read(lambda connection: accounting.moved(connection, program.id, None, start))
        within = await context.read(lambda connection: accounting.moved(connection, program.id, start, end))
        found = month_of(_outstanding(accounting.balances(before)), within)
        at_start = await _expect(context, programs, program, start, rate, cost_minor)
        at_end = await _expect(context, programs, program, min(end, now), rate, cost_minor)
        return MonthView(
            month=month, currency=program.currency, opening=found.opening, moves=found.moves, closing=found.closing,
            opening_expectation=at_start[0], expectation=at_end[0],
            opening_minor=liability_minor(found.opening, *at_start[1:]),
            closing_minor=liability_minor(found.closing, *at_end[1:]),
        )  # fmt: skip


def _add_allocation(router: APIRouter, context: Context, programs: ProgramBook) -> None:
    @router.post(
        "/liability/allocation", tags=["liability"], responses=problems(status_409="No program."),
        summary="Split a sale between goods and points by IFRS 15, at the program's value of a point",
    )  # fmt: skip
    async def post_allocation(principal: Admin, body: AllocationRequest) -> AllocationView:
        program = _program(programs, principal, context)
        try:
            parts = allocate(body.sale_minor, body.points, body.expected, Fraction(program.point.value_minor))
            now_expected = body.expected if body.expected_now is None else body.expected_now
            known = recognised(parts.points_minor, body.redeemed, now_expected)
        except ValueError as error:
            raise Problem(422, "Invalid request", str(error)) from error
        return AllocationView(
            goods_minor=parts.goods_minor, points_minor=parts.points_minor, recognised_minor=known,
            deferred_minor=parts.points_minor - known,
        )  # fmt: skip


def _program(programs: ProgramBook, principal: Principal, context: Context) -> Program:
    program = programs.in_force(principal.program_id, context.clock.now())
    if program is None:
        raise Problem(409, "No program in force", "no version of the program is in force yet")
    return program


def _outstanding(held: dict[str, int]) -> int:
    return held["pending"] + held["active"] + held["held"] - held["deficit"]


async def _expect(
    context: Context, programs: ProgramBook, program: Program, moment: datetime, rate: Decimal | None,
    cost_minor: Decimal | None,
) -> tuple[Expectation, Fraction, Fraction]:  # fmt: skip
    """What was expected at a moment: as given, else as it was until then, else with prudence.

    It is learnt from whole months that were over by then: one that runs still would look as if members had stopped
    redeeming.
    """
    share, rate_from = (Fraction(rate), "given") if rate is not None else (None, "cohorts")
    if share is None:
        until = day_start(moment.astimezone(program.time_zone).date().replace(day=1), program.time_zone)
        found = await context.read(
            lambda connection: accounting.cohorts(connection, program.id, until, program.zone)
        )  # fmt: skip
        # Months that are all young say what was redeemed so far, not what will be: breakage would be made up.
        old_enough = any(len(cohort.redeemed) > MONTHS_MIN for cohort in found)
        share = redemption_rate(found) if old_enough else None
    if share is None:
        share, rate_from = Fraction(1), "prudence"
    cost, cost_from = (Fraction(cost_minor), "given") if cost_minor is not None else (None, "rewards")
    if cost is None:
        year = moment - timedelta(days=365)
        worth, points = await context.read(lambda connection: accounting.issued(connection, program.id, year, moment))
        cost = Fraction(worth, points) if points else None
    if cost is None:
        said = programs.in_force(program.id, moment) or program
        cost, cost_from = Fraction(said.point.value_minor), "program"
    view = Expectation(
        rate=_decimal(share), rate_from=rate_from, breakage=_decimal(1 - share), cost_minor=_decimal(cost),
        cost_from=cost_from,
    )  # fmt: skip
    return view, share, cost


def _decimal(value: Fraction) -> str:
    """To six places."""
    return f"{Decimal(half_up(value * 1_000_000)).scaleb(-6):f}"


def _bands(rows: list[dict[str, Any]]) -> list[AgeBand]:
    found = []
    for state in ("pending", "active"):
        for low, high in BANDS:
            points = sum(
                row["points"] for row in rows
                if row["state"] == state and row["months"] >= low and (high is None or row["months"] < high)
            )  # fmt: skip
            found.append(AgeBand(state=state, months_from=low, months_to=high, points=points))
    return found
