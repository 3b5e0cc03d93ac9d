"""Coupons, the codes they are drawn from, and the idempotency keys of redemptions."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import asyncpg
import orjson

from shared.transaction import Transaction

from ..domain.redeeming import Coupon
from .rows import text

CODE_CHARACTERS_MAX = 255


async def import_codes(connection: asyncpg.Connection, program_id: str, reward_id: str, codes: Sequence[str]) -> int:
    """Add codes that the shop knows to the pool of a reward; known ones are left as they are. Returns how many are new.

    Raises ValueError naming the place of a code that cannot be one; then none is added. Codes are never named.
    """
    for place, code in enumerate(codes, start=1):
        if not 1 <= len(code) <= CODE_CHARACTERS_MAX or code != code.strip() or not code.isprintable():
            raise ValueError(
                f"code {place} is empty, longer than {CODE_CHARACTERS_MAX} characters, or has blanks around it"
            )
    added: int = await connection.fetchval(
        "WITH added AS (INSERT INTO coupon_codes (program_id, reward_id, code)"
        " SELECT $1, $2, code FROM unnest($3::text[]) AS code ORDER BY code ON CONFLICT DO NOTHING RETURNING 1)"
        " SELECT count(*) FROM added",
        program_id, reward_id, sorted(set(codes)),
    )  # fmt: skip
    return added


async def draw_code(tx: Transaction, program_id: str, reward_id: str) -> str | None:
    """A code of the pool that no other transaction is taking; None when there is none."""
    code: str | None = await tx.connection.fetchval(
        "SELECT code FROM coupon_codes WHERE program_id = $1 AND reward_id = $2 AND coupon_id IS NULL"
        " ORDER BY code LIMIT 1 FOR UPDATE SKIP LOCKED",
        program_id, reward_id,
    )  # fmt: skip
    return code


async def find_redemption(tx: Transaction, member_id: UUID, key: str) -> tuple[Any, Any] | None:
    """The body and the answer that this idempotency key was first used with. The member's account must be locked."""
    row = await tx.connection.fetchrow(
        "SELECT body, answer FROM redemptions WHERE member_id = $1 AND idempotency_key = $2", member_id, key
    )
    return (orjson.loads(row["body"]), orjson.loads(row["answer"])) if row else None


async def keep_redemption(
    tx: Transaction, member_id: UUID, key: str, sequence: int, program_id: str, coupon: Coupon, body: Any, answer: Any
) -> None:
    """Keep a coupon, and for ever what this idempotency key did."""
    await tx.connection.execute(
        "INSERT INTO coupons (coupon_id, program_id, member_id, reward_id, code, issued_at, expires_at)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7)",
        coupon.coupon_id, program_id, member_id, coupon.reward.id, coupon.code, coupon.issued_at, coupon.expires_at,
    )  # fmt: skip
    if coupon.reward.codes == "pool":
        await tx.connection.execute(
            "UPDATE coupon_codes SET coupon_id = $3 WHERE program_id = $1 AND code = $2",
            program_id, coupon.code, coupon.coupon_id,
        )  # fmt: skip
    await tx.connection.execute(
        "INSERT INTO redemptions (member_id, idempotency_key, sequence, coupon_id, body, answer)"
        " VALUES ($1, $2, $3, $4, $5::jsonb, $6::json)",
        member_id, key, sequence, coupon.coupon_id, text(body), text(answer),
    )  # fmt: skip
