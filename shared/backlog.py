"""What waits in a service's database: unsent events, dead letters, an open breaker. For people and checks."""

from dataclasses import dataclass
from datetime import datetime

import asyncpg


@dataclass(frozen=True, slots=True)
class Backlog:
    """At one moment."""

    outbox_rows: int
    outbox_seconds: float
    """Age of the oldest unsent event."""
    letters: dict[str, int]
    """Open dead letters by error class."""
    breaker: str | None
    """Why it is open."""
    at: datetime
    """By the database's clock."""


async def read(connection: asyncpg.Connection) -> Backlog:
    """The backlog of a service."""
    outbox = await connection.fetchrow(
        """SELECT count(*) AS rows, coalesce(extract(epoch FROM now() - min(created_at)), 0)::float AS seconds,
                  now() AS at
           FROM (SELECT created_at FROM outbox ORDER BY id LIMIT 100000) AS oldest"""
    )
    assert outbox is not None, "an aggregate always has a row"
    letters = await connection.fetch(
        """SELECT error_class, count(*) AS count FROM dead_letters WHERE state IN ('open', 'replaying')
           GROUP BY error_class ORDER BY error_class"""
    )
    why = await connection.fetchval("SELECT why FROM breaker")
    by_class = {row["error_class"]: row["count"] for row in letters}
    return Backlog(outbox["rows"], outbox["seconds"], by_class, why, outbox["at"])


async def last(connection: asyncpg.Connection) -> int:
    """The number of the last event in the outbox."""
    found: int = await connection.fetchval("SELECT coalesce(max(id), 0) FROM outbox")
    return found


async def up_to(connection: asyncpg.Connection, *, last: int) -> int:
    """How many events up to that number wait."""
    rows: int = await connection.fetchval("SELECT count(*) FROM outbox WHERE id <= $1", last)
    return rows
