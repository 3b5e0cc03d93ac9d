"""An ordinary FastStream subscriber with the same rules: one message, one transaction, one acknowledgement.

Written as the documentation of its libraries shows it, and with less to do than the ledger: no decisions, no document
of the order, no lots that change, no relay. `python -m tests.bench.ordinary` runs it until SIGTERM.
"""

import asyncio
import json
import os
from datetime import UTC, datetime
from uuid import UUID

import asyncpg
from faststream import AckPolicy, FastStream
from faststream.kafka import KafkaBroker, KafkaMessage

from contracts.ids import derived_id
from contracts.orders import OrderChangedV1
from points_accrual.domain.claims import Claim, Member, order_key
from points_accrual.domain.judging import judge_order
from points_accrual.domain.rulebook import Rulebook, rulebook

from .traffic import TEN, program_of

DSN, KAFKA, TOPIC, GROUP = "BENCH_DSN", "BENCH_KAFKA", "BENCH_TOPIC", "BENCH_GROUP"
"""What the environment says."""

SCHEMA = """
CREATE TABLE accounts (member_id uuid PRIMARY KEY, enrolled_at timestamptz NOT NULL,
                       points bigint NOT NULL DEFAULT 0 CHECK (points >= 0));
CREATE TABLE claims (source text NOT NULL, order_id text NOT NULL, revision bigint NOT NULL, member_id uuid NOT NULL,
                     placed_at timestamptz NOT NULL, PRIMARY KEY (source, order_id));
CREATE TABLE transfers (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, member_id uuid NOT NULL,
                        rule_id text NOT NULL, points bigint NOT NULL, order_id text NOT NULL,
                        effective_at timestamptz NOT NULL);
CREATE INDEX transfers_member ON transfers (member_id, id);
CREATE TABLE outbox (id uuid PRIMARY KEY, topic text NOT NULL, key text NOT NULL, value jsonb NOT NULL,
                     created_at timestamptz NOT NULL DEFAULT now());
"""


async def apply(connection: asyncpg.Connection, book: Rulebook, order: OrderChangedV1) -> None:
    """One order, in the caller's transaction; one that is known changes nothing."""
    account = await connection.fetchrow(
        "SELECT enrolled_at FROM accounts WHERE member_id = $1 FOR UPDATE", order.member_id
    )
    assert account is not None
    new = await connection.fetchval(
        """INSERT INTO claims (source, order_id, revision, member_id, placed_at) VALUES ($1, $2, $3, $4, $5)
           ON CONFLICT DO NOTHING RETURNING true""",
        order.source, order.order_id, order.revision, order.member_id, order.placed_at,
    )  # fmt: skip
    if not new:
        return
    member = Member(order.member_id, status="member", enrolled_at=account["enrolled_at"])
    granted = judge(member, order, book)
    now = datetime.now(UTC)
    for rule_id, points in granted.items():
        await connection.execute(
            """INSERT INTO transfers (member_id, rule_id, points, order_id, effective_at)
               VALUES ($1, $2, $3, $4, $5)""",
            order.member_id, rule_id, points, order.order_id, now,
        )  # fmt: skip
    total = await connection.fetchval(
        "UPDATE accounts SET points = points + $2 WHERE member_id = $1 RETURNING points",
        order.member_id, sum(granted.values()),
    )  # fmt: skip
    await _announce(connection, order, granted, total, now)


def judge(member: Member, order: OrderChangedV1, book: Rulebook) -> dict[str, int]:
    """Points by rule, by the very rules of the ledger."""
    claim = Claim(
        key=order_key(order.source, order.order_id), member_id=member.member_id, at=order.placed_at,
        first_recorded_at=order.recorded_at, parsed=order,
    )  # fmt: skip
    return {rule_id: points for rule_id, points in judge_order(member, claim, book).wanted.items() if points}


async def _announce(
    connection: asyncpg.Connection, order: OrderChangedV1, granted: dict[str, int], total: int, now: datetime
) -> None:
    value = {
        "program_id": order.program_id, "member_id": str(order.member_id), "order_id": order.order_id,
        "granted": granted, "points": sum(granted.values()), "balance": total, "effective_at": now.isoformat(),
    }  # fmt: skip
    await connection.execute(
        "INSERT INTO outbox (id, topic, key, value) VALUES ($1, $2, $3, $4)",
        derived_id(now, "granted", order.source, order.order_id), "points", str(order.member_id), json.dumps(value),
    )  # fmt: skip


async def prepare(connection: asyncpg.Connection, members: list[tuple[UUID, datetime]]) -> None:
    """Its tables, with all members."""
    await connection.execute(SCHEMA)
    await connection.copy_records_to_table("accounts", records=members, columns=["member_id", "enrolled_at"])


async def serve() -> None:
    """Consume until stopped."""
    pool = await asyncpg.create_pool(os.environ[DSN], min_size=1, max_size=8)
    book = rulebook(program_of(TEN))
    broker = KafkaBroker(os.environ[KAFKA], client_id="ordinary", allow_auto_create_topics=False, logger=None)

    @broker.subscriber(
        os.environ[TOPIC], group_id=os.environ[GROUP], ack_policy=AckPolicy.MANUAL, auto_offset_reset="earliest"
    )
    async def handle(order: OrderChangedV1, message: KafkaMessage) -> None:
        async with pool.acquire() as connection, connection.transaction():
            await apply(connection, book, order)  # type: ignore[arg-type]
        await message.ack()

    await FastStream(broker, logger=None).run()
    await pool.close()


if __name__ == "__main__":
    asyncio.run(serve())
