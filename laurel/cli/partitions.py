"""`laurel offsets` and `laurel breaker`: where a service stands in its topics, and how it goes on after it stopped."""

from collections.abc import Mapping
from typing import Annotated

import asyncpg
import typer
from rich.table import Table
from rich.text import Text

from contracts.topics import INGEST, POINTS, REFERRAL, TIER
from laurel import installation
from laurel.installation import Failure
from laurel.services import Entry
from shared import breaker, learning, offsets, published
from shared.admin import bounds, cluster, partition_of

from . import say

offsets_app = typer.Typer(help="Where a service stands in its topics.", no_args_is_help=True)
breaker_app = typer.Typer(help="The breaker, which stops a service that fails too often.", no_args_is_help=True)

_OVERTAKEN = (
    "What it announces next may have versions that others have seen already, which they ignore; a newer backup has not."
)
_MISSED = {
    POINTS: "A ledger does not start without a decision of a member who was decided on later: restore a newer backup.",
    INGEST: _OVERTAKEN, TIER: _OVERTAKEN, REFERRAL: _OVERTAKEN,
}  # fmt: skip
"""What it means for a service that something it published is nowhere any more."""
Bounds = Mapping[tuple[str, int], tuple[int, int]]
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
    partition: Annotated[str | None, typer.Argument(help="Such as loyalty.orders.v1-3.", show_default=False)] = None,
    to: Annotated[str, typer.Option(help="earliest, latest, or an offset.")] = "earliest",
    every: Annotated[bool, typer.Option("--all", help="All that are stopped, as after Kafka's data was lost.")] = False,
    own: Annotated[
        bool, typer.Option("--published", help="What it published after its backup, and Kafka does not keep any more.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Let a stopped partition go on, after you have understood what is missing; what lies before is given up."""
    entry = installation.entry_of(service)
    if (partition is not None) + every + own != 1:
        raise Failure("Name a partition, such as loyalty.orders.v1-3, or say --all, or --published.")
    if own:
        _accept_published(entry, yes=yes)
        return
    stored = {(row["topic"], row["partition"]): row for row in say.run(say.with_database(entry, offsets.show))}
    wanted = [_named(partition)] if partition else [key for key, row in stored.items() if row["stopped_why"]]
    kafka = installation.kafka()
    there = say.run(bounds(kafka, wanted)) if wanted else {}
    positions = {key: _position(to, *_found(key, there, stored, service)) for key in wanted}
    if not positions:
        say.out.print(f"No partition of {service} is stopped.")
        return
    where = ", ".join(f"{position} of {topic}-{number}" for (topic, number), position in positions.items())
    if not yes and not typer.confirm(f"{service} goes on at {where}?"):
        return
    cluster_id = say.run(cluster(kafka))

    async def work(connection: asyncpg.Connection) -> None:
        for (topic, number), position in positions.items():
            item, before = partition_of(topic, number), stored[topic, number]["position"]
            await offsets.accept(
                connection, item, before=before, position=position, cluster_id=cluster_id, actor=say.actor()
            )
            say.out.print(f"{topic}-{number}: {before} → {position}.")

    try:
        say.run(say.with_database(entry, work))
    except LookupError as error:
        raise Failure(f"{error}: somebody else let it go on. Look again with laurel offsets show {service}.") from error
    say.out.print("The service goes on within a few seconds.")


def _accept_published(entry: Entry, *, yes: bool) -> None:
    """Let a service begin whose backup is older than what Kafka keeps."""
    kafka = installation.kafka()
    cluster_id = say.run(cluster(kafka))
    lost = say.run(
        say.with_database(entry, lambda connection: learning.lost_for_good(connection, kafka, entry.name, cluster_id))
    )
    if not lost:
        say.out.print(f"Nothing is missing between the database of {entry.name} and what Kafka keeps.")
        return
    for (topic, number), (first, end) in lost.items():
        say.out.print(f"{topic}-{number}: {end - first} records from {first} on are gone.")
    if entry.name in _MISSED:
        say.out.print(_MISSED[entry.name], style="yellow")
    if not yes and not typer.confirm(f"{entry.name} goes on without them?"):
        return
    say.run(
        say.with_database(
            entry,
            lambda connection: published.accept(connection, lost, cluster_id=cluster_id, actor=say.actor()),
        )
    )
    say.out.print("The service goes on within a few seconds.")


def _named(partition: str) -> tuple[str, int]:
    topic, _, number = partition.rpartition("-")
    if not topic or not number.isdigit():
        raise Failure(f"{partition!r} is no partition; write it as loyalty.orders.v1-3.")
    return topic, int(number)


def _found(
    key: tuple[str, int], there: Bounds, stored: Mapping[tuple[str, int], asyncpg.Record], service: str
) -> tuple[int, int]:
    """The bounds of a partition that is stopped. Raises Failure for any other."""
    name = f"{key[0]}-{key[1]}"
    if key not in there:
        raise Failure(f"Kafka has no partition {name}.")
    if key not in stored:
        raise Failure(f"{service} has no stored offset of {name}; `laurel offsets show {service}` lists them.")
    if stored[key]["stopped_why"] is None:
        raise Failure(f"{name} of {service} is not stopped; moving it would lose or repeat events.")
    return there[key]


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
