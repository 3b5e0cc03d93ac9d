"""A year of 100,000 orders with all that follows, through the real handlers and store, made again and compared."""

import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from uuid import UUID

import pytest
from rich.console import Console

from contracts.base import Event
from contracts.orders import OrderChangedV1
from points_accrual.rebuild import check
from shared.testing import Harness
from tests.integration.points_accrual.conftest import service
from tests.unit.points_accrual.programs import rich
from tests.unit.points_accrual.samples import DAY, T0, back, book, enrolled, interval, line, order, standing

pytestmark = [pytest.mark.integration, pytest.mark.long, pytest.mark.timeout(3600)]
ORDERS, MEMBERS, BATCH = 100_000, 5_000, 500
DOCUMENT = rich("unlimited", {"days": 3}, {"months": 2}, "pro_rata", 60)


def member(number: int) -> UUID:
    return UUID(int=0x8000 << 64 | number + 1)


def happens(chance: random.Random) -> Iterator[tuple[datetime, list[Event]]]:
    """Batches with the moment of each: mostly new orders; of every ten, two are refunded and one cancelled later."""
    open_orders: list[OrderChangedV1] = []
    for first in range(0, ORDERS, BATCH):
        at = T0 + first * 365 * DAY / ORDERS
        events: list[Event] = []
        for number in range(first, first + BATCH):
            lines = (line("1", chance.randint(500, 20_000), categories=(chance.choice(("wine", "book", "toy")),)),)
            event = order(
                *lines, order_id=str(number), member_id=member(chance.randrange(MEMBERS)), placed_at=at, recorded_at=at
            )  # fmt: skip
            open_orders.append(event)
            events.append(event)
        for _ in range(BATCH * 3 // 10):
            known = open_orders.pop(chance.randrange(len(open_orders)))
            change: dict[str, object] = {"revision": 2, "recorded_at": at, "updated_at": at}
            if known.revision == 1 and known not in events:
                half = known.lines[0].gross.shop_minor // 2
                change |= (
                    {"cancelled_at": at} if chance.randrange(3) == 0 else {"refunds": (back("r", at, {"1": half}),)}
                )
                events.append(known.model_copy(update=change))
        yield at, events


async def spend(shop: Harness, chance: random.Random, at: datetime) -> None:
    """Some members redeem, hold, release and give, as far as they can."""
    for number in range(20):
        who = chance.randrange(MEMBERS)
        headers = shop.token("admin") | {"Idempotency-Key": f"{at.isoformat()}-{number}"}
        hold = chance.choice((True, False))
        path = f"/v1/members/{member(who)}"
        answer = await shop.client.post(
            f"{path}/redemptions", json={"reward_id": "ten-off", "hold": hold}, headers=headers
        )
        if answer.is_success and hold:
            coupon_id, step = answer.json()["coupon_id"], chance.choice(("capture", "release"))
            headers["Idempotency-Key"] += "-2"
            await shop.client.post(f"{path}/redemptions/{coupon_id}/{step}", json={}, headers=headers)
        headers["Idempotency-Key"] += "-gift"
        gift = {"to_member_id": str(member((who + 1) % MEMBERS)), "points": 15}
        await shop.client.post(f"{path}/transfers", json=gift, headers=headers)


async def test_a_hundred_thousand_orders_are_made_again_the_same(database: str, told: Console) -> None:
    chance = random.Random(4)
    async with service(database, DOCUMENT) as shop:
        for start in range(0, MEMBERS, BATCH):
            await shop.deliver(*(enrolled(T0, member_id=member(number)) for number in range(start, start + BATCH)))
        for place, (at, events) in enumerate(happens(chance)):
            shop.clock.at = at + timedelta(minutes=1)
            await shop.deliver(*events)
            if place % 10 == 9:
                who = member(chance.randrange(MEMBERS))
                await shop.deliver(standing(interval("silver", at - 9 * DAY), version=place, at=at, member_id=who))
                await spend(shop, chance, shop.clock.at)
                await shop.sweep(shop.clock.at)
        outcome = await check(database, book(DOCUMENT))
    assert (outcome.stuck, outcome.differences) == ([], [])
    assert outcome.rows["claims"] > ORDERS
    rate = outcome.decisions / outcome.seconds
    told.print(f"{outcome.rows}: {outcome.decisions} decisions in {outcome.seconds:.0f} s, {rate:.0f}/s")
