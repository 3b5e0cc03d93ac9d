"""The steps of a coupon reach the shop in their order, whatever was given up, lost, or came late."""

import json
from datetime import timedelta
from uuid import UUID

import pytest

from contracts.base import Event
from contracts.notifications import NotificationEvent, NotificationFailedV1, NotificationSentV1
from notification import webhook
from notification.store import endpoints, queue
from shared.transaction import Message, Transaction
from tests.integration.restored import restore, save, take_published

from .parts import MIGRATIONS, NOW, Desk, Receiver, returned, reward, used
from .test_webhooks import add, endpoint, hooks, send

pytestmark = pytest.mark.integration
OTHER = UUID(int=9)
HOUR = timedelta(hours=1)


async def send_all(here: Desk) -> None:
    while await send(here):
        pass


async def claim(here: Desk) -> list[queue.Claimed]:
    return await here.harness.context.execute(lambda tx: queue.claim(tx, "webhook", limit=8, lease=webhook.LEASE))


async def given_up(here: Desk, message: queue.Claimed) -> None:
    """It was refused for the last time."""
    await here.harness.context.execute(
        lambda tx: queue.finish(tx, message, "webhook", "failed", reason="HTTP 422")
    )  # fmt: skip


async def give_up(here: Desk, *events: Event | Message) -> None:
    """These are refused until they are given up; since others are accepted, the endpoint stays enabled."""
    await here.harness.deliver(*events)
    for _ in events:
        (one,) = await claim(here)
        await given_up(here, one)
    assert await claim(here) == []
    assert await endpoint(here) == (True, None, 0, 1)  # But for the last of them, none can be sent any more.
    here.later(days=9)


async def set_again(here: Desk, shop: Receiver) -> None:
    """As `laurel endpoint set` does."""
    await here.harness.context.execute(
        lambda tx: endpoints.set_endpoint(tx.connection, "aurora", shop.url, now=tx.now)
    )  # fmt: skip


def told(shop: Receiver) -> list[tuple[str, int]]:
    """What the shop was told of coupons, by their numbers."""
    bodies = [json.loads(body) for _, _, body in shop.requests]
    return [(body["type"], UUID(body["data"]["coupon_id"]).int) for body in bodies]


async def test_what_was_given_up_is_not_told_after_what_came_later(here: Desk, shop: Receiver) -> None:
    await add(here, shop.url)
    await give_up(here, reward(), used(NOW + HOUR))
    await here.harness.deliver(returned(here.harness.clock.at))
    await send_all(here)
    await set_again(here, shop)
    await send_all(here)
    assert told(shop) == [("reward.returned", 5)]
    assert await endpoint(here) == (True, None, 0, 0)


async def test_what_was_given_up_is_told_before_what_was_not_tried_yet(here: Desk, shop: Receiver) -> None:
    await add(here, shop.url)
    await give_up(here, reward())
    await here.harness.deliver(returned(here.harness.clock.at))
    await set_again(here, shop)
    await send_all(here)
    assert told(shop) == [("reward.issued", 5), ("reward.returned", 5)]


async def test_steps_of_other_coupons_keep_nothing_from_being_told(here: Desk, shop: Receiver) -> None:
    await add(here, shop.url)
    await give_up(here, reward())
    now = here.harness.clock.at
    await here.harness.deliver(reward(at=now, coupon=6), returned(now, coupon=6, issued_at=now))
    await send_all(here)
    await set_again(here, shop)
    await send_all(here)
    assert told(shop) == [("reward.issued", 6), ("reward.returned", 6), ("reward.issued", 5)]


async def test_what_was_given_up_is_not_told_while_a_later_step_is_under_way(here: Desk, shop: Receiver) -> None:
    await add(here, shop.url)
    await give_up(here, reward())
    await here.harness.deliver(returned(here.harness.clock.at))
    (under_way,) = await claim(here)
    await set_again(here, shop)
    await set_again(here, shop)
    await here.harness.context.execute(lambda tx: queue.finish(tx, under_way, "webhook", "sent"))
    await send_all(here)
    assert told(shop) == []


async def set_back(here: Desk) -> None:
    """Restore what was saved, and read back what was published since."""
    published = await take_published(here.harness)
    await restore(here.harness)
    adopt = here.harness.service.adopt
    assert adopt is not None
    await here.harness.context.execute(lambda tx: adopt(tx, published))


@pytest.mark.parametrize("known", [True, False], ids=["called for before the backup", "called for after it"])
async def test_after_a_restore_what_was_given_up_is_not_told_after_what_came_later(
    here: Desk, shop: Receiver, known: bool
) -> None:
    await add(here, shop.url)
    first = [here.harness.message(event) for event in (reward(), used(NOW + HOUR))]
    if known:
        await here.harness.deliver(*first)
    await save(here.harness)
    await give_up(here, *first)
    last = here.harness.message(returned(here.harness.clock.at))
    await here.harness.deliver(last)
    await send_all(here)
    assert told(shop) == [("reward.returned", 5)]
    await set_back(here)
    shop.requests.clear()
    for message in (*first, last):
        await here.harness.deliver(message)
        await set_again(here, shop)
        await send_all(here)
    assert told(shop) == []


@pytest.mark.parametrize("known", [True, False], ids=["called for before the backup", "called for after it"])
async def test_after_a_restore_what_was_given_up_waits_for_the_endpoint_as_before(
    here: Desk, shop: Receiver, known: bool
) -> None:
    await add(here, shop.url)
    issued = here.harness.message(reward())
    if known:
        await here.harness.deliver(issued)
    await save(here.harness)
    await give_up(here, issued)
    await set_back(here)
    await here.harness.deliver(issued)
    await send_all(here)
    assert told(shop) == []
    assert await endpoint(here) == (True, None, 0, 1)
    await set_again(here, shop)
    await send_all(here)
    assert told(shop) == [("reward.issued", 5)]


async def test_after_a_restore_what_was_told_at_last_is_not_told_again(here: Desk, shop: Receiver) -> None:
    await add(here, shop.url)
    await give_up(here, reward())
    await take_published(here.harness)
    await save(here.harness)
    await set_again(here, shop)
    await send_all(here)
    await set_back(here)
    shop.requests.clear()
    await set_again(here, shop)
    await send_all(here)
    assert told(shop) == []
    assert {row["state"] for row in await hooks(here)} == {"sent"}


async def test_an_issue_that_comes_after_other_steps_is_not_told(here: Desk, shop: Receiver) -> None:
    """As from a dead letter that is replayed."""
    await add(here, shop.url)
    await here.harness.deliver(returned(NOW + HOUR))
    await send_all(here)
    await here.harness.deliver(reward())
    await send_all(here)
    assert told(shop) == [("reward.returned", 5)]


async def test_a_coupon_whose_member_was_merged_keeps_its_order(here: Desk, shop: Receiver) -> None:
    await add(here, shop.url)
    shop.status = "500 Oops"
    await here.harness.deliver(reward())
    await send(here)
    await here.harness.deliver(returned(NOW + HOUR, member_id=OTHER))
    shop.status = "200 OK"
    await send(here)
    assert told(shop) == [("reward.issued", 5)]
    here.later(minutes=1)
    await send_all(here)
    assert told(shop)[1:] == [("reward.issued", 5), ("reward.returned", 5)]


async def test_no_step_of_a_coupon_from_before_the_endpoint_is_told_to_it(here: Desk, shop: Receiver) -> None:
    here.later(days=1)
    await add(here, shop.url)
    now = here.harness.clock.at
    await here.harness.deliver(reward(), used(now + HOUR), returned(now + HOUR))
    # Who published these did not say yet when the coupon was issued.
    await here.harness.deliver(used(NOW, issued_at=None), returned(NOW, issued_at=None))
    assert await hooks(here) == []
    await here.harness.deliver(reward(at=now, coupon=6), used(now - HOUR, coupon=6, issued_at=now))
    assert {row["template"] for row in await hooks(here)} == {"reward.issued", "reward.used"}


async def test_before_coupons_were_noted_what_was_given_up_last_can_still_be_told(here: Desk, shop: Receiver) -> None:
    """As the version before left its rows: nothing overtaken, and no coupon."""
    await add(here, shop.url)
    await give_up(here, reward())
    (row,) = await hooks(here)
    await here.harness.deliver(returned(here.harness.clock.at))
    await send_all(here)
    await give_up(here, reward(at=here.harness.clock.at, coupon=6))
    update, _ = (MIGRATIONS / "0005_coupons_known.sql").read_text().split("CREATE INDEX")

    async def as_before(tx: Transaction) -> None:
        await tx.connection.execute(
            "UPDATE messages SET parameters = $2 WHERE message_id = $1", row["message_id"], row["parameters"]
        )
        await tx.connection.execute("UPDATE messages SET coupon_id = NULL")
        await tx.connection.execute(update)

    await here.harness.context.execute(as_before)
    shop.requests.clear()
    await set_again(here, shop)
    await here.harness.deliver(used(here.harness.clock.at, coupon=6))
    await send_all(here)
    assert told(shop) == [("reward.issued", 6), ("reward.used", 6)]


async def test_what_was_told_of_a_coupon_says_of_which(here: Desk, shop: Receiver) -> None:
    await add(here, shop.url)
    await give_up(here, reward())
    await here.harness.deliver(reward(at=here.harness.clock.at, coupon=6))
    await send_all(here)
    events = [event for _, event in await here.harness.outbox()]
    assert [(type(event), event.coupon_id) for event in events if isinstance(event, NotificationEvent)] == [
        (NotificationFailedV1, UUID(int=5)), (NotificationSentV1, UUID(int=6)),
    ]  # fmt: skip
