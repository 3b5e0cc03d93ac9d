"""`laurel source`, `connection`, `endpoint` and `codes`: what joins a shop to a program."""

import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import asyncpg
import typer
from rich.table import Table

from contracts.topics import INGEST, NOTIFICATION, POINTS
from laurel import installation
from laurel.installation import Failure
from laurel.services import SERVICES

from . import say

source_app = typer.Typer(help="Sources: shops by their stable names.", no_args_is_help=True)
connection_app = typer.Typer(help="Connections: what a source's platform sends with.", no_args_is_help=True)
endpoint_app = typer.Typer(help="The webhook endpoint of a program, which hears of coupons.", no_args_is_help=True)
codes_app = typer.Typer(help="Coupon codes that the shop made.", no_args_is_help=True)

Program = Annotated[str, typer.Option(help="The program's id, such as aurora.")]


def add_to(root: typer.Typer) -> None:
    """Put the commands into the command line."""
    source_app.command("create")(create_source)
    connection_app.command("create")(create_connection)
    connection_app.command("list")(list_connections)
    connection_app.command("rotate")(rotate_connection)
    endpoint_app.command("set")(set_endpoint)
    endpoint_app.command("list")(list_endpoints)
    codes_app.command("import")(import_codes)
    for name, group in (
        ("source", source_app), ("connection", connection_app), ("endpoint", endpoint_app), ("codes", codes_app)
    ):  # fmt: skip
        root.add_typer(group, name=name)


@source_app.callback()
@codes_app.callback()
def _group() -> None:
    """A group stays one although it has a single command."""


def create_source(
    name: Annotated[str, typer.Argument(help="Small letters, digits and hyphens, such as my-shop; kept for ever.")],
    program: Program,
) -> None:
    """Add a shop to a program. Its name is part of every order's identity and cannot be changed."""
    from order_ingest.store.connections import create_source as add

    async def work(connection: asyncpg.Connection) -> bool:
        return await add(connection, program, name, now=datetime.now(UTC))

    try:
        new = say.run(say.with_database(SERVICES[INGEST], work))
    except asyncpg.CheckViolationError as error:
        raise Failure(f"{name!r} is no name for a source; use small letters, digits and hyphens.") from error
    say.out.print(f"Source {name} of {program} {'is there now' if new else 'was there already'}.")


def create_connection(
    source: Annotated[str, typer.Argument(help="The source it is for.")],
    program: Program,
    platform: Annotated[str, typer.Option(help="So far: shopify.")] = "shopify",
    secret_file: Annotated[
        Path | None, typer.Option(help="The file with the platform's signing secret; else one is made.")
    ] = None,
) -> None:
    """Let a platform send for a source. Prints the address for its webhooks, and the secret if one is made."""
    from order_ingest.store.connections import create_connection as add

    secret = secret_file.read_text().strip() if secret_file else secrets.token_hex(32)
    if not secret:
        raise Failure(f"{secret_file} is empty; it should hold the platform's signing secret.")

    async def work(connection: asyncpg.Connection) -> str:
        return await add(connection, program, source, platform, secret, now=datetime.now(UTC))

    try:
        connection_id = say.run(say.with_database(SERVICES[INGEST], work))
    except asyncpg.ForeignKeyViolationError as error:
        how = f"`laurel source create {source} --program {program}`"
        raise Failure(f"Program {program} has no source {source}; make it with {how}.") from error
    except asyncpg.CheckViolationError as error:
        raise Failure(f"There is no adapter for {platform!r}; there is one for shopify.") from error
    base = installation.url(SERVICES[INGEST])
    say.out.print(f"Connection {connection_id}; webhooks go to {base}/v1/connections/{connection_id}/webhooks")
    if secret_file is None:
        say.out.print(f"Secret (shown this once): {secret}")


def list_connections() -> None:
    """List all connections, without their secrets."""
    from order_ingest.store.connections import ConnectionInfo
    from order_ingest.store.connections import list_connections as find

    async def work(connection: asyncpg.Connection) -> list[ConnectionInfo]:
        return await find(connection, now=datetime.now(UTC))

    rows = say.run(say.with_database(SERVICES[INGEST], work))
    if not rows:
        say.out.print("There are no connections yet; `laurel connection create` makes one.")
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for title in ("connection", "program", "source", "platform", "secrets", "made"):
        table.add_column(title)
    for row in rows:
        active = "" if row.active else " (off)"
        table.add_row(
            row.connection_id + active, row.program_id, row.source, row.platform, str(row.secrets_valid),
            f"{row.created_at:%Y-%m-%d}",
        )  # fmt: skip
    say.out.print(table)


def rotate_connection(
    connection_id: Annotated[str, typer.Argument(help="Of `laurel connection list`.")],
    secret_file: Annotated[Path | None, typer.Option(help="The file with the new secret; else one is made.")] = None,
    overlap_hours: Annotated[float, typer.Option(min=0, max=24 * 30, help="So long the old secret still counts.")] = 48,
) -> None:
    """Give a connection a new secret; the old one stays valid for the overlap."""
    from order_ingest.store.connections import rotate_secret

    secret = secret_file.read_text().strip() if secret_file else secrets.token_hex(32)

    async def work(connection: asyncpg.Connection) -> bool:
        return await rotate_secret(
            connection, connection_id, secret, timedelta(hours=overlap_hours), now=datetime.now(UTC)
        )

    if not say.run(say.with_database(SERVICES[INGEST], work)):
        raise Failure(f"There is no connection {connection_id}; `laurel connection list` shows those there are.")
    say.out.print(f"The new secret counts now, the old one for another {overlap_hours:g} hours.")
    if secret_file is None:
        say.out.print(f"Secret (shown this once): {secret}")


def set_endpoint(
    url: Annotated[str, typer.Argument(help="Where the shop hears of coupons, such as https://shop.example/hooks.")],
    program: Program,
) -> None:
    """Make, move or enable the webhook endpoint of a program. Prints the signing secret of a new one."""
    from notification import app, webhook
    from notification.store.endpoints import set_endpoint as put

    try:
        webhook.check_url(url, app.Settings().allowed_hosts())
    except webhook.RefusedError as error:
        raise Failure(f"{url} cannot be an endpoint: {error}.") from error

    async def work(connection: asyncpg.Connection) -> str | None:
        return await put(connection, program, url, now=datetime.now(UTC))

    secret = say.run(say.with_database(SERVICES[NOTIFICATION], work))
    say.out.print(f"Coupons of {program} are told to {url}, signed by Standard Webhooks.")
    if secret:
        say.out.print(f"Secret (shown this once): {secret}")


def list_endpoints() -> None:
    """List the webhook endpoints with what waits for them."""
    from notification.store.endpoints import list_endpoints as find

    rows = say.run(say.with_database(SERVICES[NOTIFICATION], find))
    if not rows:
        say.out.print("There are no endpoints yet; `laurel endpoint set` makes one.")
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for title in ("program", "address", "state", "waiting", "failed"):
        table.add_column(title)
    for row in rows:
        state = "on" if row["enabled"] else f"off: {row['disabled_reason']}"
        table.add_row(row["program_id"], row["url"], state, str(row["due"]), str(row["failed"]))
    say.out.print(table)


def import_codes(
    file: Annotated[Path, typer.Argument(help="One code a line.")],
    program: Program,
    reward: Annotated[str, typer.Option(help="The reward's id, such as five-off.")],
) -> None:
    """Add codes to the pool of a reward whose codes the shop makes. Known ones are left as they are."""
    from points_accrual.store import import_codes as add

    try:
        codes = [line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise Failure(f"{file} cannot be read: {error}.") from error
    if not codes:
        raise Failure(f"{file} holds no codes; write one a line.")

    async def work(connection: asyncpg.Connection) -> int:
        return await add(connection, program, reward, codes)

    try:
        new = say.run(say.with_database(SERVICES[POINTS], work))
    except ValueError as error:
        raise Failure(f"Nothing was added: {error}.") from error
    say.out.print(f"{new} codes added, {len(codes) - new} were known or doubled.")
