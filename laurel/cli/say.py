"""How commands speak: what they found on standard output, faults as one sentence on standard error."""

import asyncio
import getpass
import os
from collections.abc import Awaitable, Callable, Coroutine
from typing import Annotated, Any, NoReturn, TypeVar

import asyncpg
import httpx
import typer
from rich.console import Console
from rich.markup import escape
from uvicorn.loops.auto import auto_loop_factory

from laurel.installation import Failure, dsn
from laurel.services import Entry
from shared.db import MigrationError
from shared.http import Problem

T = TypeVar("T")
AsJson = Annotated[bool, typer.Option("--json", help="As JSON.")]
"""Of commands whose answer another program may read."""

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def fail(text: str) -> NoReturn:
    """Say why and end with 1."""
    err.print(f"[red]{escape(text)}[/]")
    raise typer.Exit(1)


def sentence(error: BaseException) -> str | None:
    """What to tell a person of an error; None for one that nobody foresaw."""
    import psycopg  # Migrations speak through it; services need not keep it in memory.

    if isinstance(error, Failure | MigrationError):
        return str(error)
    if isinstance(error, Problem):
        return f"{error.detail}."
    if isinstance(error, httpx.TransportError):
        where = error.request.url.copy_with(path="/", query=None) if error._request is not None else "the service"
        return f"Nothing answers at {where} ({type(error).__name__}); is it running? `laurel doctor` tells more."
    if isinstance(error, asyncpg.InvalidCatalogNameError | asyncpg.InvalidAuthorizationSpecificationError):
        return f"PostgreSQL refuses: {error}; check LAUREL_DATABASE_URL."
    if isinstance(error, asyncpg.UndefinedTableError | asyncpg.UndefinedColumnError):
        return f"The database is not as this version needs it ({error}); run `laurel migrate`."
    if isinstance(error, psycopg.OperationalError):
        why = str(error).strip().splitlines()[0]
        return f"PostgreSQL cannot be reached: {why}; is it running, and is LAUREL_DATABASE_URL right?"
    if isinstance(error, asyncpg.PostgresError | asyncpg.InterfaceError):
        return f"PostgreSQL says: {error}."
    if isinstance(error, ConnectionError) and str(error).startswith("Kafka"):
        return f"{error}; is it running, and is LAUREL_KAFKA right?"
    if isinstance(error, OSError):
        return f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}."
    return None


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a command's asynchronous part, on uvloop where there is one."""
    with asyncio.Runner(loop_factory=auto_loop_factory()) as runner:
        return runner.run(work)


async def with_database(entry: Entry, work: Callable[[asyncpg.Connection], Awaitable[T]]) -> T:
    """Call `work` with a connection of a service's database."""
    try:
        connection = await asyncpg.connect(dsn(entry), timeout=5, command_timeout=30)
    except (OSError, TimeoutError) as error:
        why = str(error) or "no answer"
        raise Failure(f"The database of {entry.name} cannot be reached ({why}); is it running?") from error
    try:
        return await work(connection)
    finally:
        await connection.close(timeout=5)


def actor() -> str:
    """Who does this, for the audit log."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
