"""What was announced last, to be sent again when Kafka has lost it."""

from uuid import UUID

from pydantic import TypeAdapter

from contracts.tiers import MembershipInterval, StandingChangedV1, StandingInterval
from shared.transaction import Transaction

_INTERVALS = TypeAdapter(tuple[StandingInterval, ...])
_MEMBERSHIPS = TypeAdapter(tuple[MembershipInterval, ...])


async def read_announced(tx: Transaction, after: UUID | None, limit: int) -> list[StandingChangedV1]:
    """The last announcements of members with a greater id than `after`, in the order of ids; their rows are locked."""
    rows = await tx.connection.fetch(
        """SELECT m.member_id, m.program_id, m.version, m.intervals, m.memberships, c.change, c.from_tier_id,
               c.to_tier_id, c.tier_points, c.occurred_at, c.recorded_at
           FROM members m JOIN standing_changes c USING (member_id, version)
           WHERE $1::uuid IS NULL OR m.member_id > $1 ORDER BY m.member_id LIMIT $2 FOR UPDATE OF m""",
        after,
        limit,
    )
    tx.mark_locked(row["member_id"] for row in rows)
    return [
        StandingChangedV1(
            **dict(row)
            | {
                "intervals": _INTERVALS.validate_json(row["intervals"]),
                "memberships": _MEMBERSHIPS.validate_json(row["memberships"]),
            }
        )
        for row in rows
    ]
