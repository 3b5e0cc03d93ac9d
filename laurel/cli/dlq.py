"""`laurel dlq`: events that a service could not read or apply."""

import asyncio
import time
from collections.abc import Sequence
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
from shared.sending import unpack_headers

from . import say

app = typer.Typer(help="Dead letters: events that a service could not read or apply.", no_args_is_help=True)
WAIT_SECONDS = 30.0
_SHOWN = 200

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
    states = ("open", "replaying", "replayed", "discarded") if all_states else ("open", "replaying")
    rows = _find(service, None, topic, error, since, until, states)
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
    rows = _find(service, [number], None, None, None, None, ("open", "replaying", "replayed", "discarded"))
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
    rows = _find(service, ids, topic, error, since, until, ("open",))
    numbers = _settle(service, rows, "replay", dry_run=dry_run, yes=yes)
    if not numbers:
        return
    marked = _mark(service, numbers, "replaying")
    rest = say.run(_wait(service, marked))
    failed = [row for row in rest if row["state"] == "open"]
    waiting = [row for row in rest if row["state"] == "replaying"]
    for row in failed:
        why = f"{row['error_class']}: {masked_text(row['error'])[:200]}"
        say.out.print(f"{row['id']}: failed again, {why}", markup=False, style="red")
    done = len(marked) - len(rest)
    say.out.print(f"{done} of {len(marked)} applied.")
    if waiting:
        say.fail(
            f"{len(waiting)} are still waiting after {WAIT_SECONDS:.0f} s: is {service} running? It goes on with them."
        )
    if failed:
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
    rows = _find(service, ids, topic, error, since, until, ("open",))
    numbers = _settle(service, rows, "discard", dry_run=dry_run, yes=yes)
    if numbers:
        say.out.print(f"{len(_mark(service, numbers, 'discarded', reason))} discarded.")


def _find(
    service: str,
    ids: Sequence[int] | None,
    topic: str | None,
    error: str | None,
    since: datetime | None,
    until: datetime | None,
    states: tuple[str, ...],
) -> list[asyncpg.Record]:
    entry = installation.entry_of(service)

    async def work(connection: asyncpg.Connection) -> list[asyncpg.Record]:
        return await dead_letters.find(
            connection, ids=list(ids) if ids else None, topic=topic, error_class=error,
            since=utc(since), until=utc(until), states=states,
        )  # fmt: skip

    return say.run(say.with_database(entry, work))


def utc(moment: datetime | None) -> datetime | None:
    """A moment given without an offset is meant in UTC."""
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment


def _settle(service: str, rows: list[asyncpg.Record], verb: str, *, dry_run: bool, yes: bool) -> list[int]:
    """The numbers to settle, after asking; none when nothing is open, on a dry run, or when the answer is no."""
    if not rows:
        say.out.print(f"Nothing of that kind is open in {service}.")
        return []
    numbers = [row["id"] for row in rows]
    listed = ", ".join(map(str, numbers[:20])) + (", …" if len(numbers) > 20 else "")
    if dry_run:
        say.out.print(f"Would {verb} {len(numbers)}: {listed}")
        return []
    if not yes and not typer.confirm(f"{verb.capitalize()} {len(numbers)} dead letters of {service} ({listed})?"):
        return []
    return numbers


def _mark(service: str, numbers: list[int], state: str, reason: str = "") -> list[int]:
    async def work(connection: asyncpg.Connection) -> list[int]:
        return await dead_letters.mark(connection, numbers, state=state, actor=say.actor(), reason=reason)

    return say.run(say.with_database(installation.entry_of(service), work))


async def _wait(service: str, numbers: list[int]) -> list[asyncpg.Record]:
    """Those that are not applied: failed again, or still waiting when the time is over."""

    async def work(connection: asyncpg.Connection) -> list[asyncpg.Record]:
        deadline = time.monotonic() + WAIT_SECONDS
        while True:
            rest = await dead_letters.find(connection, ids=numbers, states=("open", "replaying"))
            if all(row["state"] == "open" for row in rest) or time.monotonic() > deadline:
                return rest
            await asyncio.sleep(0.3)

    return await say.with_database(installation.entry_of(service), work) if numbers else []
