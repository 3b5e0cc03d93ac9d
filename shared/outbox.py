"""The outbox: events wait here, committed with their state, until one relay has them acknowledged by Kafka."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import asyncpg
from aiokafka import AIOKafkaProducer
from aiokafka.structs import RecordMetadata

from . import published
from .db import connect, is_transient, pause_seconds
from .history import History
from .log import log
from .sending import batches_of, cut_off, failure, pack_headers
from .settings import Settings

_ASK_SECONDS = 2.0
_LEADER_LOCK = 0x6C61_7572
"""Key of the advisory lock that makes one relay the leader of its database."""


@dataclass(frozen=True, slots=True)
class Row:
    """A record to send, as Kafka takes it."""

    topic: str
    key: bytes
    value: bytes | None
    headers: list[tuple[str, bytes]]


async def insert(connection: asyncpg.Connection, rows: list[Row]) -> None:
    """Add rows in this order."""
    await connection.copy_records_to_table(
        "outbox",
        columns=["topic", "key", "value", "headers"],
        records=[(row.topic, row.key, row.value, pack_headers(row.headers)) for row in rows],
    )


class Relay:
    """Sends what is in the outbox, in order, and deletes what Kafka has acknowledged.

    One leads per database: it holds an advisory lock on the very connection that reads and deletes. It never remembers
    where it was: a transaction that commits late has a smaller id, and must be seen too.
    """

    def __init__(
        self,
        settings: Settings,
        name: str,
        cluster_id: Callable[[], Awaitable[str]],
        check: Callable[[], Awaitable[None]],
        history: History,
    ) -> None:
        """`check` is called by a new leader before it sends. Raises `published.Restored`, which ends the process."""
        self._settings = settings
        self._name = name
        self._ask_cluster_id, self.check, self._history = cluster_id, check, history
        self._cluster_id = ""
        self._producer: AIOKafkaProducer | None = None
        self._lost = asyncio.Event()
        """The connection that holds the lock is gone."""
        self._has_sent = False
        """Since it last started over."""
        self.wake = asyncio.Event()
        self.leading = False

    async def run(self, stopping: asyncio.Event) -> None:
        """Lead whenever possible until stopped; then send what is left, for a bounded time."""
        attempt = 0
        while not stopping.is_set():
            try:
                await self._lead_until(stopping)
                attempt = 0
            except published.Restored:
                raise
            except Exception as error:  # noqa: BLE001 - whatever it is, it is judged below
                attempt, self._has_sent = (1 if self._has_sent else attempt + 1), False
                if stopping.is_set():
                    log.warning("relay stops, the outbox keeps the rest", error=repr(error))
                    return
                log.warning("relay starts over", error=repr(error), attempt=attempt)
                if not is_transient(error):
                    log.exception("relay")
                await asyncio.sleep(0.2 + pause_seconds(attempt, 5.0))

    async def _lead_until(self, stopping: asyncio.Event) -> None:
        """Lead; once stopped, for a bounded time: while Kafka is away, the portion under way does not end."""

        async def limit_after() -> None:
            await stopping.wait()
            limit.reschedule(asyncio.get_running_loop().time() + self._settings.relay_drain_seconds)

        async with asyncio.timeout(None) as limit:
            watch = asyncio.create_task(limit_after())
            try:
                await self._lead(stopping)
            finally:
                watch.cancel()

    async def _lead(self, stopping: asyncio.Event) -> None:
        connection = await connect(self._settings, f"{self._name}-relay", self._history.check)
        self._lost = asyncio.Event()
        connection.add_termination_listener(lambda _: self._lost.set())
        try:
            while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", _LEADER_LOCK):
                if await _stopped(stopping, 1.0):
                    return
            await self.check()
            self.leading = True
            while not stopping.is_set():
                if not await self._send_some(connection):
                    await self._idle()
            await self._drain(connection)
        finally:
            self.leading = False
            try:
                await self._drop_producer()
            finally:
                # Last, since the lock goes with it; not gracefully, since a dead connection must not be waited for.
                connection.terminate()

    async def _drain(self, connection: asyncpg.Connection) -> None:
        while await self._send_some(connection):
            pass

    async def _idle(self) -> None:
        self.wake.clear()
        with suppress(TimeoutError):
            await asyncio.wait_for(self.wake.wait(), self._settings.relay_poll_seconds)

    async def _send_some(self, connection: asyncpg.Connection) -> bool:
        """Send and delete one portion. Returns whether there was any."""
        rows = await connection.fetch(
            "SELECT id, topic, key, value, headers FROM outbox ORDER BY id LIMIT $1", self._settings.relay_batch_rows
        )
        if not rows:
            return False
        producer = await self._connected_producer()
        batches = await batches_of(producer, rows)
        # Sent one after the other, which keeps the order, and awaited together. No timeout, no second send here:
        # an idempotent producer keeps trying, and a resend beside it could double a record.
        if self._lost.is_set():
            raise ConnectionError("the lock was lost before anything was sent")
        futures = [await producer.send_batch(item.records, item.topic, partition=item.partition) for item in batches]
        await self._acknowledged(connection, futures)
        failed: list[tuple[int, Exception]] = []
        ends: dict[tuple[str, int], int] = {}
        for item, done in zip(batches, futures, strict=True):
            if error := failure(done):
                failed.append((item.ids[0], error))
            else:
                ends[item.topic, item.partition] = done.result().offset + len(item.ids)
        # Rows behind a failure may have been acknowledged; deleting them would turn the order round on the retry.
        first = min((place for place, _ in failed), default=None)
        sent = [number for item in batches for number in item.ids if first is None or number < first]
        if sent:
            await published.sent(connection, sent, ends, self._cluster_id)
        if failed:
            raise failed[0][1]
        self._has_sent = True
        return True

    async def _acknowledged(
        self, connection: asyncpg.Connection, futures: "Sequence[asyncio.Future[RecordMetadata]]"
    ) -> None:
        """Wait for all. Raises ConnectionError or TimeoutError when the lock goes: who leads next is not overtaken."""
        all_done = asyncio.ensure_future(asyncio.wait(futures))
        lost = asyncio.ensure_future(self._lost.wait())
        try:
            while not all_done.done():
                await asyncio.wait([all_done, lost], timeout=_ASK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                if all_done.done():
                    return
                if lost.done():
                    raise ConnectionError("the lock was lost while Kafka had not acknowledged what was sent")
                # A server that is gone without a word, with the lock, is noticed only by asking.
                await connection.execute("SELECT 1", timeout=_ASK_SECONDS)
        finally:
            all_done.cancel()
            lost.cancel()

    async def _connected_producer(self) -> AIOKafkaProducer:
        if self._producer is None:
            self._cluster_id = await self._ask_cluster_id()
            producer = AIOKafkaProducer(
                bootstrap_servers=self._settings.kafka,
                client_id=f"{self._name}-relay",
                acks="all",
                enable_idempotence=True,
                linger_ms=0,
                max_batch_size=256 * 1024,
                max_request_size=self._settings.record_bytes_max + 64 * 1024,
            )
            try:
                await producer.start()
            except BaseException:
                await producer.stop()
                raise
            self._producer = producer
        return self._producer

    async def _drop_producer(self) -> None:
        """After any fatal error a producer may stay unusable (aiokafka issue 1017): the next portion gets a new one."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await cut_off(producer)


async def _stopped(stopping: asyncio.Event, seconds: float) -> bool:
    """Wait so long; True if stopped meanwhile."""
    try:
        await asyncio.wait_for(stopping.wait(), seconds)
    except TimeoutError:
        return False
    return True
