"""The last points of a member, wanted by a hundred requests at once: one of them gets them."""

import asyncio
from datetime import timedelta
from uuid import UUID

import pytest

from points_accrual import store
from shared.db import plain
from shared.testing import Harness
from tests.integration.points_accrual.conftest import NOW, service
from tests.unit.points_accrual.samples import enrolled, order, program

pytestmark = pytest.mark.integration
AT_ONCE = 100


async def one_round(ledger: Harness, number: int) -> None:
    """A member with just the points for one reward; some requests redeem at once, some only hold."""
    member_id = UUID(int=0x8000 << 64 | number)
    at = NOW - timedelta(days=1)
    await ledger.deliver(
        enrolled(at, member_id=member_id), order(order_id=str(number), member_id=member_id, placed_at=at)
    )
    headers = ledger.token()

    async def redeem(key: int) -> int:
        answer = await ledger.client.post(
            f"/v1/members/{member_id}/redemptions", json={"reward_id": "ten-off", "hold": key % 3 == 0},
            headers=headers | {"Idempotency-Key": str(key)},
        )  # fmt: skip
        assert answer.status_code == 201 or answer.json()["type"] == "urn:laurel:insufficient_points", answer.text
        return answer.status_code

    answers = await asyncio.gather(*(redeem(key) for key in range(AT_ONCE)))
    assert sorted(answers) == [201] + [409] * (AT_ONCE - 1)


async def rounds(database: str, count: int) -> None:
    async with service(database, program(pending_days=0)) as ledger:
        for number in range(1, count + 1):
            await one_round(ledger, number)
        async with ledger.context.pool.acquire() as connection:
            assert await store.imbalances(plain(connection)) == []
            spent = await connection.fetchval(
                "SELECT sum(points) FROM transfers WHERE debit = 'active' AND credit IN ('held', 'redeemed')"
            )
        assert spent == 100 * count


async def test_exactly_one_of_a_hundred_succeeds(database: str) -> None:
    await rounds(database, 50)


@pytest.mark.long
@pytest.mark.timeout(1800)
async def test_exactly_one_of_a_hundred_succeeds_a_thousand_times(database: str) -> None:
    await rounds(database, 1000)
