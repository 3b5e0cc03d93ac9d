"""What outstanding points may cost, for those who keep the books."""

from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import Field

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
Share = Annotated[Decimal | None, Query(ge=0, le=1, description="Of points that will be redeemed; else estimated.")]
Cost = Annotated[Decimal | None, Query(ge=0, description="Minor units that a point costs; else as rewards cost it.")]
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


class Expectation(View):
    """The share of points that will be redeemed, and what a point costs; with where that comes from."""

    rate: str
    rate_from: str
    """`given`, `cohorts` (what happened to earlier months' points), or `prudence` (all: nothing is known yet)."""
    breakage: str
    cost_minor: str
    cost_from: str
    """`given`, `rewards` (what the rewards of the last 12 months were worth), or `program` (what it says)."""


class LiabilityView(View):
    """Points outstanding at a moment, and what they may cost."""

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
    """A month's movements: `opening` and all `moves` make `closing`, exactly."""

    month: str
    currency: str
    opening: int
    moves: dict[str, int]
    closing: int
    expectation: Expectation
    opening_minor: int
    closing_minor: int


class AllocationRequest(Body):
    """A sale, the points that came with it, and how many of them are expected to be redeemed."""

    sale_minor: Annotated[int, Field(ge=0, le=2**53)]
    points: Annotated[int, Field(gt=0, le=2**53)]
    expected: Annotated[int, Field(ge=0, le=2**53)]
    redeemed: Annotated[int, Field(ge=0, le=2**53)] = 0
    """So far."""


class AllocationView(View):
    """The sale split by IFRS 15, and the revenue of the points redeemed so far."""

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
        sums = await context.read(lambda connection: accounting.moved(connection, program.id, None, at))
        held = accounting.balances(sums)
        outstanding = held["pending"] + held["active"] + held["held"] - held["deficit"]
        bands = None
        if at is None:
            bands = _bands(await context.read(lambda connection: accounting.ages(connection, program.id, now)))
        expected, share, cost = await _expect(context, program, rate, cost_minor)
        return LiabilityView(
            as_of=moment, currency=program.currency, points=held, outstanding=outstanding, ages=bands,
            expectation=expected, liability_minor=liability_minor(outstanding, share, cost),
        )  # fmt: skip


def _add_months(router: APIRouter, context: Context, programs: ProgramBook) -> None:
    @router.get("/liability/months/{month}", tags=["liability"], responses=problems(status_409="No program."),
                summary="A month of the program's zone: opening, movements, closing")  # fmt: skip
    async def get_month(
        principal: Admin, month: Annotated[str, Path(pattern=r"^20\d\d-(0[1-9]|1[0-2])$")],
        rate: Share = None, cost_minor: Cost = None,
    ) -> MonthView:  # fmt: skip
        program = _program(programs, principal, context)
        first = date(int(month[:4]), int(month[5:]), 1)
        start, end = (day_start(day, program.time_zone) for day in (first, months_later(first, 1)))
        before = await context.read(lambda connection: accounting.moved(connection, program.id, None, start))
        within = await context.read(lambda connection: accounting.moved(connection, program.id, start, end))
        held = accounting.balances(before)
        found = month_of(held["pending"] + held["active"] + held["held"] - held["deficit"], within)
        expected, share, cost = await _expect(context, program, rate, cost_minor)
        return MonthView(
            month=month, currency=program.currency, opening=found.opening, moves=found.moves, closing=found.closing,
            expectation=expected, opening_minor=liability_minor(found.opening, share, cost),
            closing_minor=liability_minor(found.closing, share, cost),
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
            known = recognised(parts.points_minor, body.redeemed, body.expected)
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


async def _expect(
    context: Context, program: Program, rate: Decimal | None, cost_minor: Decimal | None
) -> tuple[Expectation, Fraction, Fraction]:
    """What is expected: as given, else as it was so far, else with prudence."""
    now = context.clock.now()
    share, rate_from = (Fraction(rate), "given") if rate is not None else (None, "cohorts")
    if share is None:
        found = await context.read(
            lambda connection: accounting.cohorts(connection, program.id, now, program.zone)
        )  # fmt: skip
        # Months that are all young say what was redeemed so far, not what will be: breakage would be made up.
        old_enough = any(len(cohort.redeemed) > MONTHS_MIN for cohort in found)
        share = redemption_rate(found) if old_enough else None
    if share is None:
        share, rate_from = Fraction(1), "prudence"
    cost, cost_from = (Fraction(cost_minor), "given") if cost_minor is not None else (None, "rewards")
    if cost is None:
        year = now - timedelta(days=365)
        worth, points = await context.read(lambda connection: accounting.issued(connection, program.id, year))
        cost = Fraction(worth, points) if points else None
    if cost is None:
        cost, cost_from = Fraction(program.point.value_minor), "program"
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
