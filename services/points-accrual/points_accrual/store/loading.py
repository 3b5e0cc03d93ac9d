"""What a batch can need of its members, in a few set-based statements; accounts are locked in member order."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

import asyncpg

from contracts.members import MemberChangedV1
from contracts.orders import OrderChangedV1
from contracts.program import ProgramBook
from contracts.referrals import ReferralConfirmedV1, ReferralReversedV1
from contracts.tiers import StandingChangedV1
from shared.transaction import Message, Transaction

from ..domain.account import OrderKey
from ..domain.claims import concerns_orders
from ..domain.judging import REFERRAL_RULE
from ..domain.standing import EVER, Span, changed_span, hull
from ..domain.world import SKEW_MAX, Place, Unread, World, believed
from .rows import ORDERS, to_account, to_continuation, to_lot, to_member, to_order, to_referral

ORDERS_MAX = 500
"""Orders that one transaction judges again besides those of its batch."""
MEMBERS_MAX = 500

_ACCOUNTS = """
    SELECT a.member_id, a.program_id, a.pending, a.active, a.held, a.deficit, a.clock, a.sequence,
           m.status, m.enrolled_at, m.version, m.intervals, m.standing_version, m.continuation
    FROM accounts a LEFT JOIN members m USING (member_id)
    WHERE a.member_id = ANY($1::uuid[]) ORDER BY a.member_id FOR UPDATE OF a"""


async def load(tx: Transaction, programs: ProgramBook, batch: Sequence[Message]) -> World:
    """The state of every member in a batch, and the orders that its events are about or have judged again."""
    world = World(programs, tx.now)
    parties: dict[UUID, tuple[str, int]] = {}
    for message in batch:
        member_id: UUID = message.data.member_id  # type: ignore[attr-defined]
        parties.setdefault(member_id, (message.data.program_id, message.partition))
    await _lock(tx, world, parties)
    referrals = {event.member_id for event in _of(batch, (ReferralConfirmedV1, ReferralReversedV1))}
    spans = _spans(world, batch)
    await _load_orders(tx, world, list(_of(batch, OrderChangedV1)))
    await _load_spans(tx, world, spans)
    await _load_referrals(tx, world, referrals | spans.keys())
    await _load_lots(tx, world, tx.now + SKEW_MAX)
    return world


async def load_member(tx: Transaction, programs: ProgramBook, member_id: UUID, cost: int) -> World:
    """One member, with the lots that a debit of `cost` can need. No account: the world has none."""
    world = World(programs, tx.now)
    await _lock(tx, world, {member_id: None})
    await _load_lots(tx, world, tx.now + SKEW_MAX, {member_id: cost})
    return world


async def load_due(tx: Transaction, programs: ProgramBook, partition: int, horizon: datetime) -> World:
    """Members of a partition with points that change by themselves until then."""
    world = World(programs, tx.now)
    rows = await tx.connection.fetch(
        "SELECT member_id FROM accounts WHERE partition = $1 AND due_at <= $2 ORDER BY due_at LIMIT $3",
        partition, horizon, MEMBERS_MAX,
    )  # fmt: skip
    await _lock(tx, world, dict.fromkeys(row["member_id"] for row in rows))
    await _load_lots(tx, world, horizon)
    return world


async def load_continued(tx: Transaction, programs: ProgramBook, partition: int, horizon: datetime) -> World:  # noqa: ARG001
    """A member of a partition whose orders could not all be judged again at once, with the next of them."""
    world = World(programs, tx.now)
    member_id = await tx.connection.fetchval(
        "SELECT m.member_id FROM members m JOIN accounts a USING (member_id)"
        " WHERE m.continuation IS NOT NULL AND a.partition = $1 ORDER BY m.member_id LIMIT 1",
        partition,
    )
    if member_id is not None:
        await _lock(tx, world, {member_id: None})
        continuation = world.continuations[member_id]
        assert continuation is not None
        rows = await tx.connection.fetch(
            ORDERS + "WHERE o.member_id = $1 AND (o.placed_at, o.source, o.order_id) > ($2, $3, $4)"
            " AND o.placed_at <= coalesce($5::timestamptz, 'infinity')"
            " ORDER BY o.placed_at, o.source, o.order_id LIMIT $6",
            member_id, *continuation.after, continuation.until, ORDERS_MAX,
        )  # fmt: skip
        _keep_orders(world, rows)
        if len(rows) == ORDERS_MAX:
            world.unread[member_id] = Unread(_place(rows[-1]), continuation.until)
        await _load_lots(tx, world, tx.now + SKEW_MAX)
    return world


async def load_unjudged(tx: Transaction, programs: ProgramBook, partition: int, horizon: datetime) -> World:
    """Members of a partition with orders and referrals that had no program in force when they came, and now have."""
    world = World(programs, tx.now)
    since: dict[str, datetime] = {}
    for event in programs:
        start = event.document.effective_from
        since[event.program_id] = min(start, since.get(event.program_id, start))
    if not since:
        return world
    covered = sorted(since.items())
    rows = await tx.connection.fetch(
        """SELECT DISTINCT w.member_id FROM (
               SELECT o.member_id, o.program_id, o.placed_at FROM orders o WHERE o.program_version IS NULL
               UNION ALL
               SELECT r.member_id, r.program_id, r.placed_at FROM referral_claims r WHERE r.program_version IS NULL
           ) w JOIN unnest($1::text[], $2::timestamptz[]) AS p (program_id, since)
             ON p.program_id = w.program_id AND w.placed_at >= p.since
           JOIN accounts a ON a.member_id = w.member_id AND a.partition = $3
           ORDER BY w.member_id LIMIT $4""",
        *_columns(covered, 2), partition, 50,
    )  # fmt: skip
    ids = [row["member_id"] for row in rows]
    if not ids:
        return world
    await _lock(tx, world, dict.fromkeys(ids))
    rows = await tx.connection.fetch(
        ORDERS + "JOIN unnest($2::text[], $3::timestamptz[]) AS p (program_id, since)"
        " ON p.program_id = o.program_id AND o.placed_at >= p.since"
        " WHERE o.member_id = ANY($1::uuid[]) AND o.program_version IS NULL"
        " ORDER BY o.placed_at, o.source, o.order_id LIMIT $4",
        ids, *_columns(covered, 2), ORDERS_MAX,
    )  # fmt: skip
    _keep_orders(world, rows)
    await _load_referrals(tx, world, ids)
    await _load_lots(tx, world, max(horizon, tx.now + SKEW_MAX))
    return world


def _of(batch: Sequence[Message], kind: type | tuple[type, ...]) -> Iterable:  # type: ignore[type-arg]
    return (message.data for message in batch if isinstance(message.data, kind))


def _columns(rows: Iterable[tuple[object, ...]], width: int) -> list[list[object]]:
    """Rows turned into the arrays that `unnest` takes, sorted."""
    columns = [list(column) for column in zip(*sorted(rows), strict=True)]
    return columns or [[] for _ in range(width)]


async def _lock(tx: Transaction, world: World, parties: Mapping[UUID, tuple[str, int] | None]) -> None:
    """Lock the accounts of these members, sorted; who is new and came with a program gets one."""
    ids = sorted(parties)
    rows = await tx.connection.fetch(_ACCOUNTS, ids)
    found = {row["member_id"] for row in rows}
    new = [(member_id, *party) for member_id in ids if member_id not in found and (party := parties[member_id])]
    if new:
        await tx.connection.execute(
            "INSERT INTO accounts (member_id, program_id, partition)"
            " SELECT * FROM unnest($1::uuid[], $2::text[], $3::int[]) ON CONFLICT DO NOTHING",
            *_columns(new, 3),
        )
        rows += await tx.connection.fetch(_ACCOUNTS, [row[0] for row in new])
    for row in rows:
        world.accounts[row["member_id"]] = to_account(row)
        world.members[row["member_id"]] = to_member(row)
        world.continuations[row["member_id"]] = to_continuation(row["continuation"])
    tx.mark_locked(world.accounts)


def _spans(world: World, batch: Sequence[Message]) -> dict[UUID, Span]:
    """In which time the orders of whom may have to be judged again."""
    spans: dict[UUID, Span] = {}
    for event in _of(batch, (MemberChangedV1, StandingChangedV1)):
        member = world.members[event.member_id]
        span: Span | None = None
        if isinstance(event, MemberChangedV1):
            span = EVER if concerns_orders(member, event) else None
        elif event.version > member.standing_version:
            span = changed_span(member.intervals, event.intervals)
        if span:
            waiting = world.continuations[event.member_id]
            span = hull(span, (waiting.after.placed_at, waiting.until) if waiting else None)
            whole = hull(span, spans.get(event.member_id))
            assert whole is not None
            spans[event.member_id] = whole
    return spans


async def _load_orders(tx: Transaction, world: World, events: Sequence[OrderChangedV1]) -> None:
    """The orders that the batch tells something new of. Repeats cost no more than a look at their revision."""
    told: dict[tuple[str, str, str], tuple[int, datetime]] = {}
    for event in events:
        key = (event.program_id, event.source, event.order_id)
        recorded_at = believed(event.recorded_at, world.now)
        revision, first = told.get(key, (event.revision, recorded_at))
        told[key] = max(revision, event.revision), min(first, recorded_at)
    if not told:
        return
    named = " AS k (program_id, source, order_id) USING (program_id, source, order_id)"
    named = "JOIN unnest($1::text[], $2::text[], $3::text[])" + named
    rows = await tx.connection.fetch(
        "SELECT program_id, source, order_id, revision, first_recorded_at FROM orders " + named, *_columns(told, 3)
    )
    changed = set()
    for program_id, source, order_id, revision, first in rows:
        newest, earliest = told[program_id, source, order_id]
        if newest > revision or earliest < first:
            changed.add((program_id, source, order_id))
        else:
            world.stale.add((program_id, OrderKey(source, order_id)))
    if changed:
        _keep_orders(world, await tx.connection.fetch(ORDERS + named, *_columns(changed, 3)))


async def _load_spans(tx: Transaction, world: World, spans: dict[UUID, Span]) -> None:
    """The orders inside, as many as a transaction may judge; `world.unread` tells whose are not complete."""
    if not spans:
        return
    wanted = [(member_id, *span) for member_id, span in sorted(spans.items())]
    rows = await tx.connection.fetch(
        ORDERS + "JOIN unnest($1::uuid[], $2::timestamptz[], $3::timestamptz[]) AS s (member_id, start, until)"
        " ON s.member_id = o.member_id AND o.placed_at >= s.start AND o.placed_at <= coalesce(s.until, 'infinity')"
        " ORDER BY o.member_id, o.placed_at, o.source, o.order_id LIMIT $4",
        [row[0] for row in wanted], [row[1] for row in wanted], [row[2] for row in wanted], ORDERS_MAX,
    )  # fmt: skip
    _keep_orders(world, rows)
    if len(rows) == ORDERS_MAX:
        last = rows[-1]
        for member_id, start, until in wanted:
            if member_id == last["member_id"]:
                world.unread[member_id] = Unread(_place(last), until)
            elif member_id > last["member_id"]:
                world.unread[member_id] = Unread(Place(start, "", ""), until)


def _keep_orders(world: World, rows: Iterable[asyncpg.Record]) -> None:
    for row in rows:
        order = to_order(row)
        if (row["program_id"], order.origin) not in world.orders:
            world.keep(row["program_id"], order)


def _place(row: asyncpg.Record) -> Place:
    return Place(row["placed_at"], row["source"], row["order_id"])


async def _load_referrals(tx: Transaction, world: World, members: Iterable[UUID]) -> None:
    ids = sorted(members)
    if not ids:
        return
    for row in await tx.connection.fetch("SELECT * FROM referral_claims WHERE member_id = ANY($1::uuid[])", ids):
        referral = to_referral(row, REFERRAL_RULE)
        world.referrals.setdefault(referral.member_id, {})[referral.origin] = referral


async def _load_lots(tx: Transaction, world: World, horizon: datetime, debits: dict[UUID, int] | None = None) -> None:
    """Lots that are due by the horizon, those of the loaded claims with the lots that these had taken from, and where
    something may be taken, the soonest-expiring until that is covered.
    """
    if not world.accounts:
        return
    claims = [*world.orders.values(), *(item for known in world.referrals.values() for item in known.values())]
    own = sorted(claim.lot_id for claim in claims if claim.lot_id)
    needs = dict(debits or {})
    for claim in claims:
        if granted := sum(claim.granted.values()):
            needs[claim.member_id] = needs.get(claim.member_id, 0) + granted
    rows = await tx.connection.fetch(
        """SELECT * FROM lots WHERE lot_id IN (
               SELECT lot_id FROM lots WHERE lot_id = ANY($3::uuid[])
               UNION ALL
               SELECT (t ->> 2)::uuid FROM lots o, jsonb_array_elements(o.takings) t WHERE o.lot_id = ANY($3::uuid[])
               UNION ALL
               SELECT lot_id FROM lots WHERE member_id = ANY($1::uuid[]) AND remaining > 0 AND due_at <= $2
               UNION ALL
               SELECT lot_id FROM (
                   SELECT l.lot_id, n.need, sum(l.remaining) OVER (
                       PARTITION BY l.member_id ORDER BY l.expires_at NULLS LAST, l.opened_at, l.lot_id
                   ) - l.remaining AS before
                   FROM lots l JOIN unnest($4::uuid[], $5::bigint[]) AS n (member_id, need) USING (member_id)
                   WHERE l.remaining > 0 AND l.state = 'active' AND (l.expires_at IS NULL OR l.expires_at > $2)
               ) covering WHERE before < need
           )""",
        sorted(world.accounts), horizon, own, *_columns(needs.items(), 2),
    )  # fmt: skip
    for row in rows:
        world.accounts[row["member_id"]].lots[row["lot_id"]] = to_lot(row)
