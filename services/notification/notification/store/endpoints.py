"""Webhook endpoints and their secrets. The command line calls these with a connection of its own."""

import base64
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

import asyncpg

from shared.transaction import Transaction

OVERLAP = timedelta(hours=24)
"""So long an old secret still signs after a rotation."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where to send, and the secrets that sign now, newest first."""

    url: str
    secrets: list[str]


def new_secret() -> str:
    """A signing secret in the form of Standard Webhooks: `whsec_` and 32 random bytes in base64."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


async def set_endpoint(connection: asyncpg.Connection, program_id: str, url: str, *, now: datetime) -> str | None:
    """Make or move the program's endpoint, enabled. Returns the secret of a new one; a moved one keeps its own."""
    async with connection.transaction():
        await _send_again(connection, program_id, now)
        await connection.execute(
            """INSERT INTO endpoints (program_id, url, created_at) VALUES ($1, $2, $3)
               ON CONFLICT (program_id) DO UPDATE SET url = excluded.url, enabled = true, disabled_reason = NULL,
                   paused_until = NULL""",
            program_id,
            url,
            now,
        )
        known = await connection.fetchval("SELECT true FROM endpoint_secrets WHERE program_id = $1 LIMIT 1", program_id)
        return None if known else await _add_secret(connection, program_id, now)


async def rotate(
    connection: asyncpg.Connection, program_id: str, *, now: datetime, overlap: timedelta = OVERLAP
) -> str:
    """A new secret; those before sign as well until `now + overlap`. Raises LookupError if there is no endpoint."""
    async with connection.transaction():
        if not await connection.fetchval("SELECT true FROM endpoints WHERE program_id = $1 FOR UPDATE", program_id):
            raise LookupError(f"program {program_id!r} has no webhook endpoint")
        await connection.execute(
            "DELETE FROM endpoint_secrets WHERE program_id = $1 AND expires_at <= $2", program_id, now
        )
        await connection.execute(
            "UPDATE endpoint_secrets SET expires_at = $2 WHERE program_id = $1 AND expires_at IS NULL",
            program_id,
            now + overlap,
        )
        return await _add_secret(connection, program_id, now)


async def _add_secret(connection: asyncpg.Connection, program_id: str, now: datetime) -> str:
    secret = new_secret()
    await connection.execute(
        "INSERT INTO endpoint_secrets (program_id, secret, created_at) VALUES ($1, $2, $3)", program_id, secret, now
    )
    return secret


async def list_endpoints(connection: asyncpg.Connection) -> list[asyncpg.Record]:
    """Every endpoint: `program_id`, `url`, `enabled`, `disabled_reason`, how many messages are `due`, and how many
    `failed` that can be sent again.
    """
    return await connection.fetch(
        """SELECT e.program_id, e.url, e.enabled, e.disabled_reason,
               count(*) FILTER (WHERE m.state = 'due') AS due, count(*) FILTER (WHERE m.state = 'failed') AS failed
           FROM endpoints e LEFT JOIN messages m ON m.program_id = e.program_id AND m.channel = 'webhook'
               AND m.state IN ('due', 'failed') AND m.parameters <> '{}'
           GROUP BY e.program_id ORDER BY e.program_id"""
    )


async def enable(connection: asyncpg.Connection, program_id: str, *, now: datetime) -> int:
    """Use the endpoint (again). What failed, and was not overtaken, or waits for it is tried at once; returns how many
    that are.

    The receiver knows by the `webhook-id` what it has already. Raises LookupError if there is no endpoint.
    """
    async with connection.transaction():
        count = await _send_again(connection, program_id, now)
        known = await connection.fetchval(
            """UPDATE endpoints SET enabled = true, disabled_reason = NULL, paused_until = NULL
               WHERE program_id = $1 RETURNING 1""",
            program_id,
        )
        if not known:
            raise LookupError(f"program {program_id!r} has no webhook endpoint")
        return count


async def _send_again(connection: asyncpg.Connection, program_id: str, now: datetime) -> int:
    """Messages before their endpoint, and what is due before what was given up, as everywhere: so nobody waits for one
    another. What was given up and overtaken by a later step of its coupon says nothing any more, and stays as it is.
    """
    count = 0
    for state in ("due", "failed"):
        rows = await connection.fetch(
            """UPDATE messages SET state = 'due', attempts = 0, next_attempt_at = $3, finished_at = NULL, reason = NULL
               WHERE program_id = $1 AND channel = 'webhook' AND state = $2 AND parameters <> '{}' RETURNING 1""",
            program_id,
            state,
            now,
        )
        count += len(rows)
    return count


async def accepted(tx: Transaction, program_id: str) -> None:
    """Something was accepted; to know it to the minute is enough."""
    await tx.connection.execute(
        """UPDATE endpoints SET accepted_at = $2
           WHERE program_id = $1 AND coalesce(accepted_at < $2::timestamptz - interval '1 minute', true)""",
        program_id,
        tx.now,
    )


async def pause(tx: Transaction, program_id: str, length: timedelta) -> None:
    """It said nothing: leave it alone for a moment, so that others get their turn."""
    await tx.connection.execute(
        "UPDATE endpoints SET paused_until = $2 WHERE program_id = $1", program_id, tx.now + length
    )


async def disable(tx: Transaction, program_id: str, url: str, reason: str, *, unless_accepted_since: datetime) -> None:
    """Send nothing to it until it is enabled again; messages wait. Not if it has moved, or accepted something since."""
    await tx.connection.execute(
        """UPDATE endpoints SET enabled = false, disabled_reason = $3
           WHERE program_id = $1 AND url = $2 AND enabled AND coalesce(accepted_at < $4, true)""",
        program_id,
        url,
        reason,
        unless_accepted_since,
    )


async def targets(connection: asyncpg.Connection, programs: list[str], *, now: datetime) -> dict[str, Target]:
    """By program, its endpoint."""
    rows = await connection.fetch(
        """SELECT e.program_id, e.url,
               array_agg(s.secret ORDER BY s.expires_at IS NULL DESC, s.created_at DESC) AS secrets
           FROM endpoints e JOIN endpoint_secrets s USING (program_id)
           WHERE e.program_id = ANY($1::text[]) AND (s.expires_at IS NULL OR s.expires_at > $2)
           GROUP BY e.program_id""",
        sorted(programs),
        now,
    )
    return {row["program_id"]: Target(row["url"], row["secrets"]) for row in rows}
