"""Write all that a batch changed: new rows copied in bulk, others by one statement per table; then the events."""

import asyncio
from collections.abc import Iterable, Mapping, Set
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from contracts.ids import derived_id
from contracts.rewards import RewardPoolLowV1
from shared.clock import in_turns
from shared.transaction import Cause, Transaction

from ..domain.account import Account
from ..domain.claims import Claim
from ..domain.lots import Lot
from ..domain.sweeping import write_off_at
from ..domain.world import World
from .coupons import COUPONS, coupon_row, mark_drawn
from .journal import TURN, Row, publish_decisions
from .rows import continuation_json, intervals_json, memberships_json, steps_json, takings_json, text

K = TypeVar("K")
V = TypeVar("V")


async def save(tx: Transaction, world: World) -> None:
    """Write the changes of all accounts, and publish what was decided and what that announced.

    What is published is made while the server is busy with what is written.
    """
    decisions = decided(world)
    writing = asyncio.create_task(write(tx, world, decisions))
    try:
        await publish_decisions(tx, world, decisions)
        await publish_events(tx, world)
    finally:
        await writing
    await write_commands(tx, world)
    await _draw(tx, world)


def decided(world: World) -> dict[UUID, list[Row]]:
    """The rows of all decisions, by account."""
    return {key: list(_decisions(account)) for key, account in world.accounts.items() if account.decisions}


async def write(tx: Transaction, world: World, decisions: Mapping[UUID, list[Row]]) -> None:
    """Write the changes of all accounts."""
    accounts = [world.accounts[member_id] for member_id in sorted(world.accounts)]
    await _write(tx, _MEMBERS, (_member(world, key) for key in sorted(world.members) if _member_changed(world, key)))
    await _copy(tx, "decisions", _DECISIONS, (row for rows in decisions.values() for row in rows))
    claims = [(key, world.claims[key]) for key in sorted(world.claims) if world.claims[key].changed]
    new, known = _parted(claims, world.stored)
    await _copy(tx, "claims", _CLAIMS, (_claim(key[0], claim) for key, claim in new))
    await _write(tx, _CHANGED_CLAIMS, (_claim(key[0], claim) for key, claim in known))
    lots = [(key, account) for account in accounts for key in sorted(account.touched)]
    new_lots, known_lots = _parted(lots, world.stored)
    await _copy(tx, "lots", _LOTS, (_lot(account, account.lots[key]) for key, account in new_lots))
    await _write(tx, _CHANGED_LOTS, (_changed_lot(account, account.lots[key]) for key, account in known_lots))
    await _copy(tx, "transfers", _TRANSFERS, (row for account in accounts for row in _transfers(account)))
    await _write(tx, COUPONS, (coupon_row(world.coupons[key]) for key in sorted(world.touched_coupons)))
    uses = sorted(world.touched_uses, key=lambda key: (str(key.member_id or ""), *key[::2], key.window))
    await _write(tx, _USES, ((*key, world.uses[key]) for key in uses))
    changed = (account for account in accounts if account.decisions or account.changed)
    await _write(tx, _ACCOUNTS, (_account(world, account) for account in changed))


async def write_commands(tx: Transaction, world: World) -> None:
    """Keep for ever what idempotency keys did."""
    await _write(tx, _COMMANDS, (tuple(getattr(item, name) for name in _COMMAND) for item in world.commands))


_COMMAND = ("member_id", "idempotency_key", "kind", "body", "answer", "done_at")
_COMMANDS = """
    INSERT INTO commands (member_id, idempotency_key, kind, body, answer, done_at)
    SELECT m, k, kd, b::jsonb, a::json, d
    FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[]) AS r (m, k, kd, b, a, d)
    ON CONFLICT DO NOTHING"""


async def publish_events(tx: Transaction, world: World) -> None:
    """Publish what was announced."""
    async for (event, event_id, time), trace in in_turns(world.outbox, TURN):
        tx.publish(event, id=event_id, time=time, cause=Cause(*trace))


async def _draw(tx: Transaction, world: World) -> None:
    """Take the codes that were given out of their pools, and tell of pools that run low."""
    for (program_id, reward_id), left in (await mark_drawn(tx, world)).items():
        program = world.in_force(program_id)
        reward = program.reward(reward_id) if program else None
        taken = sum(item[:2] == (program_id, reward_id) for item in world.drawn)
        if reward is not None and left <= reward.pool_low < left + taken:
            event = RewardPoolLowV1(program_id=program_id, reward_id=reward_id, left=left, occurred_at=tx.now)
            tx.mark_locked([event.key()])
            event_id = derived_id(tx.now, event.TYPE, program_id, reward_id, left)
            tx.publish(event, id=event_id, time=tx.now, cause=Cause.fresh("pool"))


def _parted(items: list[tuple[K, V]], stored: Set[object]) -> tuple[list[tuple[K, V]], list[tuple[K, V]]]:
    """Those that are new, and those that were there, by their keys."""
    return [item for item in items if item[0] not in stored], [item for item in items if item[0] in stored]


async def _copy(tx: Transaction, table: str, columns: str, rows: Iterable[Row]) -> None:
    """Rows that are new: cheaper for the driver and the server than arrays that are taken apart again."""
    found = list(rows)
    if found:
        await tx.connection.copy_records_to_table(table, records=found, columns=columns.split())


async def _write(tx: Transaction, statement: str, rows: Iterable[Row]) -> None:
    columns = [list(column) for column in zip(*rows, strict=True)]
    if columns:
        await tx.connection.execute(statement, *columns)


_MEMBERS = """
    INSERT INTO members
        (member_id, status, enrolled_at, version, merged_into, attributes, birthday, intervals, memberships,
         standing_version, segments, segments_version, dates_version, next_date_at, continuation)
    SELECT m, s, e, v, mi, a::jsonb, b, i::jsonb, ms::jsonb, sv,
           ARRAY(SELECT jsonb_array_elements_text(sg::jsonb)), sgv, dv, nd, c::jsonb
    FROM unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::bigint[], $5::uuid[], $6::text[], $7::text[],
                $8::text[], $9::text[], $10::bigint[], $11::text[], $12::bigint[], $13::int[], $14::timestamptz[],
                $15::text[]) AS r (m, s, e, v, mi, a, b, i, ms, sv, sg, sgv, dv, nd, c)
    ON CONFLICT (member_id) DO UPDATE SET
        status = excluded.status, enrolled_at = excluded.enrolled_at, version = excluded.version,
        merged_into = excluded.merged_into, attributes = excluded.attributes, birthday = excluded.birthday,
        intervals = excluded.intervals, memberships = excluded.memberships,
        standing_version = excluded.standing_version, segments = excluded.segments,
        segments_version = excluded.segments_version, dates_version = excluded.dates_version,
        next_date_at = excluded.next_date_at, continuation = excluded.continuation"""


def _member_changed(world: World, member_id: UUID) -> bool:
    return world.members[member_id].changed or member_id in world.moved


def _member(world: World, member_id: UUID) -> Row:
    member = world.members[member_id]
    return (
        member.member_id, member.status, member.enrolled_at, member.version, member.merged_into,
        text(member.attributes), member.birthday, intervals_json(member.intervals),
        memberships_json(member.memberships), member.standing_version, text(sorted(member.segments)),
        member.segments_version, member.dates_version, member.next_date_at,
        continuation_json(world.continuations.get(member.member_id)),
    )  # fmt: skip


_DECISIONS = "member_id sequence kind decision_key cause occurred_at effective_at input pinned"


def _decisions(account: Account) -> Iterable[Row]:
    for item in account.decisions:
        yield (
            item.member_id, item.sequence, item.kind, item.key, item.cause.model_dump_json(exclude_none=True),
            item.occurred_at, item.effective_at, item.input, text(item.pinned),
        )  # fmt: skip


_CLAIMS = (
    "program_id kind claim_id member_id version at first_recorded_at program_version program_hash reason"
    " granted lots pins base counts detail document_of document_sequence"
)
_CHANGED_CLAIMS = """
    UPDATE claims t SET
        version = r.version, at = r.at, first_recorded_at = r.first_recorded_at, program_version = r.program_version,
        program_hash = r.program_hash, reason = r.reason, granted = r.granted, lots = r.lots, pins = r.pins,
        base = r.base, counts = r.counts, detail = r.detail, document_of = r.document_of,
        document_sequence = r.document_sequence
    FROM (
        SELECT p, k, c, v AS version, a AS at, fr AS first_recorded_at, pv AS program_version, ph AS program_hash,
               re AS reason, g::jsonb AS granted, l::jsonb AS lots, pi::jsonb AS pins, b::jsonb AS base,
               co::jsonb AS counts, de::jsonb AS detail, d AS document_of, ds AS document_sequence
        FROM unnest($1::text[], $2::text[], $3::text[], $4::uuid[], $5::bigint[], $6::timestamptz[],
                    $7::timestamptz[], $8::int[], $9::text[], $10::text[], $11::text[], $12::text[], $13::text[],
                    $14::text[], $15::text[], $16::text[], $17::uuid[], $18::bigint[])
            AS u (p, k, c, m, v, a, fr, pv, ph, re, g, l, pi, b, co, de, d, ds)
    ) r
    WHERE (t.program_id, t.kind, t.claim_id) = (r.p, r.k, r.c)"""


def _claim(program_id: str, claim: Claim) -> Row:
    return (
        program_id, *claim.key, claim.member_id, claim.version, claim.at, claim.first_recorded_at,
        claim.program_version, claim.program_hash, claim.reason, text(claim.granted),
        text({terms: str(lot_id) for terms, lot_id in claim.lots.items()}), text(claim.pins), steps_json(claim.base),
        text(claim.counts) if claim.counts else None, text(claim.detail), claim.document_of, claim.document_sequence,
    )  # fmt: skip


_LOTS = (
    "lot_id member_id partition claim_kind claim_id terms program_version opened_at activates_at expires_at lapses_at"
    " warnings state remaining expired takings"
)
_CHANGED_LOTS = """
    UPDATE lots t SET
        member_id = r.m, partition = r.p, program_version = r.pv, activates_at = r.ac, expires_at = r.ex,
        lapses_at = r.la, warnings = ARRAY(SELECT jsonb_array_elements_text(r.wa::jsonb)::timestamptz),
        state = r.st, remaining = r.re, expired = r.xp, takings = r.t::jsonb
    FROM unnest($1::uuid[], $2::uuid[], $3::int[], $4::int[], $5::timestamptz[], $6::timestamptz[], $7::timestamptz[],
                $8::text[], $9::text[], $10::bigint[], $11::bigint[], $12::text[])
        AS r (l, m, p, pv, ac, ex, la, wa, st, re, xp, t)
    WHERE t.lot_id = r.l"""


def _lot(account: Account, lot: Lot) -> Row:
    return (
        lot.lot_id, account.member_id, account.partition, *lot.claim, lot.terms, lot.program_version, lot.opened_at,
        lot.activates_at, lot.expires_at, lot.lapses_at, lot.warnings, lot.state, lot.remaining, lot.expired,
        takings_json(lot.takings),
    )  # fmt: skip


def _changed_lot(account: Account, lot: Lot) -> Row:
    return (
        lot.lot_id, account.member_id, account.partition, lot.program_version, lot.activates_at, lot.expires_at,
        lot.lapses_at, text(lot.warnings), lot.state, lot.remaining, lot.expired, takings_json(lot.takings),
    )  # fmt: skip


_TRANSFERS = (
    "member_id sequence ordinal transfer_id debit credit points effective_at program_version rule_id claim_kind"
    " claim_id lot_id uses"
)


def _transfers(account: Account) -> Iterable[Row]:
    for decision in account.decisions:
        for item in decision.postings:
            uses = text({str(lot_id): points for lot_id, points in item.uses}) if item.uses else None
            yield (
                account.member_id, decision.sequence, item.ordinal, item.transfer_id, item.debit, item.credit,
                item.points, item.effective_at, item.program_version, item.rule_id, *(item.claim or (None, None)),
                item.lot_id, uses,
            )  # fmt: skip


_USES = """
    INSERT INTO uses (program_id, member_id, name, time_window, used)
    SELECT * FROM unnest($1::text[], $2::uuid[], $3::text[], $4::text[], $5::bigint[])
    ON CONFLICT (member_id, program_id, name, time_window) DO UPDATE SET used = excluded.used"""

_ACCOUNTS = """
    UPDATE accounts a SET
        pending = r.pending, active = r.active, held = r.held, deficit = r.deficit, clock = r.clock,
        sequence = r.sequence, deficit_since = r.deficit_since, active_at = r.active_at, frozen = r.frozen,
        household_id = r.household_id, due_at = r.due_at
    FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::timestamptz[], $7::bigint[],
                $8::timestamptz[], $9::timestamptz[], $10::bool[], $11::uuid[], $12::timestamptz[])
        AS r (member_id, pending, active, held, deficit, clock, sequence, deficit_since, active_at, frozen,
              household_id, due_at)
    WHERE a.member_id = r.member_id"""


def _account(world: World, account: Account) -> Row:
    return (
        account.member_id, account.pending, account.active, account.held, account.deficit, account.clock,
        account.sequence, account.deficit_since, account.active_at, account.frozen, account.household_id,
        due_at(world, account),
    )  # fmt: skip


def due_at(world: World, account: Account) -> datetime | None:
    """When a day of the member, or an old debt, is due next."""
    moments = (world.members[account.member_id].next_date_at, write_off_at(world, account))
    return min((moment for moment in moments if moment is not None), default=None)
