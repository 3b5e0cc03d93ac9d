"""The database: pools with every limit set, which errors (Kafka's too) pass by themselves, and migrations."""

import asyncio
import hashlib
import random
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit, urlunsplit

import asyncpg
from aiokafka.errors import KafkaError
from asyncpg.pool import PoolConnectionProxy

from .log import log
from .settings import Settings

MIGRATIONS = Path(__file__).parent / "migrations"

TRANSIENT = (
    asyncpg.PostgresConnectionError,
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
    asyncpg.LockNotAvailableError,
    asyncpg.QueryCanceledError,
    asyncpg.InsufficientResourcesError,
    asyncpg.OperatorInterventionError,
    asyncpg.InvalidCachedStatementError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.InFailedSQLTransactionError,
    asyncpg.InternalClientError,
    ConnectionError,
    TimeoutError,
    OSError,
)


class Retry(Exception):
    """What was read changed before it could be locked: roll back and do the work again."""


def is_transient(error: BaseException) -> bool:
    """Whether the same work may succeed later: a connection, a lock or a resource was at fault, not the work."""
    if isinstance(error, asyncpg.InterfaceError):
        return "closed" in str(error) or "released" in str(error) or "another operation" in str(error)
    return isinstance(error, (*TRANSIENT, KafkaError, Retry))


def pause_seconds(attempt: int, longest: float) -> float:
    """Capped exponential backoff with full jitter; `attempt` counts from 1."""
    return random.uniform(0, min(longest, 0.05 * 2 ** min(attempt, 20)))


def plain(connection: asyncpg.Connection | PoolConnectionProxy) -> asyncpg.Connection:
    """A pool's connection as the connection it behaves like; asyncpg's types do not say so."""
    return cast(asyncpg.Connection, connection)


Check = Callable[[asyncpg.Connection], Coroutine[Any, Any, None]]
"""Looks at a new connection before it is used, and raises if it must not be."""


async def connect(settings: Settings, name: str, check: Check) -> asyncpg.Connection:
    """A connection of one's own to the service's database."""
    connection = await asyncpg.connect(
        settings.dsn(),
        timeout=settings.connect_timeout_seconds,
        command_timeout=settings.statement_timeout_ms / 1000 + 5,
        server_settings=server_settings(settings, name),
    )
    try:
        await check(connection)
    except BaseException:
        connection.terminate()
        raise
    return connection


async def open_pool(settings: Settings, name: str, check: Check) -> asyncpg.Pool:
    """A pool on the service's database. Waits for PostgreSQL instead of dying; cancel it to give up."""
    attempt = 0
    while True:
        try:
            return await asyncpg.create_pool(
                settings.dsn(),
                min_size=1,
                max_size=settings.pool_size_max,
                timeout=settings.connect_timeout_seconds,
                command_timeout=settings.statement_timeout_ms / 1000 + 5,
                server_settings=server_settings(settings, name),
                init=check,
                reset=_nothing,
            )
        except (*TRANSIENT, asyncpg.InvalidCatalogNameError) as error:
            attempt += 1
            log.warning("waiting for PostgreSQL", error=str(error), attempt=attempt)
            await asyncio.sleep(0.1 + pause_seconds(attempt, 5.0))


async def _nothing(_: asyncpg.Connection) -> None:
    """What a connection of the pool does is over with its transaction: no round trip to put its session back."""


def server_settings(settings: Settings, name: str) -> dict[str, str]:
    """The session's limits, enforced by the server."""
    return {
        "application_name": name,
        "statement_timeout": str(settings.statement_timeout_ms),
        "lock_timeout": str(settings.lock_timeout_ms),
        "idle_in_transaction_session_timeout": str(settings.idle_transaction_timeout_ms),
        "jit": "off",
    }


class MigrationError(Exception):
    """The migrations of a database cannot be applied; the text says why and what to do."""


def migrate(
    dsn: str, folders: Sequence[Path], *, lock_timeout_ms: int = 5000, schema: str | None = None
) -> list[str]:  # fmt: skip
    """Apply what is missing of each folder's `NNNN_name.sql`, in order, under a lock. Returns the names applied.

    All is done in `schema`, or where the database has its tables.

    Raises `MigrationError` when a file that was applied has changed since.
    """
    from yoyo import get_backend, read_migrations

    parts = urlsplit(dsn)
    # yoyo reads `options` from the query and hands it to libpq.
    options = f"options=-c%20lock_timeout%3D{lock_timeout_ms}" + (f"%20-c%20search_path%3D{schema}" if schema else "")
    backend = get_backend(urlunsplit(("postgresql+psycopg", parts.netloc, parts.path, options, "")))
    applied: list[str] = []
    try:
        with backend.lock():
            backend.execute(
                "CREATE TABLE IF NOT EXISTS migration_checksums (id text PRIMARY KEY, sha256 text NOT NULL)"
            )
            known = {str(row[0]): str(row[1]) for row in backend.execute("SELECT id, sha256 FROM migration_checksums")}
            for folder in folders:
                migrations = read_migrations(str(folder))
                for item in migrations:
                    _check(item.id, Path(item.path), known)
                missing = backend.to_apply(migrations)
                applied += [item.id for item in missing]
                backend.apply_migrations(missing)
                for item in migrations:
                    backend.execute(
                        "INSERT INTO migration_checksums VALUES (%s, %s) ON CONFLICT DO NOTHING",
                        (item.id, _checksum(Path(item.path))),
                    )
            backend.commit()
    finally:
        backend.connection.close()
    return applied


def _checksum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _check(name: str, path: Path, known: dict[str, str]) -> None:
    if name in known and known[name] != _checksum(path):
        raise MigrationError(
            f"migration {name} was applied to this database and has changed since: "
            f"restore {path.name} as it was, and put the change into a new file; where nothing is to be kept, as in a "
            "folder .laurel of an earlier try, remove the database (or the folder) and begin anew"
        )


async def missing_migrations(connection: asyncpg.Connection, folders: Sequence[Path]) -> list[str]:
    """Names of migrations that this code needs and the database has not had."""
    if await connection.fetchval("SELECT to_regclass('migration_checksums')") is None:
        known: set[str] = set()
    else:
        known = {row["id"] for row in await connection.fetch("SELECT id FROM migration_checksums")}
    return [path.stem for folder in folders for path in sorted(folder.glob("*.sql")) if path.stem not in known]
