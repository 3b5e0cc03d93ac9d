"""Activities: claimed by their content when they are told, published when they are read, undone once."""

from collections.abc import Sequence

import asyncpg

from contracts.activities import ActivityFacts
from contracts.commerce import ActivityReport
from contracts.ids import derived_id
from shared.transaction import Transaction

from ..domain.activity import content_of
from .world import ActivityRow, Fact, SourceKey, columns

LOST = bytes(32)
"""In place of a hash after a restore: no topic holds the report, so whatever is told again counts as the same."""


async def claim_activity(
    connection: asyncpg.Connection, program_id: str, source: str, activity_id: str, content_sha256: bytes
) -> bytes:
    """Say what an activity is, once. Returns the hash of what was said first."""
    key = (program_id, source, activity_id)
    await connection.execute(
        """INSERT INTO activities (program_id, source, activity_id, content_sha256) VALUES ($1, $2, $3, $4)
           ON CONFLICT (program_id, source, activity_id) DO UPDATE SET content_sha256 = excluded.content_sha256
               WHERE activities.content_sha256 = $5""",
        *key, content_sha256, LOST,
    )  # fmt: skip
    query = "SELECT content_sha256 FROM activities WHERE program_id = $1 AND source = $2 AND activity_id = $3"
    known: bytes = await connection.fetchval(query, *key)
    return known


async def is_revocable(connection: asyncpg.Connection, program_id: str, source: str, activity_id: str) -> bool:
    """Whether an activity was told, and what it was is kept or still to be read: then its id is enough to undo it."""
    found: bool = await connection.fetchval(
        """SELECT EXISTS (SELECT FROM activities
               WHERE program_id = $1 AND source = $2 AND activity_id = $3
                   AND (member_id IS NULL OR facts IS NOT NULL))""",
        program_id, source, activity_id,
    )  # fmt: skip
    return found


async def lock_activities(connection: asyncpg.Connection, facts: Sequence[Fact]) -> dict[SourceKey, ActivityRow]:
    """The activities that facts are about. Those undone that nobody told are not among them.

    Those told are made first, which locks none that is there: all are locked by one statement, in their order.
    """
    first: dict[SourceKey, bytes] = {}
    for fact in facts:
        if isinstance(fact.report, ActivityReport) and (key := fact.activity_key):
            first.setdefault(key, content_of(fact.report))
    told = sorted(first)
    await connection.execute(
        """INSERT INTO activities (program_id, source, activity_id, content_sha256)
           SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[]) ORDER BY 1, 2, 3
           ON CONFLICT DO NOTHING""",
        *columns(told), [first[key] for key in told],
    )  # fmt: skip
    rows = await connection.fetch(
        """SELECT a.* FROM activities a
           JOIN unnest($1::text[], $2::text[], $3::text[]) n(program_id, source, activity_id)
               USING (program_id, source, activity_id)
           ORDER BY a.program_id, a.source, a.activity_id FOR UPDATE OF a""",
        *columns(sorted({key for fact in facts if (key := fact.activity_key)})),
    )
    activities = {activity.key: activity for activity in map(_activity_row, rows)}
    for key in told:
        if activities[key].content == LOST:
            activities[key].content, activities[key].changed = first[key], True
    return activities


def _activity_row(row: asyncpg.Record) -> ActivityRow:
    return ActivityRow(
        (row["program_id"], row["source"], row["activity_id"]),
        row["content_sha256"],
        row["member_id"],
        row["member_id"] is not None,
        row["revoked_at"],
        None if row["facts"] is None else ActivityFacts.model_validate_json(row["facts"]),
    )


def publish_activities(tx: Transaction, activities: Sequence[ActivityRow]) -> None:
    """Send what became of them."""
    for activity in activities:
        for event, cause in activity.events:
            event_id = derived_id(event.recorded_at, "activity", *activity.key, event.revision)
            tx.publish(event, id=event_id, time=event.revoked_at or event.occurred_at, cause=cause)


async def save_activities(connection: asyncpg.Connection, activities: Sequence[ActivityRow]) -> None:
    """Write those that changed."""
    await connection.execute(
        """UPDATE activities a SET content_sha256 = n.content_sha256, member_id = n.member_id,
               revoked_at = n.revoked_at, facts = n.facts
           FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[], $5::uuid[], $6::timestamptz[], $7::bytea[])
               n(program_id, source, activity_id, content_sha256, member_id, revoked_at, facts)
           WHERE (a.program_id, a.source, a.activity_id) = (n.program_id, n.source, n.activity_id)""",
        *columns(activity.key for activity in activities),
        [activity.content for activity in activities],
        [activity.member_id for activity in activities],
        [activity.revoked_at for activity in activities],
        [activity.facts.model_dump_json().encode() if activity.facts else None for activity in activities],
    )
