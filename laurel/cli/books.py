"""`laurel liability` and `allocate`: for those who keep the books."""

import json
from typing import Annotated, Any

import typer
from rich.table import Table

from contracts.money import minor_digits
from contracts.topics import POINTS
from laurel.installation import Failure

from . import say
from .member import Api, Program, program_of


def add_to(root: typer.Typer) -> None:
    """Put the commands into the command line."""
    root.command("liability")(liability)
    root.command("allocate")(allocate)


def liability(
    month: Annotated[str | None, typer.Option(help="A month, such as 2026-10: its movements.")] = None,
    at: Annotated[str | None, typer.Option(help="A moment of the past, such as 2026-11-01T00:00:00Z.")] = None,
    rate: Annotated[float | None, typer.Option(help="Share of points that will be redeemed.", min=0, max=1)] = None,
    cost_minor: Annotated[float | None, typer.Option(help="Minor units that a point costs.", min=0)] = None,
    program: Program = None,
    as_json: say.AsJson = False,
) -> None:
    """What outstanding points may cost: now, at a moment, or the movements of a month."""
    query: dict[str, Any] = {"rate": rate, "cost_minor": cost_minor}
    query = {name: value for name, value in query.items() if value is not None}
    if month and at:
        raise Failure("Give --month or --at, not both.")
    with Api(program_of(program), "admin") as api:
        path = f"/v1/liability/months/{month}" if month else "/v1/liability"
        found = api.get(POINTS, path, **query, **({"at": at} if at else {}))
    if as_json:
        say.out.print_json(json.dumps(found))
        return
    say.out.print(_month(found) if month else _now(found))
    told = found["expectation"]
    say.out.print(
        f"Expected to be redeemed: {told['rate']} ({told['rate_from']}); breakage {told['breakage']};"
        f" a point costs {told['cost_minor']} minor units ({told['cost_from']}).",
        markup=False,
    )


def _money(minor: int, currency: str) -> str:
    digits = minor_digits(currency)
    return f"{minor / 10**digits:,.{digits}f} {currency}"


def _now(found: dict[str, Any]) -> Table:
    table = Table(title=f"Points outstanding, {found['as_of'][:16]}", title_justify="left")
    table.add_column("points")
    table.add_column("", justify="right")
    for name, points in found["points"].items():
        table.add_row("owed by members" if name == "deficit" else name, f"{-points if name == 'deficit' else points:,}")
    table.add_section()
    table.add_row("outstanding", f"{found['outstanding']:,}")
    table.add_row("liability", _money(found["liability_minor"], found["currency"]))
    if found["ages"]:
        table.add_section()
        for band in found["ages"]:
            to = f"to {band['months_to']}" if band["months_to"] else "and more"
            if band["points"]:
                table.add_row(f"{band['state']}, {band['months_from']} {to} months old", f"{band['points']:,}")
    return table


def _month(found: dict[str, Any]) -> Table:
    table = Table(title=f"Points in {found['month']}", title_justify="left")
    table.add_column("")
    table.add_column("points", justify="right")
    table.add_column("liability", justify="right")
    table.add_row("opening", f"{found['opening']:,}", _money(found["opening_minor"], found["currency"]))
    names = {"source": "granted"}
    for name, points in found["moves"].items():
        if points:
            table.add_row(names.get(name, name).replace("_", " "), f"{points:+,}", "")
    table.add_section()
    table.add_row("closing", f"{found['closing']:,}", _money(found["closing_minor"], found["currency"]))
    return table


def allocate(
    sale: Annotated[int, typer.Argument(help="The sale, in minor units.", min=0)],
    points: Annotated[int, typer.Argument(help="The points that came with it.", min=1)],
    expected: Annotated[int, typer.Option(help="Points expected to be redeemed in the end.", min=0)],
    redeemed: Annotated[int, typer.Option(help="Points redeemed so far.", min=0)] = 0,
    now_expected: Annotated[int | None, typer.Option(help="The expectation of today, where it changed.")] = None,
    value_minor: Annotated[float, typer.Option(help="What a point is worth, in minor units.")] = 1.0,
    as_json: say.AsJson = False,
) -> None:
    """Split a sale between goods and points by IFRS 15, and say the revenue of the points redeemed so far."""
    from decimal import Decimal
    from fractions import Fraction

    from points_accrual.domain import liability as rules

    try:
        parts = rules.allocate(sale, points, expected, Fraction(Decimal(str(value_minor))))
        known = rules.recognised(parts.points_minor, redeemed, expected if now_expected is None else now_expected)
    except ValueError as error:
        raise Failure(f"{error}.") from error
    if as_json:
        found = {"goods_minor": parts.goods_minor, "points_minor": parts.points_minor, "recognised_minor": known,
                 "deferred_minor": parts.points_minor - known}  # fmt: skip
        say.out.print_json(json.dumps(found))
        return
    say.out.print(f"goods {parts.goods_minor:,}, points {parts.points_minor:,}", markup=False)
    if redeemed:
        say.out.print(
            f"revenue of points so far {known:,}, deferred still {parts.points_minor - known:,}", markup=False
        )
