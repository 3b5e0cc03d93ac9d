"""Members of a partition for whom time alone changes something, or who have claims that wait to be judged."""

from datetime import datetime
from uuid import UUID

from contracts.program import Program, ProgramBook
from shared.sweeper import Round
from shared.transaction import Transaction

from ..domain.catalogue import stock_of
from ..domain.giving import has_code
from ..domain.rulebook import rulebook
from ..domain.sweeping import write_off_at
from ..domain.world import SKEW_MAX, Place, Unread, World
from . import claims, coupons
from .locking import load_uses, lock
from .lots import load_all_lots, load_lots, load_renewing
from .rows import CLAIMS, columns

UNJUDGED_MAX = 50
ENDLESS = 2**62
"""Of a reward without stock there are as many as are wanted."""


async def load_due(tx: Transaction, programs: ProgramBook, due: Round) -> World:
    """Members with points, coupons, days or debts that are due, and those whose days a new version has changed."""
    world, horizon = World(programs, tx.now), due.horizon
    found = " UNION ".join(
        f"(SELECT member_id FROM {table} WHERE partition = $1 AND due_at <= $2 AND member_id <> ALL($4::uuid[])"
        " ORDER BY due_at LIMIT $3)" for table in ("lots", "coupons", "accounts")
    )  # fmt: skip
    rows = await tx.connection.fetch(found, due.partition, horizon, due.most, due.spared)
    planned = await _to_plan(tx, programs, due)
    due.keys = sorted({row["member_id"] for row in rows} | planned)[: due.most]
    await lock(tx, world, dict.fromkeys(due.keys))
    await claims.load_merged(tx, world)
    await claims.load_kinds(tx, world, planned & world.accounts.keys(), ("date",))
    whole = await _not_lots_alone(tx, world, horizon)
    if whole:
        await coupons.load_due(tx, world, whole, horizon)
        await claims.load_kinds(tx, world, whole, ("date",))
        await load_all_lots(tx, world, whole)
    await load_lots(tx, world, horizon)
    await _load_lapsing(tx, world, horizon)
    await load_uses(tx, world, coupons.limits(world))
    return world


async def _not_lots_alone(tx: Transaction, world: World, horizon: datetime) -> set[UUID]:
    """For whom more than points is due: coupons, a day, a debt. These may touch any of their lots."""
    owed = {key: write_off_at(world, account) for key, account in world.accounts.items()}
    rows = await tx.connection.fetch(
        """SELECT member_id FROM coupons WHERE member_id = ANY($1::uuid[]) AND due_at <= $2
           UNION SELECT member_id FROM accounts WHERE member_id = ANY($1::uuid[]) AND due_at <= $2""",
        sorted(world.accounts), horizon,
    )  # fmt: skip
    return {row["member_id"] for row in rows} | {key for key, at in owed.items() if at is not None and at <= horizon}


async def _to_plan(tx: Transaction, programs: ProgramBook, due: Round) -> set[UUID]:
    """Members whose next day, and the end of whose debts, was found by an older version; only where some knows such."""
    versions: dict[str, Program] = {}
    for event in programs:
        program = programs.in_force(event.program_id, due.horizon)
        if program is not None and (rulebook(event.document).dates or event.document.earning.write_off_days):
            versions[event.program_id] = program
    if not versions:
        return set()
    named = [(program_id, program.version) for program_id, program in versions.items()]
    rows = await tx.connection.fetch(
        """SELECT a.member_id FROM unnest($2::text[], $3::int[]) AS p (program_id, version)
           JOIN members m ON m.status = 'member' AND m.merged_into IS NULL AND m.dates_version < p.version
           JOIN accounts a ON a.member_id = m.member_id AND a.program_id = p.program_id AND a.partition = $1
           WHERE m.member_id <> ALL($5::uuid[]) LIMIT $4""",
        due.partition, *columns(named, 2), due.most, due.spared,
    )  # fmt: skip
    return {row["member_id"] for row in rows}


async def _load_lapsing(tx: Transaction, world: World, horizon: datetime) -> None:
    """The orders that were to be fulfilled by now."""
    keys = {
        (account.program_id, *lot.claim)
        for account in world.accounts.values()
        for lot in account.lots.values()
        if lot.remaining and lot.awaiting and lot.lapses_at and lot.lapses_at <= horizon
    }
    if keys:
        await claims.load_keys(tx, world, keys)
        await claims.load_counted(tx, world, world.accounts)
        await coupons.load_gifts(tx, world)
        await claims.load_claim_uses(tx, world)
        await coupons.load_stock(tx, world, world.accounts)
        await coupons.prepare_codes(tx, world)
        await load_renewing(tx, world)
        await load_lots(tx, world, horizon)


async def load_continued(tx: Transaction, programs: ProgramBook, due: Round) -> World:
    """A member of a partition whose claims could not all be judged again at once, with the next of them."""
    world = World(programs, tx.now)
    member_id = await tx.connection.fetchval(
        "SELECT m.member_id FROM members m JOIN accounts a USING (member_id)"
        " WHERE m.continuation IS NOT NULL AND a.partition = $1 AND m.member_id <> ALL($2::uuid[])"
        " ORDER BY m.member_id LIMIT 1",
        due.partition, due.spared,
    )  # fmt: skip
    if member_id is None:
        return world
    due.keys = (member_id,)
    await lock(tx, world, {member_id: None})
    await claims.load_merged(tx, world)
    continuation = world.continuations[member_id]
    assert continuation is not None
    rows = await tx.connection.fetch(
        CLAIMS + "WHERE c.member_id = ANY($1::uuid[]) AND c.kind IN ('order', 'activity')"
        " AND (c.at, c.kind, c.claim_id) > ($2, $3, $4) AND c.at <= coalesce($5::timestamptz, 'infinity')"
        " ORDER BY c.at, c.kind, c.claim_id LIMIT $6",
        claims.people(world, member_id), *continuation.after, continuation.until, claims.CLAIMS_MAX,
    )  # fmt: skip
    claims.keep(world, rows)
    if len(rows) == claims.CLAIMS_MAX:
        last = rows[-1]
        world.unread[member_id] = Unread(Place(last["at"], last["kind"], last["claim_id"]), continuation.until)
    await _load_rest(tx, world, tx.now + SKEW_MAX)
    return world


async def load_unjudged(tx: Transaction, programs: ProgramBook, due: Round) -> World:
    """Members of a partition with claims that had no program in force when they came, and now have."""
    world = World(programs, tx.now)
    since: dict[str, datetime] = {}
    for event in programs:
        start = event.document.effective_from
        since[event.program_id] = min(start, since.get(event.program_id, start))
    if not since:
        return world
    covered = sorted(since.items())
    rows = await tx.connection.fetch(
        """SELECT DISTINCT c.member_id FROM claims c
           JOIN unnest($1::text[], $2::timestamptz[]) AS p (program_id, since)
             ON p.program_id = c.program_id AND c.at >= p.since
           JOIN accounts a ON a.member_id = c.member_id AND a.partition = $3
           WHERE c.program_version IS NULL AND c.member_id <> ALL($5::uuid[]) ORDER BY c.member_id LIMIT $4""",
        *columns(covered, 2), due.partition, min(due.most, UNJUDGED_MAX), due.spared,
    )  # fmt: skip
    ids = due.keys = [row["member_id"] for row in rows]
    if not ids:
        return world
    await lock(tx, world, dict.fromkeys(ids))
    await claims.load_merged(tx, world)
    rows = await tx.connection.fetch(
        CLAIMS + "JOIN unnest($2::text[], $3::timestamptz[]) AS p (program_id, since)"
        " ON p.program_id = c.program_id AND c.at >= p.since"
        " WHERE c.member_id = ANY($1::uuid[]) AND c.program_version IS NULL ORDER BY c.at, c.claim_id LIMIT $4",
        ids, *columns(covered, 2), claims.CLAIMS_MAX,
    )  # fmt: skip
    claims.keep(world, rows)
    await _load_rest(tx, world, max(due.horizon, tx.now + SKEW_MAX))
    return world


async def load_waiting(tx: Transaction, programs: ProgramBook, due: Round) -> World:
    """Members of a partition with gifts that waited for a code of their pool, or for stock, where there is some now."""
    world = World(programs, tx.now)
    gifts = sorted(_gifts(world, {event.program_id for event in programs}))
    if not gifts:
        return world
    rows = await tx.connection.fetch(_WAITING, due.partition, due.most, due.spared, *columns(gifts, 4))
    due.keys = [row["member_id"] for row in rows]
    if due.keys:
        await lock(tx, world, dict.fromkeys(due.keys))
        await claims.load_merged(tx, world)
        await _load_rest(tx, world, max(due.horizon, tx.now + SKEW_MAX))
    return world


def _gifts(world: World, program_ids: set[str]) -> set[tuple[str, str, int, bool]]:
    """What challenges give: program, reward, how many there are in all, whether it has codes of a pool."""
    found = list(coupons.gifts(world, program_ids))
    pooled = {(program_id, reward.id) for program_id, reward in found if reward.codes == "pool" and has_code(reward)}
    return {
        (*key, ENDLESS if (stock := stock_of(world.programs, *key, world.now)) is None else stock, key in pooled)
        for key in {(program_id, reward.id) for program_id, reward in found}
    }


_WAITING = """
    SELECT DISTINCT c.member_id FROM claims c
    JOIN accounts a ON a.member_id = c.member_id AND a.partition = $1
    JOIN members m ON m.member_id = c.member_id AND m.status = 'member'
    JOIN unnest($4::text[], $5::text[], $6::bigint[], $7::bool[]) AS r (program_id, reward_id, stock, pooled)
      ON r.program_id = c.program_id AND r.reward_id = c.detail->>'reward'
    LEFT JOIN uses u ON u.program_id = r.program_id AND u.member_id IS NULL AND u.name = 'stock:' || r.reward_id
    WHERE c.detail @> '{"waiting": true, "reached": true}' AND c.member_id <> ALL($3::uuid[])
      AND coalesce(u.used, 0) < r.stock
      AND (NOT r.pooled OR EXISTS (SELECT FROM coupon_codes k WHERE k.program_id = r.program_id
                                   AND k.reward_id = r.reward_id AND NOT k.drawn))
    ORDER BY c.member_id LIMIT $2"""


async def _load_rest(tx: Transaction, world: World, horizon: datetime) -> None:
    """What judging the loaded claims can need."""
    await claims.load_counted(tx, world, world.accounts)
    await coupons.load_gifts(tx, world)
    await claims.load_claim_uses(tx, world)
    await coupons.load_stock(tx, world, world.accounts)
    await coupons.prepare_codes(tx, world)
    await load_renewing(tx, world)
    await load_lots(tx, world, horizon)
