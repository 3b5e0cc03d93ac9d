"""The batch shell: records in, one transaction, offsets moved with it."""

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError
from structlog.contextvars import bound_contextvars

from contracts.base import Event
from contracts.topics import Topic

from . import breaker, dead_letters, offsets
from .assignment import Assignment, Revoked
from .clock import Clock, in_turns, within
from .db import is_transient, pause_seconds
from .dead_letters import Failure, record_time
from .decoding import Decoded, decode, describe
from .history import History
from .log import log
from .published import Restored
from .settings import Settings
from .telemetry import BATCH_RECORDS, BATCH_SECONDS, DEAD_LETTERS, RETRIES, set_traceparent
from .transaction import Process, Transaction

_ACKNOWLEDGE_SECONDS = 5.0
_DECODE_AT_ONCE = 25
"""Records, before requests that wait are given a turn: a whole batch takes longer than an answer should."""
_TRIES_TOGETHER = 3
"""Of a batch that fails by what passes; then one by one, since together it may take longer than a session lives."""


class _WentBack(Exception):
    """A stored offset is before what this process has applied."""


class Shell(Assignment):
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
        committed: Callable[[bool], None],
        cluster_id: Callable[[], Awaitable[str]],
        history: History,
    ) -> None:
        """`committed`: called after each batch; whether it published anything."""
        super().__init__(settings, name, cluster_id, history)
        self._clock = clock
        self._rank = {topic.name: rank for rank, topic in enumerate(consumes)}
        self._process, self._handled, self._ignored = process, handled, ignored
        self._committed = committed
        self.breaker = breaker.Breaker(settings)
        self.look_back: Callable[[], Awaitable[None]] = _nothing
        """Called when a stored offset went back. Raises `Restored` if the whole database did."""
        self.restored: Callable[[Restored], None] = lambda _: None
        """Called then; the process must start anew."""
        self.busy = False
        """A batch is under way."""
        self._failed_at: dict[int, float] = {}
        """When events of these partition numbers last failed by what passes, alone in their transactions."""

    async def handle(self, records: Sequence[ConsumerRecord]) -> None:
        """Bring a batch to its end: applied, set aside, or no longer ours. Never raises but for cancellation."""
        self.busy, self.moved_at = True, time.monotonic()
        try:
            with _not_collecting():
                decoded = [
                    decode(record, self._handled, self._ignored) async for record in in_turns(records, _DECODE_AT_ONCE)
                ]
            decoded.sort(key=lambda item: (self._rank[item.record.topic], item.record.partition, item.record.offset))
            await self._until_done(decoded)
        finally:
            self.busy, self.moved_at = False, time.monotonic()

    async def _until_done(self, decoded: list[Decoded]) -> None:
        attempt = 0
        while True:
            try:
                await self._wait_for_operator()
                async with self.lock:
                    # What is dropped stays so when this batch is tried again: a gap is proved by a later fetch.
                    decoded = await self.without_gaps(decoded)
                    with _not_collecting():
                        done = await self._done(decoded, singly=attempt >= _TRIES_TOGETHER)
                    if done:
                        return
            except Revoked:
                return
            except Restored as error:
                self.restored(error)
                return
            except Exception as error:  # noqa: BLE001 - whatever it is, it is judged below
                if not is_transient(error):
                    log.exception("batch is tried again")
                attempt += 1
                RETRIES.labels(type(error).__name__).inc()
                log.warning("batch is tried again", error=repr(error), attempt=attempt)
                self._still_alive()
                await asyncio.sleep(pause_seconds(attempt, self._settings.retry_seconds_max))

    async def _done(self, work: list[Decoded], *, singly: bool) -> bool:
        """All of it at once, else one by one; False if the breaker opened."""
        try:
            error = None if singly else await self._attempt(work)
            if singly or error is not None:
                why = describe(error) if error else "it was tried often enough: together it may take too long"
                log.warning("batch is done one by one", records=len(work), error=why)
                await self._one_by_one(work)
        except breaker.Opened as opened:
            async with self.connection() as connection:
                await self.breaker.open(connection, str(opened))
            return False
        await self._acknowledge()
        return True

    async def _wait_for_operator(self) -> None:
        while self.breaker.why is not None:
            self._still_alive()
            await asyncio.sleep(1.0)
            async with self.lock, self.connection() as connection:
                await self.breaker.read(connection)

    def _still_alive(self) -> None:
        self.moved_at = time.monotonic()

    async def _attempt(self, decoded: list[Decoded]) -> Exception | None:
        """Apply all in one transaction. Returns the error that one of them causes; raises those that pass."""
        started = time.monotonic()
        try:
            count = await self._apply(decoded)
        except (Revoked, Restored):
            raise
        except breaker.Opened as opened:
            if len(decoded) == 1:
                raise
            # One by one, what is good and what the breaker still lets pass is done first.
            return opened
        except Exception as error:
            if is_transient(error):
                raise
            return error
        BATCH_RECORDS.observe(count)
        BATCH_SECONDS.observe(time.monotonic() - started)
        return None

    async def _one_by_one(self, decoded: list[Decoded]) -> None:
        """Each event in its own transaction; one that fails is set aside in the transaction that moves past it.

        What fails by what passes ends the round, as the lock must not be held for long, and comes last in the next one:
        a row that somebody holds keeps only its partition number waiting, all topics of it, since they are of the same
        members. The next batch is read when that has passed too.
        """
        gone: set[TopicPartition] = set()
        for item in sorted(decoded, key=lambda item: self._failed_at.get(item.record.partition, 0.0)):
            partition = TopicPartition(item.record.topic, item.record.partition)
            if partition in gone or item.record.offset < self.expected.get(partition, 0):
                continue
            self._still_alive()
            before = self.expected.get(partition)
            try:
                await self._alone(item)
            except Revoked:
                gone.add(partition)
                continue
            except Exception:
                self._failed_at[partition.partition] = time.monotonic()
                await self._acknowledge()
                raise
            if self.expected.get(partition) not in (before, item.record.offset + 1):
                # Somebody moved it, and we sought there: what we hold does not follow on.
                gone.add(partition)

    async def _alone(self, item: Decoded) -> None:
        error = await self._attempt([item])
        if error is None:
            return
        kind = None if item.message is None else item.message.envelope.type
        why = describe(error)
        log.error(
            "event set aside",
            error=why,
            topic=item.record.topic,
            partition=item.record.partition,
            offset=item.record.offset,
        )
        await self._apply([Decoded(item.record, failure=Failure(type(error).__name__, why, kind))])

    async def _apply(self, decoded: list[Decoded]) -> int:
        """Apply and move the offsets with it, in one transaction. Returns how many were new."""
        try:
            return await self._transact(decoded)
        except _WentBack:
            # Not inside the transaction: looking may take longer than it may stay idle.
            await self.look_back()
            return await self._transact(decoded, looked=True)

    async def _transact(self, decoded: list[Decoded], *, looked: bool = False) -> int:
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
                if not looked and any(position < ours[item] for item, position in moved.items()):
                    raise _WentBack
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
            self.go_on(partition, position)
        for failure, topic in failures:
            DEAD_LETTERS.labels(topic, failure.error_class).inc()
        self.breaker.applied(len(work), sum(f.error_class != dead_letters.UNKNOWN_TYPE for f, _ in failures))
        if work:
            self._committed(published > 0)
        return len(work)

    async def _run(self, tx: Transaction, work: list[Decoded]) -> list[tuple[Failure, str]]:
        messages = [item.message for item in work if item.message is not None]
        if messages:
            first = messages[0].envelope
            set_traceparent(first.traceparent)
            with bound_contextvars(correlation_id=first.correlation_id, causation_id=str(first.id)):
                await self._process(tx, messages)
        failures: list[tuple[Failure, str]] = []
        for item in work:
            if item.failure is None:
                continue
            if item.failure.error_class != dead_letters.UNKNOWN_TYPE:
                self.breaker.check(len(failures), len(work))
            if await dead_letters.add(tx, self.cluster_id, item.record, item.failure):
                failures.append((item.failure, item.record.topic))
        return failures

    async def _acknowledge(self) -> None:
        """Tell Kafka, for its lag tools. Nobody reads it back, so a failure is no loss."""
        ours = dict(self.expected)
        if not ours:
            return
        try:
            await within(_ACKNOWLEDGE_SECONDS, self.consumer().commit(ours))
        except (KafkaError, TimeoutError) as error:
            log.info("Kafka did not take the offsets", error=repr(error))


@contextmanager
def _not_collecting() -> Iterator[None]:
    """What a batch makes lives until its end: collecting on the way finds nothing, and took a quarter of the time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


async def _nothing() -> None:
    """Where there is nothing to look at."""


def _positions(work: list[Decoded], ours: dict[TopicPartition, int]) -> dict[TopicPartition, tuple[int, int, datetime]]:
    """Partition → (expected, next position, time of the last record)."""
    last: dict[TopicPartition, ConsumerRecord] = {}
    for item in work:
        partition = TopicPartition(item.record.topic, item.record.partition)
        if partition not in last or last[partition].offset < item.record.offset:
            last[partition] = item.record
    return {part: (ours[part], record.offset + 1, record_time(record)) for part, record in last.items()}
