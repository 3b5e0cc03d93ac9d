"""Whatever had happened: after a restore nobody is told twice, nothing is left out, and who opted out stays so."""

import asyncio
import json
from collections import Counter
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.base import Event
from contracts.ids import derived_id
from shared.transaction import Message
from tests.integration.restored import MANY, Story, empty

from .parts import (
    MEMBER,
    Desk,
    Receiver,
    code,
    contact,
    desk,
    granted,
    member,
    receiver,
    returned,
    reward,
    upgraded,
    used,
)
from .test_coupons import claim, given_up, set_again
from .test_webhooks import add, send

pytestmark = pytest.mark.integration
WEEK = timedelta(days=7)
TABLES = {
    # Who opted out and was sent nothing since then is on no topic.
    "members": """SELECT member_id, version, status, locale, contact_version, email, first_name, last_name,
                      referral_code FROM members ORDER BY 1""",
    "messages": "SELECT message_id, channel, template, state, reason FROM messages ORDER BY 1",
}  # fmt: skip


class Shop(Story):
    tables = TABLES

    def __init__(self, here: Desk, shop: Receiver, *story: Any) -> None:
        super().__init__(here.harness, *story)
        self.here, self.shop = here, shop
        self.taken: list[tuple[str, dict[str, str], bytes]] = []
        """Webhooks that the shop did not refuse."""
        self.coupons: list[tuple[int, datetime]] = []
        self.run(add(here, shop.url))
        self.steps = [
            self.tell_nothing, self.contact, self.profile, self.points, self.points, self.rest, self.send, self.send,
            self.coupon, self.coupon, self.server, self.refuse, self.set_endpoint, self.repeat, self.opt_out,
        ]  # fmt: skip

    def tell(self, *events: Event | Message) -> None:
        """Every event has one id for ever: messages are known by it."""
        messages = [
            event if isinstance(event, Message) else self.served.message(event, id=derived_id(self.now, repr(event)))
            for event in events
        ]
        super().tell(*messages)

    def contact(self) -> None:
        self.tell(contact(self.next("contact"), self.one("leyla@example.com", "l@example.com", None)))

    def profile(self) -> None:
        # Mostly a member; nobody is put out again.
        self.tell(member(self.next("profile"), "shopper" if self.counts["profile"] == 1 else "member"))

    def points(self) -> None:
        self.tell(granted(self.next("event"), self.now - self.one(0, 0, 1) * WEEK))

    def rest(self) -> None:
        self.tell(self.one(code(), upgraded()))

    def coupon(self) -> None:
        if self.coupons and self.one(True, False):
            number, issued_at = self.one(*self.coupons)
            self.tell(self.one(used, returned)(self.now, coupon=number, issued_at=issued_at))
        else:
            self.coupons.append((self.next("coupon"), self.now))
            self.tell(reward(at=self.now, coupon=self.counts["coupon"]))

    def server(self) -> None:
        self.here.mailbox.refuse_rcpt = self.one(None, None, "450 later", "550 no such mailbox")
        self.shop.status = self.one("204 No Content", "503 Service Unavailable")

    def refuse(self) -> None:
        """The shop refuses what is next until it is given up."""
        for one in self.run(claim(self.here)):
            self.run(given_up(self.here, one))

    def set_endpoint(self) -> None:
        self.run(set_again(self.here, self.shop))

    def opt_out(self) -> None:
        if self.one(True, False, False):
            headers = self.served.token("admin")
            url = f"/v1/members/{MEMBER}/preferences"
            answer = self.run(self.served.client.put(url, json={"email": False}, headers=headers))
            assert answer.status_code in (200, 404), answer.text

    def send(self) -> None:
        self.run(self.here.send())
        asked = len(self.shop.requests)
        self.run(send(self.here))
        if self.shop.status.startswith("204"):
            self.taken += self.shop.requests[asked:]

    def settle(self) -> None:
        """Send all that can be sent, now or when what was put off is tried again."""
        self.here.mailbox.refuse_rcpt, self.shop.status = None, "204 No Content"
        self.set_endpoint()
        for _ in range(20):
            self.send()
            self.served.clock.at += timedelta(minutes=30)

    def _sent(self) -> Counter[str]:
        mails = [str(mail["Message-ID"]) for mail in self.here.mailbox.mails]
        return Counter([*mails, *(headers["webhook-id"] for _, headers, _ in self.taken)])

    def ends_equal(self) -> None:
        super().ends_equal()
        sent = self._sent()
        assert max(sent.values(), default=1) == 1
        assert len(sent) == sum(row["state"] == "sent" for row in self.run(self.here.rows()))
        steps = [json.loads(body)["data"] for _, _, body in self.taken]
        for number, _ in self.coupons:
            times = [_at(step) for step in steps if UUID(step["coupon_id"]).int == number]
            assert times == sorted(times)


def _at(step: dict[str, str]) -> str:
    """When it happened."""
    return step.get("returned_at") or step.get("used_at") or step["issued_at"]


@MANY
@given(data=st.data())
def test_nobody_is_told_twice_and_nothing_is_left_out(module_database: str, data: st.DataObject) -> None:
    async def opened() -> tuple[Desk, Receiver]:
        here = await stack.enter_async_context(desk(module_database))
        await empty(here.harness, "members", "endpoints")
        return here, await stack.enter_async_context(receiver())

    stack = AsyncExitStack()
    with asyncio.Runner() as runner:
        try:
            Shop(*runner.run(opened()), runner, data).ends_equal()
        finally:
            runner.run(stack.aclose())
