"""Coupons, the codes they are drawn from, and which members they belong to."""

import secrets
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from uuid import UUID

import asyncpg

from contracts.orders import OrderChangedV1
from contracts.program import Reward
from shared.transaction import Retry, Transaction

from ..domain.catalogue import limit_key, stock_key
from ..domain.claims import order_key
from ..domain.coupons import Coupon
from ..domain.giving import waits
from ..domain.world import UseKey, World
from .locking import load_uses
from .rows import columns, text, to_coupon

CODE_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's base32: no I, L, O, U."""
CODE_LENGTH = 12
CODE_CHARACTERS_MAX = 255
_AHEAD = 20
"""At least so many codes of a pool are reserved for what challenges of one batch may give; one for each member."""
_MORE = 8
_short: dict[tuple[str, str], int] = {}
"""Pools of which a try reserved too few codes, and so many then: the next one reserves `_MORE` times as many."""


COUPONS = """
    INSERT INTO coupons
        (coupon_id, program_id, member_id, partition, reward_id, kind, program_version, state, points, returned, uses,
         value_minor, code, opened_at, held_until, issued_at, expires_at, order_id, challenge, windows,
         by_hand)
    SELECT c, p, m, (SELECT partition FROM accounts a WHERE a.member_id = m), r, k, pv, s, po, re, u::jsonb, v, co,
           op, h, i, e, o, ch::jsonb, w::jsonb, bh
    FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::text[], $5::text[], $6::int[], $7::text[], $8::bigint[],
                $9::bigint[], $10::text[], $11::bigint[], $12::text[], $13::timestamptz[], $14::timestamptz[],
                $15::timestamptz[], $16::timestamptz[], $17::text[], $18::text[], $19::text[],
                $20::bigint[])
        AS x (c, p, m, r, k, pv, s, po, re, u, v, co, op, h, i, e, o, ch, w, bh)
    ON CONFLICT (coupon_id) DO UPDATE SET
        member_id = excluded.member_id, partition = excluded.partition, state = excluded.state,
        returned = excluded.returned, by_hand = excluded.by_hand, code = excluded.code,
        held_until = excluded.held_until,
        issued_at = excluded.issued_at, expires_at = excluded.expires_at, order_id = excluded.order_id"""


def coupon_row(item: Coupon) -> tuple[object, ...]:
    """A coupon as the statement takes it."""
    return (
        item.coupon_id, item.program_id, item.member_id, item.reward_id, item.kind, item.program_version, item.state,
        item.points, item.returned, text([(str(lot_id), points) for lot_id, points in item.uses]), item.value_minor,
        item.code, item.opened_at, item.held_until, item.issued_at, item.expires_at, item.order,
        text(item.challenge) if item.challenge else None, text(item.windows), item.by_hand,
    )  # fmt: skip


def generated_code() -> str:
    """60 bits from the system's random source."""
    return "".join(secrets.choice(CODE_ALPHABET) for _ in range(CODE_LENGTH))


async def owners(connection: asyncpg.Connection, orders: Sequence[OrderChangedV1]) -> set[UUID]:
    """Whose coupons these orders use, or are paid with."""
    if not orders:
        return set()
    codes = {(order.program_id, code) for order in orders for code in order.discount_codes}
    keys = {(order.program_id, order_key(order.source, order.order_id).id) for order in orders}
    rows = await connection.fetch(
        "SELECT member_id FROM coupons c JOIN unnest($1::text[], $2::text[]) AS k (program_id, order_id)"
        " USING (program_id, order_id)"
        " UNION SELECT member_id FROM coupons c JOIN unnest($3::text[], $4::text[]) AS k (p, code)"
        " ON (c.program_id, upper(c.code)) = (k.p, upper(k.code))",
        *columns(keys, 2), *columns(codes, 2),
    )  # fmt: skip
    return {row["member_id"] for row in rows}


async def load_for_orders(
    tx: Transaction, world: World, codes: Iterable[tuple[str, str]], orders: Iterable[tuple[str, str]]
) -> None:
    """Coupons by their codes and by the orders that they belong to. Raises `Retry` when the owner of one is not locked:
    it was made since the owners were asked for.
    """
    rows = await tx.connection.fetch(
        "SELECT c.* FROM coupons c JOIN unnest($1::text[], $2::text[]) AS k (program_id, order_id)"
        " USING (program_id, order_id)"
        " UNION ALL SELECT c.* FROM coupons c JOIN unnest($3::text[], $4::text[]) AS k (p, code)"
        " ON (c.program_id, upper(c.code)) = (k.p, upper(k.code))",
        *columns(orders, 2), *columns(codes, 2),
    )  # fmt: skip
    if any(world.owner(row["member_id"]) not in world.accounts for row in rows):
        raise Retry("a coupon of an order was made meanwhile")
    _keep(world, rows)


async def load_gifts(tx: Transaction, world: World) -> None:
    """The coupons that loaded challenges gave."""
    ids = [UUID(gift) for claim in world.claims.values() if (gift := claim.detail.get("coupon_id"))]
    if ids:
        _keep(world, await tx.connection.fetch("SELECT * FROM coupons WHERE coupon_id = ANY($1::uuid[])", ids))


async def load_of_members(tx: Transaction, world: World, members: Iterable[UUID]) -> None:
    """All coupons of these members."""
    _keep(world, await tx.connection.fetch("SELECT * FROM coupons WHERE member_id = ANY($1::uuid[])", sorted(members)))


async def load_due(tx: Transaction, world: World, members: Iterable[UUID], horizon: datetime) -> None:
    """Holds and coupons of these members whose time is over by the horizon."""
    rows = await tx.connection.fetch(
        "SELECT * FROM coupons WHERE member_id = ANY($1::uuid[]) AND due_at <= $2", sorted(members), horizon
    )
    _keep(world, rows)


async def load_one(tx: Transaction, world: World, coupon_id: UUID) -> None:
    """A coupon by its id."""
    _keep(world, await tx.connection.fetch("SELECT * FROM coupons WHERE coupon_id = $1", coupon_id))


def limits(world: World) -> set[UseKey]:
    """The limits that the loaded coupons count for."""
    return {
        limit_key(coupon.program_id, world.members[world.owner(coupon.member_id)], name, window)
        for coupon in world.coupons.values()
        for name, window in coupon.windows.items()
    }


def _keep(world: World, rows: Iterable[asyncpg.Record]) -> None:
    for row in rows:
        owner = world.accounts.get(world.owner(row["member_id"]))
        if owner is not None and row["coupon_id"] not in world.coupons:
            world.coupons[row["coupon_id"]] = to_coupon(row)


async def prepare_codes(tx: Transaction, world: World, wanted: Iterable[tuple[str, str]] | None = None) -> None:
    """Let the world draw codes: `wanted` names programs and rewards, else those that challenges give.

    A pool that seems empty only since others hold its codes, or since too few were reserved, is asked again: drawing
    raises `Retry`.
    """
    names = set(wanted) if wanted is not None else _given(world)
    waiting = sum(waits(claim) for claim in world.claims.values()) if names else 0
    pools: dict[tuple[str, str], list[str]] = {}
    more_elsewhere, more_here = set(), dict[tuple[str, str], int]()
    for program_id, reward_id in sorted(names):
        usual = max(_AHEAD, len(world.accounts), waiting) if wanted is None else 1
        ahead = max(usual, _MORE * _short.pop((program_id, reward_id), 0))
        rows = await tx.connection.fetch(
            "SELECT code FROM coupon_codes WHERE program_id = $1 AND reward_id = $2 AND NOT drawn"
            " ORDER BY code LIMIT $3 FOR UPDATE SKIP LOCKED",
            program_id, reward_id, ahead,
        )  # fmt: skip
        pools[program_id, reward_id] = [row["code"] for row in rows]
        if len(rows) == ahead:
            more_here[program_id, reward_id] = ahead
        elif await pool_left(tx.connection, program_id, reward_id) > len(rows):
            more_elsewhere.add((program_id, reward_id))
    drawn = world.drawn  # not the world itself: it holds this function, and the two would wait for the collector

    def draw(program_id: str, reward_id: str) -> str | None:
        if (program_id, reward_id) not in pools:
            return generated_code()
        pool = pools[program_id, reward_id]
        if not pool and (program_id, reward_id) in more_elsewhere:
            raise Retry(f"the codes that are left for {reward_id} are held by another transaction")
        if not pool and (program_id, reward_id) in more_here:
            _short[program_id, reward_id] = more_here[program_id, reward_id]
            raise Retry(f"more codes for {reward_id} are given at once than were reserved")
        if not pool:
            return None
        code = pool.pop(0)
        drawn.append((program_id, reward_id, code))
        return code

    world.new_code = draw


def _given(world: World) -> set[tuple[str, str]]:
    """Rewards from pools that challenges of the members' programs give."""
    program_ids = {account.program_id for account in world.accounts.values()}
    return {(program_id, reward.id) for program_id, reward in gifts(world, program_ids) if reward.codes == "pool"}


def gifts(world: World, program_ids: Iterable[str]) -> Iterator[tuple[str, Reward]]:
    """The rewards that challenges of these programs give by any version, as each version has them, with their program.

    What one version's challenge gives may have its stock, or its pool, from another one.
    """
    for program_id in program_ids:
        documents = [event.document for event in world.programs.versions(program_id)]
        given = {item.reward for document in documents for item in document.challenges}
        yield from ((program_id, reward) for document in documents for reward in document.rewards if reward.id in given)


async def load_stock(tx: Transaction, world: World, members: Iterable[UUID]) -> None:
    """How many are left of what challenges of these members give. What all share is locked: after other limits, so that
    two batches lock them in one order.
    """
    program_ids = {world.accounts[member_id].program_id for member_id in members}
    await load_uses(tx, world, {
        stock_key(program_id, reward.id) for program_id, reward in gifts(world, program_ids)
        if reward.stock is not None
    })  # fmt: skip


async def mark_drawn(tx: Transaction, world: World) -> dict[tuple[str, str], int]:
    """Take drawn codes out of their pools. Returns how many are left in each."""
    left: dict[tuple[str, str], int] = {}
    if world.drawn:
        await tx.connection.execute(
            "UPDATE coupon_codes c SET drawn = true FROM unnest($1::text[], $2::text[]) AS k (program_id, code)"
            " WHERE (c.program_id, c.code) = (k.program_id, k.code)",
            [item[0] for item in world.drawn], [item[2] for item in world.drawn],
        )  # fmt: skip
    for program_id, reward_id in sorted({item[:2] for item in world.drawn}):
        left[program_id, reward_id] = await pool_left(tx.connection, program_id, reward_id)
    return left


async def pool_left(connection: asyncpg.Connection, program_id: str, reward_id: str) -> int:
    """How many codes a pool has."""
    count: int = await connection.fetchval(
        "SELECT count(*) FROM coupon_codes WHERE program_id = $1 AND reward_id = $2 AND NOT drawn",
        program_id, reward_id,
    )  # fmt: skip
    return count


async def import_codes(connection: asyncpg.Connection, program_id: str, reward_id: str, codes: Sequence[str]) -> int:
    """Add codes that the shop knows to the pool of a reward; known ones are left as they are, in whatever case they
    come again. Returns how many are new.

    Raises ValueError naming the place of a code that cannot be one; then none is added. Codes are never named.
    """
    for place, code in enumerate(codes, start=1):
        if not 1 <= len(code) <= CODE_CHARACTERS_MAX or code != code.strip() or not code.isprintable():
            raise ValueError(
                f"code {place} is empty, longer than {CODE_CHARACTERS_MAX} characters, or has blanks around it"
            )
    async with connection.transaction():
        # One import after the other: two at once would not see that their codes differ only in case.
        await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", f"codes/{program_id}")
        added: int = await connection.fetchval(
            "WITH added AS (INSERT INTO coupon_codes (program_id, reward_id, code)"
            " SELECT DISTINCT ON (upper(n.code)) $1, $2, n.code FROM unnest($3::text[]) AS n (code)"
            " WHERE NOT EXISTS (SELECT FROM coupon_codes k WHERE k.program_id = $1 AND upper(k.code) = upper(n.code))"
            " AND NOT EXISTS (SELECT FROM coupons k WHERE k.program_id = $1 AND upper(k.code) = upper(n.code))"
            " ORDER BY upper(n.code), n.code ON CONFLICT DO NOTHING RETURNING 1)"
            " SELECT count(*) FROM added",
            program_id, reward_id, list(codes),
        )  # fmt: skip
    return added
