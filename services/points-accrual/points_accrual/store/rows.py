"""Rows to values of the domain, and back to the JSON that columns hold."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import orjson
from pydantic import TypeAdapter

from contracts.points import BaseStep
from contracts.tiers import MembershipInterval, StandingInterval

from ..domain.account import Account
from ..domain.claims import Claim, Counts, Member
from ..domain.coupons import Coupon
from ..domain.lots import ClaimKey, Lot, Taking
from ..domain.world import Continuation, Place, Trace, Trigger

CLAIMS = """
    SELECT c.*, d.input AS document FROM claims c
    LEFT JOIN decisions d ON c.document_of = d.member_id AND c.document_sequence = d.sequence """
"""What `to_claim` reads; joins and conditions follow."""
_STEPS = TypeAdapter(tuple[BaseStep, ...])
_INTERVALS = TypeAdapter(tuple[StandingInterval, ...])
_MEMBERSHIPS = TypeAdapter(tuple[MembershipInterval, ...])
_NO_STEPS = "[]"


def text(value: Any) -> str:
    """JSON for a jsonb parameter."""
    return "{}" if value == {} else orjson.dumps(value, default=_plain).decode()


def _plain(value: object) -> str:
    """The driver's own kind of UUID, which orjson does not know."""
    if isinstance(value, UUID):
        return str(value)
    raise TypeError(f"{type(value).__name__} is no JSON")


def columns(rows: Iterable[tuple[object, ...]], width: int) -> list[list[object]]:
    """Rows turned into the arrays that `unnest` takes, sorted."""
    turned = [list(column) for column in zip(*sorted(rows), strict=True)]
    return turned or [[] for _ in range(width)]


def to_account(row: asyncpg.Record) -> Account:
    """The account of a row, with no lots yet."""
    return Account(
        row["member_id"], row["program_id"], row["clock"], row["partition"],
        row["pending"], row["active"], row["held"], row["deficit"], row["sequence"],
        row["deficit_since"], row["active_at"], row["frozen"], row["household_id"],
    )  # fmt: skip


def to_member(row: asyncpg.Record) -> Member:
    """What is known of a member; the columns are null when nothing is."""
    if row["status"] is None:
        return Member(row["member_id"])
    return Member(
        row["member_id"], row["status"], row["enrolled_at"], row["version"], row["merged_into"],
        orjson.loads(row["attributes"]), row["birthday"],
        _INTERVALS.validate_json(row["intervals"]) if row["intervals"] != "[]" else (),
        _MEMBERSHIPS.validate_json(row["memberships"]) if row["memberships"] != "[]" else (),
        row["standing_version"], frozenset(row["segments"]), row["segments_version"], row["dates_version"],
        row["next_date_at"],
    )  # fmt: skip


def to_claim(row: asyncpg.Record) -> Claim:
    """A claim with what it was granted."""
    return Claim(
        key=ClaimKey(row["kind"], row["claim_id"]),
        member_id=row["member_id"],
        at=row["at"],
        version=row["version"],
        first_recorded_at=row["first_recorded_at"],
        program_version=row["program_version"],
        program_hash=row["program_hash"],
        reason=row["reason"],
        granted=orjson.loads(row["granted"]),
        lots={terms: UUID(lot_id) for terms, lot_id in orjson.loads(row["lots"]).items()},
        pins=orjson.loads(row["pins"]),
        base=to_steps(row["base"]),
        counts=to_counts(row["counts"]),
        detail=orjson.loads(row["detail"]),
        document_of=row["document_of"],
        document_sequence=row["document_sequence"],
        document=row["document"] or "",
    )


def to_steps(value: str) -> tuple[BaseStep, ...]:
    """Base points over time."""
    return _STEPS.validate_json(value) if value != _NO_STEPS else ()


def to_counts(value: str | None) -> Counts:
    """What a claim counts for challenges."""
    if value is None:
        return {}
    return {name: (amount, tuple(things)) for name, (amount, things) in orjson.loads(value).items()}


def to_lot(row: asyncpg.Record) -> Lot:
    """A lot with what was taken back of its claim."""
    takings = [
        Taking(kind, points, None if lot_id is None else UUID(lot_id), *since)
        for kind, points, lot_id, *since in orjson.loads(row["takings"])
    ]
    return Lot(
        row["lot_id"], ClaimKey(row["claim_kind"], row["claim_id"]), row["program_version"], row["opened_at"],
        row["activates_at"], row["expires_at"], row["terms"], row["state"], row["remaining"], row["expired"],
        row["lapses_at"], tuple(row["warnings"]), takings,
    )  # fmt: skip


def to_coupon(row: asyncpg.Record) -> Coupon:
    """A coupon of a row."""
    challenge = orjson.loads(row["challenge"]) if row["challenge"] else None
    return Coupon(
        row["coupon_id"], row["program_id"], row["member_id"], row["reward_id"], row["kind"], row["program_version"],
        row["points"], row["opened_at"], row["state"],
        [(UUID(lot_id), points) for lot_id, points in orjson.loads(row["uses"])], row["returned"],
        row["by_hand"], row["value_minor"], row["code"], row["held_until"], row["issued_at"], row["expires_at"],
        row["order_id"],
        (challenge[0], challenge[1]) if challenge else None, orjson.loads(row["windows"]),
    )  # fmt: skip


def steps_json(steps: tuple[BaseStep, ...]) -> str:
    """Base points over time."""
    return _STEPS.dump_json(steps).decode() if steps else _NO_STEPS


def intervals_json(intervals: tuple[StandingInterval, ...]) -> str:
    """A standing."""
    return _INTERVALS.dump_json(intervals).decode() if intervals else "[]"


def memberships_json(memberships: tuple[MembershipInterval, ...]) -> str:
    """Paid memberships."""
    return _MEMBERSHIPS.dump_json(memberships).decode() if memberships else "[]"


def takings_json(takings: list[Taking]) -> str:
    """Kind, points and lot; and of what is owed the decision."""
    return text([
        (taking.kind, taking.points, taking.lot_id and str(taking.lot_id), *([taking.since] if taking.since else []))
        for taking in takings
    ])  # fmt: skip


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
    at, kind, claim_id = row["after"]
    until = row["until"] and datetime.fromisoformat(row["until"])
    return Continuation(trigger, Place(datetime.fromisoformat(at), kind, claim_id), until)
