"""`laurel seed` and `laurel draw`: chance that is fixed before, and that everybody can check after."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer

from contracts.program import ProgramBook, ProgramPublishedV1
from contracts.topics import POINTS
from laurel.installation import Failure

from . import say
from .member import Api, Program, program_of

seed_app = typer.Typer(help="Secret seeds of chance, and the commitments to them.", invoke_without_command=True)
draw_app = typer.Typer(help="Prize draws: held once, and open to be checked.", no_args_is_help=True)
Commitment = Annotated[str, typer.Argument(help="64 digits, as `laurel seed` printed them.")]
Named = Annotated[str, typer.Argument(help="The draw's id.")]


def add_to(root: typer.Typer) -> None:
    """Put the commands into the command line."""
    seed_app.callback()(seed)
    seed_app.command("show")(show_seed)
    seed_app.command("reveal")(reveal)
    seed_app.command("verify")(verify_seed)
    draw_app.command("hold")(hold)
    draw_app.command("show")(show)
    draw_app.command("verify")(verify)
    root.add_typer(seed_app, name="seed")
    root.add_typer(draw_app, name="draw")


def seed(
    context: typer.Context,
    file: Annotated[Path | None, typer.Option(help="A seed of your own: a file of 16 to 64 bytes in hex.")] = None,
    program: Program = None,
) -> None:
    """Make a secret seed and print its commitment, which goes into the program document."""
    if context.invoked_subcommand is not None:
        return
    body = {"seed": file.read_text().strip().lower()} if file else None
    with Api(program_of(program), "admin") as api:
        say.out.print(api.post(POINTS, "/v1/seeds", body)["commitment"], markup=False)


def show_seed(commitment: Commitment, program: Program = None, as_json: say.AsJson = False) -> None:
    """Show when a seed was made, and the seed itself once it is public."""
    with Api(program_of(program), "admin") as api:
        _print_seed(_seed(api, commitment), as_json)


def reveal(commitment: Commitment, program: Program = None, as_json: say.AsJson = False) -> None:
    """Make the seed of surprises public, when no version of the program uses it any more."""
    with Api(program_of(program), "admin") as api:
        _print_seed(api.post(POINTS, f"/v1/seeds/{commitment}/reveal"), as_json)


def verify_seed(commitment: Commitment, program: Program = None) -> None:
    """Compute here again how often each member is surprised by a seed that is public, and compare."""
    from points_accrual.domain.drawing import surprise_fault
    from points_accrual.domain.rulebook import Rulebook, rulebook

    program_id, checked = program_of(program), 0
    faults: list[str] = []
    with Api(program_id, "admin") as api:
        book = published(api, program_id)

        @cache
        def seed_of(committed: str) -> bytes | None:
            return _seed_bytes(_seed(api, committed), committed)

        @cache
        def book_of(version: int) -> Rulebook:
            document = book.version(program_id, version)
            if document is None:
                raise Failure(f"The console knows no version {version} of {program_id}.")
            return rulebook(document)

        if seed_of(commitment) is None:
            raise Failure("The seed is secret still: `laurel seed reveal` shows it when its challenge is over.")
        challenges = {
            item.id for event in book for item in event.document.challenges if item.commitment == commitment
        }  # fmt: skip
        for challenge_id in sorted(challenges):
            for row in _pages(api, challenge_id):
                counted = [(datetime.fromisoformat(at), *rest, tuple(what)) for at, *rest, what in row["counted"]]
                given = [version for _, version in row["rewarded"]]
                member_id = UUID(row["member_id"])
                fault = surprise_fault(challenge_id, commitment, counted, given, member_id, book_of, seed_of)
                checked += 1
                faults += [fault] if fault else []
    if faults:
        say.fail(f"{len(faults)} of {checked} members differ: {'; '.join(faults[:10])}.")
    say.out.print(f"The seed holds: {checked} members of {len(challenges)} challenges were surprised as it says.")


def _pages(api: Api, challenge_id: str) -> Iterator[dict[str, Any]]:
    after: dict[str, str] = {}
    while rows := api.get(POINTS, f"/v1/seeds/surprises/{challenge_id}", **after)["items"]:
        yield from rows
        after = {"after": rows[-1]["member_id"]}


def _seed(api: Api, commitment: str) -> dict[str, Any]:
    found: dict[str, Any] | None = api.get(POINTS, f"/v1/seeds/{commitment}")
    if found is None:
        raise Failure(f"No seed has the commitment {commitment}.")
    return found


def _seed_bytes(found: dict[str, Any], committed: str) -> bytes | None:
    from points_accrual.domain import drawing

    if found["seed"] is None:
        return None
    shown = bytes.fromhex(found["seed"])
    if drawing.commitment(shown) != committed:
        raise Failure(f"The seed that is shown is not the one that {committed} commits to.")
    return shown


def published(api: Api, program_id: str) -> ProgramBook:
    """Every version of the program as the console published it; each hash is computed again."""
    book = ProgramBook()
    for item in api.get("console", "/v1/programs")["items"]:
        found = api.get("console", f"/v1/programs/{program_id}/versions/{item['version']}")
        book.add(ProgramPublishedV1.model_validate(found))
    return book


def hold(draw: Named, program: Program = None, as_json: say.AsJson = False) -> None:
    """Hold a draw that has closed. It is held once: again shows how it ended."""
    with Api(program_of(program), "admin") as api:
        _print_draw(api.post(POINTS, f"/v1/draws/{draw}/hold"), as_json)


def show(draw: Named, program: Program = None, as_json: say.AsJson = False) -> None:
    """Show how a draw ended."""
    with Api(program_of(program), "admin") as api:
        _print_draw(_held(api.get, draw), as_json)


def verify(draw: Named, program: Program = None) -> None:
    """Check here that the winners of a draw follow from its entries and from what the program published before."""
    from points_accrual.domain import drawing

    program_id = program_of(program)
    with Api(program_id, "admin") as api:
        found = _held(api.get, draw)
        tickets = api.get(POINTS, f"/v1/draws/{draw}/entries")["entries"]
        announced = drawing.announced(published(api, program_id), draw)
    if announced is None:
        raise Failure(f"The console published no draw {draw} before it closed.")
    version, said = announced
    faults = drawing.faults(
        bytes.fromhex(found["seed"]), draw, [_entry(item) for item in tickets], said.winners,
        committed=said.commitment, told_digest=found["entries_digest"],
        told_winners=[_entry(item) for item in found["winners"]],
    )  # fmt: skip
    if faults:
        say.fail(f"Draw {draw} does not hold: {'; '.join(faults)}.")
    say.out.print(
        f"Draw {draw} holds: {len(tickets)} entries, {len(found['winners'])} winners, "
        f"all as version {version.version} of the program committed to."
    )


def _entry(item: dict[str, str]) -> Any:
    from points_accrual.domain.drawing import Entry

    return Entry(UUID(item["coupon_id"]), UUID(item["member_id"]))


def _held(get: Callable[..., Any], draw: str) -> dict[str, Any]:
    found: dict[str, Any] | None = get(POINTS, f"/v1/draws/{draw}")
    if found is None:
        raise Failure(f"Draw {draw} is unknown, or was not held yet.")
    return found


def _print_seed(found: dict[str, Any], as_json: bool) -> None:
    if as_json:
        say.out.print_json(json.dumps(found))
        return
    say.out.print(f"made {_time(found['made_at'])}", markup=False)
    say.out.print(f"commitment {found['commitment']}", markup=False)
    shown = f"{found['seed']} (public since {_time(found['shown_at'])})" if found["seed"] else "secret still"
    say.out.print(f"seed       {shown}", markup=False)


def _print_draw(found: dict[str, Any], as_json: bool) -> None:
    if as_json:
        say.out.print_json(json.dumps(found))
        return
    say.out.print(
        f"Held {_time(found['held_at'])}, {found['entries']} entries, {found['prizes']} prizes, as version "
        f"{found['program_version']} says.", markup=False,
    )  # fmt: skip
    say.out.print(f"seed       {found['seed']}", markup=False)
    say.out.print(f"commitment {found['commitment']}", markup=False)
    for place, winner in enumerate(found["winners"], start=1):
        say.out.print(f"{place}. member {winner['member_id']} with ticket {winner['coupon_id']}", markup=False)


def _time(text: str) -> str:
    return f"{datetime.fromisoformat(text).astimezone(UTC):%Y-%m-%d %H:%M} UTC"
