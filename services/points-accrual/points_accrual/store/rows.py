"""Rows to values of the domain, and back to the JSON that columns hold."""

from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import orjson
from pydantic import TypeAdapter

from contracts.points import BaseStep
from contracts.tiers import StandingInterval

from ..domain.account import Account, Lot, OrderKey, Origin, ReferralKey, Taking
from ..domain.claims import Member, Order, Referral
from ..domain.world import Continuation, Place, Trace, Trigger

ORDERS = """
    SELECT o.*, d.input AS document,
           (SELECT jsonb_object_agg(c.rule_id, c.granted) FROM claims c
            WHERE (c.program_id, c.source, c.order_id) = (o.program_id, o.source, o.order_id)) AS granted
    FROM orders o JOIN decisions d ON (d.member_id, d.sequence) = (o.member_id, o.document_sequence) """
"""What `to_order` reads; joins and conditions follow."""
_STEPS = TypeAdapter(tuple[BaseStep, ...])
_INTERVALS = TypeAdapter(tuple[StandingInterval, ...])


def text(value: Any) -> str:
    """JSON for a jsonb parameter."""
    return orjson.dumps(value).decode()


def to_account(row: asyncpg.Record) -> Account:
    """The account of a row, with no lots yet."""
    return Account(
        row["member_id"], row["program_id"], row["clock"],
        row["pending"], row["active"], row["held"], row["deficit"], row["sequence"],
    )  # fmt: skip


def to_member(row: asyncpg.Record) -> Member:
    """What is known of a member; the columns are null when nothing is."""
    member = Member(row["member_id"])
    if row["status"] is not None:
        member.status, member.enrolled_at, member.version = row["status"], row["enrolled_at"], row["version"]
        member.intervals, member.standing_version = _INTERVALS.validate_json(row["intervals"]), row["standing_version"]
    return member


def to_lot(row: asyncpg.Record) -> Lot:
    """A lot with what was taken back of its origin."""
    origin: Origin
    if row["source"] is not None:
        origin = OrderKey(row["source"], row["order_id"])
    else:
        origin = ReferralKey(row["referral_id"], row["role"])
    takings = [
        Taking(kind, points, None if lot_id is None else UUID(lot_id))
        for kind, points, lot_id in orjson.loads(row["takings"])
    ]
    return Lot(
        row["lot_id"], origin, row["program_version"], row["opened_at"], row["activates_at"], row["expires_at"],
        row["state"], row["remaining"], row["expired"], takings,
    )  # fmt: skip


def to_order(row: asyncpg.Record) -> Order:
    """An order with its claims."""
    return Order(
        member_id=row["member_id"],
        origin=OrderKey(row["source"], row["order_id"]),
        document_sequence=row["document_sequence"],
        document=row["document"],
        revision=row["revision"],
        placed_at=row["placed_at"],
        first_recorded_at=row["first_recorded_at"],
        program_version=row["program_version"],
        program_hash=row["program_hash"],
        reason=row["reason"],
        explanation=orjson.loads(row["explanation"]),
        base=_STEPS.validate_json(row["base"]),
        granted=orjson.loads(row["granted"]) if row["granted"] else {},
        lot_id=row["lot_id"],
    )


def to_referral(row: asyncpg.Record, rule_id: str) -> Referral:
    """One party's part in a referral."""
    return Referral(
        member_id=row["member_id"],
        origin=ReferralKey(row["referral_id"], row["role"]),
        version=row["version"],
        confirmed=row["confirmed"],
        placed_at=row["placed_at"],
        program_version=row["program_version"],
        program_hash=row["program_hash"],
        reason=row["reason"],
        explanation=orjson.loads(row["explanation"]),
        granted={rule_id: row["granted"]},
        lot_id=row["lot_id"],
    )


def steps_json(steps: tuple[BaseStep, ...]) -> str:
    """Base points over time."""
    return _STEPS.dump_json(steps).decode()


def intervals_json(intervals: tuple[StandingInterval, ...]) -> str:
    """A standing."""
    return _INTERVALS.dump_json(intervals).decode()


def takings_json(takings: list[Taking]) -> str:
    """Triples of kind, points and lot."""
    return text([(taking.kind, taking.points, taking.lot_id and str(taking.lot_id)) for taking in takings])


def continuation_json(continuation: Continuation | None) -> str | None:
    """What is still to be judged again."""
    if continuation is None:
        return None
    trigger = continuation.trigger
    return text(
        {
            "kind": trigger.kind,
            "version": trigger.version,
            "event_id": trigger.event_id,
            "occurred_at": trigger.occurred_at,
            "recorded_at": trigger.recorded_at,
            "trace": list(trigger.trace),
            "after": list(continuation.after),
            "until": continuation.until,
        }
    )


def to_continuation(value: str | None) -> Continuation | None:
    """The inverse of `continuation_json`."""
    if value is None:
        return None
    row = orjson.loads(value)
    trigger = Trigger(
        row["kind"], row["version"], row["event_id"], datetime.fromisoformat(row["occurred_at"]),
        datetime.fromisoformat(row["recorded_at"]), Trace(*row["trace"]),
    )  # fmt: skip
    placed_at, source, order_id = row["after"]
    until = row["until"] and datetime.fromisoformat(row["until"])
    return Continuation(trigger, Place(datetime.fromisoformat(placed_at), source, order_id), until)
