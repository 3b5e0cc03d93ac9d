"""Plays the story against a running Laurel: sends the webhooks, reads the codes, spends some points."""

import asyncio
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import httpx

from laurel import shopify
from laurel.installation import Failure, State, token

from .people import Person
from .quiet import wait_quiet
from .story import Author, Delivery

IN_FLIGHT = 16
TRIES = 60
REDEMPTIONS = 12
REWARD_COST = 500
QUIET_SECONDS_MAX = 240.0


@dataclass
class Played:
    """What was done, as the shop saw it."""

    statuses: dict[str, int] = field(default_factory=dict)
    """By webhook id, the last answer."""
    sent: int = 0
    codes: dict[int, str] = field(default_factory=dict)
    """By the advocate's number."""
    redeemed: list[dict[str, Any]] = field(default_factory=list)


class Api:
    """The services' APIs, as the shop asks them."""

    def __init__(self, state: State, client: httpx.AsyncClient) -> None:
        self._state, self._client = state, client
        self._headers = {"Authorization": f"Bearer {token(state.program_id, 'store', folder=state.keys)}"}

    async def get(self, service: str, path: str, **query: str | int) -> Any:
        """The answer; None for 404."""
        answer = await self._client.get(f"{self._state.urls[service]}{path}", params=query, headers=self._headers)
        return None if answer.status_code == httpx.codes.NOT_FOUND else answer.raise_for_status().json()

    async def post(self, service: str, path: str, body: dict[str, str], key: str) -> httpx.Response:
        """The answer to a command with its idempotency key."""
        headers = {**self._headers, "Idempotency-Key": key}
        return await self._client.post(f"{self._state.urls[service]}{path}", json=body, headers=headers)

    async def member_id(self, person: Person) -> UUID:
        """Whose orders these are. Raises Failure if Laurel does not know."""
        found = await self.get("order-ingest", "/v1/members", email=person.email)
        if found is None:
            raise Failure(f"Laurel does not know {person.email}, who bought something.")
        return UUID(found["member_id"])


def client() -> httpx.AsyncClient:
    """A client with bounded connections, without the machine's proxies."""
    limits = httpx.Limits(max_connections=IN_FLIGHT, max_keepalive_connections=IN_FLIGHT)
    return httpx.AsyncClient(timeout=15.0, limits=limits, trust_env=False)


async def play(state: State, author: Author, tell: Callable[[str, int, int], None]) -> Played:
    """Both acts. `tell` hears what is being done, how much is done and of how much."""
    played = Played()
    async with client() as http:
        api = Api(state, http)
        first = author.first_act()
        total = len(first) + len(first) // 15  # The second act is not written yet.
        await _send(state, http, first, played, lambda done: tell("Selling", done, total))
        tell("Waiting until all of it has been taken in", len(first), total)
        await wait_quiet(state, seconds_max=QUIET_SECONDS_MAX)
        for advocate in author.advocates():
            found = await api.get("referral", f"/v1/members/{await api.member_id(advocate)}/referral")
            if found and found["code"]:
                played.codes[advocate.number] = found["code"]
        await _redeem(api, author.story.people, played)
        second = author.second_act(played.codes)
        total = len(first) + len(second)
        await _send(state, http, second, played, lambda done: tell("Friends come", len(first) + done, total))
        tell("Waiting until all of it has been taken in", total, total)
        await wait_quiet(state, seconds_max=QUIET_SECONDS_MAX)
    return played


async def _send(
    state: State,
    http: httpx.AsyncClient,
    deliveries: Iterable[Delivery],
    played: Played,
    tell: Callable[[int], None],
) -> None:
    """Send in order with several in flight, as Shopify does; what is not taken is sent again."""
    secret = state.secret_file.read_text()
    url = f"{state.urls['order-ingest']}/v1/connections/{state.connection_id}/webhooks"
    waiting = iter(deliveries)
    done = 0

    async def worker() -> None:
        nonlocal done
        for delivery in waiting:
            signer = "not the secret" if delivery.forged else secret
            headers = shopify.headers(signer, delivery.body, delivery.topic, delivery.webhook_id)
            played.statuses[delivery.webhook_id] = await _post(http, url, delivery.body, headers)
            done += 1
            tell(done)

    await asyncio.gather(*(worker() for _ in range(IN_FLIGHT)))
    played.sent += done


async def _post(http: httpx.AsyncClient, url: str, body: bytes, headers: dict[str, str]) -> int:
    """The answer that settles it. Raises Failure when the edge stays away."""
    why = ""
    for attempt in range(TRIES):
        try:
            status = (await http.post(url, content=body, headers=headers)).status_code
            if status < httpx.codes.INTERNAL_SERVER_ERROR and status != httpx.codes.TOO_MANY_REQUESTS:
                return status
            why = str(status)
        except httpx.TransportError as error:
            why = type(error).__name__
        await asyncio.sleep(min(0.1 * (attempt + 1), 2.0) * random.uniform(0.5, 1.0))
    raise Failure(f"order-ingest took no webhook in {TRIES} tries ({why}); see its log.")


async def _redeem(api: Api, people: list[Person], played: Played) -> None:
    """Some spend points, each asking twice with one key, as a shaky line would."""
    for person in people:
        if len(played.redeemed) == REDEMPTIONS:
            return
        found = await api.get("order-ingest", "/v1/members", email=person.email)
        if found is None:
            continue
        base = f"/v1/members/{found['member_id']}"
        points = await api.get("points-accrual", f"{base}/points")
        if points is None or points["balances"]["active"] < REWARD_COST:
            continue
        body, key = {"reward_id": "five-off"}, f"demo-{person.number}"
        answers = [await api.post("points-accrual", f"{base}/redemptions", body, key) for _ in range(2)]
        if any(not answer.is_success for answer in answers):
            raise Failure(
                f"{person.email} has {points['balances']['active']} points and could not spend {REWARD_COST}."
            )
        coupons = {answer.json()["coupon_id"] for answer in answers}
        played.redeemed.append({"member_id": found["member_id"], "coupons": sorted(coupons)})
