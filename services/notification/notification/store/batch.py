"""Loads what a batch of events is about, and saves what it changed."""

import json
from datetime import datetime
from uuid import UUID

from contracts.base import EARLIEST
from contracts.ids import derived_id
from contracts.notifications import NotificationSuppressedV1
from contracts.rewards import RewardEvent, RewardIssuedV1
from shared.transaction import Cause, Message, Transaction

from ..domain.world import NewMessage, Recipient, World

_RECIPIENT = (
    "member_id, program_id, version, status, locale, contact_version, email, first_name, last_name, referral_code"
)


async def load(tx: Transaction, batch: list[Message], *, oldest: datetime) -> World:
    """The members of the batch, made if new and locked in member order, and the programs that have an endpoint."""
    programs: dict[UUID, str] = {}
    for message in batch:
        programs.setdefault(UUID(message.data.key()), message.data.program_id)
    members = sorted(programs)
    await tx.connection.execute(
        """INSERT INTO members (member_id, program_id)
           SELECT * FROM unnest($1::uuid[], $2::text[]) ON CONFLICT DO NOTHING""",
        members,
        [programs[member_id] for member_id in members],
    )
    rows = await tx.connection.fetch(
        f"SELECT {_RECIPIENT} FROM members WHERE member_id = ANY($1::uuid[]) ORDER BY member_id FOR UPDATE", members
    )
    tx.mark_locked(members)
    return World(
        now=tx.now,
        oldest=oldest,
        recipients={row["member_id"]: Recipient(**dict(row)) for row in rows},
        endpoints=await _endpoints(tx, batch),
        told_of=await _told_of(tx, batch),
    )


async def _endpoints(tx: Transaction, batch: list[Message]) -> dict[str, datetime]:
    programs = sorted({message.data.program_id for message in batch if isinstance(message.data, RewardEvent)})
    if not programs:
        return {}
    rows = await tx.connection.fetch(
        "SELECT program_id, created_at FROM endpoints WHERE program_id = ANY($1::text[])", programs
    )
    return {row["program_id"]: row["created_at"] or EARLIEST for row in rows}


async def _told_of(tx: Transaction, batch: list[Message]) -> frozenset[UUID]:
    coupons = [message.data.coupon_id for message in batch if isinstance(message.data, RewardIssuedV1)]
    if not coupons:
        return frozenset()
    rows = await tx.connection.fetch(
        """SELECT DISTINCT coupon_id FROM messages
           WHERE coupon_id = ANY($1::uuid[]) AND channel = 'webhook' AND template <> 'reward.issued'""",
        coupons,
    )
    return frozenset(row["coupon_id"] for row in rows)


async def save(tx: Transaction, world: World) -> None:
    """Write members and messages; whatever is known already, by event and channel, stays as it is."""
    changed = [recipient for recipient in world.recipients.values() if recipient.changed]
    if changed:
        await _save_members(tx, changed)
    if world.messages:
        await _save_messages(tx, world.messages)
    if world.woken:
        await _wake(tx, list(world.woken.values()))


async def _save_members(tx: Transaction, changed: list[Recipient]) -> None:
    await tx.connection.execute(
        """UPDATE members m SET version = n.version, status = n.status, locale = n.locale,
               contact_version = n.contact_version, email = n.email, first_name = n.first_name,
               last_name = n.last_name, referral_code = n.referral_code
           FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::text[],
               $8::text[], $9::text[])
               n (member_id, version, status, locale, contact_version, email, first_name, last_name, referral_code)
           WHERE m.member_id = n.member_id""",
        [one.member_id for one in changed],
        [one.version for one in changed],
        [one.status for one in changed],
        [one.locale for one in changed],
        [one.contact_version for one in changed],
        [one.email for one in changed],
        [one.first_name for one in changed],
        [one.last_name for one in changed],
        [one.referral_code for one in changed],
    )


async def _save_messages(tx: Transaction, messages: list[NewMessage]) -> None:
    rows = await tx.connection.fetch(
        """INSERT INTO messages (message_id, program_id, member_id, event_id, channel, template, parameters,
               recorded_at, correlation_id, traceparent, state, reason, next_attempt_at, coupon_id, created_at,
               finished_at)
           SELECT n.*, $15::timestamptz, CASE WHEN n.state = 'due' THEN NULL ELSE $15 END
           FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::uuid[], $5::text[], $6::text[], $7::text[],
               $8::timestamptz[], $9::text[], $10::text[], $11::text[], $12::text[], $13::timestamptz[], $14::uuid[])
               n (message_id, program_id, member_id, event_id, channel, template, parameters,
                  recorded_at, correlation_id, traceparent, state, reason, due_at, coupon_id)
           ON CONFLICT DO NOTHING RETURNING message_id""",
        [one.message_id for one in messages],
        [one.recipient.program_id for one in messages],
        [one.recipient.member_id for one in messages],
        [one.event_id for one in messages],
        [one.channel for one in messages],
        [one.template for one in messages],
        [json.dumps(one.parameters) for one in messages],
        [one.recorded_at for one in messages],
        [one.correlation_id for one in messages],
        [one.traceparent for one in messages],
        [one.state for one in messages],
        [one.reason for one in messages],
        [one.due_at if one.state == "due" else None for one in messages],
        [one.coupon_id for one in messages],
        tx.now,
    )
    new = {row["message_id"] for row in rows}
    if again := [one for one in messages if one.coupon_id is not None and one.message_id not in new]:
        await _say_again(tx, again)
    for message in messages:
        if message.message_id in new and message.state == "suppressed":
            new.discard(message.message_id)
            _publish_too_old(tx, message)


async def _say_again(tx: Transaction, messages: list[NewMessage]) -> None:
    """What was given up by a state of the database that is gone says again what it said, as long as it is the last of
    its coupon that is known: it can be sent when the endpoint is set.
    """
    await tx.connection.execute(
        """UPDATE messages m SET parameters = n.parameters, recorded_at = n.recorded_at
           FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::timestamptz[])
               n (message_id, coupon_id, parameters, recorded_at)
           WHERE m.message_id = n.message_id AND m.state = 'failed' AND m.parameters = '{}'
               AND m.coupon_id = n.coupon_id AND NOT EXISTS (
                   SELECT FROM messages b WHERE b.coupon_id = n.coupon_id AND b.channel = 'webhook'
                       AND b.number > m.number)""",
        [one.message_id for one in messages],
        [one.coupon_id for one in messages],
        [json.dumps(one.parameters) for one in messages],
        [one.recorded_at for one in messages],
    )


def _publish_too_old(tx: Transaction, message: NewMessage) -> None:
    event = NotificationSuppressedV1(
        program_id=message.recipient.program_id,
        member_id=message.recipient.member_id,
        message_id=message.message_id,
        event_id=message.event_id,
        channel=message.channel,
        template=message.template,
        occurred_at=tx.now,
        reason="too_old",
    )
    tx.publish(
        event,
        id=derived_id(message.recorded_at, event.TYPE, message.message_id),
        time=tx.now,
        cause=Cause(message.correlation_id, str(message.event_id), message.traceparent),
    )


async def _wake(tx: Transaction, woken: list[Recipient]) -> None:
    """Messages that were never tried go as soon as they can; those that failed keep their pause."""
    await tx.connection.execute(
        """UPDATE messages m
           SET next_attempt_at = least(m.next_attempt_at, CASE m.template WHEN 'welcome' THEN n.welcome_at ELSE $3 END)
           FROM unnest($1::uuid[], $2::timestamptz[]) n (member_id, welcome_at)
           WHERE m.member_id = n.member_id AND m.state = 'due' AND m.channel = 'email' AND m.attempts = 0""",
        [one.member_id for one in woken],
        [one.due_at("welcome", tx.now) for one in woken],
        tx.now,
    )
