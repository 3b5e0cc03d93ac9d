"""A till that asks once and takes what comes: it repeats a request only by chance, whatever the answer was."""

import asyncio
import contextlib
import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from contracts.topics import INGEST, POINTS
from laurel.installation import State, token

SECONDS_MAX = 6.0
"""How long an answer is waited for."""
SPENDERS, BUSY_SPENDERS = 24, 4
"""Webhooks of one member wait for each other, so that few spenders would meet little trouble; the busy ones spend half
of all, so that what they do at once collides.
"""
SPENDER_CENTS = 20_000_000
COST = 500
"""Points of the reward `five-off`."""
AGAIN = 0.12
"""The share of requests that is sent a second time, in the same words."""
READY_SECONDS_MAX = 60.0


@dataclass
class Sold:
    """What was asked for: by the request's key."""

    orders: dict[str, int] = field(default_factory=dict)
    """Points that the order is worth; None of a person that has another."""
    redemptions: dict[str, str] = field(default_factory=dict)
    """Who spends, as an idempotency key is of one member."""


class Till:
    """Reports orders of ever new people, and spends the points of a few rich ones, until it is told to stop."""

    def __init__(self, state: State, rng: random.Random, transport: httpx.AsyncBaseTransport) -> None:
        self.sold = Sold()
        self.spenders: dict[str, str] = {}
        """By member id, the person."""
        self._state, self._rng = state, rng
        self._now = datetime.now(UTC).replace(microsecond=0)
        self._http = httpx.AsyncClient(timeout=SECONDS_MAX, trust_env=False, transport=transport)
        self._sent: list[tuple[str, dict[str, Any]]] = []
        self._count = 0
        self.stopping = asyncio.Event()

    async def prepare(self) -> None:
        """Make the rich ones, before anything fails: each has one old order, whose points can be spent at once."""
        people = [f"till-rich-{number}" for number in range(SPENDERS)]
        for person in people:
            body = self._order(person, SPENDER_CENTS, self._now - timedelta(days=60))
            (await self._post(INGEST, "/v1/orders", f"order:{person}", json=body)).raise_for_status()
            self.sold.orders[f"order:{person}"] = SPENDER_CENTS // 10
        for person in people:
            self.spenders[await self._member_of(person)] = person

    async def run(self, per_second: float) -> None:
        """Work until `stopping`; answers are not waited for before the next request goes out."""
        going: set[asyncio.Task[None]] = set()
        while not self.stopping.is_set():
            task = asyncio.create_task(self._once())
            going.add(task)
            task.add_done_callback(going.discard)
            await asyncio.sleep(self._rng.expovariate(per_second))
        await asyncio.gather(*going)

    async def close(self) -> None:
        """Let go of the connections."""
        await self._http.aclose()

    async def _once(self) -> None:
        service, request = self._next()
        with contextlib.suppress(httpx.HTTPError):  # The history has it.
            await self._post(service, **request)

    def _next(self) -> tuple[str, dict[str, Any]]:
        if self._sent and self._rng.random() < AGAIN:
            return self._rng.choice(self._sent)
        self._count += 1
        draw = self._rng.random()
        if draw < 0.30:
            found = self._redemption(f"till-spend-{self._count}")
        elif draw < 0.38:
            found = self._refused_order(f"till-refused-{self._count}")
        else:
            found = self._new_order(f"till-{self._count}")
        self._sent.append(found)
        return found

    def _new_order(self, person: str) -> tuple[str, dict[str, Any]]:
        cents = self._rng.randint(500, 30_000)
        self.sold.orders[f"order:{person}"] = cents // 10
        return INGEST, {"path": "/v1/orders", "key": f"order:{person}", "json": self._order(person, cents, self._now)}

    def _refused_order(self, person: str) -> tuple[str, dict[str, Any]]:
        """One that the edge must refuse: its lines are no list."""
        self.sold.orders[f"order:{person}"] = 0
        body = {**self._order(person, 1000, self._now), "lines": "none"}
        return INGEST, {"path": "/v1/orders", "key": f"order:{person}", "json": body}

    def _redemption(self, key: str) -> tuple[str, dict[str, Any]]:
        """Mostly of the rich; now and then of a reward that there is not."""
        spenders = sorted(self.spenders)
        member_id = self._rng.choice(spenders[: self._rng.choice((BUSY_SPENDERS, SPENDERS))])
        reward = "no-such-reward" if self._rng.random() < 0.1 else "five-off"
        self.sold.redemptions[key] = member_id
        path = f"/v1/members/{member_id}/redemptions"
        return POINTS, {"path": path, "key": key, "json": {"reward_id": reward}, "headers": {"Idempotency-Key": key}}

    def _order(self, person: str, cents: int, placed_at: datetime) -> dict[str, Any]:
        amount, at = {"shop_minor": cents, "presentment_minor": cents}, placed_at.isoformat()
        return {
            "source": self._state.source, "order_id": person, "currency": "USD", "presentment_currency": "USD",
            "placed_at": at, "paid_at": at, "updated_at": at, "payment": "paid", "subtotal": amount, "total": amount,
            "lines": [{"line_id": "1", "quantity": 1, "gross": amount}],
            "customer": {"customer_id": person, "email": f"{person}@example.com", "account": True},
        }  # fmt: skip

    async def _post(
        self, service: str, path: str, key: str, json: Any, headers: dict[str, str] | None = None
    ) -> httpx.Response:
        granted = token(self._state.program_id, "store", folder=self._state.keys)
        told = {"Authorization": f"Bearer {granted}", **(headers or {})}
        url = f"{self._state.urls[service]}{path}"
        return await self._http.post(url, json=json, headers=told, extensions={"key": key})

    async def _member_of(self, person: str) -> str:
        """Wait until the points of the rich one can be spent; return the member id."""
        headers = {"Authorization": f"Bearer {token(self._state.program_id, 'store', folder=self._state.keys)}"}
        urls = self._state.urls
        async with asyncio.timeout(READY_SECONDS_MAX):
            while True:
                query = {"source": self._state.source, "customer_id": person}
                found = await self._http.get(f"{urls[INGEST]}/v1/members", params=query, headers=headers)
                if found.is_success:
                    member_id = str(found.json()["member_id"])
                    balance = await self._http.get(f"{urls[POINTS]}/v1/members/{member_id}/points", headers=headers)
                    if balance.is_success and balance.json()["balances"]["active"] >= SPENDER_CENTS // 10:
                        return member_id
                await asyncio.sleep(0.2)
