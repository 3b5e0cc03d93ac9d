"""Raw deliveries: kept before anything is answered, read later, shown and read again on demand."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import asyncpg

from ..domain.masking import masked

Status = Literal["received", "processed", "quarantined"]


@dataclass(frozen=True, slots=True)
class NewDelivery:
    """What is stored of a request."""

    program_id: str
    source: str
    connection_id: str | None
    platform: str
    topic: str
    webhook_id: str | None
    headers: Mapping[str, str]
    body: bytes
    body_sha256: bytes
    traceparent: str | None
    received_at: datetime


@dataclass(frozen=True, slots=True)
class Delivery:
    """A delivery to be read."""

    delivery_id: int
    program_id: str
    source: str
    platform: str
    topic: str
    body: bytes
    traceparent: str | None
    received_at: datetime


@dataclass(frozen=True, slots=True)
class DeliveryInfo:
    """A delivery as people see it, without its body. `reason`: why it is in quarantine."""

    delivery_id: int
    program_id: str
    source: str
    connection_id: str | None
    platform: str
    topic: str
    body_bytes: int
    received_at: datetime
    status: Status
    reason: str | None
    processed_at: datetime | None


_READ = "delivery_id, program_id, source, platform, topic, body, traceparent, received_at"
_INFO = """delivery_id, program_id, source, connection_id, platform, topic, body_bytes, received_at, status, reason,
    processed_at"""


async def insert_deliveries(connection: asyncpg.Connection, deliveries: Sequence[NewDelivery]) -> list[int]:
    """Keep deliveries, in one statement. Returns the ids of those whose body and webhook id were not kept before."""
    columns = zip(*(_fields(item) for item in deliveries), strict=True)
    rows = await connection.fetch(
        """INSERT INTO deliveries (program_id, source, connection_id, platform, topic, webhook_id, headers, body,
                                   body_sha256, traceparent, received_at)
           SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::jsonb[],
                                $8::bytea[], $9::bytea[], $10::text[], $11::timestamptz[])
           ORDER BY 3, 6, 9  -- so that two instances that take the same ones in wait for each other
           ON CONFLICT DO NOTHING RETURNING delivery_id""",
        *(list(column) for column in columns),
    )
    return [row["delivery_id"] for row in rows]


def _fields(delivery: NewDelivery) -> tuple[object, ...]:
    return (
        delivery.program_id, delivery.source, delivery.connection_id, delivery.platform, delivery.topic,
        delivery.webhook_id, json.dumps(dict(delivery.headers)), delivery.body, delivery.body_sha256,
        delivery.traceparent, delivery.received_at,
    )  # fmt: skip


async def take_received(connection: asyncpg.Connection, *, limit: int, bytes_max: int) -> list[Delivery]:
    """Lock the oldest unread deliveries that nobody else reads: at most so many, and so many bytes unless it is one."""
    rows = await connection.fetch(
        """SELECT delivery_id, body_bytes FROM deliveries WHERE status = 'received'
           ORDER BY delivery_id LIMIT $1 FOR UPDATE SKIP LOCKED""",
        limit,
    )
    ids: list[int] = []
    size = 0
    for row in rows:
        size += row["body_bytes"]
        if ids and size > bytes_max:
            break
        ids.append(row["delivery_id"])
    query = f"SELECT {_READ} FROM deliveries WHERE delivery_id = ANY($1::bigint[]) ORDER BY delivery_id"
    return [Delivery(**row) for row in await connection.fetch(query, ids)]


async def received_ids(connection: asyncpg.Connection, *, limit: int) -> list[int]:
    """The oldest unread deliveries."""
    query = "SELECT delivery_id FROM deliveries WHERE status = 'received' ORDER BY delivery_id LIMIT $1"
    return [row["delivery_id"] for row in await connection.fetch(query, limit)]


async def take_delivery(connection: asyncpg.Connection, delivery_id: int) -> Delivery | None:
    """Lock one delivery; None if it was read meanwhile, or is being read."""
    row = await connection.fetchrow(
        f"SELECT {_READ} FROM deliveries WHERE delivery_id = $1 AND status = 'received' FOR UPDATE SKIP LOCKED",
        delivery_id,
    )
    return None if row is None else Delivery(**row)


async def finish_deliveries(
    connection: asyncpg.Connection, ids: Sequence[int], reasons: Mapping[int, str], *, now: datetime
) -> None:
    """Mark deliveries as read; those with a reason go to quarantine."""
    await connection.execute(
        """UPDATE deliveries d SET processed_at = $3, reason = done.reason,
                  status = CASE WHEN done.reason IS NULL THEN 'processed' ELSE 'quarantined' END
           FROM unnest($1::bigint[], $2::text[]) AS done(delivery_id, reason)
           WHERE d.delivery_id = done.delivery_id""",
        list(ids), [reasons.get(delivery_id) for delivery_id in ids], now,
    )  # fmt: skip


async def purge_deliveries(connection: asyncpg.Connection, *, before: datetime, limit: int) -> int:
    """Forget what was received before that moment and has been read or set aside. Returns how many."""
    status = await connection.execute(
        """DELETE FROM deliveries WHERE delivery_id IN (
               SELECT delivery_id FROM deliveries WHERE received_at < $1 AND status <> 'received'
               ORDER BY received_at LIMIT $2 FOR UPDATE SKIP LOCKED)""",
        before, limit,
    )  # fmt: skip
    return int(status.split()[1])


_FILTER = """($1::text IS NULL OR status = $1) AND ($2::text IS NULL OR program_id = $2)
    AND ($3::text IS NULL OR source = $3) AND ($4::text IS NULL OR topic = $4)
    AND ($5::timestamptz IS NULL OR received_at >= $5)"""


async def list_deliveries(
    connection: asyncpg.Connection,
    *,
    status: Status | None = None,
    program_id: str | None = None,
    source: str | None = None,
    topic: str | None = None,
    since: datetime | None = None,
    before_id: int | None = None,
    limit: int = 50,
) -> list[DeliveryInfo]:
    """Deliveries, newest first; `before_id` pages on."""
    rows = await connection.fetch(
        f"""SELECT {_INFO} FROM deliveries WHERE {_FILTER} AND ($6::bigint IS NULL OR delivery_id < $6)
            ORDER BY delivery_id DESC LIMIT $7""",
        status, program_id, source, topic, since, before_id, limit,
    )  # fmt: skip
    return [DeliveryInfo(**row) for row in rows]


async def show_delivery(
    connection: asyncpg.Connection, delivery_id: int, *, clear: bool = False
) -> tuple[DeliveryInfo, str] | None:
    """A delivery and its body as text: personal data masked unless `clear`. None if there is none."""
    row = await connection.fetchrow(f"SELECT {_INFO}, body FROM deliveries WHERE delivery_id = $1", delivery_id)
    if row is None:
        return None
    fields = dict(row)
    body: bytes = fields.pop("body")
    return DeliveryInfo(**fields), body.decode("utf-8", "backslashreplace") if clear else masked(body)


async def reparse(
    connection: asyncpg.Connection,
    *,
    delivery_ids: Sequence[int] | None = None,
    program_id: str | None = None,
    source: str | None = None,
    topic: str | None = None,
    since: datetime | None = None,
) -> int:
    """Have deliveries read again: those named, whatever became of them, or all in quarantine that match. How many."""
    if delivery_ids is not None:
        status = await connection.execute(
            """UPDATE deliveries SET status = 'received', reason = NULL, processed_at = NULL
               WHERE delivery_id = ANY($1::bigint[]) AND status <> 'received'""",
            list(delivery_ids),
        )
    else:
        status = await connection.execute(
            f"UPDATE deliveries SET status = 'received', reason = NULL, processed_at = NULL WHERE {_FILTER}",
            "quarantined", program_id, source, topic, since,
        )  # fmt: skip
    return int(status.split()[1])
