"""`laurel deliveries`: raw webhooks and reports as order-ingest keeps them, above all those that it could not read."""

from datetime import datetime
from typing import Annotated, Literal, cast

import asyncpg
import typer
from rich.table import Table
from rich.text import Text

from contracts.topics import INGEST
from laurel.installation import Failure
from laurel.services import SERVICES

from . import say
from .dlq import utc

app = typer.Typer(help="Raw deliveries to order-ingest, kept 30 days.", no_args_is_help=True)
STATES = ("received", "processed", "quarantined")

Numbers = Annotated[list[int] | None, typer.Argument(help="Their numbers; all in quarantine when none is given.")]
Source = Annotated[str | None, typer.Option(help="Only of this source.")]
Topic = Annotated[str | None, typer.Option(help="Only of this topic, such as orders/paid.")]
Since = Annotated[datetime | None, typer.Option(help="Only received at or after this moment, in UTC.")]


def add_to(root: typer.Typer) -> None:
    """Put the commands into the command line."""
    app.command("list")(list_deliveries)
    app.command("show")(show)
    app.command("reparse")(reparse)
    root.add_typer(app, name="deliveries")


def list_deliveries(
    status: Annotated[str, typer.Option(help="quarantined, processed, received or all.")] = "quarantined",
    source: Source = None,
    topic: Topic = None,
    since: Since = None,
    limit: Annotated[int, typer.Option(min=1, max=1000)] = 50,
) -> None:
    """List deliveries, newest first; at first those in quarantine."""
    if status not in (*STATES, "all"):
        raise Failure(f"There is no status {status!r}; there are {', '.join(STATES)} and all.")
    from order_ingest.store.deliveries import DeliveryInfo
    from order_ingest.store.deliveries import list_deliveries as find

    wanted = None if status == "all" else cast(Literal["received", "processed", "quarantined"], status)

    async def work(connection: asyncpg.Connection) -> list[DeliveryInfo]:
        return await find(connection, status=wanted, source=source, topic=topic, since=utc(since), limit=limit)

    rows = say.run(say.with_database(SERVICES[INGEST], work))
    if not rows:
        say.out.print("There are no deliveries of that kind.")
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for title in ("number", "received", "source", "topic", "bytes", "status", "why"):
        table.add_column(title, justify="right" if title == "bytes" else "left")
    for row in rows:
        table.add_row(
            str(row.delivery_id), f"{row.received_at:%Y-%m-%d %H:%M:%S}", row.source, Text(row.topic),
            str(row.body_bytes), row.status, Text(row.reason or ""),
        )  # fmt: skip
    say.out.print(table)


def show(
    number: Annotated[int, typer.Argument(help="Its number.")],
    clear: Annotated[bool, typer.Option("--clear", help="With personal data as it is.")] = False,
) -> None:
    """Show a delivery with its body, personal data masked."""
    from order_ingest.store.deliveries import DeliveryInfo, show_delivery

    async def work(connection: asyncpg.Connection) -> tuple[DeliveryInfo, str] | None:
        return await show_delivery(connection, number, clear=clear)

    found = say.run(say.with_database(SERVICES[INGEST], work))
    if found is None:
        raise Failure(f"There is no delivery {number}; they are kept for 30 days.")
    info, body = found
    say.out.print(f"{info.topic} of {info.source}, received {info.received_at:%Y-%m-%d %H:%M:%S} UTC, {info.status}")
    if info.reason:
        say.out.print(Text(info.reason, style="red"))
    say.out.print(body, markup=False)


def reparse(
    numbers: Annotated[
        list[int] | None, typer.Argument(help="Their numbers; all in quarantine when none is given.")
    ] = None,
    source: Source = None,
    topic: Topic = None,
    since: Since = None,
) -> None:
    """Have deliveries read again, after the adapter was mended. What they told before is not told twice."""
    from order_ingest.store.deliveries import reparse as again

    async def work(connection: asyncpg.Connection) -> int:
        return await again(connection, delivery_ids=numbers or None, source=source, topic=topic, since=utc(since))

    count = say.run(say.with_database(SERVICES[INGEST], work))
    say.out.print(f"{count} deliveries are read again; `laurel deliveries list` shows those that fail once more.")
