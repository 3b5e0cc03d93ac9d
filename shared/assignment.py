"""Which partitions are ours and where each goes on: the database says, never Kafka."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import datetime

import asyncpg
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition

from . import offsets
from .db import connect, is_transient, pause_seconds
from .decoding import Decoded
from .history import History
from .log import log
from .settings import Settings


class Revoked(Exception):
    """Nothing of the batch is ours any more."""


class Assignment(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    """The partitions of one process, and the connection on which it works on them."""

    def __init__(
        self, settings: Settings, name: str, cluster_id: Callable[[], Awaitable[str]], history: History
    ) -> None:
        self._settings, self._name, self._history = settings, name, history
        self._ask_cluster_id = cluster_id
        self._connection: asyncpg.Connection | None = None
        self._gaps: dict[TopicPartition, tuple[int, int]] = {}
        self.cluster_id = ""
        self.find_consumer: Callable[[], AIOKafkaConsumer | None] = lambda: None
        """FastStream makes the consumer when it starts."""
        self.lock = asyncio.Lock()
        """Held by whoever works on the partitions; a rebalance waits for it."""
        self.expected: dict[TopicPartition, int] = {}
        """The positions that this process goes on from; what is not here is not ours, or stopped."""
        self.stopped: dict[TopicPartition, str] = {}
        self.record_at: dict[TopicPartition, datetime] = {}
        """Kafka's time of the last record applied."""
        self.moved_at = time.monotonic()
        """When there was progress or nothing to do; `/livez` looks at it."""

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:  # noqa: ARG002 - all are
        """Wait for the running transaction and its acknowledgement, then let go."""
        async with self.lock:
            self.expected.clear()
            self.stopped.clear()

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Go on where the database says, never where Kafka does."""
        attempt = 0
        while assigned := set(assigned):
            try:
                async with self.lock:
                    await self.settle(assigned)
                return
            except Exception as error:  # noqa: BLE001 - giving up would leave the partitions unread
                if not is_transient(error):
                    log.exception("assignment")
                attempt += 1
                log.warning("assignment is tried again", error=repr(error), attempt=attempt)
                self.moved_at = time.monotonic()
                await asyncio.sleep(0.1 + pause_seconds(attempt, 5.0))

    async def settle(self, assigned: set[TopicPartition]) -> None:
        """Take up partitions: seek to the stored positions, stop those that would lose events."""
        consumer = self.consumer()
        self.cluster_id = await self._ask_cluster_id()
        async with self.connection() as connection:
            before = await offsets.positions(connection, assigned)
        begins = await consumer.beginning_offsets(list(assigned))
        ends = await consumer.end_offsets(list(assigned))
        bounds = {item: (begins[item], ends[item]) for item in assigned}
        async with self.connection() as connection:
            stored = await offsets.settle(connection, self.cluster_id, bounds, before)
        for item, row in stored.items():
            if row.stopped_why is not None:
                self._stop(item, row.stopped_why)
            else:
                self.go_on(item, row.position)

    def _stop(self, item: TopicPartition, why: str) -> None:
        known = self.stopped.get(item)
        self.expected.pop(item, None)
        self.stopped[item] = why
        self.consumer().pause(item)
        if known == why:
            return
        log.error("partition stopped", topic=item.topic, partition=item.partition, why=why,
                  what_to_do=f"laurel offsets show {self._name}, then laurel offsets accept")  # fmt: skip

    def go_on(self, item: TopicPartition, position: int) -> None:
        """Consume from this position."""
        self.stopped.pop(item, None)
        self.expected[item] = position
        consumer = self.consumer()
        consumer.seek(item, position)
        consumer.resume(item)

    def consumer(self) -> AIOKafkaConsumer:
        """The consumer. Raises `Revoked` while there is none."""
        consumer = self.find_consumer()
        if consumer is None:
            raise Revoked
        return consumer

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[asyncpg.Connection]:
        """The one connection held for batches; made anew after it was lost."""
        if self._connection is None or self._connection.is_closed():
            self._connection = await connect(self._settings, f"{self._name}-shell", self._history.check)
        try:
            yield self._connection
        except (OSError, asyncpg.InterfaceError, asyncpg.InternalClientError):
            self._connection.terminate()
            raise

    async def close(self) -> None:
        """Let go of the connection."""
        if self._connection is not None:
            self._connection.terminate()

    async def without_gaps(self, decoded: list[Decoded]) -> list[Decoded]:
        """Drop what does not follow on the expected position and have it fetched again from there.

        aiokafka's assignment goes live before our seek, so a first batch may come from elsewhere. A gap that is still
        there after the seek is real: compaction made it, or retention, which stops the partition.
        """
        first: dict[TopicPartition, int] = {}
        for item in decoded:
            first.setdefault(TopicPartition(item.record.topic, item.record.partition), item.record.offset)
        dropped = set()
        for partition, offset in first.items():
            expected = self.expected.get(partition)
            if expected is None or offset <= expected:
                continue
            if self._gaps.get(partition) != (expected, offset):
                self._gaps[partition] = (expected, offset)
                self.consumer().seek(partition, expected)
                dropped.add(partition)
            elif not await self._passable(partition, expected):
                dropped.add(partition)
        return [item for item in decoded if TopicPartition(item.record.topic, item.record.partition) not in dropped]

    async def _passable(self, partition: TopicPartition, expected: int) -> bool:
        begin = (await self.consumer().beginning_offsets([partition]))[partition]
        if begin <= expected:
            return True
        await self.settle({partition})
        return False
