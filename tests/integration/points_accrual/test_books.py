"""Liability on PostgreSQL and over HTTP."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from points_accrual.domain.liability import MOVES
from points_accrual.store import accounting
from shared.testing import Harness
from tests.integration.points_accrual.conftest import NOW, service
from tests.unit.points_accrual.samples import ANN, BOB, DAY, T0, back, enrolled, line, order, program

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
        ledger.clock.at = NOW + timedelta(hours=1)
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
        first = await ask(ledger, "liability/months/2026-03")
        assert (april["opening"], april["opening_minor"]) == (march["closing"], march["closing_minor"])
        ledger.clock.at = NOW + 400 * DAY
        learnt = (await ask(ledger, "liability"))["expectation"]
        assert (learnt["rate"], learnt["rate_from"]) == ("0.400000", "cohorts")
        assert await ask(ledger, "liability/months/2026-03") == first, "a month that is over stays as it is"
        months = [await ask(ledger, f"liability/months/2027-{month:02}") for month in range(1, 6)]
        # 150 points. By the end of March the oldest are twelve whole months old: 40 % from then on. A point costs 10 as
        # the coupon of April 2026 did, until that is a year ago; then 1, as the program says.
        assert [item["closing_minor"] for item in months] == [1500, 1500, 600, 60, 60]
        for before, after in pairwise(months):
            assert (after["opening"], after["opening_minor"]) == (before["closing"], before["closing_minor"])


async def refused(ledger: Harness, path: str, **query: Any) -> str:
    answer = await ledger.client.get(f"/v1/{path}", headers=ledger.token("admin"), params=query)
    assert answer.status_code == 422, answer.text
    return str(answer.json()["detail"])


async def test_the_future_is_not_reported(database: str) -> None:
    async with service(database) as ledger:
        assert "future" in await refused(ledger, "liability", at=(NOW + DAY).isoformat())
        assert "not begun" in await refused(ledger, "liability/months/2026-05")


async def test_a_month_is_one_of_the_programs_zone_and_equals_its_transfers(database: str) -> None:
    """Baku is four hours ahead: what is posted at 21:00 UTC on 31 March belongs to April there."""
    edge = datetime(2026, 3, 31, 21, tzinfo=UTC)
    async with service(database, program(zone="Asia/Baku", pending_days=0, validity_months=1)) as ledger:
        await ledger.deliver(
            enrolled(), enrolled(member_id=BOB), order(), order(line("1", 30000), order_id="2", placed_at=edge),
            order(line("1", 5000), order_id="3", placed_at=edge - timedelta(hours=2), member_id=BOB),
        )  # fmt: skip
        assert (await post(ledger, f"members/{ANN}/redemptions", {"reward_id": "ten-off"}, "1")).status_code == 201
        adjusted = {"points": -20, "reason": "asked for"}
        assert (await post(ledger, f"members/{ANN}/adjustments", adjusted, "2")).status_code in (200, 201)
        gone = order(line("1", 5000), order_id="3", placed_at=edge - timedelta(hours=2), member_id=BOB, revision=2,
                     refunds=(back("r", NOW, {"1": 5000}),), recorded_at=NOW)  # fmt: skip
        await ledger.deliver(gone)
        ledger.clock.at = NOW + 60 * DAY
        await ledger.sweep()
        closing = 0
        for month in ("2026-02", "2026-03", "2026-04", "2026-05", "2026-06"):
            found = await ask(ledger, f"liability/months/{month}")
            assert found["opening"] == closing
            closing = found["closing"]
            assert closing == found["opening"] + sum(found["moves"].values())
            assert found["moves"] == await _posted(ledger, month), month
        assert (await ask(ledger, "liability/months/2026-03"))["moves"]["source"] == 150
        april = (await ask(ledger, "liability/months/2026-04"))["moves"]
        assert (april["source"], april["redeemed"], april["adjusted"], april["clawed_back"]) == (300, -100, -20, -50)
        assert closing == (await ask(ledger, "liability"))["outstanding"] == 0


async def _posted(ledger: Harness, month: str) -> dict[str, int]:
    """The month's movements by the transfers one by one, their months by the zone's own calendar."""
    async with ledger.context.pool.acquire() as connection:
        rows = await connection.fetch("SELECT debit, credit, points, effective_at FROM transfers")
    found = dict.fromkeys(MOVES, 0)
    for row in rows:
        if row["effective_at"].astimezone(ZoneInfo("Asia/Baku")).strftime("%Y-%m") == month:
            for bucket, sign in ((row["debit"], 1), (row["credit"], -1)):
                if bucket in found:
                    found[bucket] += sign * row["points"]
    return found


async def test_what_is_given_to_another_member_is_no_redemption(database: str) -> None:
    """Of 200 granted in March 80 went to another in April, who spent nothing: 100 of 200 were redeemed, not more."""
    open_to_gifts = program(pending_days=0, rest={"transfers": {}})
    async with service(database, open_to_gifts) as ledger:
        await ledger.deliver(enrolled(), enrolled(member_id=BOB), order(line("1", 20000)))
        assert (await post(ledger, f"members/{ANN}/redemptions", {"reward_id": "ten-off"}, "1")).status_code == 201
        gift = {"to_member_id": str(BOB), "points": 80}
        assert (await post(ledger, f"members/{ANN}/transfers", gift, "2")).status_code in (200, 201)
        may = datetime(2026, 5, 1, tzinfo=UTC)
        found = await ledger.context.read(lambda connection: accounting.cohorts(connection, "aurora", may, "UTC"))
        assert [(item.month, item.granted, item.redeemed) for item in found] == [
            ("2026-03", 120, (0, 100)), ("2026-04", 80, (0,)),
        ]  # fmt: skip


async def test_the_allocation_of_a_sale_over_http(database: str) -> None:
    async with service(database) as ledger:
        body = {"sale_minor": 100_000, "points": 10_000, "expected": 9_500, "redeemed": 4_500}
        answer = await post(ledger, "liability/allocation", body)
        assert answer.json() == {
            "goods_minor": 91_324, "points_minor": 8_676, "recognised_minor": 4_110, "deferred_minor": 4_566,
        }  # fmt: skip
        later = await post(ledger, "liability/allocation", body | {"redeemed": 8_500, "expected_now": 9_700})
        assert later.json()["recognised_minor"] - answer.json()["recognised_minor"] == 3_493
        assert (await post(ledger, "liability/allocation", body | {"expected": 10_001})).status_code == 422
        shop = await ledger.client.get("/v1/liability", headers=ledger.token("store"))
        assert shop.status_code == 403
