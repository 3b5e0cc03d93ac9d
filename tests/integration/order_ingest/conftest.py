"""The edge on a real database, with one source and one connection, and what tests do with it."""

import base64
import hashlib
import hmac
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import httpx
import pytest

import order_ingest
from contracts.base import Event
from contracts.program import Program, ProgramBook, ProgramPublishedV1
from order_ingest import deliveries, handlers, store
from order_ingest.app import build, fingerprint_salt
from shared.testing import Harness, harness

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
SECRET = "shpss_first"
MIGRATIONS = Path(order_ingest.__path__[0]) / "migrations"
E = TypeVar("E", bound=Event)
T = TypeVar("T")


def program(
    *, on: tuple[str, ...] = ("account", "first_order"), program_id: str = "aurora", version: int = 1
) -> ProgramPublishedV1:
    document = Program.model_validate(
        {
            "id": program_id,
            "version": version,
            "name": {"en": "Aurora"},
            "currency": "USD",
            "zone": "UTC",
            "effective_from": "2020-01-01T00:00:00Z",
            "point": {"name": {"en": "Star"}, "value_minor": "1"},
            "enrolment": {"on": on},
            "earning": {"rules": [{"type": "spend", "id": "spend", "points_per_unit": "1"}]},
            "referral": {"minimum_minor": 1000, "advocate_points": 1, "friend_points": 1, "attribute": "brought_by"},
            "tiers": {"levels": [{"id": "base", "name": {"en": "Base"}, "threshold": 0}]},
            "messages": {"sender_name": "Aurora"},
        }
    )
    return ProgramPublishedV1(
        program_id=program_id, version=version, hash=document.hash(), published_at=NOW, document=document
    )  # fmt: skip


def sign(body: bytes, secret: str = SECRET) -> str:
    return base64.b64encode(hmac.digest(secret.encode(), body, hashlib.sha256)).decode()


class Edge:
    """The service under test."""

    def __init__(self, harness: Harness, connection_id: str, programs: ProgramBook) -> None:
        self.harness, self.connection_id, self.programs = harness, connection_id, programs
        self.salt = fingerprint_salt(harness.context.settings.keys_dir)
        self.client = harness.client
        self.store_token = harness.token("store")

    async def webhook(
        self, body: bytes, *, topic: str = "orders/updated", webhook_id: str | None = None, **headers: Any
    ) -> httpx.Response:
        given = {
            "content-type": "application/json",
            "x-shopify-hmac-sha256": sign(body),
            "x-shopify-topic": topic,
            "x-shopify-webhook-id": webhook_id or hashlib.sha256(body).hexdigest(),
        } | {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.client.post(
            f"/v1/connections/{self.connection_id}/webhooks", content=body, headers=given
        )  # fmt: skip

    async def send(self, *bodies: bytes) -> None:
        """Send webhooks one after the other and read them all."""
        for body in bodies:
            response = await self.webhook(body)
            assert response.status_code == 200, response.text
        await self.read()

    async def read(self) -> None:
        while await deliveries.read_some(self.harness.context, self.programs, self.salt):
            pass

    async def loop(self, name: str) -> None:
        """Let one of the service's own loops do all that it has to do."""
        parts = [task for task in self.harness.service.tasks if isinstance(task, partial) and task.args[1] == name]
        while await parts[0].keywords["work"]():
            pass

    async def decide(self) -> None:
        context = self.harness.context
        await context.execute(lambda tx: handlers.decide_undecided(self.programs, self.salt, tx))

    async def published(self, kind: type[E]) -> list[E]:
        """Events of a kind that are in the outbox, which is emptied."""
        return [event for _, event in await self.harness.outbox() if isinstance(event, kind)]

    async def db(self, work: Callable[[asyncpg.Connection], Awaitable[T]]) -> T:
        return await self.harness.context.execute(lambda tx: work(tx.connection))

    async def fetch(self, query: str, *values: Any) -> list[asyncpg.Record]:
        return await self.db(lambda connection: connection.fetch(query, *values))

    async def get(self, path: str) -> dict[str, Any]:
        response = await self.client.get(path, headers=self.store_token)
        assert response.status_code == 200, response.text
        document: dict[str, Any] = response.json()
        return document


@pytest.fixture
async def unprogrammed(module_database: str) -> AsyncIterator[Edge]:
    """The edge, empty, before it has heard of any program."""
    async with harness(build, module_database, MIGRATIONS, name="order-ingest", now=NOW) as made:

        async def prepare(connection: asyncpg.Connection) -> str:
            await connection.execute(
                """TRUNCATE sources, connections, connection_secrets, deliveries, idempotency_keys, members, identities,
                       orders, activities, outbox"""
            )
            await store.create_source(connection, "aurora", "shop", now=NOW)
            return await store.create_connection(connection, "aurora", "shop", "shopify", SECRET, now=NOW)

        connection_id = await made.context.execute(lambda tx: prepare(tx.connection))
        assert made.service.reference is not None
        # The book that the service itself fills from its topic.
        programs = made.service.reference.apply.__self__  # type: ignore[attr-defined]
        assert isinstance(programs, ProgramBook)
        yield Edge(made, connection_id, programs)


@pytest.fixture
def edge(unprogrammed: Edge) -> Edge:
    """The edge with a program in force."""
    unprogrammed.programs.add(program())
    return unprogrammed


def later(edge: Edge, **delta: float) -> None:
    """Let time pass."""
    edge.harness.clock.at += timedelta(**delta)
