"""`laurel offsets` and `laurel breaker`: where a service stands in its topics, and how it goes on after it stopped."""

from typing import Annotated

import asyncpg
import typer
from rich.table import Table
from rich.text import Text

from laurel import installation
from laurel.installation import Failure
from shared import breaker, offsets
from shared.admin import bounds, cluster, partition_of

from . import say

offsets_app = typer.Typer(help="Where a service stands in its topics.", no_args_is_help=True)
breaker_app = typer.Typer(help="The breaker, which stops a service that fails too often.", no_args_is_help=True)

Service = Annotated[str, typer.Argument(help="Such as points-accrual.")]


def add_to(root: typer.Typer) -> None:
    """Put the commands into the command line."""
    offsets_app.command("show")(show)
    offsets_app.command("accept")(accept)
    breaker_app.command("show")(show_breaker)
    breaker_app.command("clear")(clear)
    root.add_typer(offsets_app, name="offsets")
    root.add_typer(breaker_app, name="breaker")


def show(service: Service) -> None:
    """Show the stored offset of each partition beside what Kafka has, and which partitions are stopped."""
    rows = say.run(say.with_database(installation.entry_of(service), offsets.show))
    if not rows:
        say.out.print(f"{service} has no stored offsets: it consumes nothing, or has not run yet.")
        return
    there = say.run(bounds(installation.kafka(), [(row["topic"], row["partition"]) for row in rows]))
    table = Table(box=None, pad_edge=False, header_style="dim")
    for title in ("partition", "next", "Kafka has", "lag", "state"):
        table.add_column(title, justify="right" if title in ("next", "Kafka has", "lag") else "left")
    for row in rows:
        begin, end = there.get((row["topic"], row["partition"]), (None, None))
        lag = "" if end is None else str(max(0, end - row["position"]))
        has = "gone" if end is None else f"{begin} … {end}"
        state = Text(f"stopped: {row['stopped_why']}", "red") if row["stopped_why"] else Text("")
        table.add_row(f"{row['topic']}-{row['partition']}", str(row["position"]), has, lag, state)
    say.out.print(table)


def accept(
    service: Service,
    partition: Annotated[str, typer.Argument(help="Such as loyalty.orders.v1-3.")],
    to: Annotated[str, typer.Option(help="earliest, latest, or an offset.")] = "earliest",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Let a stopped partition go on, after you have understood what is missing; what lies before is given up."""
    entry = installation.entry_of(service)
    topic, _, number = partition.rpartition("-")
    if not topic or not number.isdigit():
        raise Failure(f"{partition!r} is no partition; write it as loyalty.orders.v1-3.")
    kafka = installation.kafka()
    found = say.run(bounds(kafka, [(topic, int(number))])).get((topic, int(number)))
    if found is None:
        raise Failure(f"Kafka has no partition {partition}.")
    position = _position(to, *found)
    stored = {(row["topic"], row["partition"]): row for row in say.run(say.with_database(entry, offsets.show))}
    row = stored.get((topic, int(number)))
    if row is None:
        raise Failure(f"{service} has no stored offset of {partition}; `laurel offsets show {service}` lists them.")
    if row["stopped_why"] is None:
        raise Failure(f"{partition} of {service} is not stopped; moving it would lose or repeat events.")
    if not yes and not typer.confirm(f"{service} goes on at {position} of {partition}?"):
        return
    item, cluster_id = partition_of(topic, int(number)), say.run(cluster(kafka))

    async def work(connection: asyncpg.Connection) -> offsets.Stored:
        return await offsets.accept(connection, item, position=position, cluster_id=cluster_id, actor=say.actor())

    before = say.run(say.with_database(entry, work))
    say.out.print(f"{partition}: {before.position} → {position}. The service goes on within a few seconds.")


def _position(to: str, begin: int, end: int) -> int:
    if to in ("earliest", "latest"):
        return begin if to == "earliest" else end
    if not to.isdigit() or not begin <= int(to) <= end:
        raise Failure(f"{to!r} is no place to go on: use earliest, latest, or an offset from {begin} to {end}.")
    return int(to)


def show_breaker(service: Service) -> None:
    """Say whether the breaker is open, and why."""
    row = say.run(say.with_database(installation.entry_of(service), breaker.find))
    if row is None:
        say.out.print(f"The breaker of {service} is closed.")
    else:
        say.out.print(f"Open since {row['opened_at']:%Y-%m-%d %H:%M:%S} UTC: {row['why']}.", style="red")
        say.out.print(f"Mend the cause, then `laurel breaker clear {service}`.")


def clear(service: Service) -> None:
    """Close the breaker, after its cause was mended; the service goes on where it stopped."""

    async def work(connection: asyncpg.Connection) -> str | None:
        return await breaker.clear(connection, actor=say.actor())

    why = say.run(say.with_database(installation.entry_of(service), work))
    say.out.print(f"The breaker of {service} was not open." if why is None else f"Closed; it was open because {why}.")
