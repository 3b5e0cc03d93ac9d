"""`laurel liability`, `allocate`, `seed` and `draw`: for those who keep the books, and for those who check them."""

import json
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.table import Table

from contracts.money import minor_digits
from laurel.installation import Failure

from . import say
from .member import Api, program_of

draw_app = typer.Typer(help="Prize draws: held once, and open to be checked.", no_args_is_help=True)
Program = Annotated[str | None, typer.Option(help="The program, where it is not that of the demo.")]
AsJson = Annotated[bool, typer.Option("--json", help="As JSON.")]
POINTS = "points-accrual"


def add_to(root: typer.Typer) -> None:
    """Put the commands into the command line."""
    root.command("liability")(liability)
    root.command("allocate")(allocate)
    root.command("seed")(seed)
    for command in (hold, show, verify):
        draw_app.command(command.__name__)(command)
    root.add_typer(draw_app, name="draw")


def liability(
    month: Annotated[str | None, typer.Option(help="A month, such as 2026-10: its movements.")] = None,
    at: Annotated[str | None, typer.Option(help="A moment of the past, such as 2026-11-01T00:00:00Z.")] = None,
    rate: Annotated[float | None, typer.Option(help="Share of points that will be redeemed.", min=0, max=1)] = None,
    cost_minor: Annotated[float | None, typer.Option(help="Minor units that a point costs.", min=0)] = None,
    program: Program = None,
    as_json: AsJson = False,
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
    say.out.print(f"goods {parts.goods_minor:,}, points {parts.points_minor:,}", markup=False)
    if redeemed:
        say.out.print(
            f"revenue of points so far {known:,}, deferred still {parts.points_minor - known:,}", markup=False
        )


def seed(program: Program = None) -> None:
    """Draw a secret seed and print its commitment, which goes into the program document."""
    with Api(program_of(program), "admin") as api:
        say.out.print(api.post(POINTS, "/v1/seeds")["commitment"], markup=False)


def hold(draw: Annotated[str, typer.Argument(help="The draw's id.")], program: Program = None) -> None:
    """Hold a draw that has closed. It is held once: again shows how it ended."""
    with Api(program_of(program), "admin") as api:
        _print_draw(api.post(POINTS, f"/v1/draws/{draw}/hold"))


def show(draw: Annotated[str, typer.Argument(help="The draw's id.")], program: Program = None) -> None:
    """Show how a draw ended."""
    with Api(program_of(program), "admin") as api:
        found = api.get(POINTS, f"/v1/draws/{draw}")
    if found is None:
        raise Failure(f"Draw {draw} is unknown, or was not held yet.")
    _print_draw(found)


def verify(draw: Annotated[str, typer.Argument(help="The draw's id.")], program: Program = None) -> None:
    """Check here, by the entries alone, that the winners of a draw follow from what was committed to before."""
    from uuid import UUID

    from points_accrual.domain import drawing

    with Api(program_of(program), "admin") as api:
        found, tickets = api.get(POINTS, f"/v1/draws/{draw}"), api.get(POINTS, f"/v1/draws/{draw}/entries")
    if found is None or tickets is None:
        raise Failure(f"Draw {draw} is unknown, or was not held yet.")
    entries = [drawing.Entry(UUID(item["coupon_id"]), UUID(item["member_id"])) for item in tickets["entries"]]
    faults = drawing.faults(
        bytes.fromhex(found["seed"]), draw, entries, len(found["winners"]), committed=found["commitment"],
        told_digest=found["entries_digest"], told_winners=[UUID(item["coupon_id"]) for item in found["winners"]],
    )  # fmt: skip
    if faults:
        say.fail(f"Draw {draw} does not hold: {'; '.join(faults)}.")
    else:
        say.out.print(f"Draw {draw} holds: {len(entries)} entries, {len(found['winners'])} winners, all as committed.")


def _print_draw(found: dict[str, Any]) -> None:
    held = datetime.fromisoformat(found["held_at"]).astimezone(UTC)
    say.out.print(f"Held {held:%Y-%m-%d %H:%M} UTC, {found['entries']} entries.", markup=False)
    say.out.print(f"seed       {found['seed']}", markup=False, soft_wrap=True)
    say.out.print(f"commitment {found['commitment']}", markup=False, soft_wrap=True)
    for place, winner in enumerate(found["winners"], start=1):
        say.out.print(f"{place}. member {winner['member_id']} with ticket {winner['coupon_id']}", markup=False)
