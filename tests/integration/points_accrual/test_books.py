"""Liability, seeds and draws on PostgreSQL and over HTTP."""

import hashlib
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from contracts.points import PointsGrantedV1
from contracts.rewards import DrawHeldV1
from points_accrual.domain.challenges import surprise
from shared.testing import Harness
from tests.integration.points_accrual.conftest import NOW, service
from tests.unit.points_accrual.samples import ANN, BOB, DAY, T0, back, enrolled, line, order, program, published

pytestmark = pytest.mark.integration


async def ask(ledger: Harness, path: str, **query: Any) -> Any:
    answer = await ledger.client.get(f"/v1/{path}", headers=ledger.token("admin"), params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def post(ledger: Harness, path: str, body: Any = None, key: str | None = None) -> Any:
    headers = ledger.token("admin") | ({"Idempotency-Key": key} if key else {})
    return await ledger.client.post(f"/v1/{path}", headers=headers, json=body)


async def test_months_follow_one_another_and_end_in_what_there_is(database: str) -> None:
    """March: 100 + 250 granted, 100 pending taken back. April: 250 active, 100 spent on a coupon worth 10.00."""
    async with service(database) as ledger:
        gone = order(revision=2, refunds=(back("r", T0 + DAY, {"1": 10000}),), recorded_at=T0 + DAY)
        await ledger.deliver(enrolled(), order(), gone, order(line("1", 25000), order_id="2", placed_at=T0 + DAY))
        await ledger.sweep()
        assert (await post(ledger, f"members/{ANN}/redemptions", {"reward_id": "ten-off"}, "1")).status_code == 201
        march, april = await ask(ledger, "liability/months/2026-03"), await ask(ledger, "liability/months/2026-04")
        assert (march["opening"], march["moves"]["source"], march["moves"]["clawed_back"], march["closing"]) == (
            0, 350, -100, 250,
        )  # fmt: skip
        assert (april["opening"], april["moves"]["redeemed"], april["closing"]) == (250, -100, 150)
        now = await ask(ledger, "liability", rate="0.5")
        assert now["points"] == {"pending": 0, "active": 150, "held": 0, "deficit": 0}
        assert now["outstanding"] == april["closing"]
        assert (now["expectation"]["cost_minor"], now["expectation"]["cost_from"]) == ("10.000000", "rewards")
        assert now["liability_minor"] == 750
        assert sum(band["points"] for band in now["ages"]) == 150
        then = await ask(ledger, "liability", at=(T0 + 20 * DAY).isoformat())
        assert then["points"]["active"] == 250
        assert then["expectation"]["rate_from"] == "prudence"
        ledger.clock.at = NOW + 400 * DAY
        later = (await ask(ledger, "liability"))["expectation"]
        assert (later["rate_from"], later["rate"]) == ("cohorts", "0.400000")


async def test_the_allocation_of_a_sale_over_http(database: str) -> None:
    async with service(database) as ledger:
        body = {"sale_minor": 100_000, "points": 10_000, "expected": 9_500, "redeemed": 4_500}
        answer = await post(ledger, "liability/allocation", body)
        assert answer.json() == {
            "goods_minor": 91_324, "points_minor": 8_676, "recognised_minor": 4_110, "deferred_minor": 4_566,
        }  # fmt: skip
        assert (await post(ledger, "liability/allocation", body | {"expected": 10_001})).status_code == 422
        shop = await ledger.client.get("/v1/liability", headers=ledger.token("store"))
        assert shop.status_code == 403


async def test_surprises_come_where_the_seed_says(database: str) -> None:
    async with service(database) as ledger:
        committed = (await post(ledger, "seeds")).json()["commitment"]
        async with ledger.context.pool.acquire() as connection:
            seed = await connection.fetchval("SELECT seed FROM seeds WHERE commitment = $1", committed)
        assert hashlib.sha256(seed).hexdigest() == committed
        luck = {"id": "luck", "counts": "orders", "surprise_in": 3, "commitment": committed, "points": 7}
        second = program(version=2, effective_from=T0 - DAY, rest={"challenges": [luck]})
        assert ledger.service.reference is not None
        ledger.service.reference.apply(published(second))
        await ledger.deliver(enrolled())
        for number in range(9):
            await ledger.deliver(order(order_id=str(number), placed_at=T0 + number * DAY))
        given = [
            event.occurred_at for _, event in await ledger.outbox()
            if isinstance(event, PointsGrantedV1) and event.claim_kind == "challenge"
        ]  # fmt: skip
        wanted = [block * 3 + surprise(seed, "luck", ANN, block, 3) for block in range(3)]
        assert [(at - T0).days + 1 for at in given] == wanted


async def test_a_draw_is_held_once_and_can_be_checked(database: str) -> None:
    async with service(database) as ledger:
        committed = (await post(ledger, "seeds")).json()["commitment"]
        draw = {"id": "bike", "name": {"en": "Bike"}, "closes_at": NOW + DAY, "winners": 2, "commitment": committed}
        ticket = {"type": "draw_entry", "id": "ticket", "name": {"en": "Ticket"}, "cost": 10, "draw": "bike"}
        second = program(version=2, effective_from=T0 - DAY, rest={"draws": [draw], "rewards": [ticket]})
        assert ledger.service.reference is not None
        ledger.service.reference.apply(published(second))
        for member_id in (ANN, BOB):
            mine = order(order_id=str(member_id), member_id=member_id, placed_at=T0)
            await ledger.deliver(enrolled(member_id=member_id), mine)
        await ledger.sweep()
        bought = []
        for number in range(5):
            whose = BOB if number else ANN
            answer = await post(ledger, f"members/{whose}/redemptions", {"reward_id": "ticket"}, str(number))
            assert answer.status_code == 201, answer.text
            bought.append(answer.json()["coupon_id"])
        coupon = bought[-1]
        assert (await post(ledger, f"members/{BOB}/redemptions/{coupon}/reversal", {}, "back")).status_code == 200
        assert (await post(ledger, "draws/bike/hold")).json()["title"] == "Still open"
        ledger.clock.at = NOW + DAY + timedelta(seconds=1)
        await ledger.outbox()
        held = (await post(ledger, "draws/bike/hold")).json()
        assert held["entries"] == 4
        assert {item["member_id"] for item in held["winners"]} == {str(ANN), str(BOB)}
        assert (await post(ledger, "draws/bike/hold")).json() == held
        assert [type(event) for _, event in await ledger.outbox()] == [DrawHeldV1]
        assert await ask(ledger, "draws/bike") == held
        assert await ask(ledger, "draws/bike/verification") == {"ok": True, "faults": []}
        ids = sorted(item["coupon_id"] for item in (await ask(ledger, "draws/bike/entries"))["entries"])
        assert hashlib.sha256("".join(f"{item}\n" for item in ids).encode()).hexdigest() == held["entries_digest"]
        assert str(UUID(coupon)) not in ids
