"""Input that must be refused or isolated."""

from datetime import UTC, datetime

import pytest

from tests.integration.points_accrual.conftest import service
from tests.unit.points_accrual.samples import ANN, enrolled, order, program

pytestmark = pytest.mark.integration


async def test_a_zero_character_in_a_path_is_no_fault(database: str) -> None:
    async with service(database) as ledger:
        await ledger.deliver(enrolled(), order())
        for path in ("orders/shop/a%00b", "orders/a%00b/1"):
            response = await ledger.client.get(f"/v1/members/{ANN}/{path}", headers=ledger.token("store"))
            assert response.status_code in (404, 422), (path, response.status_code)


async def test_an_idempotency_key_with_a_zero_character(database: str) -> None:
    async with service(database) as ledger:
        await ledger.deliver(enrolled(), order())
        await ledger.sweep()
        response = await ledger.client.post(
            f"/v1/members/{ANN}/redemptions",
            headers={**ledger.token("store"), "Idempotency-Key": "a\x00b"},
            json={"reward_id": "ten-off"},
        )
        assert response.status_code == 422, response.text


async def test_an_order_paid_in_2199_does_not_keep_a_member_out(database: str) -> None:
    async with service(database, program(validity_months=12)) as ledger:
        odd = order(paid_at=datetime(2199, 12, 30, tzinfo=UTC))
        await ledger.deliver(odd)
        await ledger.deliver(enrolled())


async def test_a_redemption_before_programs_are_read_says_try_again(database: str) -> None:
    async with service(database) as ledger:
        await ledger.deliver(enrolled(), order())
        await ledger.sweep()
        assert ledger.service.reference is not None
        ledger.service.reference.apply.__self__._versions.clear()  # type: ignore[attr-defined]  # as right after a start
        response = await ledger.client.post(
            f"/v1/members/{ANN}/redemptions",
            headers=ledger.token("store") | {"Idempotency-Key": "k"},
            json={"reward_id": "ten-off"},
        )
        assert response.status_code == 503, response.text


async def test_a_redemption_by_a_stale_program_says_try_again(database: str) -> None:
    async with service(database) as ledger:
        await ledger.deliver(enrolled(), order())
        await ledger.sweep()
        ledger.context.reference_current = lambda: False
        response = await ledger.client.post(
            f"/v1/members/{ANN}/redemptions",
            headers=ledger.token("store") | {"Idempotency-Key": "k"},
            json={"reward_id": "ten-off"},
        )
        assert response.status_code == 503, response.text
