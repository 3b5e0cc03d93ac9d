"""Sources and the connections that may send for them."""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

import asyncpg


@dataclass(frozen=True, slots=True)
class Connection:
    """What the webhook edge needs of an active connection: whose it is, and the secrets valid now."""

    connection_id: str
    program_id: str
    source: str
    platform: str
    secrets: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class ConnectionInfo:
    """A connection as people see it, without its secrets."""

    connection_id: str
    program_id: str
    source: str
    platform: str
    active: bool
    created_at: datetime
    secrets_valid: int


async def create_source(connection: asyncpg.Connection, program_id: str, source: str, *, now: datetime) -> bool:
    """Add a source. Returns False if the program has it already."""
    status = await connection.execute(
        "INSERT INTO sources (program_id, source, created_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        program_id, source, now,
    )  # fmt: skip
    return status == "INSERT 0 1"


async def source_exists(connection: asyncpg.Connection, program_id: str, source: str) -> bool:
    """Whether the program has that source."""
    query = "SELECT EXISTS (SELECT FROM sources WHERE program_id = $1 AND source = $2)"
    return bool(await connection.fetchval(query, program_id, source))


async def create_connection(
    connection: asyncpg.Connection, program_id: str, source: str, platform: str, secret: str, *, now: datetime
) -> str:
    """Add a connection to a source that exists, with its first secret. Returns the id, a part of its secret address.

    Raises asyncpg.ForeignKeyViolationError if the program has no such source.
    """
    connection_id = secrets.token_hex(12)
    async with connection.transaction():
        await connection.execute(
            """INSERT INTO connections (connection_id, program_id, source, platform, created_at)
               VALUES ($1, $2, $3, $4, $5)""",
            connection_id, program_id, source, platform, now,
        )  # fmt: skip
        await _add_secret(connection, connection_id, secret, now)
    return connection_id


async def rotate_secret(
    connection: asyncpg.Connection, connection_id: str, new_secret: str, overlap: timedelta, *, now: datetime
) -> bool:
    """Add a secret; those before it stay valid for the overlap. Returns False for an unknown connection."""
    async with connection.transaction():
        lock = "SELECT connection_id FROM connections WHERE connection_id = $1 FOR UPDATE"
        if await connection.fetchval(lock, connection_id) is None:
            return False
        await connection.execute(
            """UPDATE connection_secrets SET valid_until = $2
               WHERE connection_id = $1 AND (valid_until IS NULL OR valid_until > $2)""",
            connection_id, now + overlap,
        )  # fmt: skip
        await connection.execute(
            "DELETE FROM connection_secrets WHERE connection_id = $1 AND valid_until <= $2", connection_id, now
        )
        await _add_secret(connection, connection_id, new_secret, now)
    return True


async def _add_secret(connection: asyncpg.Connection, connection_id: str, secret: str, now: datetime) -> None:
    await connection.execute(
        "INSERT INTO connection_secrets (connection_id, secret, created_at) VALUES ($1, $2, $3)",
        connection_id, secret, now,
    )  # fmt: skip


async def set_active(connection: asyncpg.Connection, connection_id: str, active: bool) -> bool:
    """Switch a connection on or off; one that is off is unknown to senders. Returns False if there is none."""
    query = "UPDATE connections SET active = $2 WHERE connection_id = $1"
    return await connection.execute(query, connection_id, active) == "UPDATE 1"


async def list_connections(connection: asyncpg.Connection, *, now: datetime) -> list[ConnectionInfo]:
    """All connections by program and source."""
    rows = await connection.fetch(
        """SELECT connection_id, program_id, source, platform, active, created_at,
                  (SELECT count(*) FROM connection_secrets s
                   WHERE s.connection_id = c.connection_id AND (valid_until IS NULL OR valid_until > $1)
                  ) AS secrets_valid
           FROM connections c ORDER BY program_id, source, created_at, connection_id""",
        now,
    )
    return [ConnectionInfo(**row) for row in rows]


async def find_connection(connection: asyncpg.Connection, connection_id: str, *, now: datetime) -> Connection | None:
    """An active connection with its valid secrets; None if there is none."""
    row = await connection.fetchrow(
        """SELECT program_id, source, platform,
                  array(SELECT secret FROM connection_secrets s
                        WHERE s.connection_id = c.connection_id AND (valid_until IS NULL OR valid_until > $2)
                        ORDER BY secret_id DESC) AS secrets
           FROM connections c WHERE connection_id = $1 AND active""",
        connection_id, now,
    )  # fmt: skip
    if row is None:
        return None
    valid = tuple(secret.encode() for secret in row["secrets"])
    return Connection(connection_id, row["program_id"], row["source"], row["platform"], valid)
