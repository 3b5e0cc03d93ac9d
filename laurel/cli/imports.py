"""`laurel import`: members of an earlier program with their lots, counts and tier points, from a file."""

from collections.abc import Generator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import httpx
import typer
from rich.progress import Progress
from rich.table import Table

from contracts.topics import INGEST, POINTS
from laurel import installation
from laurel.importing import Importer, Newcomer, Report, gather, read, write_rejected
from laurel.installation import Failure
from laurel.services import SERVICES, Entry

from . import say


def add_to(app: typer.Typer) -> None:
    """Put the command into the command line."""
    app.command("import")(bring)


def bring(
    file: Annotated[Path, typer.Argument(help="CSV with a header, or one JSON object a line; see docs/import.md.")],
    program: Annotated[str, typer.Option(help="The program's id, such as aurora.")],
    source: Annotated[str, typer.Option(help="The shop that the customers belong to.")],
    name: Annotated[str, typer.Option(help="Of this import; under one name a member is brought in once.")],
    as_of: Annotated[datetime, typer.Option(help="When the file was made, in UTC: always the same for one name.")],
) -> None:
    """Bring members, lots, counts and tier points in, then compare with the ledger; again, it changes nothing."""
    moment = as_of.astimezone() if as_of.tzinfo else as_of.replace(tzinfo=UTC)
    people, bad = gather(read(file), datetime.now(UTC))

    async def work() -> Report:
        async with _client(SERVICES[INGEST], program) as edge, _client(SERVICES[POINTS], program) as points:
            importer = Importer(edge, points, source, name, moment)
            with Progress(console=say.err) as bar:
                task = bar.add_task("Bringing members in", total=len(people))
                return await importer.bring_all(people, lambda done: bar.update(task, completed=done))

    report = say.run(work())
    report.bad = [*bad, *report.bad]
    _tell(report, people)
    if report.bad:
        for fault in report.bad[:20]:
            say.err.print(f"{file}, {fault}", markup=False)
        rejected = write_rejected(file, report.bad)
        raise Failure(f"{len({f.line.number for f in report.bad})} rows were not brought in; they are in {rejected}.")
    if report.in_file != report.in_ledger:
        raise Failure("The ledger differs from the file on the days named above; spent or owed points do that, too.")


class _Fresh(httpx.Auth):
    """A token for each request: an import may take longer than one lives."""

    def __init__(self, program: str) -> None:
        self._program = program

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["Authorization"] = f"Bearer {installation.token(self._program)}"
        yield request


def _client(entry: Entry, program: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=installation.url(entry), auth=_Fresh(program), timeout=30.0, trust_env=False)


def _tell(report: Report, people: list[Newcomer]) -> None:
    """The parity report: points by the day on which they run out."""
    say.out.print(
        f"{report.brought} of {len(people)} members are in, with {report.in_file.total()} points of the file."
    )
    table = Table(box=None, pad_edge=False, header_style="dim")
    for title in ("runs out", "file", "ledger", "difference"):
        table.add_column(title, justify="left" if title == "runs out" else "right")
    for day in sorted({*report.in_file, *report.in_ledger}):
        mine, theirs = report.in_file[day], report.in_ledger[day]
        table.add_row(day, str(mine), str(theirs), str(theirs - mine) if theirs != mine else "")
    say.out.print(table)
