"""Webhooks of platforms: checked on the raw bytes, stored, answered, and only then read."""

import asyncio
import base64
import hashlib
import hmac
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta

import asyncpg
from fastapi import Request
from starlette.requests import ClientDisconnect

from shared.http import Problem
from shared.service import Context
from shared.telemetry import counter, current_traceparent
from shared.together import Together

from . import store
from .store import Connection, NewDelivery

DELIVERIES = "deliveries"
"""The loop that reads what was stored."""
BODY_BYTES_MAX = 1024 * 1024
KEPT_MAX, KEPT_BYTES_MAX = 200, 8 * 1024 * 1024
"""Of one commit."""
READING_RESTS_SECONDS_MAX = 1.0
CONNECTION_CACHED = timedelta(seconds=2)
CONNECTIONS_CACHED_MAX = 1000
TRIES, KEPT_SECONDS_MAX = 2, 4.0
"""Shopify waits five seconds; it sends again, so that an answer in time is worth more than another try."""
_KEPT_HEADERS = {
    name: b"x-shopify-" + name.encode()
    for name in ("topic", "shop-domain", "webhook-id", "event-id", "triggered-at", "api-version")
}
RECEIVED = counter("webhooks", "Webhooks by what became of them.", ("outcome",))
_STORED = RECEIVED.labels("stored")


class Receiver:
    """Takes webhooks in. Connections are remembered for two seconds, so that a flood does not ask for each."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._together = Together(self._store, most=KEPT_MAX, size_max=KEPT_BYTES_MAX)
        self._read_seconds = 0.0
        self._known: dict[str, tuple[datetime, Connection]] = {}

    async def between(self, read: Callable[[], Awaitable[bool]]) -> bool:
        """Read what was taken in. While webhooks crowd it has a quarter of the time, so that they are answered."""
        if self._together.flooded:
            await asyncio.sleep(min(3 * self._read_seconds, READING_RESTS_SECONDS_MAX))
        began = time.monotonic()
        try:
            return await read()
        finally:
            self._read_seconds = time.monotonic() - began

    async def receive(self, connection_id: str, request: Request) -> None:
        """Store one delivery. Raises `Problem`; returning means that it is durable."""
        try:
            await self._receive(connection_id, request)
        except Problem as problem:
            RECEIVED.labels(str(problem.status)).inc()
            raise
        _STORED.inc()
        self._context.wake(DELIVERIES).set()

    async def _receive(self, connection_id: str, request: Request) -> None:
        connection = await self._connection(connection_id)
        headers = dict(request.scope["headers"])
        media_type = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        if media_type != b"application/json":
            raise Problem(415, "Not JSON", "webhooks are application/json here")
        body = await _bounded_body(request)
        if not is_signed(headers.get(b"x-shopify-hmac-sha256", b""), body, connection.secrets):
            raise Problem(401, "Bad signature", "the body is not signed with a secret of this connection")
        told = _kept_headers(headers)
        delivery = NewDelivery(
            program_id=connection.program_id,
            source=connection.source,
            connection_id=connection.connection_id,
            platform=connection.platform,
            topic=told.get("topic", ""),
            webhook_id=told.get("webhook-id"),
            headers=told,
            body=body,
            body_sha256=hashlib.sha256(body).digest(),
            traceparent=current_traceparent(),
            received_at=self._context.clock.now(),
        )
        await self._keep(delivery)

    async def _keep(self, delivery: NewDelivery) -> None:
        """Return when it is durable. Raises what kept it from being so; TimeoutError when it takes too long."""
        async with asyncio.timeout(KEPT_SECONDS_MAX):
            await self._together(delivery, len(delivery.body))

    async def _store(self, deliveries: Sequence[NewDelivery]) -> Sequence[None]:
        async def insert(connection: asyncpg.Connection) -> None:
            await store.insert_deliveries(connection, deliveries)

        # Longer than that nobody waits for it.
        async with asyncio.timeout(KEPT_SECONDS_MAX):
            await self._context.on_connection(insert, tries=TRIES)
        return [None] * len(deliveries)

    async def _connection(self, connection_id: str) -> Connection:
        now = self._context.clock.now()
        cached = self._known.get(connection_id)
        if cached is not None and cached[0] <= now < cached[0] + CONNECTION_CACHED:
            return cached[1]

        async def find(connection: asyncpg.Connection) -> Connection | None:
            return await store.find_connection(connection, connection_id, now=now)

        printable = connection_id.isascii() and connection_id.isprintable()
        connection = await self._context.on_connection(find, tries=TRIES) if printable else None
        if connection is None:
            self._known.pop(connection_id, None)
            raise Problem(404, "Unknown connection", "there is no such connection, or it is switched off")
        if len(self._known) >= CONNECTIONS_CACHED_MAX:
            self._known.clear()
        self._known[connection_id] = (now, connection)
        return connection


async def _bounded_body(request: Request) -> bytes:
    """The raw body, counted while it streams: what is too large is never held."""
    chunks, size = [], 0
    try:
        async for chunk in request.stream():
            size += len(chunk)
            if size > BODY_BYTES_MAX:
                raise Problem(413, "Too large", f"a webhook has at most {BODY_BYTES_MAX} bytes here")
            chunks.append(chunk)
    except ClientDisconnect as error:
        raise Problem(400, "Cut off", "the connection ended before the body did") from error
    return b"".join(chunks)


def is_signed(signature: bytes, body: bytes, secrets: tuple[bytes, ...]) -> bool:
    """Whether base64 HMAC-SHA256 of the body under any of the secrets is the signature.

    Compared as bytes and in constant time, against all secrets: neither odd bytes nor timing tell anything.
    """
    matches = [
        hmac.compare_digest(base64.b64encode(hmac.digest(secret, body, "sha256")), signature) for secret in secrets
    ]
    return any(matches)


def _kept_headers(headers: Mapping[bytes, bytes]) -> dict[str, str]:
    """The headers worth keeping. No MAC covers them: they are hints."""
    return {
        name: headers[sent].decode("latin-1").replace("\x00", "")[:255]
        for name, sent in _KEPT_HEADERS.items() if sent in headers
    }  # fmt: skip
