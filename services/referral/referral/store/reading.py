"""What a member may see."""

from uuid import UUID

import asyncpg


async def find_member(connection: asyncpg.Connection, program_id: str, member_id: UUID) -> asyncpg.Record | None:
    """Code and since when; None when the program has no such member."""
    return await connection.fetchrow(
        """SELECT code, code_assigned_at FROM members
           WHERE member_id = $1 AND program_id = $2 AND status IS DISTINCT FROM 'erased'""",
        member_id,
        program_id,
    )


async def counts(connection: asyncpg.Connection, advocate_id: UUID) -> dict[str, int]:
    """Friends by state; one who was brought counts as confirmed, whatever else they ordered."""
    rows = await connection.fetch(
        """SELECT state, count(*) FROM (
               SELECT DISTINCT ON (friend_id) state FROM referrals
               WHERE advocate_id = $1 AND friend_id <> $1
               ORDER BY friend_id, array_position(ARRAY['confirmed', 'unqualified', 'rejected'], state)) f
           GROUP BY state""",
        advocate_id,
    )
    return {row["state"]: row["count"] for row in rows}


async def brought(
    connection: asyncpg.Connection, advocate_id: UUID, *, before: UUID | None, limit: int
) -> list[asyncpg.Record]:
    """Referrals of an advocate with an id below `before`, the latest orders first."""
    return await connection.fetch(
        """SELECT referral_id, state, reason, placed_at, changed_at FROM referrals
           WHERE advocate_id = $1 AND friend_id <> $1 AND ($2::uuid IS NULL OR referral_id < $2)
           ORDER BY referral_id DESC LIMIT $3""",
        advocate_id,
        before,
        limit,
    )


async def as_friend(connection: asyncpg.Connection, friend_id: UUID) -> asyncpg.Record | None:
    """The referral by which somebody was brought; else the last that did not count."""
    return await connection.fetchrow(
        """SELECT referral_id, state, reason, placed_at, changed_at FROM referrals WHERE friend_id = $1
           ORDER BY state = 'confirmed' DESC, referral_id DESC LIMIT 1""",
        friend_id,
    )
