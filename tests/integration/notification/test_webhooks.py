"""reward.issued to a real receiver: signed, retried, and stopped when nobody answers."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import httpx
import pytest

from contracts.notifications import NotificationFailedV1, NotificationSentV1
from notification import webhook
from notification.store import endpoints, queue

from .parts import MEMBER, NOW, Desk, Receiver, member, receiver, returned, reward

pytestmark = pytest.mark.integration
ALLOWED = frozenset({"localhost"})


async def add(here: Desk, url: str) -> str:
    secret = await here.harness.context.execute(
        lambda tx: endpoints.set_endpoint(tx.connection, "aurora", url, now=tx.now)
    )
    assert secret is not None
    return secret


async def send(here: Desk, allowed: frozenset[str] = ALLOWED) -> bool:
    async with httpx.AsyncClient(timeout=webhook.TIMEOUT, trust_env=False) as client:
        return await webhook.send_due(here.harness.context, client, allowed)


async def hooks(here: Desk) -> list[dict[str, object]]:
    return [row for row in await here.rows() if row["channel"] == "webhook"]


async def endpoint(here: Desk) -> tuple[bool, str | None, int, int]:
    (row,) = await here.harness.context.read(endpoints.list_endpoints)
    return row["enabled"], row["disabled_reason"], row["due"], row["failed"]


def signed_by(secret: str, headers: dict[str, str], body: bytes) -> bool:
    """Checks like a receiver does."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    text = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = "v1," + base64.b64encode(hmac.new(key, text, hashlib.sha256).digest()).decode()
    return expected in headers["webhook-signature"].split(" ")


async def test_the_shop_is_told_of_a_coupon(here: Desk, shop: Receiver) -> None:
    secret = await add(here, shop.url)
    event = here.harness.message(reward())
    await here.harness.deliver(event, event)
    await send(here)
    await send(here)
    ((request, headers, body),) = shop.requests
    (row,) = await hooks(here)
    assert request == "POST /hooks?shop=1 HTTP/1.1"
    assert headers["host"] == shop.url.split("/")[2]
    assert headers["webhook-id"] == str(row["message_id"])
    assert headers["webhook-timestamp"] == str(int(NOW.timestamp()))
    assert signed_by(secret, headers, body)
    assert not signed_by(secret, headers, body + b" ")
    told = json.loads(body)
    assert told["type"] == "reward.issued"
    assert (told["data"]["code"], told["data"]["value_minor"]) == ("7K3M9QW2XHTB", 500)
    assert row["state"] == "sent"
    assert row["parameters"] == "{}"
    ((_, event_told),) = await here.harness.outbox()
    assert isinstance(event_told, NotificationSentV1)
    assert event_told.channel == "webhook"


async def test_while_a_secret_is_rotated_both_verify(here: Desk, shop: Receiver) -> None:
    old = await add(here, shop.url)
    new = await here.harness.context.execute(lambda tx: endpoints.rotate(tx.connection, "aurora", now=tx.now))
    await here.harness.deliver(reward())
    await send(here)
    _, headers, body = shop.requests[0]
    assert signed_by(old, headers, body)
    assert signed_by(new, headers, body)
    here.later(hours=25)
    await here.harness.deliver(reward())
    await send(here)
    _, headers, body = shop.requests[1]
    assert signed_by(new, headers, body)
    assert not signed_by(old, headers, body)


async def test_after_ten_tries_the_endpoint_is_disabled_and_enabling_it_sends_all(here: Desk, shop: Receiver) -> None:
    await add(here, shop.url)
    shop.status = "500 Oops"
    await here.harness.deliver(reward())
    started = here.harness.clock.at
    for _ in range(10):
        await send(here)
        (row,) = await hooks(here)
        if row["state"] == "due":
            assert isinstance(row["next_attempt_at"], type(NOW))
            here.harness.clock.at = row["next_attempt_at"]
    assert here.harness.clock.at - started >= timedelta(hours=75)
    assert len({headers["webhook-id"] for _, headers, _ in shop.requests}) == 1
    assert len(shop.requests) == 10
    assert await endpoint(here) == (False, "after 10 tries: HTTP 500", 0, 1)
    ((_, told),) = await here.harness.outbox()
    assert isinstance(told, NotificationFailedV1)
    await here.harness.deliver(reward())
    await send(here)
    assert len(shop.requests) == 10  # What comes later waits.
    shop.status = "200 OK"
    count = await here.harness.context.execute(lambda tx: endpoints.enable(tx.connection, "aurora", now=tx.now))
    await send(here)
    assert count == 2
    await send(here)
    assert [row["state"] for row in await hooks(here)] == ["sent", "sent"]


async def test_one_message_that_is_not_liked_keeps_no_other_back(here: Desk, shop: Receiver) -> None:
    await add(here, shop.url)
    await here.harness.deliver(reward(member_id=UUID(int=9), coupon=9))
    for _ in range(10):
        shop.status = "422 Unprocessable"
        await send(here)
        shop.status = "200 OK"
        await here.harness.deliver(reward(at=here.harness.clock.at))
        await send(here)
        here.later(days=2)
    assert await endpoint(here) == (True, None, 0, 1)


async def test_a_member_s_messages_keep_their_order(here: Desk, shop: Receiver) -> None:
    await add(here, shop.url)
    shop.status = "500 Oops"
    await here.harness.deliver(reward())
    await send(here)
    await here.harness.deliver(returned(NOW + timedelta(seconds=1)))
    shop.status = "200 OK"
    await send(here)
    assert len(shop.requests) == 1
    here.later(minutes=1)
    await send(here)
    await send(here)
    assert [json.loads(body)["type"] for _, _, body in shop.requests] == [
        "reward.issued", "reward.issued", "reward.returned",
    ]  # fmt: skip


async def test_what_waited_for_an_earlier_one_goes_at_once(here: Desk, shop: Receiver) -> None:
    await add(here, shop.url)
    await here.harness.deliver(*(reward() for _ in range(30)))
    while await send(here):
        pass
    assert len(shop.requests) == 30


async def test_an_endpoint_that_says_nothing_holds_up_no_other(here: Desk, shop: Receiver) -> None:
    silent = "http://localhost:9/hook"
    await here.harness.context.execute(lambda tx: endpoints.set_endpoint(tx.connection, "other", silent, now=tx.now))
    await here.harness.deliver(*(reward(program_id="other", member_id=UUID(int=n), coupon=100 + n) for n in range(20)))
    await add(here, shop.url)
    here.later(seconds=1)
    await here.harness.deliver(reward(at=here.harness.clock.at))
    await send(here)
    assert len(shop.requests) == 1
    await send(here)
    tries = [row for row in await hooks(here) if row["program_id"] == "other" and row["attempts"]]
    assert len(tries) < webhook.IN_FLIGHT_MAX  # After the first silence it is left alone for a moment.


async def test_what_was_before_the_endpoint_is_not_told_to_it(here: Desk, shop: Receiver) -> None:
    event = here.harness.message(reward())
    await here.harness.deliver(event)
    here.later(days=300)
    await add(here, shop.url)
    await here.harness.deliver(event)
    assert await hooks(here) == []


async def test_a_try_under_way_changes_nothing_of_an_endpoint_that_was_moved(here: Desk, shop: Receiver) -> None:
    async with receiver() as former:
        await add(here, former.url)
        former.status = "410 Gone"
        await here.harness.deliver(reward())
        claimed = await here.harness.context.execute(
            lambda tx: queue.claim(tx, "webhook", limit=1, lease=webhook.LEASE)
        )
        await here.harness.context.execute(
            lambda tx: endpoints.set_endpoint(tx.connection, "aurora", shop.url, now=tx.now)
        )
        await here.harness.context.execute(lambda tx: queue.put_back(tx, [(claimed[0], tx.now)], reason="late"))
        await here.harness.context.execute(
            lambda tx: endpoints.disable(tx, "aurora", former.url, "late", unless_accepted_since=tx.now)
        )
    await send(here)
    assert len(shop.requests) == 1


async def test_gone_disables_at_once(here: Desk, shop: Receiver) -> None:
    await add(here, shop.url)
    shop.status = "410 Gone"
    await here.harness.deliver(reward())
    await send(here)
    assert await endpoint(here) == (False, "after 1 tries: HTTP 410", 0, 1)


async def test_the_receiver_may_ask_for_time(here: Desk, shop: Receiver) -> None:
    await add(here, shop.url)
    shop.status, shop.headers = "429 Too Many Requests", "retry-after: 3600\r\n"
    await here.harness.deliver(reward())
    await send(here)
    (row,) = await hooks(here)
    assert isinstance(row["next_attempt_at"], type(NOW))
    assert row["next_attempt_at"] - NOW >= timedelta(hours=1)


async def test_redirects_are_not_followed(here: Desk, shop: Receiver) -> None:
    async with receiver() as inner:
        await add(here, shop.url)
        shop.status, shop.headers = "307 Temporary Redirect", f"location: {inner.url}\r\n"
        await here.harness.deliver(reward())
        await send(here)
        assert inner.requests == []
    assert (await hooks(here))[0]["reason"] == "HTTP 307"


@pytest.mark.parametrize(
    "make",
    [lambda url: url, lambda url: url.replace("http:", "https:"), lambda url: "https://169.254.169.254/latest"],
)
async def test_inner_addresses_get_nothing(here: Desk, shop: Receiver, make: Callable[[str], str]) -> None:
    await add(here, make(shop.url))
    await here.harness.deliver(reward())
    await send(here, frozenset())
    assert shop.requests == []
    (row,) = await hooks(here)
    assert row["state"] == "due"
    assert "it must be https" in str(row["reason"]) or "an inner address" in str(row["reason"])


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://shop.lan/hook?key=s3cret", "it must be https, or its host named in LAUREL_WEBHOOK_ALLOW_HOSTS"),
        ("https://s3cret.invalid/hook", "gaierror"),
        ("http://localhost:9/s3cret", "ConnectError"),
        ("http://localhost:{port}/s3cret", "RemoteProtocolError"),
    ],
)
async def test_members_are_not_shown_where_the_endpoint_is(here: Desk, shop: Receiver, url: str, why: str) -> None:
    await here.harness.deliver(member())
    shop.status = "s3cret"
    await add(here, url.replace("{port}", shop.url.split(":")[2].split("/")[0]))
    await here.harness.deliver(reward())
    await send(here)
    answer = await here.harness.client.get(f"/v1/members/{MEMBER}/messages", headers=here.harness.token())
    (told,) = [item for item in answer.json()["items"] if item["channel"] == "webhook"]
    assert (told["state"], told["reason"]) == ("due", why)


async def test_nobody_listening_is_tried_again(here: Desk) -> None:
    await add(here, "http://localhost:9/hook")
    await here.harness.deliver(reward())
    await send(here)
    (row,) = await hooks(here)
    assert (row["state"], row["attempts"]) == ("due", 1)
    assert "Connect" in str(row["reason"])
