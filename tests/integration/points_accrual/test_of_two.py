"""What is done with the accounts of two, on PostgreSQL: its constraints hold, and the same is made again."""

from datetime import timedelta

import pytest

from contracts.program import Program
from points_accrual.rebuild import check
from shared.testing import Harness
from tests.integration.points_accrual.conftest import NOW, service
from tests.integration.points_accrual.test_loading import post, rows
from tests.unit.points_accrual.samples import ANN, BOB, DAY, T0, book, enrolled, line, merge, order, program

pytestmark = pytest.mark.integration


async def made_again(shop: Harness, database: str, document: Program) -> bool:
    checked = await check(database, book(document))
    return not checked.differences and not checked.stuck


async def test_two_who_turn_out_to_be_one_get_a_coupon_each_by_one_order(database: str) -> None:
    """Two coupons with one code were refused, and the order with them."""
    given = [{"id": "five", "counts": "pieces", "every": 5, "reward": "ten-off"}]
    document = program(rest={"challenges": given})
    async with service(database, document) as shop:
        first = order(line("1", 10000, quantity=5), order_id="1")
        second = order(line("1", 10000, quantity=5), order_id="2", member_id=BOB)
        await shop.deliver(enrolled(), enrolled(member_id=BOB), first, second)
        await shop.deliver(merge(BOB, ANN, T0 + DAY))
        gone = {"revision": 2, "cancelled_at": T0 + DAY, "recorded_at": T0 + DAY}
        await shop.deliver(first.model_copy(update=gone), second.model_copy(update=gone))
        await shop.deliver(order(line("1", 10000, quantity=10), order_id="3", placed_at=T0 + 2 * DAY))
        assert await rows(shop, "SELECT state, count(DISTINCT code)::int FROM coupons GROUP BY state ORDER BY 1") == [
            ("issued", 2), ("returned", 2),
        ]  # fmt: skip
        assert await made_again(shop, database, document)


async def test_points_that_run_out_before_they_arrive_stay(database: str) -> None:
    """The clock of who receives is ahead: an edge was some minutes fast."""
    document = program(pending_days=0, rest={"transfers": {}})
    async with service(database, document) as shop:
        await shop.deliver(enrolled(), enrolled(member_id=BOB))
        ends = {"soon": NOW + timedelta(minutes=2), "late": NOW + DAY}
        lots = [{"points": 50, "expires_at": at.isoformat()} for at in ends.values()]
        brought = {"import_id": "old", "as_of": T0.isoformat(), "lots": lots}
        assert (await post(shop, f"{ANN}/imports", brought, "1")).status_code == 201
        await shop.deliver(order(member_id=BOB, placed_at=T0, recorded_at=NOW + timedelta(minutes=4)))
        refused = await post(shop, f"{ANN}/transfers", {"to_member_id": str(BOB), "points": 60}, "2")
        assert (refused.status_code, refused.json()["type"]) == (409, "urn:laurel:insufficient_points"), refused.text
        assert (await post(shop, f"{ANN}/transfers", {"to_member_id": str(BOB), "points": 40}, "3")).status_code == 201
        left = "SELECT expires_at, remaining FROM lots WHERE member_id = (SELECT min(member_id::text)::uuid FROM lots)"
        assert await rows(shop, left + " ORDER BY 1") == [(ends["soon"], 50), (ends["late"], 10)]
        assert await made_again(shop, database, document)
