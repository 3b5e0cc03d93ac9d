"""`laurel republish`: what Kafka has lost is sent again by those who own it."""

import asyncio
import time
from functools import partial
from typing import Annotated

import typer

from contracts.topics import CONSOLE
from laurel import installation
from laurel.installation import Failure
from laurel.services import Entry
from shared import backlog
from shared.kafka import ReferenceReader
from shared.service import Context, Republish, Service

from . import say

AT_ONCE = 200
"""Members, orders and so on of one transaction: their rows are locked that long."""
PROGRAMS_SECONDS_MAX = 30.0
SENT_SECONDS_MAX = 600.0


def add_to(root: typer.Typer) -> None:
    """Put the command into the command line."""
    root.command("republish")(republish)


def republish(
    services: Annotated[list[str] | None, typer.Argument(help="All when none is named.", show_default=False)] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Send every service's current state again, after Kafka's data was lost. Who knows it already takes no notice."""
    # Programs first: all others judge by them.
    chosen = sorted(installation.entries(services or []), key=lambda entry: entry.name != CONSOLE)
    names = ", ".join(entry.name for entry in chosen)
    if not yes and not typer.confirm(f"{names}: everything is sent again, which takes room in Kafka. Go on?"):
        return
    for entry in chosen:
        began = time.monotonic()
        count = say.run(_republish(entry))
        say.out.print(f"{entry.name}: {count} sent again in {time.monotonic() - began:.1f} s.")


async def _republish(entry: Entry) -> int:
    settings = entry.settings(
        database_url=installation.dsn(entry), database_url_file=None, kafka=installation.kafka(),
        keys_dir=installation.keys_dir(),
    )  # fmt: skip
    context = Context(entry.name, settings)
    service = entry.build(context)
    await _read_programs(context, service)
    await context.open()
    try:
        count = sum([await _all(context, work) for work in service.republish])
        await _until_sent(entry, context)
    finally:
        await context.close()
    return count


async def _read_programs(context: Context, service: Service) -> None:
    """What is made again is judged by the programs, as it was."""
    if service.reference is None or not service.republish or service.name == CONSOLE:
        return
    reader = ReferenceReader(context.settings, f"{service.name}-republish", service.reference, time.monotonic)
    reading = asyncio.create_task(reader.run(context.stopping))
    try:
        await asyncio.wait_for(reader.ready.wait(), PROGRAMS_SECONDS_MAX)
    except TimeoutError:
        raise Failure(f"The programs cannot be read from Kafka at {context.settings.kafka}; is it running?") from None
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)


async def _all(context: Context, work: Republish) -> int:
    after: str | None = None
    total = 0
    while True:
        after, count = await context.execute(lambda tx, after=after: work(tx, after, AT_ONCE))  # type: ignore[misc]
        total += count
        if after is None:
            return total


async def _until_sent(entry: Entry, context: Context) -> None:
    """The service's own relay sends; the others must not judge before they have the programs. What comes may stay."""
    deadline = time.monotonic() + SENT_SECONDS_MAX
    last = await context.read(backlog.last)
    while rows := await context.read(partial(backlog.up_to, last=last)):
        if time.monotonic() > deadline:
            raise Failure(f"{rows} events of {entry.name} are still in its outbox; is the service running?")
        await asyncio.sleep(0.2)
