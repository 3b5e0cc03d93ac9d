"""What Laurel says of the shop's orders and customers, asked of the services' APIs."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

from laurel.installation import State

from .orders import Order
from .people import Person
from .play import IN_FLIGHT, Api, client
from .story import Story

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Seen:
    """What Laurel says of one order of the shop."""

    order: Order
    edge: dict[str, Any] | None
    ledger: dict[str, Any] | None


@dataclass(frozen=True)
class MemberSeen:
    """What Laurel says of one customer."""

    person: Person
    member_id: UUID
    points: dict[str, Any]
    transfers: list[dict[str, Any]]
    tier: dict[str, Any]
    referral: dict[str, Any]
    messages: list[dict[str, Any]]


async def gather(items: Sequence[T], work: Callable[[T], Awaitable[R]]) -> list[R]:
    """`work` for each item, several at once, in their order."""
    gate = asyncio.Semaphore(IN_FLIGHT)

    async def one(item: T) -> R:
        async with gate:
            return await work(item)

    return list(await asyncio.gather(*(one(item) for item in items)))


async def look(state: State, story: Story) -> tuple[list[Seen], list[MemberSeen], bool]:
    """Everything that the checks need: orders, members, and whether the forged order is known."""
    async with client() as http:
        api = Api(state, http)

        async def order(item: Order) -> Seen:
            edge = await api.get("order-ingest", f"/v1/orders/{state.source}/{item.order_id}")
            if edge is None:
                return Seen(item, None, None)
            path = f"/v1/members/{edge['member_id']}/orders/{state.source}/{item.order_id}"
            return Seen(item, edge, await api.get("points-accrual", path))

        async def person(item: Person) -> MemberSeen:
            return await _member(api, item)

        orders = await gather(story.orders, order)
        members = await gather(story.people, person)
        forged = story.forged
        assert forged is not None
        known = await api.get("order-ingest", f"/v1/orders/{state.source}/{forged.order_id}") is not None
    return orders, members, known


async def _member(api: Api, person: Person) -> MemberSeen:
    member_id = await api.member_id(person)
    base = f"/v1/members/{member_id}"
    transfers: list[dict[str, Any]] = []
    query: dict[str, str | int] = {"limit": 100}
    while True:
        page = await api.get("points-accrual", f"{base}/history", **query)
        transfers += page["transfers"]
        if not page["next"]:
            break
        query["before"] = page["next"]
    return MemberSeen(
        person,
        member_id,
        await api.get("points-accrual", f"{base}/points"),
        transfers,
        await api.get("tier", f"{base}/tier"),
        await api.get("referral", f"{base}/referral"),
        (await api.get("notification", f"{base}/messages", limit=100))["items"],
    )
