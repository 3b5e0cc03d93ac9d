"""What HTTP asks: members and orders by what others call them, and keys that make a request count once."""

from datetime import datetime
from uuid import UUID

import asyncpg

_MEMBER = "member_id, program_id, version, status, enrolled_at, recorded_at, state"


async def find_member(
    connection: asyncpg.Connection,
    program_id: str,
    *,
    member_id: UUID | None = None,
    email: str | None = None,
    source: str | None = None,
    customer_id: str | None = None,
    typed: bool = False,
) -> asyncpg.Record | None:
    """A member by its id, by a customer id, or by an address in lower case.

    An address that an account merely typed leads to nobody, points and tokens must not go where anybody can point;
    but with `typed`, where it leads nowhere else.
    """
    if member_id is None and customer_id is not None:
        member_id = await connection.fetchval(
            """SELECT member_id FROM identities
               WHERE program_id = $1 AND kind = 'customer' AND source = $2 AND value = $3""",
            program_id, source, customer_id,
        )  # fmt: skip
    elif member_id is None and email is not None:
        member_id = await connection.fetchval(
            """SELECT member_id FROM identities
               WHERE program_id = $1 AND kind = 'email' AND source = '' AND value = $2""",
            program_id, email,
        )  # fmt: skip
        if member_id is None and typed:
            member_id = await connection.fetchval(
                "SELECT member_id FROM members WHERE program_id = $1 AND email = $2 ORDER BY member_id LIMIT 1",
                program_id, email,
            )  # fmt: skip
    query = f"SELECT {_MEMBER} FROM members WHERE program_id = $1 AND member_id = $2"
    return await connection.fetchrow(query, program_id, member_id)


async def find_order(
    connection: asyncpg.Connection, program_id: str, source: str, order_id: str
) -> asyncpg.Record | None:
    """A published order."""
    return await connection.fetchrow(
        """SELECT member_id, revision, recorded_at, state FROM orders
           WHERE program_id = $1 AND source = $2 AND order_id = $3 AND revision > 0""",
        program_id, source, order_id,
    )  # fmt: skip


async def claim_key(
    connection: asyncpg.Connection, program_id: str, key: str, request_sha256: bytes, *, now: datetime
) -> tuple[bytes, str | None] | None:
    """Take an idempotency key. None: it is ours now. Else the request it belongs to, and what was answered."""
    claimed = await connection.fetchval(
        """INSERT INTO idempotency_keys (program_id, key, request_sha256, created_at) VALUES ($1, $2, $3, $4)
           ON CONFLICT DO NOTHING RETURNING true""",
        program_id, key, request_sha256, now,
    )  # fmt: skip
    if claimed:
        return None
    query = "SELECT request_sha256, answer FROM idempotency_keys WHERE program_id = $1 AND key = $2"
    row = await connection.fetchrow(query, program_id, key)
    assert row is not None
    return row["request_sha256"], row["answer"]


async def keep_answer(connection: asyncpg.Connection, program_id: str, key: str, answer: str) -> None:
    """Remember what a request with this key was answered."""
    query = "UPDATE idempotency_keys SET answer = $3 WHERE program_id = $1 AND key = $2"
    await connection.execute(query, program_id, key, answer)
