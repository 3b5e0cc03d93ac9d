"""After a restore: what lies on a service's own topics beyond what its database knows is read back before all else."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import asyncpg
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from contracts.topics import TOPICS, Topic

from . import published
from .admin import reader, running, topic_bounds
from .clock import Clock
from .db import connect
from .dead_letters import record_time
from .decoding import decode
from .history import History
from .kafka import cluster_id, wait_for_topics
from .log import log
from .sending import unpack_headers
from .service import until_done
from .settings import Settings
from .transaction import Message, Process, Transaction

_LEARNER_LOCK = 0x6C61_7573
"""Key of the advisory lock that lets one process learn at a time."""
_RECORDS_MAX = 500
"""Of one transaction."""
_SILENT_SECONDS_MAX = 60.0

Tails = dict[TopicPartition, tuple[int, int]]
"""Where the database's knowledge ends, and where Kafka does."""
Gone = dict[tuple[str, int], tuple[int, int]]
"""(topic, partition) → (from, to): neither the database nor Kafka has it."""


def topics_of(service: str) -> tuple[Topic, ...]:
    """The topics that a service owns, in the order in which it learns from them: subjects before what they do."""
    return tuple(sorted((topic for topic in TOPICS if topic.owner == service), key=lambda topic: bool(topic.retention)))


@dataclass(frozen=True, slots=True)
class _Known:
    """What the database says at one moment."""

    waiting: dict[bytes, int]
    """Event id → outbox row."""
    positions: dict[tuple[str, int], tuple[int, str]]

    def has(self, record: ConsumerRecord, cluster: str) -> bool:
        """Whether the record is its own: below what it published, or still in its outbox."""
        position, of = self.positions.get((record.topic, record.partition), (0, ""))
        return (of == cluster and record.offset < position) or _id_of(record) in self.waiting


async def lost_for_good(connection: asyncpg.Connection, kafka: str, service: str, cluster: str) -> Gone:
    """What the service published, and neither its database nor Kafka has any more."""
    return _gone(await _own(connection, kafka, service, cluster))


@dataclass(frozen=True, slots=True)
class Missing:
    """What a service published and its database does not know."""

    gone: Gone = field(default_factory=dict)
    """Where anything is, nothing else is looked for."""
    readable: dict[str, int] = field(default_factory=dict)
    """Topic → how many records Kafka has of it."""

    def __bool__(self) -> bool:
        return bool(self.gone or self.readable)


async def missing(
    connection: asyncpg.Connection, kafka: str, service: str, cluster: str, *, any_will_do: bool = False
) -> Missing:
    """`any_will_do`: not all are counted, the first that are found are enough."""
    own = await _own(connection, kafka, service, cluster)
    gone, tails = _gone(own), _tails(own)
    found: dict[str, int] = {}
    if gone or not tails:
        return Missing(gone)
    async with running(reader(kafka)) as consumer:
        for topic, tail in tails.items():
            async for records in _portions(consumer, tail):
                async with connection.transaction(isolation="repeatable_read", readonly=True):
                    known = await _known(connection)
                fresh = sum(_source_of(item) == service and not known.has(item, cluster) for item in records)
                if fresh:
                    found[topic.name] = found.get(topic.name, 0) + fresh
                if found and any_will_do:
                    return Missing(readable=found)
    return Missing(readable=found)


class Learner:
    """Reads back what the database of one service does not know any more."""

    def __init__(
        self, settings: Settings, clock: Clock, name: str, adopt: Process | None, history: History
    ) -> None:  # fmt: skip
        self._settings, self._clock, self._name, self._adopt = settings, clock, name, adopt
        self._history = history
        self.done = not topics_of(name)
        """Whether all was learnt; before that nothing may be decided."""

    async def check(self) -> None:
        """Raise `Restored` if the database has lost what it had published."""
        if topics_of(self._name):
            connection = await self._connect()
            try:
                cluster = await cluster_id(self._settings)
                if found := await missing(connection, self._settings.kafka, self._name, cluster, any_will_do=True):
                    raise published.Restored(f"the database does not know what was published: {found}")
            finally:
                connection.terminate()

    async def run(self, stopping: asyncio.Event) -> None:
        """Learn all; tries until it is done, whatever is away meanwhile. Raises what `adopt` raises for good."""

        async def learn() -> bool:
            await wait_for_topics(self._settings, [topic.name for topic in topics_of(self._name)], stopping)
            if not stopping.is_set():
                self.done = await self._learn()
            return self.done

        if not self.done:
            await until_done(stopping, "learning", learn)

    async def _connect(self) -> asyncpg.Connection:
        return await connect(self._settings, f"{self._name}-learner", self._history.check)

    async def _learn(self) -> bool:
        connection = await self._connect()
        try:
            await connection.execute("SELECT pg_advisory_lock($1)", _LEARNER_LOCK)
            cluster = await cluster_id(self._settings)
            own = await _own(connection, self._settings.kafka, self._name, cluster)
            if gone := _gone(own):
                log.error(
                    "the database is older than what Kafka keeps: what was published in between cannot be read back",
                    missing={f"{topic}-{number}": f"{first} … {end}" for (topic, number), (first, end) in gone.items()},
                    what_to_do="restore a newer backup; laurel doctor says what else can be done",
                )
                return False
            if tails := _tails(own):
                async with running(reader(self._settings.kafka)) as consumer:
                    for topic, tail in tails.items():
                        await self._learn_topic(connection, consumer, topic, tail, cluster)
            return True
        finally:
            # The lock goes with the connection.
            connection.terminate()

    async def _learn_topic(
        self, connection: asyncpg.Connection, consumer: AIOKafkaConsumer, topic: Topic, tail: Tails, cluster: str
    ) -> None:
        began, adopted = time.monotonic(), 0
        async for records in _portions(consumer, tail):
            adopted += await self._take(connection, records, topic, cluster)
        if adopted:
            log.warning(
                "the database had lost what was published, and has read it back",
                topic=topic.name, events=adopted, seconds=round(time.monotonic() - began, 1),
            )  # fmt: skip

    async def _take(
        self, connection: asyncpg.Connection, records: Sequence[ConsumerRecord], topic: Topic, cluster: str
    ) -> int:  # fmt: skip
        """Adopt what is not known, and keep that it was published. Returns how many events there were."""
        async with connection.transaction():
            known = await _known(connection, lock=True)
            fresh = [item for item in records if not known.has(item, cluster)]
            told = [(item, message) for item in fresh if (message := self._message(item, topic)) is not None]
            messages = [message for _, message in told]
            if messages and self._adopt is None:
                raise RuntimeError(f"{len(messages)} events are not known, and {self._name} adopts none")
            tx = Transaction(connection, self._clock.now(), self._name)
            if messages and self._adopt is not None:
                await self._adopt(tx, messages)
            # Before the flush: what is on the topic is not sent again after it, what is adopted may be.
            gone = [known.waiting[key] for item in records if (key := _id_of(item)) in known.waiting]
            await published.sent(connection, gone, _ends(records, known, cluster), cluster)
            if topic.retention is None:
                at = {item.key: record_time(item) for item, _ in told}
                await published.superseded(connection, topic.name, at)
            await tx.flush()
        return len(messages)

    def _message(self, record: ConsumerRecord, topic: Topic) -> Message | None:
        if _source_of(record) != self._name:
            log.error("somebody else published here", topic=record.topic, offset=record.offset)
            return None
        decoded = decode(record, frozenset(topic.events), frozenset())
        if decoded.failure is not None:
            log.error("cannot be read back", topic=record.topic, offset=record.offset, why=decoded.failure.error)
        return decoded.message


def _ends(records: Sequence[ConsumerRecord], known: _Known, cluster: str) -> dict[tuple[str, int], int]:
    ends: dict[tuple[str, int], int] = {}
    for item in records:
        key = (item.topic, item.partition)
        position, of = known.positions.get(key, (0, ""))
        ends[key] = max(ends.get(key, 0), item.offset + 1, position if of == cluster else 0)
    return ends


async def _known(connection: asyncpg.Connection, *, lock: bool = False) -> _Known:
    # In this order: what another relay has sent meanwhile is in one of the two.
    rows = await published.waiting(connection)
    positions = await published.positions(connection, lock=lock)
    return _Known({_ce_id(unpack_headers(row["headers"])): row["id"] for row in rows}, positions)


def _id_of(record: ConsumerRecord) -> bytes:
    return _ce_id(record.headers)


def _ce_id(headers: Sequence[tuple[str, bytes | None]]) -> bytes:
    return next((raw or b"" for name, raw in headers if name == "ce_id"), b"")


def _source_of(record: ConsumerRecord) -> str:
    return next((raw.decode(errors="replace") for name, raw in record.headers if name == "ce_source" and raw), "")


@dataclass(frozen=True, slots=True)
class _Own:
    """A partition of a service's own topics: up to where the database knows it, and what Kafka has."""

    topic: Topic
    item: TopicPartition
    position: int
    begin: int
    end: int


async def _own(connection: asyncpg.Connection, kafka: str, service: str, cluster: str) -> list[_Own]:
    """In the order in which they are learnt from."""
    topics = topics_of(service)
    positions = await published.positions(connection)
    bounds = await topic_bounds(kafka, [topic.name for topic in topics])
    found = []
    for topic in topics:
        for (name, number), (begin, end) in bounds.items():
            if name == topic.name:
                position, of = positions.get((name, number), (0, ""))
                found.append(_Own(topic, TopicPartition(name, number), position if of == cluster else 0, begin, end))
    return found


def _gone(own: Sequence[_Own]) -> Gone:
    """Compaction takes away only what is superseded. Where a private topic tells the owner all that it did, the others
    follow from it.
    """
    kept_for_a_time = [one for one in own if one.topic.retention is not None]
    telling = [one for one in kept_for_a_time if one.topic.private] or kept_for_a_time
    return {
        (one.item.topic, one.item.partition): (one.position, one.begin) for one in telling if one.position < one.begin
    }


def _tails(own: Sequence[_Own]) -> dict[Topic, Tails]:
    """What to look at: by topic, only partitions that go beyond what was published."""
    found: dict[Topic, Tails] = {}
    for one in own:
        start = max(one.begin, one.position)
        if start < one.end:
            found.setdefault(one.topic, {})[one.item] = (start, one.end)
    return found


async def _portions(consumer: AIOKafkaConsumer, tails: Tails) -> AsyncIterator[list[ConsumerRecord]]:
    """The records of these partitions, each partition in its order. Raises TimeoutError when Kafka falls silent."""
    left = {item: end for item, (_, end) in tails.items()}
    consumer.assign(list(left))
    for item, (start, _) in tails.items():
        consumer.seek(item, start)
    heard_at = time.monotonic()
    while left:
        records = await consumer.getmany(*left, timeout_ms=500, max_records=_RECORDS_MAX)
        found = [record for item, part in records.items() for record in part if record.offset < left[item]]
        # Not by the last record: compaction leaves gaps, also at the end.
        reached = {item: await consumer.position(item) for item in left}
        left = {item: end for item, end in left.items() if reached[item] < end}
        if found:
            heard_at = time.monotonic()
            yield found
        elif time.monotonic() - heard_at > _SILENT_SECONDS_MAX:
            raise TimeoutError(f"Kafka sends nothing of {sorted(left)}")
