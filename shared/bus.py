"""The batch shell: records in, one transaction, offsets moved with it.

What FastStream and aiokafka need to lose nothing is said out loud in `subscribe`; their defaults lose data.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime

import asyncpg
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError
from structlog.contextvars import bound_contextvars

from contracts.base import Event
from contracts.topics import Topic

from . import breaker, dead_letters, offsets
from .clock import Clock
from .db import is_transient, pause_seconds, server_settings
from .dead_letters import Failure, record_time
from .decoding import Decoded, decode
from .log import log
from .settings import Settings
from .telemetry import BATCH_RECORDS, BATCH_SECONDS, DEAD_LETTERS, RETRIES, set_traceparent
from .transaction import Process, Transaction


class Revoked(Exception):
    """Nothing of the batch is ours any more."""


class Shell(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka has no types
    """Runs batches of one service: exactly once in effect, whatever Kafka, PostgreSQL or the group do meanwhile."""

    def __init__(
        self,
        settings: Settings,
        clock: Clock,
        name: str,
        *,
        consumes: Sequence[Topic],
        process: Process,
        handled: frozenset[type[Event]],
        ignored: frozenset[type[Event]],
        committed: Callable[[], None],
        cluster_id: Callable[[], Awaitable[str]],
    ) -> None:
        self._settings, self._clock, self._name = settings, clock, name
        self._rank = {topic.name: rank for rank, topic in enumerate(consumes)}
        self._process, self._handled, self._ignored = process, handled, ignored
        self._committed = committed
        self._ask_cluster_id = cluster_id
        self._connection: asyncpg.Connection | None = None
        self.cluster_id = ""
        self.find_consumer: Callable[[], AIOKafkaConsumer | None] = lambda: None
        """FastStream makes the consumer when it starts."""
        self.lock = asyncio.Lock()
        """Held by whoever works on the partitions; a rebalance waits for it."""
        self.expected: dict[TopicPartition, int] = {}
        """The positions that this process goes on from; what is not here is not ours, or stopped."""
        self.stopped: dict[TopicPartition, str] = {}
        self.record_at: dict[TopicPartition, datetime] = {}
        self._gaps: dict[TopicPartition, tuple[int, int]] = {}
        self.breaker = breaker.Breaker(settings)
        self.moved_at = time.monotonic()
        """When the shell last made progress or was idle; `/livez` looks at it."""
        self.busy = False

    # ── the group ────────────────────────────────────────────────────────────────────────────────────────────────

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
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
            except Exception as error:
                if not (is_transient(error) or isinstance(error, KafkaError)):
                    log.exception("assignment")
                attempt += 1
                log.warning("assignment is tried again", error=repr(error), attempt=attempt)
                self.moved_at = time.monotonic()
                await asyncio.sleep(0.1 + pause_seconds(attempt, 5.0))

    async def settle(self, assigned: set[TopicPartition]) -> None:
        """Take up partitions: compare with Kafka's bounds, seek to the stored positions, stop those that would lose events."""
        consumer = self._consumer()
        self.cluster_id = await self._ask_cluster_id()
        begins = await consumer.beginning_offsets(list(assigned))
        ends = await consumer.end_offsets(list(assigned))
        bounds = {item: (begins[item], ends[item]) for item in assigned}
        async with self.connection() as connection:
            stored = await offsets.settle(connection, self.cluster_id, bounds)
        for item, row in stored.items():
            if row.stopped_why is not None:
                self._stop(item, row.stopped_why)
            else:
                self._go_on(item, row.position)

    def _stop(self, item: TopicPartition, why: str) -> None:
        self.expected.pop(item, None)
        self.stopped[item] = why
        self._consumer().pause(item)
        log.error("partition stopped", topic=item.topic, partition=item.partition, why=why,
                  what_to_do=f"laurel offsets show {self._name}, then laurel offsets accept")  # fmt: skip

    def _go_on(self, item: TopicPartition, position: int) -> None:
        self.stopped.pop(item, None)
        self.expected[item] = position
        consumer = self._consumer()
        consumer.seek(item, position)
        consumer.resume(item)

    def _consumer(self) -> AIOKafkaConsumer:
        consumer = self.find_consumer()
        if consumer is None:
            raise Revoked
        return consumer

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[asyncpg.Connection]:
        """The one connection held for batches; made anew after it was lost."""
        if self._connection is None or self._connection.is_closed():
            self._connection = await asyncpg.connect(
                self._settings.dsn(),
                timeout=self._settings.connect_timeout_seconds,
                command_timeout=self._settings.statement_timeout_ms / 1000 + 5,
                server_settings=server_settings(self._settings, f"{self._name}-shell"),
            )
        try:
            yield self._connection
        except (OSError, asyncpg.InterfaceError, asyncpg.InternalClientError):
            self._connection.terminate()
            raise

    async def close(self) -> None:
        """Let go of the connection."""
        if self._connection is not None:
            self._connection.terminate()

    # ── a batch ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def handle(self, records: Sequence[ConsumerRecord]) -> None:
        """Bring a batch to its end: applied, set aside, or no longer ours. Never raises but for cancellation."""
        self.busy, self.moved_at = True, time.monotonic()
        decoded = [decode(record, self._handled, self._ignored) for record in records]
        decoded.sort(key=lambda item: (self._rank[item.record.topic], item.record.partition, item.record.offset))
        try:
            await self._until_done(decoded)
        finally:
            self.busy, self.moved_at = False, time.monotonic()

    async def _until_done(self, decoded: list[Decoded]) -> None:
        attempt = 0
        while True:
            try:
                if self.breaker.why is not None:
                    async with self.connection() as connection:
                        await self.breaker.wait(connection, self._still_alive)
                async with self.lock:
                    work = await self._without_gaps(decoded)
                    if await self._attempt(work) is not None:
                        await self._one_by_one(work)
                return
            except Revoked:
                return
            except breaker.Opened as opened:
                async with self.connection() as connection:
                    await self.breaker.open(connection, str(opened))
            except Exception as error:
                if not is_transient(error):
                    log.exception("batch is tried again")
                attempt += 1
                RETRIES.labels(type(error).__name__).inc()
                log.warning("batch is tried again", error=repr(error), attempt=attempt)
                self._still_alive()
                await asyncio.sleep(pause_seconds(attempt, self._settings.retry_seconds_max))

    def _still_alive(self) -> None:
        self.moved_at = time.monotonic()

    async def _attempt(self, decoded: list[Decoded]) -> Exception | None:
        """Apply all in one transaction. Returns the error that one of them causes; raises those that pass by themselves."""
        started = time.monotonic()
        try:
            count = await self._apply(decoded)
        except (Revoked, breaker.Opened):
            raise
        except Exception as error:
            if is_transient(error):
                raise
            return error
        BATCH_RECORDS.observe(count)
        BATCH_SECONDS.observe(time.monotonic() - started)
        await self._acknowledge()
        return None

    async def _one_by_one(self, decoded: list[Decoded]) -> None:
        """Each event in a transaction of its own; the one that fails is set aside in the transaction that moves past it."""
        for item in decoded:
            self._still_alive()
            try:
                error = await self._attempt([item])
                if error is not None:
                    kind = None if item.message is None else item.message.envelope.type
                    log.error("event set aside", error=repr(error), topic=item.record.topic,
                              partition=item.record.partition, offset=item.record.offset)  # fmt: skip
                    failure = Failure(type(error).__name__, str(error) or repr(error), kind)
                    await self._apply([Decoded(item.record, failure=failure)])
            except Revoked:
                # This partition moved on; others of the batch may still be ours.
                continue
        await self._acknowledge()

    async def _without_gaps(self, decoded: list[Decoded]) -> list[Decoded]:
        """Drop what does not follow on the expected position and have it fetched again from there.

        aiokafka's assignment goes live before our seek, so a first batch may come from elsewhere. A gap that is still there
        after the seek is real: compaction made it, or retention, which stops the partition.
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
                self._consumer().seek(partition, expected)
                dropped.add(partition)
            elif not await self._passable(partition, expected):
                dropped.add(partition)
        return [item for item in decoded if TopicPartition(item.record.topic, item.record.partition) not in dropped]

    async def _passable(self, partition: TopicPartition, expected: int) -> bool:
        begin = (await self._consumer().beginning_offsets([partition]))[partition]
        if begin <= expected:
            return True
        await self.settle({partition})
        return False

    async def _apply(self, decoded: list[Decoded]) -> int:
        by_partition: dict[TopicPartition, list[Decoded]] = {}
        for item in decoded:
            by_partition.setdefault(TopicPartition(item.record.topic, item.record.partition), []).append(item)
        # What was read before a seek is not what we want; and a revoked partition is somebody else's.
        ours = {item: self.expected[item] for item in by_partition if item in self.expected}
        if not ours:
            raise Revoked
        async with self.connection() as connection:
            async with connection.transaction():
                stored = await offsets.lock(connection, ours)
                moved = {item: row.position for item, row in stored.items() if row.position != ours[item]}
                work = [
                    item
                    for partition, items in by_partition.items()
                    if partition in ours and partition not in moved
                    for item in items
                    if item.record.offset >= ours[partition]
                ]
                work.sort(key=lambda item: (self._rank[item.record.topic], item.record.partition, item.record.offset))
                tx = Transaction(connection, self._clock.now(), self._name)
                failures = await self._run(tx, work)
                published = await tx.flush()
                news = _positions(work, ours)
                if news:
                    await offsets.move(connection, news)
        for partition, (_, position, at) in news.items():
            self.expected[partition], self.record_at[partition] = position, at
        for partition, position in moved.items():
            log.warning("another process moved this partition", topic=partition.topic, partition=partition.partition)
            self._go_on(partition, position)
        for failure, topic in failures:
            DEAD_LETTERS.labels(topic, failure.error_class).inc()
        self.breaker.applied(len(work), sum(f.error_class != dead_letters.UNKNOWN_TYPE for f, _ in failures))
        if published:
            self._committed()
        return len(work)

    async def _run(self, tx: Transaction, work: list[Decoded]) -> list[tuple[Failure, str]]:
        messages = [item.message for item in work if item.message is not None]
        if messages:
            first = messages[0].envelope
            set_traceparent(first.traceparent)
            with bound_contextvars(correlation_id=first.correlation_id, causation_id=str(first.id)):
                await self._process(tx, messages)
        failures = []
        for item in work:
            if item.failure is None:
                continue
            if item.failure.error_class != dead_letters.UNKNOWN_TYPE:
                self.breaker.check()
            if await dead_letters.add(tx, self.cluster_id, item.record, item.failure):
                failures.append((item.failure, item.record.topic))
        return failures

    async def _acknowledge(self) -> None:
        """Tell Kafka, for its lag tools. Nobody reads it back, so a failure is no loss."""
        ours = dict(self.expected)
        if not ours:
            return
        try:
            await self._consumer().commit(ours)
        except KafkaError as error:
            log.info("Kafka did not take the offsets", error=repr(error))


def _positions(work: list[Decoded], ours: dict[TopicPartition, int]) -> dict[TopicPartition, tuple[int, int, datetime]]:
    """Partition → (expected, next position, time of the last record)."""
    last: dict[TopicPartition, ConsumerRecord] = {}
    for item in work:
        partition = TopicPartition(item.record.topic, item.record.partition)
        if partition not in last or last[partition].offset < item.record.offset:
            last[partition] = item.record
    return {part: (ours[part], record.offset + 1, record_time(record)) for part, record in last.items()}
