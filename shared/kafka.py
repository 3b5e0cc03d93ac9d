"""Clients of Kafka, each with its settings said out loud."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import KafkaError
from faststream import AckPolicy
from faststream.kafka import KafkaBroker, KafkaMessage
from faststream.kafka.message import KafkaAckableMessage

from contracts.topics import Topic

from .admin import ended, running
from .bus import Shell
from .clock import within
from .db import pause_seconds
from .decoding import decode
from .log import log
from .settings import Settings

RUNNING_BATCH_SECONDS = 6.0
"""How long a stop waits for the running batch; then it is cut off, and rolled back."""


async def cluster_id(settings: Settings) -> str:
    """The id of the cluster. Raises KafkaError when it cannot be asked."""
    async with running(AIOKafkaAdminClient(bootstrap_servers=settings.kafka, request_timeout_ms=5000)) as admin:
        return str((await admin.describe_cluster())["cluster_id"])


async def wait_for_topics(settings: Settings, topics: Sequence[str], stopping: asyncio.Event) -> None:
    """Wait for Kafka and these topics, saying what is missing; nothing makes topics on the way."""
    attempt = 0
    while not stopping.is_set():
        admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka, request_timeout_ms=5000)
        try:
            async with running(admin):
                missing = sorted(set(topics) - set(await admin.list_topics()))
            if not missing:
                return
            why = f"no topics {', '.join(missing)}: run laurel topics apply"
        except (KafkaError, OSError, TimeoutError) as error:
            why = repr(error)
        attempt += 1
        log.warning("waiting for Kafka", why=why, kafka=settings.kafka, attempt=attempt)
        await asyncio.sleep(0.2 + pause_seconds(attempt, 3.0))


def subscribe(settings: Settings, name: str, topics: Sequence[Topic], shell: Shell) -> KafkaBroker:
    """A broker with the service's one batch subscriber; the caller starts and stops it."""
    broker = KafkaBroker(
        settings.kafka,
        client_id=name,
        allow_auto_create_topics=False,
        logger=None,
        graceful_timeout=RUNNING_BATCH_SECONDS,
    )
    subscriber = broker.subscriber(
        *(topic.name for topic in topics),
        group_id=name,
        batch=True,
        ack_policy=AckPolicy.MANUAL,
        auto_offset_reset="earliest",
        max_records=settings.batch_records_max,
        batch_timeout_ms=settings.batch_wait_ms,
        fetch_max_bytes=settings.fetch_bytes_max,
        fetch_max_wait_ms=settings.fetch_wait_ms,
        max_partition_fetch_bytes=settings.record_bytes_max + 64 * 1024,
        session_timeout_ms=settings.session_timeout_ms,
        heartbeat_interval_ms=settings.heartbeat_interval_ms,
        rebalance_timeout_ms=settings.rebalance_timeout_ms,
        max_poll_interval_ms=settings.poll_interval_ms_max,
        partition_assignment_strategy=(RangePartitionAssignor,),
        listener=shell,
        parser=_parse,
        decoder=_decode,
    )

    @subscriber
    async def consume(records: tuple[ConsumerRecord, ...]) -> None:
        # The shell acknowledges by itself, after the commit and inside its lock.
        await shell.handle(records)
        if len(records) < settings.batch_records_max // 10:
            # A moment for more to come: each record of a small batch costs many times what one of a large batch does.
            await asyncio.sleep(settings.batch_wait_ms / 1000)

    shell.find_consumer = lambda: subscriber.consumer
    return broker


async def _parse(records: tuple[ConsumerRecord, ...], original: Callable[..., object]) -> KafkaAckableMessage:
    """Keep the raw records: FastStream's own parser loses a whole batch over one header that is null or not UTF-8."""
    first, last = records[0], records[-1]
    return KafkaAckableMessage(
        body=[record.value or b"" for record in records],
        headers={},
        batch_headers=[],
        raw_message=records,
        message_id=f"{first.topic}-{first.partition}-{first.offset}-{last.offset}",
        correlation_id="",
        consumer=original.__self__._consumer,  # type: ignore[attr-defined]
    )


async def _decode(message: KafkaMessage) -> object:
    return message.raw_message


@dataclass(frozen=True)
class Reference:
    """A small topic of one partition, read whole into memory by a reader of its own."""

    topic: Topic
    apply: Callable[[Any], None]


class ReferenceReader:
    """Reads a reference topic from its beginning and keeps up with it."""

    def __init__(self, settings: Settings, name: str, reference: Reference, now: Callable[[], float]) -> None:
        self._settings, self._name, self._reference, self._now = settings, name, reference, now
        self._confirmed_at: float | None = None
        self._unreadable: dict[bytes | None, str] = {}
        self.ready = asyncio.Event()
        """Set once the topic was read to its end."""

    @property
    def current(self) -> bool:
        """Whether the service may go by what was read; else it waits."""
        return self.why_not is None

    @property
    def why_not(self) -> str | None:
        """Why the service waits: the topic's end was not confirmed lately, or holds what this version cannot read.

        Without that record it would go on by what held before, and others by the record.
        """
        if self._unreadable:
            return f"{self._reference.topic.name} has what this version cannot read: {min(self._unreadable.values())}"
        age = None if self._confirmed_at is None else self._now() - self._confirmed_at
        late = age is None or age > self._settings.reference_wait_seconds
        return "the reference topic's end was not confirmed lately" if late else None

    async def run(self, stopping: asyncio.Event) -> None:
        """Read until stopped, starting over when Kafka is lost."""
        attempt = 0
        while not stopping.is_set():
            try:
                await self._follow(stopping)
            except (KafkaError, OSError) as error:
                attempt = 1 if self.current else attempt + 1
                log.warning("reference reader starts over", error=repr(error), attempt=attempt)
                await asyncio.sleep(0.2 + pause_seconds(attempt, 5.0))

    async def _follow(self, stopping: asyncio.Event) -> None:
        item = TopicPartition(self._reference.topic.name, 0)
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._settings.kafka,
            client_id=f"{self._name}-reference",
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
        )
        patience = self._settings.reference_wait_seconds
        confirmed_at, confirm_at = self._now(), 0.0
        try:
            # A broker that says nothing may hold any of these up for minutes, and a connection may stay dead for good.
            await within(patience, consumer.start())
            consumer.assign([item])
            await within(patience, consumer.seek_to_beginning(item))
            while not stopping.is_set():
                records = await within(patience, consumer.getmany(item, timeout_ms=200, max_records=500))
                for record in records.get(item, []):
                    self._take(record)
                if self._now() >= confirm_at:
                    end = (await within(patience, consumer.end_offsets([item])))[item]
                    if await within(patience, consumer.position(item)) >= end:
                        self._confirmed_at = confirmed_at = self._now()
                        self.ready.set()
                        confirm_at = confirmed_at + patience / 3
                if self._now() > confirmed_at + patience:
                    raise TimeoutError("nothing new was read, though there is more")
        finally:
            await ended(consumer)

    def _take(self, record: ConsumerRecord) -> None:
        decoded = decode(record, frozenset(self._reference.topic.events), frozenset())
        self._unreadable.pop(record.key, None)
        if decoded.message is not None:
            try:
                self._reference.apply(decoded.message.data)
            except ValueError as error:
                log.error("reference record refused", offset=record.offset, why=str(error))
        elif decoded.failure is not None:
            self._unreadable[record.key] = f"offset {record.offset}: {decoded.failure.error}"
            log.error("reference record unreadable", offset=record.offset, why=decoded.failure.error)
