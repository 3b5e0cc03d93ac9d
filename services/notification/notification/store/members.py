"""What members see of their messages, and whether they want them."""

from datetime import datetime
from uuid import UUID

import asyncpg


async def preferences(connection: asyncpg.Connection, program_id: str, member_id: UUID) -> asyncpg.Record | None:
    """`opted_out_at` of the member, or None if the program has no such member."""
    return await connection.fetchrow(
        "SELECT opted_out_at FROM members WHERE member_id = $1 AND program_id = $2", member_id, program_id
    )


async def recipient(connection: asyncpg.Connection, member_id: UUID) -> asyncpg.Record | None:
    """`program_id`, `locale` and `opted_out_at` of a member, or None."""
    return await connection.fetchrow(
        "SELECT program_id, locale, opted_out_at FROM members WHERE member_id = $1", member_id
    )


async def set_email(connection: asyncpg.Connection, member_id: UUID, *, wanted: bool, now: datetime) -> None:
    """Opt in or out. An opt-out keeps its first moment."""
    await connection.execute(
        """UPDATE members SET opted_out_at = CASE WHEN $2 THEN NULL ELSE coalesce(opted_out_at, $3) END
           WHERE member_id = $1""",
        member_id,
        wanted,
        now,
    )


async def messages(
    connection: asyncpg.Connection, program_id: str, member_id: UUID, *, before: UUID | None, limit: int
) -> list[asyncpg.Record]:
    """The member's messages, newest cause first: ids are in time order."""
    return await connection.fetch(
        """SELECT message_id, event_id, channel, template, state, reason, locale, attempts, created_at, finished_at
           FROM messages WHERE member_id = $1 AND program_id = $2 AND ($3::uuid IS NULL OR message_id < $3)
           ORDER BY message_id DESC LIMIT $4""",
        member_id,
        program_id,
        before,
        limit,
    )
