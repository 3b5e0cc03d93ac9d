"""Events that could not be read or applied: kept with their original bytes, until somebody replays or discards them."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import asyncpg
from aiokafka import ConsumerRecord

from contracts.topics import RECORD_BYTES_MAX

from .outbox import Row
from .sending import pack_headers
from .transaction import Transaction

UNKNOWN_TYPE = "UnknownType"
"""A newer producer during an upgrade: to be replayed after it, and not counted by the breaker."""
_ERROR_CHARS_MAX = 2000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECONDS_MAX = 7_258_118_400_000


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a record was set aside."""

    error_class: str
    error: str
    event_type: str | None = None


async def add(tx: Transaction, cluster_id: str, record: ConsumerRecord, failure: Failure, *, attempts: int = 1) -> bool:
    """Set a record aside in this transaction, with a copy for its `.dlq` topic. Returns False if it already was."""
    added = await tx.connection.fetchval(
        """INSERT INTO dead_letters (topic, partition, "offset", cluster_id, key, value, headers, record_at, event_type,
                                     error_class, error, attempts)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
           ON CONFLICT (cluster_id, topic, partition, "offset") DO NOTHING RETURNING id""",
        record.topic, record.partition, record.offset, cluster_id, record.key, record.value,
        pack_headers(list(record.headers)), record_time(record), failure.event_type,
        failure.error_class, failure.error[:_ERROR_CHARS_MAX], attempts,
    )  # fmt: skip
    if added is None:
        return False
    origin = f"{record.topic}/{record.partition}/{record.offset}"
    headers = [(name, raw) for name, raw in record.headers if raw is not None]
    headers += [("laurel_origin", origin.encode()), ("laurel_error_class", failure.error_class.encode())]
    key, value = record.key or b"", record.value
    if sum(len(part or b"") for part in (key, value, pack_headers(headers))) > RECORD_BYTES_MAX - 4096:
        # The broker would refuse it and block all that follows; the table has the bytes.
        key, value, headers = b"", None, [*headers[-2:], ("laurel_left_out", b"too large, see dead_letters")]
    tx.add(Row(f"{record.topic}.{tx.service}.dlq", key, value, headers))
    return True


def record_time(record: ConsumerRecord) -> datetime:
    """Kafka's time of the record: that of its publishing."""
    # Brokers take any number; what is no date of ours must not stop the partition.
    return _EPOCH + timedelta(milliseconds=min(max(record.timestamp, 0), _MILLISECONDS_MAX))


@dataclass(frozen=True)
class Selection:
    """Dead letters that meet all conditions; None asks for nothing."""

    states: tuple[str, ...] = ("open",)
    ids: tuple[int, ...] | None = None
    topic: str | None = None
    error_class: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def parameters(self) -> tuple[object, ...]:
        """Those of `_SELECTED`."""
        return self.states, self.ids, self.topic, self.error_class, self.since, self.until


_SELECTED = """
    FROM dead_letters
    WHERE state = ANY($1::text[]) AND ($2::bigint[] IS NULL OR id = ANY($2)) AND ($3::text IS NULL OR topic = $3)
      AND ($4::text IS NULL OR error_class = $4) AND ($5::timestamptz IS NULL OR created_at >= $5)
      AND ($6::timestamptz IS NULL OR created_at < $6)
    ORDER BY id
"""


async def find(connection: asyncpg.Connection, selection: Selection, *, limit: int) -> list[asyncpg.Record]:
    """The oldest of a selection, whole."""
    return await connection.fetch(f"SELECT * {_SELECTED} LIMIT $7", *selection.parameters(), limit)


async def numbers(connection: asyncpg.Connection, selection: Selection) -> list[int]:
    """The ids of a whole selection, oldest first."""
    return [row["id"] for row in await connection.fetch(f"SELECT id {_SELECTED}", *selection.parameters())]


async def mark(
    connection: asyncpg.Connection, ids: list[int], *, state: str, actor: str, reason: str = ""
) -> list[int]:
    """Ask for a replay of open letters (`replaying`), or discard some that are open or replayed in vain, audited.

    Returns those that were.
    """
    async with connection.transaction():
        rows = await connection.fetch(
            """UPDATE dead_letters SET state = $2, resolved_at = CASE WHEN $2 = 'discarded' THEN now() END
               WHERE id = ANY($1::bigint[]) AND (state = 'open' OR state = 'replaying' AND $2 = 'discarded')
               RETURNING id""",
            sorted(ids), state,
        )  # fmt: skip
        done = sorted(row["id"] for row in rows)
        await connection.executemany(
            "INSERT INTO audit_log (actor, action, subject, detail) VALUES ($1, $2, $3, $4)",
            [(actor, f"dlq.{state}", f"dead letter {number}", reason) for number in done],
        )
    return done
