"""The demo's shop, stubborn: each call is repeated until it is answered, as platforms do, whoever is killed."""

import asyncio
import itertools
import json
import random
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import httpx

from contracts.topics import INGEST, POINTS, REFERRAL
from laurel import shopify
from laurel.demo.people import Person
from laurel.demo.story import Author, Delivery, Story
from laurel.installation import State, token

IN_FLIGHT = 16
CALL_SECONDS_MAX = 90.0
"""How long one call is repeated, where nothing else is said."""
EVERY = 4
"""One of so many of the demo's people buys, and the advocates: enough, and a run of it takes seconds."""
FRIENDS = 10
OLD = timedelta(days=30)
"""Points of older orders are not pending any more."""
REDEEMERS = 10
REDEEMABLE_POINTS = 1000
"""Who has earned so much for certain spends some of it."""


class Shop:
    """Plays both acts of a story; what it needs to know in between it asks."""

    def __init__(
        self,
        state: State,
        author: Author,
        now: datetime,
        *,
        pace_seconds: float,
        patience_seconds: float = CALL_SECONDS_MAX,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """`pace_seconds`: the longest pause between two webhooks of one connection. `transport`: httpx's, or one that
        watches."""
        self._state, self._author, self._now, self._pace = state, author, now, pace_seconds
        self._patience = patience_seconds
        self._http = httpx.AsyncClient(timeout=10.0, trust_env=False, transport=transport)

    @property
    def _headers(self) -> dict[str, str]:
        """Made anew each time: a token lives for minutes."""
        return {"Authorization": f"Bearer {token(self._state.program_id, 'store', folder=self._state.keys)}"}

    async def play(self, between: Callable[[], None] = lambda: None) -> None:
        """Everybody buys; some share their codes and some spend points; then their friends buy.

        `between` is called, with the shop standing still, when everybody has bought.
        """
        async with self._http:
            first = self._author.first_act()
            advocates = self._author.advocates()[:FRIENDS]
            buyers = {who.number for who in advocates} | set(range(0, 1000, EVERY))
            await self._send([item for item in first if item.forged or self._buyer(item).number in buyers])
            codes = await asyncio.gather(*(self._code(who) for who in advocates))
            await asyncio.to_thread(between)
            await asyncio.gather(*(self._redeem(who) for who in redeemers(self._author.story, buyers, self._now)))
            shared = {who.number: code for who, code in zip(advocates, codes, strict=True)}
            await self._send(self._author.second_act(shared))

    async def sell_more(self, count: int) -> None:
        """Some orders that no act has, of people who are known."""
        async with self._http:
            orders = [item for item in self._author.first_act() if item.topic.startswith("orders") and not item.forged]
            await self._send(
                replace(item, body=item.body.replace(b"58000000", b"59000000"), webhook_id=f"more-{item.webhook_id}")
                for item in orders[:count]
            )

    def _buyer(self, delivery: Delivery) -> Person:
        """Orders and customers name the address; refunds only the order."""
        told = json.loads(delivery.body)
        if "email" in told:
            return next(who for who in self._author.story.people if who.email == told["email"])
        return next(order.buyer for order in self._author.story.orders if order.order_id == told["order_id"])

    async def _send(self, deliveries: Iterable[Delivery]) -> None:
        """In order, several in flight."""
        secret = self._state.secret_file.read_text()
        path = f"/v1/connections/{self._state.connection_id}/webhooks"
        waiting = iter(deliveries)

        async def worker() -> None:
            for item in waiting:
                await asyncio.sleep(random.uniform(0.0, self._pace))
                headers = shopify.headers("another" if item.forged else secret, item.body, item.topic, item.webhook_id)
                wanted = httpx.codes.UNAUTHORIZED if item.forged else httpx.codes.OK
                await self._call(wanted, "POST", INGEST, path, content=item.body, headers=headers)

        await asyncio.gather(*(worker() for _ in range(IN_FLIGHT)))

    async def _code(self, who: Person) -> str:
        path = f"/v1/members/{await self._member_id(who)}/referral"
        async with asyncio.timeout(self._patience):
            while True:
                answer = await self._call(httpx.codes.OK, "GET", REFERRAL, path, headers=self._headers)
                if answer["code"]:
                    return str(answer["code"])
                await asyncio.sleep(0.5)

    async def _redeem(self, who: Person) -> None:
        """Twice with one key; refused while the points are not there yet, which is judged anew each time."""
        headers = {**self._headers, "Idempotency-Key": f"spend-{who.number}"}
        path = f"/v1/members/{await self._member_id(who)}/redemptions"
        for _ in range(2):
            await self._call(httpx.codes.CREATED, "POST", POINTS, path, json={"reward_id": "five-off"}, headers=headers)

    async def _member_id(self, who: Person) -> str:
        found = await self._call(
            httpx.codes.OK, "GET", INGEST, "/v1/members", params={"email": who.email}, headers=self._headers
        )
        return str(found["member_id"])

    async def _call(self, wanted: int, method: str, service: str, path: str, **request: Any) -> Any:
        """The JSON of the wanted answer. Raises TimeoutError when only others came."""
        last = ""
        try:
            async with asyncio.timeout(self._patience):
                for attempt in itertools.count(1):
                    try:
                        answer = await self._http.request(method, f"{self._state.urls[service]}{path}", **request)
                        if answer.status_code == wanted:
                            return answer.json()
                        last = f"{answer.status_code} {answer.text}"
                    except httpx.TransportError as error:
                        last = repr(error)
                    await asyncio.sleep(min(0.1 * attempt, 1.0) * random.uniform(0.5, 1.0))
        except TimeoutError:
            raise TimeoutError(f"{method} {path} of {service} was not answered {wanted}: {last}") from None


def redeemers(story: Story, buyers: set[int], now: datetime) -> list[Person]:
    """Members who surely have points to spend: none of their orders came back, and old ones earned enough."""
    found = []
    for person in (one for one in story.people if one.number in buyers):
        orders = [order for order in story.orders if order.buyer == person]
        kept = not any(order.refunds or order.cancelled_at for order in orders)
        active = [order for order in orders if order.placed_at < now - OLD]
        if person.account and kept and sum(order.base_cents for order in active) // 10 >= REDEEMABLE_POINTS:
            found.append(person)
    return found[:REDEEMERS]
