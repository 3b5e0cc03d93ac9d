"""Clients over HTTP, and what they were answered: the history that the checker holds the service to."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx

from .ledger_facts import REWARD
from .node import Node

Mode = str
"""`spend` at once, or `hold`."""


@dataclass
class Call:
    """One intention of a client: the same key however often it is sent."""

    key: str
    member_id: UUID
    hold: bool
    answers: list[tuple[int | None, Any]] = field(default_factory=list)
    """Status and body of each try; no status where no answer came."""

    @property
    def outcome(self) -> str:
        """`acknowledged` once it was, else `refused` when the last word was no, else `unknown`."""
        statuses = [status for status, _ in self.answers]
        if 201 in statuses:
            return "acknowledged"
        return "refused" if all(status is not None and status < 500 for status in statuses) else "unknown"


@dataclass
class Clients:
    """All of them."""

    calls: list[Call] = field(default_factory=list)

    def new(self, member_id: UUID, *, hold: bool = False) -> Call:
        """Somebody wants a reward."""
        call = Call(f"key-{len(self.calls)}", member_id, hold)
        self.calls.append(call)
        return call

    async def send(self, node: Node, call: Call) -> None:
        """Ask once, and note the answer."""
        now = node.clock.now()
        token = node.context.tokens.mint("aurora", "store", now=now, ttl=timedelta(minutes=10), subject="till")
        headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": call.key}
        path = f"/v1/members/{call.member_id}/redemptions"
        body = {"reward_id": REWARD, "hold": call.hold}
        answer = await node.do(_asking(node.client, path, body, headers))
        if answer is None:
            call.answers.append((None, None))
        else:
            call.answers.append((answer.status_code, answer.json()))


def _asking(
    client: httpx.AsyncClient, path: str, body: dict[str, Any], headers: dict[str, str]
) -> Callable[[], Awaitable[httpx.Response]]:
    return lambda: client.post(path, json=body, headers=headers)
