"""What was announced: taken over after a restore, and read to be sent again when Kafka has lost it."""

from collections.abc import Sequence
from uuid import UUID

import asyncpg

from contracts.referrals import ReferralCodeAssignedV1, ReferralConfirmedV1, ReferralEvent
from shared.transaction import Transaction

from ..domain.judging import read_announced


async def adopt_codes(tx: Transaction, partitions: Sequence[int], events: Sequence[ReferralCodeAssignedV1]) -> None:
    """Members have the codes that were told; who has one keeps it."""
    await tx.connection.execute(
        """INSERT INTO members (member_id, program_id, partition, code, code_assigned_at)
           SELECT * FROM unnest($1::uuid[], $2::text[], $3::int[], $4::text[], $5::timestamptz[]) n ORDER BY 1
           ON CONFLICT (member_id) DO UPDATE SET code = excluded.code, code_assigned_at = excluded.code_assigned_at
               WHERE members.code IS NULL""",
        [event.member_id for event in events],
        [event.program_id for event in events],
        partitions,
        [event.code for event in events],
        [event.assigned_at for event in events],
    )


async def adopt_referrals(tx: Transaction, partition: int, event: ReferralEvent) -> None:
    """A referral is as it was told to the friend, if that is newer; the friend is judged again when all is read.

    All news of a friend's referrals are told to the friend, in their order. What advocates are told lies elsewhere, and
    may be read before it: two of a friend's referrals would seem confirmed at a time.
    """
    connection = tx.connection
    await _add_parties(connection, partition, event)
    if event.role != "friend":
        return
    await connection.execute("UPDATE members SET adopted_at = $2 WHERE member_id = $1", event.friend_id, tx.now)
    verdict, (told, told_reason) = read_announced(event)
    order_minor = event.order_minor if isinstance(event, ReferralConfirmedV1) else 0
    await connection.execute(
        """INSERT INTO referrals (referral_id, program_id, friend_id, advocate_id, source, order_id, state, reason,
               told, told_reason, version, order_revision, order_minor, placed_at, changed_at)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
           ON CONFLICT (referral_id) DO UPDATE SET state = excluded.state, reason = excluded.reason,
               told = excluded.told, told_reason = excluded.told_reason,
               version = excluded.version, order_revision = excluded.order_revision,
               order_minor = coalesce(nullif(excluded.order_minor, 0), referrals.order_minor),
               changed_at = excluded.changed_at
           WHERE referrals.version < excluded.version""",
        event.referral_id, event.program_id, event.friend_id, event.advocate_id, event.source, event.order_id,
        verdict.state, verdict.reason, told, told_reason, event.version, event.order_revision, order_minor,
        event.placed_at, event.occurred_at,
    )  # fmt: skip


async def _add_parties(connection: asyncpg.Connection, partition: int, event: ReferralEvent) -> None:
    """The other party gets this partition for now: the first event of their own sets it right."""
    for member_id in sorted({event.friend_id, event.advocate_id}):
        await connection.execute(
            """INSERT INTO members (member_id, program_id, partition) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING""",
            member_id, event.program_id, partition,
        )  # fmt: skip


async def read_codes(tx: Transaction, after: UUID | None, limit: int) -> list[ReferralCodeAssignedV1]:
    """Codes of members with a greater id, in the order of ids; their rows are locked."""
    rows = await tx.connection.fetch(
        """SELECT member_id, program_id, code, code_assigned_at AS assigned_at FROM members
           WHERE code IS NOT NULL AND ($1::uuid IS NULL OR member_id > $1) ORDER BY member_id LIMIT $2 FOR UPDATE""",
        after,
        limit,
    )
    tx.mark_locked(row["member_id"] for row in rows)
    return [ReferralCodeAssignedV1(**dict(row)) for row in rows]


async def read_referrals(tx: Transaction, after: UUID | None, limit: int) -> list[asyncpg.Record]:
    """Referrals that were announced, with a greater id; both parties of each are locked."""
    rows = await tx.connection.fetch(
        """SELECT * FROM referrals WHERE version > 0 AND ($1::uuid IS NULL OR referral_id > $1)
           ORDER BY referral_id LIMIT $2""",
        after,
        limit,
    )
    parties = sorted({row[name] for row in rows for name in ("friend_id", "advocate_id")})
    await tx.connection.execute(
        "SELECT 1 FROM members WHERE member_id = ANY($1::uuid[]) ORDER BY member_id FOR UPDATE", parties
    )
    tx.mark_locked(parties)
    # Again, now that nobody changes them.
    return await tx.connection.fetch(
        "SELECT * FROM referrals WHERE referral_id = ANY($1::uuid[]) ORDER BY referral_id",
        [row["referral_id"] for row in rows],
    )
