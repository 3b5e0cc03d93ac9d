"""`laurel dlq`: events that a service could not read or apply."""

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

import asyncpg
import typer
from rich.table import Table
from rich.text import Text

from laurel import installation
from laurel.installation import Failure
from laurel.masking import masked, masked_text
from shared import dead_letters
from shared.dead_letters import Selection
from shared.sending import unpack_headers

from . import say

app = typer.Typer(help="Dead letters: events that a service could not read or apply.", no_args_is_help=True)
WAIT_SECONDS = 30.0
"""How long a replay may stand still until it is no longer waited for."""
_PORTION = 1000
"""Marked in one transaction."""
_SHOWN = 200
_OPEN = ("open", "replaying")
_ALL = (*_OPEN, "replayed", "discarded")

Service = Annotated[str, typer.Argument(help="Such as points-accrual.")]
Ids = Annotated[list[int] | None, typer.Argument(help="Their numbers; all that match when none is given.")]
Topic = Annotated[str | None, typer.Option(help="Only from this topic.")]
ErrorClass = Annotated[str | None, typer.Option("--error", help="Only of this error class, such as ValidationError.")]
Since = Annotated[datetime | None, typer.Option(help="Only set aside at or after this moment, in UTC.")]
Until = Annotated[datetime | None, typer.Option(help="Only set aside before this moment, in UTC.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def add_to(root: typer.Typer) -> None:
    """Put the commands into the command line."""
    app.command("list")(list_letters)
    app.command("show")(show)
    app.command("replay")(replay)
    app.command("discard")(discard)
    root.add_typer(app, name="dlq")


def list_letters(
    service: Service,
    topic: Topic = None,
    error: ErrorClass = None,
    since: Since = None,
    until: Until = None,
    all_states: Annotated[bool, typer.Option("--all", help="Also those that are done.")] = False,
) -> None:
    """List dead letters, oldest first."""
    states = _ALL if all_states else _OPEN
    rows = _find(service, _selection(states, None, topic, error, since, until), limit=_SHOWN + 1)
    if not rows:
        say.out.print(f"{service} has no {'' if all_states else 'open '}dead letters of that kind.")
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for title in ("number", "set aside", "from", "type", "error", "tries", "state"):
        table.add_column(title, overflow="fold")
    for row in rows[:_SHOWN]:
        origin = f"{row['topic']}/{row['partition']}/{row['offset']}"
        error_text = f"{row['error_class']}: {masked_text(row['error'])[:80]}"
        table.add_row(
            str(row["id"]), f"{row['created_at']:%Y-%m-%d %H:%M:%S}", origin, row["event_type"] or "",
            Text(error_text), str(row["attempts"]), row["state"],
        )  # fmt: skip
    say.out.print(table)
    if len(rows) > _SHOWN:
        say.out.print("… and more; narrow it down with --topic, --error, --since or --until.")
    say.out.print(f"\nlaurel dlq show {service} NUMBER tells more; replay and discard settle them.")


def show(service: Service, number: Annotated[int, typer.Argument(help="Its number.")]) -> None:
    """Show one dead letter: why it failed, its headers, and its value with personal data and codes masked."""
    rows = _find(service, Selection(_ALL, (number,)), limit=1)
    if not rows:
        raise Failure(f"{service} has no dead letter {number}; `laurel dlq list {service} --all` lists them.")
    row = rows[0]
    say.out.print(
        f"[bold]{row['topic']}/{row['partition']}/{row['offset']}[/], {row['state']}, tried {row['attempts']} ×"
    )
    say.out.print(Text(f"{row['error_class']}: {masked_text(row['error'])}", style="red"))
    key = (row["key"] or b"").decode("utf-8", "backslashreplace")
    say.out.print(f"key      {key}", markup=False)
    for name, raw in unpack_headers(row["headers"]):
        text = "null" if raw is None else raw.decode("utf-8", "backslashreplace")
        say.out.print(f"header   {name}: {text}", markup=False)
    say.out.print(masked(row["value"]), markup=False)


def replay(
    service: Service,
    ids: Ids = None,
    topic: Topic = None,
    error: ErrorClass = None,
    since: Since = None,
    until: Until = None,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Have the running service apply dead letters again, once each, and say what became of them."""
    selection = _selection(("open",), ids, topic, error, since, until)
    numbers = _settle(service, selection, "replay", dry_run=dry_run, yes=yes)
    marked = _mark(service, numbers, "replaying") if numbers else []
    if not marked:
        return
    became = say.run(_wait(service, marked))
    for row in became.shown:
        why = f"{row['error_class']}: {masked_text(row['error'])[:200]}"
        say.out.print(f"{row['id']}: failed again, {why}", markup=False, style="red")
    if became.failed > len(became.shown):
        say.out.print(f"… and {became.failed - len(became.shown)} more failed again.", style="red")
    say.out.print(f"{became.applied} of {len(marked)} applied.")
    if became.waiting:
        say.fail(
            f"{became.waiting} are still waiting, and none was done for {WAIT_SECONDS:.0f} s: is {service} running? "
            "It goes on with them; its log says what one waits for, and `laurel dlq discard` gives it up."
        )
    if became.failed:
        raise typer.Exit(1)


def discard(
    service: Service,
    reason: Annotated[str, typer.Option(help="Why, for the audit log.")],
    ids: Ids = None,
    topic: Topic = None,
    error: ErrorClass = None,
    since: Since = None,
    until: Until = None,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Give dead letters up for good. They stay in the database, and the audit log says who and why."""
    # Also such as are replayed in vain: some errors look as if they would pass, and do not.
    selection = _selection(_OPEN, ids, topic, error, since, until)
    numbers = _settle(service, selection, "discard", dry_run=dry_run, yes=yes)
    if numbers:
        say.out.print(f"{len(_mark(service, numbers, 'discarded', reason))} discarded.")


def _selection(
    states: tuple[str, ...],
    ids: list[int] | None,
    topic: str | None,
    error: str | None,
    since: datetime | None,
    until: datetime | None,
) -> Selection:
    return Selection(states, tuple(ids) if ids else None, topic, error, utc(since), utc(until))


def _find(service: str, selection: Selection, *, limit: int) -> list[asyncpg.Record]:
    async def work(connection: asyncpg.Connection) -> list[asyncpg.Record]:
        return await dead_letters.find(connection, selection, limit=limit)

    return say.run(say.with_database(installation.entry_of(service), work))


def utc(moment: datetime | None) -> datetime | None:
    """A moment given without an offset is meant in UTC."""
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment


def _settle(service: str, selection: Selection, verb: str, *, dry_run: bool, yes: bool) -> list[int]:
    """The numbers to settle, after asking; none when nothing is open, on a dry run, or when the answer is no."""

    async def work(connection: asyncpg.Connection) -> list[int]:
        return await dead_letters.numbers(connection, selection)

    numbers = say.run(say.with_database(installation.entry_of(service), work))
    if not numbers:
        say.out.print(f"Nothing of that kind is open in {service}.")
        return []
    listed = ", ".join(map(str, numbers[:20])) + (", …" if len(numbers) > 20 else "")
    if dry_run:
        say.out.print(f"Would {verb} {len(numbers)}: {listed}")
        return []
    if not yes and not typer.confirm(f"{verb.capitalize()} {len(numbers)} dead letters of {service} ({listed})?"):
        return []
    return numbers


def _mark(service: str, numbers: list[int], state: str, reason: str = "") -> list[int]:
    async def work(connection: asyncpg.Connection) -> list[int]:
        done = []
        for start in range(0, len(numbers), _PORTION):
            portion = numbers[start : start + _PORTION]
            done += await dead_letters.mark(connection, portion, state=state, actor=say.actor(), reason=reason)
        return done

    return say.run(say.with_database(installation.entry_of(service), work))


@dataclass(frozen=True)
class Became:
    """What became of letters that were to be replayed."""

    applied: int
    failed: int
    waiting: int
    shown: list[asyncpg.Record]
    """The first that failed."""


async def _wait(service: str, numbers: list[int]) -> Became:
    """Until all are done, or none was for too long."""

    async def work(connection: asyncpg.Connection) -> Became:
        async def now(state: str) -> int:
            return len(await dead_letters.numbers(connection, Selection((state,), tuple(numbers))))

        waiting, deadline = len(numbers), time.monotonic() + WAIT_SECONDS
        while waiting and time.monotonic() < deadline:
            await asyncio.sleep(0.3)
            if (left := await now("replaying")) < waiting:
                waiting, deadline = left, time.monotonic() + WAIT_SECONDS
        failed = await dead_letters.find(connection, Selection(("open",), tuple(numbers)), limit=_SHOWN)
        return Became(await now("replayed"), await now("open"), waiting, failed)

    return await say.with_database(installation.entry_of(service), work)
