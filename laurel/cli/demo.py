"""`laurel demo`: everything from nothing, a shop played, and the books checked."""

import asyncio
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from laurel import installation
from laurel.embedded import EmbeddedServers
from laurel.embedded.process import port_taken
from laurel.programs import read_program
from laurel.services import SERVICES
from laurel.stack import PRESET, Stack

from . import say
from .up import stoppable, teller

SEED = 20261123


def add_to(app: typer.Typer) -> None:
    """Put the command into the command line."""
    app.command("demo")(demo)


def demo(
    once: Annotated[bool, typer.Option("--once", help="End by itself; non-zero when a check fails.")] = False,
    seed: Annotated[int, typer.Option(help="Another one plays another story.")] = SEED,
) -> None:
    """Start everything from nothing, play a shop with 300 members and about 2,000 webhooks, and check the books."""
    began = time.monotonic()
    home = installation.home()
    folder = home / "demo"
    with installation.held(folder), stoppable():
        try:
            wipe(folder)
            with starting(folder) as stack:
                started = time.monotonic()
                ok = play(stack, seed, home / "demo.json", {"start": started - began})
                if not once:
                    say.out.print("\nEverything stays up until Ctrl-C.")
                    threading.Event().wait()
        except KeyboardInterrupt:
            say.out.print("Stopped.")
            raise typer.Exit(130 if once else 0) from None
    if not ok:
        raise typer.Exit(1)


def wipe(folder: Path) -> None:
    """Every demo begins from nothing; the lock stays, as this process holds it."""
    EmbeddedServers(folder).postgres.remove()
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != "lock":
            path.unlink()


@contextmanager
def starting(folder: Path) -> Iterator[Stack]:
    """A stack, on the usual ports where they are free."""
    usual = {name: entry.port for name, entry in SERVICES.items()}
    ports = None if any(port_taken(port) for port in usual.values()) else usual
    with say.out.status("Starting …") as status:
        stack = Stack(folder, ports=ports, durable=False, tell=teller(status))
        stack.start()
    try:
        yield stack
    finally:
        with say.out.status("Stopping …"):
            stack.stop()


def play(stack: Stack, seed: int, result: Path, seconds: dict[str, float]) -> bool:
    """The story and the checks; what they found is shown and written to `result`. Returns whether all is well."""
    from laurel.demo import report
    from laurel.demo.checks import check_all
    from laurel.demo.play import play as play_story
    from laurel.demo.story import Author

    began = time.monotonic()
    author = Author(seed, datetime.now(UTC))
    with progress() as tell:
        played = asyncio.run(play_story(stack.state, author, tell))
    seconds["play"] = time.monotonic() - began
    began = time.monotonic()
    with say.out.status("Checking the books …"):
        checks, members = asyncio.run(check_all(stack.state, author.story, played, read_program(PRESET), stack.sink))
    seconds["check"] = time.monotonic() - began
    say.out.print(report.members_table(members))
    say.out.print(report.checks_table(checks))
    ok = report.write(result, author.story, played, members, checks, seconds)
    rate = played.sent / seconds["play"]
    say.out.print(
        f"{played.sent} webhooks in {seconds['play']:.1f} s with all that followed ({rate:.0f}/s); see {result}"
    )
    report.where(stack.state, say.out)
    return ok


@contextmanager
def progress() -> Iterator[Callable[[str, int, int], None]]:
    """A bar that says what is being done."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=say.out) as bar:
        task = bar.add_task("Selling")
        yield lambda text, done, total: bar.update(task, description=text, completed=done, total=total)
