"""`laurel rebuild`: whether the ledger is what its kept decisions make."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, TypeVar

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from contracts.program import ProgramBook
from contracts.topics import POINTS, PROGRAMS
from laurel import installation
from laurel.installation import Failure
from laurel.services import SERVICES
from shared.kafka import Reference, ReferenceReader
from shared.settings import Settings

from . import say

app = typer.Typer(help="Make state again from what was decided.", no_args_is_help=True)
T = TypeVar("T")
PROGRAMS_SECONDS_MAX = 30


def add_to(root: typer.Typer) -> None:
    """Put the command into the command line."""
    app.command("points")(points)
    root.add_typer(app, name="rebuild")


@app.callback()
def _group() -> None:
    """A group stays one although it has a single command."""


def points(
    check: Annotated[bool, typer.Option("--check", help="Compare with the live ledger; nothing is changed.")] = False,
) -> None:
    """Replay all kept decisions into empty tables and compare every row; end with 1 if anything differs."""
    from points_accrual.rebuild import check as rebuild

    if not check:
        raise Failure("A rebuild only compares so far: say `laurel rebuild points --check`.")
    dsn = installation.dsn(SERVICES[POINTS])

    with _progress() as told:
        outcome = say.run(_with_programs(lambda programs: rebuild(dsn, programs, told)))
    rate = outcome.decisions / outcome.seconds if outcome.seconds else 0.0
    say.out.print(
        f"{outcome.decisions} decisions of {outcome.members} members made again in {outcome.seconds:.1f} s "
        f"({rate:.0f}/s)."
    )
    for stuck in outcome.stuck:
        say.out.print(
            f"member {stuck.member_id}: decision {stuck.sequence} ({stuck.kind}) cannot be made again: {stuck.why}",
            style="red", markup=False,
        )  # fmt: skip
    for item in outcome.differences:
        say.out.print(f"{item.table}, {item.key}:", style="red", markup=False)
        say.out.print(f"    live    {item.live or 'is not there'}", markup=False)
        say.out.print(f"    rebuilt {item.rebuilt or 'is not there'}", markup=False)
    rows = ", ".join(f"{count} {table}" for table, count in outcome.rows.items())
    if not outcome.equal:
        say.fail(f"The live ledger is not what its decisions make, by the rows named above. Compared: {rows}.")
    say.out.print(f"Equal: {rows}. Every grant is what the rules give for its pinned inputs.", style="green")


async def _with_programs(work: Callable[[ProgramBook], Awaitable[T]]) -> T:
    programs = ProgramBook()
    settings = Settings(kafka=installation.kafka())
    reader = ReferenceReader(settings, "rebuild", Reference(PROGRAMS, programs.add), time.monotonic)
    stopping = asyncio.Event()
    reading = asyncio.create_task(reader.run(stopping))
    try:
        async with asyncio.timeout(PROGRAMS_SECONDS_MAX):
            await reader.ready.wait()
    except TimeoutError:
        raise Failure(f"The programs cannot be read from Kafka at {settings.kafka}; is it running?") from None
    finally:
        stopping.set()
        reading.cancel()
    return await work(programs)


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=say.err) as bar:
        task = bar.add_task("Making decisions again", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
