"""How far a service's own topics were published, as its database knows it."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import asyncpg

_WAITING_MAX = 100_000


class Restored(Exception):
    """The database was put back to an earlier state under a running process, which must start anew."""


async def positions(connection: asyncpg.Connection, *, lock: bool = False) -> dict[tuple[str, int], tuple[int, str]]:
    """(topic, partition) → (offset after the last record that was acknowledged, cluster id)."""
    locked = " ORDER BY topic, partition FOR UPDATE" if lock else ""
    rows = await connection.fetch(f"SELECT topic, partition, position, cluster_id FROM published{locked}")
    return {(row["topic"], row["partition"]): (row["position"], row["cluster_id"]) for row in rows}


async def sent(
    connection: asyncpg.Connection, ids: Sequence[int], ends: Mapping[tuple[str, int], int], cluster_id: str
) -> None:
    """Delete acknowledged outbox rows and keep how far their partitions were published, in one statement."""
    wanted = sorted(ends)
    await connection.execute(
        """WITH gone AS (DELETE FROM outbox WHERE id = ANY($1::bigint[]))
           INSERT INTO published (topic, partition, position, cluster_id)
           SELECT t, p, e, $5 FROM unnest($2::text[], $3::int[], $4::bigint[]) AS r (t, p, e)
           ON CONFLICT (topic, partition) DO UPDATE
           SET position = excluded.position, cluster_id = excluded.cluster_id""",
        ids, [item[0] for item in wanted], [item[1] for item in wanted], [ends[item] for item in wanted], cluster_id,
    )  # fmt: skip


async def accept(
    connection: asyncpg.Connection, lost: Mapping[tuple[str, int], tuple[int, int]], *, cluster_id: str, actor: str
) -> None:
    """Give up what was published in these parts of partitions, by an operator's word; written to the audit log."""
    async with connection.transaction():
        for (topic, number), (first, end) in sorted(lost.items()):
            await sent(connection, [], {(topic, number): end}, cluster_id)
            await connection.execute(
                "INSERT INTO audit_log (actor, action, subject, detail) VALUES ($1, 'published.accept', $2, $3)",
                actor, f"{topic}-{number}", f"{first} -> {end}",
            )  # fmt: skip


async def superseded(connection: asyncpg.Connection, topic: str, at: Mapping[bytes, datetime]) -> None:
    """Delete outbox rows of keys of which something newer is on the topic: of a compacted one the last record stays.

    `at`: when that was published, by key.
    """
    await connection.execute(
        """DELETE FROM outbox o USING unnest($2::bytea[], $3::timestamptz[]) AS n (key, at)
           WHERE o.topic = $1 AND o.key = n.key AND o.created_at < n.at""",
        topic, list(at), list(at.values()),
    )  # fmt: skip


async def waiting(connection: asyncpg.Connection) -> list[asyncpg.Record]:
    """Id and headers of the outbox rows that are sent next."""
    return await connection.fetch("SELECT id, headers FROM outbox ORDER BY id LIMIT $1", _WAITING_MAX)
