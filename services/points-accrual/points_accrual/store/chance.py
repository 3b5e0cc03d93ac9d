"""Seeds of chance, and the draws that were held."""

import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from contracts.decisions import DecisionsMadeV1, DrawKept, SeedKept
from contracts.ids import derived_id
from shared.transaction import Cause, Transaction

from ..domain.drawing import Entry, commitment
from ..domain.world import World
from .journal import pack, unpack
from .rows import text

SEED_BYTES = 32
TICKETS_PER_RECORD = 10_000


@dataclass(frozen=True, slots=True)
class Seed:
    """A seed as it is kept."""

    commitment: str
    seed: bytes
    made_at: datetime
    shown_at: datetime | None


async def make_seed(tx: Transaction, program_id: str, given: bytes | None = None) -> Seed | None:
    """Keep a seed: that one, or a new one from the system's random source. It stays here until it is shown.

    Returns None if another program has it.
    """
    seed = secrets.token_bytes(SEED_BYTES) if given is None else given
    committed = commitment(seed)
    new = await tx.connection.fetchval(
        "INSERT INTO seeds (commitment, program_id, seed, made_at) VALUES ($1, $2, $3, $4)"
        " ON CONFLICT (commitment) DO NOTHING RETURNING true",
        committed, program_id, seed, tx.now,
    )  # fmt: skip
    found = await find_seed(tx.connection, program_id, committed)
    if new and found is not None:
        _publish_seed(tx, program_id, found)
    return found


async def find_seed(connection: asyncpg.Connection, program_id: str, committed: str) -> Seed | None:
    """The seed behind a commitment of the program, or None."""
    row = await connection.fetchrow(
        "SELECT commitment, seed, made_at, shown_at FROM seeds WHERE program_id = $1 AND commitment = $2",
        program_id, committed,
    )  # fmt: skip
    return Seed(*row) if row else None


async def show_seed(tx: Transaction, program_id: str, committed: str) -> bool:
    """The seed is public from now on. Returns False if it is already: then it can decide nothing any more."""
    row = await tx.connection.fetchrow(
        "UPDATE seeds SET shown_at = $3 WHERE program_id = $1 AND commitment = $2 AND shown_at IS NULL"
        " RETURNING commitment, seed, made_at, shown_at",
        program_id, committed, tx.now,
    )  # fmt: skip
    if row is None:
        return False
    _publish_seed(tx, program_id, Seed(*row))
    return True


def _publish_seed(tx: Transaction, program_id: str, seed: Seed) -> None:
    told = SeedKept(
        commitment=seed.commitment, seed=seed.seed.hex(), made_at=seed.made_at, shown_at=seed.shown_at
    )  # fmt: skip
    event = DecisionsMadeV1(program_id=program_id, accounts=(), decisions=(), seeds=(told,))
    _publish(tx, event, "seed", seed.commitment, seed.shown_at is not None)


def _publish(tx: Transaction, event: DecisionsMadeV1, *facts: object) -> None:
    """To the ledger's own topic: a backup may be older than a seed, or than the draw that showed it."""
    program_id = event.program_id
    event_id = derived_id(tx.now, event.TYPE, program_id, *facts)
    tx.mark_locked([program_id])
    tx.publish(event, id=event_id, time=tx.now, cause=Cause(f"decisions-{event_id}"))


async def adopt(tx: Transaction, event: DecisionsMadeV1) -> None:
    """Know the seeds and draws that were told before a restore: what a seed decided cannot be decided anew."""
    for item in event.seeds:
        await tx.connection.execute(
            "INSERT INTO seeds (commitment, program_id, seed, made_at, shown_at) VALUES ($1, $2, $3, $4, $5)"
            " ON CONFLICT (commitment) DO UPDATE SET shown_at = coalesce(seeds.shown_at, excluded.shown_at)",
            item.commitment, event.program_id, bytes.fromhex(item.seed), item.made_at, item.shown_at,
        )  # fmt: skip
    for draw in event.draws:
        await tx.connection.execute(
            "INSERT INTO draws AS d (program_id, draw_id, held_at, result) VALUES ($1, $2, $3, $4::jsonb)"
            " ON CONFLICT (program_id, draw_id) DO UPDATE SET"
            " result = jsonb_set(d.result, '{tickets}', d.result->'tickets' || (excluded.result->'tickets'))"
            " WHERE jsonb_array_length(d.result->'tickets') = $5 AND $5 > 0",
            event.program_id, draw.draw_id, draw.held_at, unpack(draw.result, packed=True), draw.after,
        )  # fmt: skip


async def counts(
    connection: asyncpg.Connection, program_id: str, challenge_id: str, after: UUID | None, limit: int
) -> list[dict[str, Any]]:
    """By member, in their order: what counts for a challenge, and when it was rewarded, by which version.

    What members did who were merged into another is the other's.
    """
    rows = await connection.fetch(_COUNTS, program_id, challenge_id, after, limit)
    return [
        {"member_id": row["owner"], "counted": orjson.loads(row["counted"]), "rewarded": orjson.loads(row["rewarded"])}
        for row in rows
    ]


_COUNTS = """
    WITH RECURSIVE owners (member_id, owner) AS (
        SELECT member_id, member_id FROM members WHERE merged_into IS NULL
        UNION SELECT m.member_id, o.owner FROM members m JOIN owners o ON m.merged_into = o.member_id),
    items AS (
        SELECT o.owner, c.* FROM claims c JOIN owners o USING (member_id)
        WHERE c.program_id = $1 AND ($3::uuid IS NULL OR o.owner > $3)
          AND (c.counts ? $2 OR (c.kind = 'challenge' AND c.detail->>'challenge' = $2)))
    SELECT owner,
           coalesce(jsonb_agg(jsonb_build_array(at, kind || ':' || claim_id, program_version, counts->$2->0,
                                                counts->$2->1)) FILTER (WHERE counts ? $2), '[]') AS counted,
           coalesce(jsonb_agg(jsonb_build_array(at, program_version))
                    FILTER (WHERE kind = 'challenge' AND (detail->>'reached')::boolean), '[]') AS rewarded
    FROM items GROUP BY owner ORDER BY owner LIMIT $4"""


async def load_seeds(tx: Transaction, world: World) -> None:
    """The seeds of the programs whose challenges need one. A seed is made before its commitment can be known to
    anybody, so no decision is ever made without it.
    """
    wanted = {
        challenge.commitment
        for program_id in {account.program_id for account in world.accounts.values()}
        for event in world.programs.versions(program_id)
        for challenge in event.document.challenges
        if challenge.commitment is not None
    }
    if wanted:
        rows = await tx.connection.fetch(
            "SELECT commitment, seed FROM seeds WHERE commitment = ANY($1::text[])", sorted(wanted)
        )
        world.seeds = {row["commitment"]: row["seed"] for row in rows}


async def entries(
    connection: asyncpg.Connection, program_id: str, tickets: list[tuple[int, str]], until: datetime
) -> list[Entry]:
    """The tickets of a draw: bought as one of these rewards, each of a version, and issued before it closed; not given
    back since, also not with the order that they were bought for, and of members who are not erased.
    """
    rows = await connection.fetch(
        """SELECT c.coupon_id, c.member_id FROM coupons c LEFT JOIN members m USING (member_id)
           JOIN unnest($2::int[], $3::text[]) AS t (program_version, reward_id) USING (program_version, reward_id)
           WHERE c.program_id = $1 AND c.kind = 'draw_entry' AND c.state IN ('issued', 'used') AND c.issued_at < $4
             AND (c.points = 0 OR c.returned < c.points) AND m.status IS DISTINCT FROM 'erased'
           ORDER BY c.coupon_id""",
        program_id, [version for version, _ in tickets], [reward_id for _, reward_id in tickets], until,
    )  # fmt: skip
    return [Entry(*row) for row in rows]


async def lock_draw(tx: Transaction, program_id: str, draw_id: str) -> dict[str, Any] | None:
    """The result of a draw, or None; nobody else can hold it until this transaction ends."""
    await tx.connection.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", f"{program_id}/{draw_id}")
    return await find_draw(tx.connection, program_id, draw_id)


async def find_draw(connection: asyncpg.Connection, program_id: str, draw_id: str) -> dict[str, Any] | None:
    """The result of a draw that was held, or None."""
    found = await connection.fetchval(
        "SELECT result FROM draws WHERE program_id = $1 AND draw_id = $2", program_id, draw_id
    )
    return orjson.loads(found) if found else None


async def keep_draw(tx: Transaction, program_id: str, draw_id: str, result: dict[str, Any]) -> None:
    """Keep for ever how a draw ended."""
    await tx.connection.execute(
        "INSERT INTO draws (program_id, draw_id, held_at, result) VALUES ($1, $2, $3, $4::jsonb)",
        program_id, draw_id, tx.now, text(result),
    )  # fmt: skip
    tickets = result["tickets"]
    for after in range(0, max(1, len(tickets)), TICKETS_PER_RECORD):
        some = pack(text(result | {"tickets": tickets[after : after + TICKETS_PER_RECORD]}))
        draw = DrawKept(draw_id=draw_id, held_at=tx.now, after=after, result=some)
        event = DecisionsMadeV1(program_id=program_id, accounts=(), decisions=(), draws=(draw,))
        _publish(tx, event, "draw", draw_id, after)


async def held_draws(connection: asyncpg.Connection, program_id: str) -> set[str]:
    """The draws of a program that were held."""
    rows = await connection.fetch("SELECT draw_id FROM draws WHERE program_id = $1", program_id)
    return {row["draw_id"] for row in rows}
