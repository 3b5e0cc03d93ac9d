"""Messages on their way: claimed under a lease, then finished, or put back for later."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

import asyncpg

from contracts.ids import derived_id
from contracts.notifications import (
    NotificationEvent,
    NotificationFailedV1,
    NotificationSentV1,
    NotificationSuppressedV1,
)
from shared.transaction import Cause, Transaction

from ..domain.calls import Channel


@dataclass(frozen=True, slots=True)
class Claimed:
    """A message that this process alone may send until its lease ends, with its recipient as known now."""

    message_id: UUID
    program_id: str
    member_id: UUID
    event_id: UUID
    template: str
    parameters: str
    recorded_at: datetime
    created_at: datetime
    correlation_id: str
    traceparent: str | None
    coupon_id: UUID | None
    attempts: int
    """This one counted."""
    refused_at: datetime | None
    """Since when the recipient is refused for the time being."""
    member_locale: str | None
    email: str | None
    first_name: str | None
    referral_code: str | None
    opted_out_at: datetime | None


# Of each member one after the other, and of each coupon, whoever is its member by now: one that is taken back before
# the shop has heard of it would be made after all.
_IS_NEXT = """
    NOT EXISTS (SELECT FROM messages b WHERE b.member_id = m.member_id AND b.state = 'due'
                AND b.channel = 'webhook' AND coalesce(b.number, 0) < m.number)
    AND NOT EXISTS (SELECT FROM messages b WHERE b.coupon_id = m.coupon_id AND b.state = 'due'
                    AND b.channel = 'webhook' AND coalesce(b.number, 0) < m.number)"""
_DUE_MAILS = """
    SELECT message_id FROM messages WHERE state = 'due' AND channel = 'email' AND next_attempt_at <= $1
    ORDER BY next_attempt_at LIMIT $2 FOR UPDATE SKIP LOCKED"""
# Of each endpoint in turn: one that is slow, or has much waiting, must not hold up the others.
_DUE_WEBHOOKS = f"""
    SELECT message_id FROM (
        SELECT d.*, row_number() OVER (PARTITION BY d.program_id ORDER BY d.next_attempt_at) AS turn
        FROM endpoints e CROSS JOIN LATERAL (
            SELECT message_id, program_id, next_attempt_at FROM messages m
            WHERE program_id = e.program_id AND state = 'due' AND channel = 'webhook' AND next_attempt_at <= $1
              AND {_IS_NEXT}
            ORDER BY next_attempt_at LIMIT $2 FOR UPDATE SKIP LOCKED) d
        WHERE e.enabled AND coalesce(e.paused_until <= $1, true)) x
    ORDER BY turn, next_attempt_at LIMIT $2"""


async def claim(tx: Transaction, channel: Channel, *, limit: int, lease: timedelta) -> list[Claimed]:
    """Take messages that are due, oldest first, for the length of `lease`: a process that dies gives them back by that.

    Messages of a program whose endpoint is disabled wait until it is enabled.
    """
    due = await tx.connection.fetch(_DUE_MAILS if channel == "email" else _DUE_WEBHOOKS, tx.now, limit)
    taken = [row["message_id"] for row in due]
    if not taken:
        return []
    if channel == "webhook":
        await overtake(tx.connection, taken)
    # Looked at again now that they are locked: what was given up before them may just have become due.
    rows = await tx.connection.fetch(
        f"""UPDATE messages m SET attempts = m.attempts + 1, next_attempt_at = $1::timestamptz + $2::interval
           FROM members r WHERE m.message_id = ANY($3::uuid[]) AND r.member_id = m.member_id
               AND (m.channel = 'email' OR ({_IS_NEXT}))
           RETURNING m.message_id, m.program_id, m.member_id, m.event_id, m.template, m.parameters, m.recorded_at,
               m.created_at, m.correlation_id, m.traceparent, m.coupon_id, m.attempts, m.refused_at,
               r.locale AS member_locale, r.email, r.first_name, r.referral_code, r.opted_out_at""",
        tx.now,
        lease,
        taken,
    )
    return sorted((Claimed(**dict(row)) for row in rows), key=lambda one: (one.created_at, one.message_id))


async def overtake(connection: asyncpg.Connection, message_ids: list[UUID]) -> None:
    """These are tried or were: what was given up of the same coupons before them is never sent any more."""
    await connection.execute(
        """UPDATE messages b SET parameters = '{}' FROM messages m
           WHERE m.message_id = ANY($1::uuid[]) AND m.channel = 'webhook' AND b.coupon_id = m.coupon_id
               AND b.channel = 'webhook' AND b.state = 'failed' AND coalesce(b.number, 0) < m.number""",
        message_ids,
    )


async def finish(
    tx: Transaction,
    message: Claimed,
    channel: Channel,
    state: Literal["sent", "suppressed", "failed"],
    *,
    reason: str | None = None,
    locale: str | None = None,
) -> None:
    """Close the message and say so on the topic; nothing happens if it is closed already."""
    await tx.connection.fetchval("SELECT 1 FROM members WHERE member_id = $1 FOR UPDATE", message.member_id)
    tx.mark_locked([message.member_id])
    closed = await tx.connection.fetchval(
        """UPDATE messages SET state = $2, reason = $3, locale = $4, finished_at = $5, next_attempt_at = NULL,
               parameters = CASE $2 WHEN 'failed' THEN parameters ELSE '{}' END
           WHERE message_id = $1 AND state = 'due' RETURNING true""",
        message.message_id,
        state,
        reason,
        locale,
        tx.now,
    )
    if closed:
        _publish(tx, message, channel, state, reason, locale)


def _publish(
    tx: Transaction, message: Claimed, channel: Channel, state: str, reason: str | None, locale: str | None
) -> None:
    facts = {
        "program_id": message.program_id,
        "member_id": message.member_id,
        "message_id": message.message_id,
        "event_id": message.event_id,
        "channel": channel,
        "template": message.template,
        "locale": locale,
        "coupon_id": message.coupon_id,
        "occurred_at": tx.now,
        "reason": reason,
    }
    types: dict[str, type[NotificationEvent]] = {
        "sent": NotificationSentV1,
        "suppressed": NotificationSuppressedV1,
        "failed": NotificationFailedV1,
    }
    event = types[state].model_validate(facts)
    tx.publish(
        event,
        id=derived_id(message.recorded_at, event.TYPE, message.message_id),
        time=tx.now,
        cause=Cause(message.correlation_id, str(message.event_id), message.traceparent),
    )


async def put_back(
    tx: Transaction, later: list[tuple[Claimed, datetime]], *, reason: str, refused: bool = False
) -> None:
    """Try each again at its time, unless somebody else has taken it since; `reason` is what went wrong, for people.

    `refused`: it went wrong with the recipient, who is refused for the time being.
    """
    later = sorted(later, key=lambda item: item[0].message_id)
    await tx.connection.execute(
        """UPDATE messages m SET next_attempt_at = n.at, reason = $4,
               refused_at = CASE WHEN $5 THEN coalesce(m.refused_at, $6) ELSE m.refused_at END
           FROM unnest($1::uuid[], $2::int[], $3::timestamptz[]) n (message_id, attempts, at)
           WHERE m.message_id = n.message_id AND m.attempts = n.attempts AND m.state = 'due'""",
        [message.message_id for message, _ in later],
        [message.attempts for message, _ in later],
        [at for _, at in later],
        reason,
        refused,
        tx.now,
    )


async def oldest_due(connection: asyncpg.Connection, now: datetime) -> dict[str, datetime]:
    """By channel, when the longest waiting message was called for. What waits for an address does not count."""
    rows = await connection.fetch(
        """SELECT channel, min(created_at) AS at FROM messages
           WHERE state = 'due' AND (attempts > 0 OR next_attempt_at <= $1) GROUP BY channel""",
        now,
    )
    return {row["channel"]: row["at"] for row in rows}
