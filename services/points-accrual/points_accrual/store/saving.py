"""Write all that a batch changed: one statement per table, rows sorted, then the events."""

from collections.abc import Iterable

from shared.transaction import Cause, Transaction

from ..domain.account import Account, Lot, OrderKey, Origin
from ..domain.claims import Order
from ..domain.judging import REFERRAL_RULE
from ..domain.world import World
from .rows import continuation_json, intervals_json, steps_json, takings_json, text

Row = tuple[object, ...]


async def save(tx: Transaction, world: World) -> None:
    """Write the changes of all accounts, and publish what they announced."""
    accounts = [world.accounts[member_id] for member_id in sorted(world.accounts)]
    await _write(tx, _MEMBERS, (_member(world, account) for account in accounts if _member_changed(world, account)))
    await _write(tx, _DECISIONS, (row for account in accounts for row in _decisions(account)))
    orders = sorted((key, order) for key, order in world.orders.items() if order.changed)
    await _write(tx, _ORDERS, (_order(program_id, order) for (program_id, _), order in orders))
    await _write(tx, _CLAIMS, (row for (program_id, _), order in orders for row in _claims(program_id, order)))
    await _write(tx, _REFERRALS, (row for account in accounts for row in _referrals(world, account)))
    await _write(
        tx, _LOTS, (_lot(account, account.lots[key]) for account in accounts for key in sorted(account.touched))
    )
    await _write(tx, _TRANSFERS, (row for account in accounts for row in _transfers(account)))
    await _write(tx, _USES, (row for account in accounts for row in _uses(account)))
    await _write(tx, _ACCOUNTS, (_account(account) for account in accounts if account.decisions or account.nothing_due))
    for (event, event_id, time), trace in world.outbox:
        tx.publish(event, id=event_id, time=time, cause=Cause(*trace))


async def _write(tx: Transaction, statement: str, rows: Iterable[Row]) -> None:
    columns = [list(column) for column in zip(*rows, strict=True)]
    if columns:
        await tx.connection.execute(statement, *columns)


_MEMBERS = """
    INSERT INTO members (member_id, status, enrolled_at, version, intervals, standing_version, continuation)
    SELECT m, s, e, v, i::jsonb, sv, c::jsonb
    FROM unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::bigint[], $5::text[], $6::bigint[], $7::text[])
        AS r (m, s, e, v, i, sv, c)
    ON CONFLICT (member_id) DO UPDATE SET
        status = excluded.status, enrolled_at = excluded.enrolled_at, version = excluded.version,
        intervals = excluded.intervals, standing_version = excluded.standing_version,
        continuation = excluded.continuation"""


def _member_changed(world: World, account: Account) -> bool:
    return world.members[account.member_id].changed or account.member_id in world.moved


def _member(world: World, account: Account) -> Row:
    member = world.members[account.member_id]
    return (
        member.member_id, member.status, member.enrolled_at, member.version, intervals_json(member.intervals),
        member.standing_version, continuation_json(world.continuations.get(member.member_id)),
    )  # fmt: skip


_DECISIONS = """
    INSERT INTO decisions
        (member_id, sequence, decision_key, cause, occurred_at, effective_at, input, pinned)
    SELECT m, s, k, c::jsonb, o, e, i, p::jsonb
    FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::text[], $5::timestamptz[], $6::timestamptz[], $7::text[],
                $8::text[]) AS r (m, s, k, c, o, e, i, p)"""


def _decisions(account: Account) -> Iterable[Row]:
    for item in account.decisions:
        yield (
            item.member_id, item.sequence, item.key, item.cause.model_dump_json(exclude_none=True),
            item.occurred_at, item.effective_at, item.input, text(item.pinned),
        )  # fmt: skip


_ORDERS = """
    INSERT INTO orders
        (program_id, source, order_id, member_id, revision, placed_at, first_recorded_at, document_sequence,
         program_version, program_hash, reason, explanation, base, lot_id)
    SELECT p, s, o, m, r, pl, fr, d, pv, ph, re, ex::jsonb, b::jsonb, l
    FROM unnest($1::text[], $2::text[], $3::text[], $4::uuid[], $5::bigint[], $6::timestamptz[], $7::timestamptz[],
                $8::bigint[], $9::int[], $10::text[], $11::text[], $12::text[], $13::text[], $14::uuid[])
        AS r (p, s, o, m, r, pl, fr, d, pv, ph, re, ex, b, l)
    ON CONFLICT (program_id, source, order_id) DO UPDATE SET
        revision = excluded.revision, placed_at = excluded.placed_at, first_recorded_at = excluded.first_recorded_at,
        document_sequence = excluded.document_sequence, program_version = excluded.program_version,
        program_hash = excluded.program_hash, reason = excluded.reason, explanation = excluded.explanation,
        base = excluded.base, lot_id = excluded.lot_id"""


def _order(program_id: str, order: Order) -> Row:
    return (
        program_id, *order.origin, order.member_id, order.revision, order.placed_at, order.first_recorded_at,
        order.document_sequence, order.program_version, order.program_hash, order.reason, text(order.explanation),
        steps_json(order.base), order.lot_id,
    )  # fmt: skip


_CLAIMS = """
    INSERT INTO claims (program_id, source, order_id, rule_id, granted)
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[])
    ON CONFLICT (program_id, source, order_id, rule_id) DO UPDATE SET granted = excluded.granted"""


def _claims(program_id: str, order: Order) -> Iterable[Row]:
    return ((program_id, *order.origin, rule_id, points) for rule_id, points in sorted(order.granted.items()))


_REFERRALS = """
    INSERT INTO referral_claims
        (referral_id, role, member_id, program_id, version, confirmed, placed_at, program_version, program_hash, reason,
         explanation, granted, lot_id)
    SELECT i, r, m, p, v, c, pl, pv, ph, re, ex::jsonb, g, l
    FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::text[], $5::bigint[], $6::bool[], $7::timestamptz[], $8::int[],
                $9::text[], $10::text[], $11::text[], $12::bigint[], $13::uuid[])
        AS r (i, r, m, p, v, c, pl, pv, ph, re, ex, g, l)
    ON CONFLICT (referral_id, role) DO UPDATE SET
        version = excluded.version, confirmed = excluded.confirmed, placed_at = excluded.placed_at,
        program_version = excluded.program_version, program_hash = excluded.program_hash, reason = excluded.reason,
        explanation = excluded.explanation, granted = excluded.granted, lot_id = excluded.lot_id"""


def _referrals(world: World, account: Account) -> Iterable[Row]:
    for item in world.referrals.get(account.member_id, {}).values():
        if item.changed:
            yield (
                *item.origin, item.member_id, account.program_id, item.version, item.confirmed, item.placed_at,
                item.program_version, item.program_hash, item.reason, text(item.explanation),
                item.granted.get(REFERRAL_RULE, 0), item.lot_id,
            )  # fmt: skip


_LOTS = """
    INSERT INTO lots
        (lot_id, member_id, source, order_id, referral_id, role, program_version, opened_at, activates_at, expires_at,
         state, remaining, expired, takings)
    SELECT l, m, s, o, i, r, pv, op, ac, ex, st, re, xp, t::jsonb
    FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::uuid[], $6::text[], $7::int[], $8::timestamptz[],
                $9::timestamptz[], $10::timestamptz[], $11::text[], $12::bigint[], $13::bigint[], $14::text[])
        AS r (l, m, s, o, i, r, pv, op, ac, ex, st, re, xp, t)
    ON CONFLICT (lot_id) DO UPDATE SET
        program_version = excluded.program_version, activates_at = excluded.activates_at,
        expires_at = excluded.expires_at, state = excluded.state, remaining = excluded.remaining,
        expired = excluded.expired, takings = excluded.takings"""


def _lot(account: Account, lot: Lot) -> Row:
    return (
        lot.lot_id, account.member_id, *_origin(lot.origin), lot.program_version, lot.opened_at, lot.activates_at,
        lot.expires_at, lot.state, lot.remaining, lot.expired, takings_json(lot.takings),
    )  # fmt: skip


def _origin(origin: Origin | None) -> Row:
    """Source, order, referral and role: either of both pairs."""
    if origin is None:
        return None, None, None, None
    return (*origin, None, None) if isinstance(origin, OrderKey) else (None, None, *origin)


_TRANSFERS = """
    INSERT INTO transfers
        (member_id, sequence, ordinal, transfer_id, debit, credit, points, effective_at, program_version, rule_id,
         source, order_id, referral_id, role, lot_id)
    SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::int[], $4::uuid[], $5::text[], $6::text[], $7::bigint[],
                         $8::timestamptz[], $9::int[], $10::text[], $11::text[], $12::text[], $13::uuid[], $14::text[],
                         $15::uuid[])"""


def _transfers(account: Account) -> Iterable[Row]:
    for decision in account.decisions:
        for item in decision.postings:
            yield (
                account.member_id, decision.sequence, item.ordinal, item.transfer_id, item.debit, item.credit,
                item.points, item.effective_at, item.program_version, item.rule_id, *_origin(item.origin), item.lot_id,
            )  # fmt: skip


_USES = """
    INSERT INTO lot_uses (member_id, sequence, ordinal, lot_id, points)
    SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::int[], $4::uuid[], $5::bigint[])"""


def _uses(account: Account) -> Iterable[Row]:
    for decision in account.decisions:
        for item in decision.postings:
            for lot_id, points in item.uses:
                yield account.member_id, decision.sequence, item.ordinal, lot_id, points


_ACCOUNTS = """
    UPDATE accounts a SET
        pending = r.pending, active = r.active, held = r.held, deficit = r.deficit, clock = r.clock,
        sequence = r.sequence,
        due_at = (SELECT min(l.due_at) FROM lots l WHERE l.member_id = a.member_id AND l.remaining > 0)
    FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::timestamptz[], $7::bigint[])
        AS r (member_id, pending, active, held, deficit, clock, sequence)
    WHERE a.member_id = r.member_id"""


def _account(account: Account) -> Row:
    return (
        account.member_id, account.pending, account.active, account.held, account.deficit, account.clock,
        account.sequence,
    )  # fmt: skip
