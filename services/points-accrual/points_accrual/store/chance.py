"""Seeds of chance, and the draws that were held."""

import secrets
from datetime import datetime
from typing import Any

import asyncpg
import orjson

from shared.transaction import Transaction

from ..domain.drawing import Entry, commitment
from ..domain.world import World
from .rows import text

SEED_BYTES = 32


async def make_seed(tx: Transaction, program_id: str) -> str:
    """A new seed from the system's random source. Returns its commitment; the seed stays here until it is shown."""
    seed = secrets.token_bytes(SEED_BYTES)
    committed = commitment(seed)
    await tx.connection.execute(
        "INSERT INTO seeds (commitment, program_id, seed, made_at) VALUES ($1, $2, $3, $4)",
        committed, program_id, seed, tx.now,
    )  # fmt: skip
    return committed


async def find_seed(connection: asyncpg.Connection, program_id: str, committed: str) -> bytes | None:
    """The seed behind a commitment of the program, or None."""
    seed: bytes | None = await connection.fetchval(
        "SELECT seed FROM seeds WHERE program_id = $1 AND commitment = $2", program_id, committed
    )
    return seed


async def load_seeds(tx: Transaction, world: World) -> None:
    """The seeds of the programs whose challenges need one. A seed is made before its commitment can be known to
    anybody, so no decision is ever made without it.
    """
    wanted = {
        challenge.commitment
        for event in world.programs
        if event.program_id in {account.program_id for account in world.accounts.values()}
        for challenge in event.document.challenges
        if challenge.commitment is not None
    }
    if wanted:
        rows = await tx.connection.fetch(
            "SELECT commitment, seed FROM seeds WHERE commitment = ANY($1::text[])", sorted(wanted)
        )
        world.seeds = {row["commitment"]: row["seed"] for row in rows}


async def entries(connection: asyncpg.Connection, program_id: str, rewards: list[str], until: datetime) -> list[Entry]:
    """The tickets of a draw: issued before it closed, not given back, of members who are not erased."""
    rows = await connection.fetch(
        """SELECT c.coupon_id, c.member_id FROM coupons c LEFT JOIN members m USING (member_id)
           WHERE c.program_id = $1 AND c.reward_id = ANY($2::text[]) AND c.kind = 'draw_entry'
             AND c.state IN ('issued', 'used') AND c.issued_at < $3 AND m.status IS DISTINCT FROM 'erased'
           ORDER BY c.coupon_id""",
        program_id, rewards, until,
    )  # fmt: skip
    return [Entry(row["coupon_id"], row["member_id"]) for row in rows]


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
