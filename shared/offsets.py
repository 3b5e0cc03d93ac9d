"""What was consumed, kept in the service's own database and moved in the batch's own transaction."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import asyncpg
from aiokafka import TopicPartition


@dataclass(frozen=True, slots=True)
class Stored:
    """A partition's row."""

    position: int
    """The offset of the next record to consume."""
    cluster_id: str
    record_at: datetime | None
    """Kafka's time of the last record consumed."""
    stopped_why: str | None


async def lock(connection: asyncpg.Connection, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, Stored]:
    """Lock the rows, sorted; the first statement of every batch and sweep."""
    wanted = sorted(partitions)
    rows = await connection.fetch(
        """SELECT topic, partition, position, cluster_id, record_at, stopped_why FROM consumer_offsets
           WHERE (topic, partition) IN (SELECT * FROM unnest($1::text[], $2::int[]))
           ORDER BY topic, partition FOR UPDATE""",
        [item.topic for item in wanted],
        [item.partition for item in wanted],
    )
    return {TopicPartition(row["topic"], row["partition"]): Stored(*row[2:]) for row in rows}


async def move(connection: asyncpg.Connection, positions: dict[TopicPartition, tuple[int, int, datetime]]) -> None:
    """Compare and swap: partition → (expected position, new position, time of the last record). All rows are locked.

    Raises RuntimeError if a row is not where it was expected; the caller checked that under the lock.
    """
    wanted = sorted(positions)
    done = await connection.execute(
        """UPDATE consumer_offsets AS o SET position = m.new, record_at = m.record_at, updated_at = now()
           FROM unnest($1::text[], $2::int[], $3::bigint[], $4::bigint[], $5::timestamptz[])
                AS m(topic, partition, expected, new, record_at)
           WHERE o.topic = m.topic AND o.partition = m.partition AND o.position = m.expected""",
        [item.topic for item in wanted],
        [item.partition for item in wanted],
        [positions[item][0] for item in wanted],
        [positions[item][1] for item in wanted],
        [positions[item][2] for item in wanted],
    )
    if done != f"UPDATE {len(wanted)}":
        raise RuntimeError(f"{done} of {len(wanted)} offsets: a row moved although it was locked")


async def positions(connection: asyncpg.Connection, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
    """Where the rows stand, without a lock; to be read before Kafka is asked for the bounds of `settle`."""
    wanted = sorted(partitions)
    rows = await connection.fetch(
        """SELECT topic, partition, position FROM consumer_offsets
           WHERE (topic, partition) IN (SELECT * FROM unnest($1::text[], $2::int[]))""",
        [item.topic for item in wanted],
        [item.partition for item in wanted],
    )
    return {TopicPartition(row["topic"], row["partition"]): row["position"] for row in rows}


async def settle(
    connection: asyncpg.Connection,
    cluster_id: str,
    bounds: dict[TopicPartition, tuple[int, int]],
    before: dict[TopicPartition, int],
) -> dict[TopicPartition, Stored]:
    """At assignment: partition → (begin, end) offsets in Kafka. A partition never seen starts at its begin.

    `before`: the `positions` from before the bounds were asked for. The rows may be beyond those ends without any loss:
    another process, which had the partition until now, has consumed what came since.

    One that cannot go on without losing events is marked as stopped, with the reason in `stopped_why`.
    """
    async with connection.transaction():
        for item, (begin, _) in sorted(bounds.items()):
            await connection.execute(
                """INSERT INTO consumer_offsets (topic, partition, position, cluster_id) VALUES ($1, $2, $3, $4)
                   ON CONFLICT DO NOTHING""",
                item.topic, item.partition, begin, cluster_id,
            )  # fmt: skip
        stored = await lock(connection, bounds)
        for item, row in stored.items():
            why = _why_stopped(row, cluster_id, *bounds[item], before.get(item, 0))
            if why != row.stopped_why:
                await connection.execute(
                    "UPDATE consumer_offsets SET stopped_why = $3 WHERE topic = $1 AND partition = $2",
                    item.topic, item.partition, why,
                )  # fmt: skip
                stored[item] = Stored(row.position, row.cluster_id, row.record_at, why)
    return stored


def _why_stopped(row: Stored, cluster_id: str, begin: int, end: int, before: int) -> str | None:
    if row.cluster_id != cluster_id:
        return f"this is Kafka cluster {cluster_id}, the stored offset belongs to {row.cluster_id}"
    if row.position < begin:
        return f"{begin - row.position} records from offset {row.position} are gone from Kafka, which begins at {begin}"
    if before > end:
        return f"the stored offset {before} is beyond Kafka's end {end}: the topic was made anew or lost records"
    return None


async def accept(
    connection: asyncpg.Connection, item: TopicPartition, *, before: int, position: int, cluster_id: str, actor: str
) -> None:
    """Go on at `position` of this cluster, by an operator's word; written to the audit log.

    Raises LookupError for a partition that is not stopped at `before` any more: somebody else let it go on.
    """
    async with connection.transaction():
        row = (await lock(connection, [item])).get(item)
        if row is None or row.stopped_why is None or row.position != before:
            raise LookupError(f"{item.topic}-{item.partition} is not stopped at {before} any more")
        await connection.execute(
            """UPDATE consumer_offsets SET position = $3, cluster_id = $4, stopped_why = NULL, updated_at = now()
               WHERE topic = $1 AND partition = $2""",
            item.topic, item.partition, position, cluster_id,
        )  # fmt: skip
        await connection.execute(
            "INSERT INTO audit_log (actor, action, subject, detail) VALUES ($1, 'offsets.accept', $2, $3)",
            actor, f"{item.topic}-{item.partition}",
            f"{before} -> {position}: {row.stopped_why}",
        )  # fmt: skip


async def show(connection: asyncpg.Connection) -> list[asyncpg.Record]:
    """All rows, for people."""
    return await connection.fetch("SELECT * FROM consumer_offsets ORDER BY topic, partition")
