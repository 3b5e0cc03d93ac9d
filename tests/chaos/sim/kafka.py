"""Kafka in memory: topics, partitions, offsets and records; the part of aiokafka's clients that the kit uses."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from types import SimpleNamespace
from typing import Any, NamedTuple, TypeAlias

from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.errors import IllegalStateError, KafkaConnectionError, KafkaTimeoutError
from aiokafka.partitioner import DefaultPartitioner

from .life import LIFE, Life

PARTITIONS = 2
"""Of each topic: enough that two instances share a service and that members lie apart."""
BATCH_RECORDS = 3
"""That one batch of the producer takes."""
Record: TypeAlias = ConsumerRecord
Headers = Sequence[tuple[str, bytes | None]]


class Cluster:
    """The broker. Its records are kept for ever, but for those that compaction takes."""

    id = "simulated"

    def __init__(self, now: datetime) -> None:
        self.now = now
        """The time that records get."""
        self.logs: dict[TopicPartition, list[Record]] = defaultdict(list)
        self.ends: Counter[TopicPartition] = Counter()
        self.group: dict[tuple[str, TopicPartition], int] = {}
        """What services told it of their offsets."""
        self.faults: Counter[str] = Counter()
        self.refuse: list[str] = []
        """What becomes of the next sends: `refused`, or `ack lost` after it was written."""
        self.away = 0
        """So many questions are not answered."""

    def partition_of(self, key: bytes | None) -> int:
        """Where records of a key go."""
        number: int = DefaultPartitioner()(key or b"", range(PARTITIONS), ())
        return number

    def append(self, topic: str, key: bytes | None, value: bytes | None, headers: Headers) -> TopicPartition:
        """Write a record where its key belongs."""
        item = TopicPartition(topic, self.partition_of(key))
        self.write(item, key, value, headers)
        return item

    def write(self, item: TopicPartition, key: bytes | None, value: bytes | None, headers: Headers) -> None:
        """Write a record to a partition."""
        time = int(self.now.timestamp() * 1000)
        record: Record = ConsumerRecord(
            item.topic, item.partition, self.ends[item], time, 0, key, value, None, len(key or b""),
            len(value or b""), tuple(headers),
        )  # fmt: skip
        self.logs[item].append(record)
        self.ends[item] += 1

    def records(self, topic: str) -> list[Record]:
        """All of a topic, by partition and offset."""
        return [record for number in range(PARTITIONS) for record in self.logs[TopicPartition(topic, number)]]

    def compact(self, topic: str) -> int:
        """Keep the last record of each key, and the last of all. Returns how many are gone."""
        gone = 0
        for number in range(PARTITIONS):
            log = self.logs[TopicPartition(topic, number)]
            last = {record.key: record.offset for record in log}
            kept = [record for record in log if last[record.key] == record.offset or record is log[-1]]
            gone += len(log) - len(kept)
            log[:] = kept
        self.faults["compacted away"] += gone
        return gone

    def answer(self) -> None:
        """Fail instead of answering, if that was asked for."""
        if self.away > 0:
            self.away -= 1
            self.faults["Kafka away"] += 1
            raise KafkaConnectionError("the simulated broker is away")


class Consumer:
    """What `Assignment`, `Shell` and `Sweeper` use of aiokafka's consumer, and `take` for who drives it."""

    def __init__(self, cluster: Cluster, group: str, life: Life) -> None:
        self.cluster, self.group, self.life = cluster, group, life
        self.positions: dict[TopicPartition, int] = {}
        self.paused: set[TopicPartition] = set()

    async def beginning_offsets(self, items: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        self.life.alive()
        self.cluster.answer()
        # Compaction leaves the log's begin where it was.
        return dict.fromkeys(items, 0)

    async def end_offsets(self, items: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        self.life.alive()
        self.cluster.answer()
        return {item: self.cluster.ends[item] for item in items}

    def seek(self, item: TopicPartition, position: int) -> None:
        self.life.alive()
        if item not in self.positions:
            raise IllegalStateError(f"{item} is not assigned")
        self.positions[item] = position

    def pause(self, *items: TopicPartition) -> None:
        self.paused.update(items)

    def resume(self, *items: TopicPartition) -> None:
        self.paused.difference_update(items)

    async def committed(self, item: TopicPartition) -> int | None:
        return self.cluster.group.get((self.group, item))

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        self.life.passes("kafka: before the offsets are told")
        self.cluster.answer()
        for item, position in offsets.items():
            self.cluster.group[self.group, item] = position
        self.life.passes("kafka: after the offsets were told")

    def assign(self, items: Iterable[TopicPartition]) -> None:
        """As the group's leader decided: it goes live at the group's offset, before anybody sought."""
        self.positions = {item: self.cluster.group.get((self.group, item), 0) for item in items}

    def take(self, counts: Mapping[TopicPartition, int]) -> tuple[Record, ...]:
        """Fetch at most so many of each partition."""
        found: list[Record] = []
        for item, count in counts.items():
            if item in self.paused or item not in self.positions:
                continue
            log = self.cluster.logs[item]
            new = [record for record in log if record.offset >= self.positions[item]][:count]
            if new:
                self.positions[item] = new[-1].offset + 1
            found += new
        return tuple(found)


class Batch:
    """Records that are sent together."""

    def __init__(self) -> None:
        self.records: list[tuple[bytes | None, bytes | None, Headers]] = []

    def append(self, *, timestamp: int | None, key: bytes | None, value: bytes | None, headers: Headers) -> object:
        """Add a record. Only few fit, so that there are several batches."""
        if len(self.records) == BATCH_RECORDS:
            return None
        self.records.append((key, value, headers))
        return True


class Placed(NamedTuple):
    """Where Kafka put a batch."""

    offset: int
    """Of its first record."""


class Producer:
    """What the relay uses of aiokafka's producer; takes its constructor's arguments."""

    cluster: Cluster
    """Set while a simulation runs."""

    def __init__(self, **_: Any) -> None:
        self.life = LIFE.get()
        self._sender = SimpleNamespace(sender_task=asyncio.ensure_future(asyncio.sleep(0)))
        """Writes at once, so that nothing is ever under way."""
        self._conns: dict[str, Any] = {}
        self._broken: set[TopicPartition] = set()
        """An idempotent producer writes nothing behind a record of the same partition that it could not write."""

    async def start(self) -> None:
        self.life.alive()
        self.cluster.answer()

    @property
    def client(self) -> "Producer":
        """What would hold its connections."""
        return self

    async def close(self) -> None:
        self.life.alive()

    async def stop(self) -> None:
        """After a start that failed."""

    async def partitions_for(self, topic: str) -> set[int]:
        return set(range(PARTITIONS))

    def create_batch(self) -> "Batch":
        return Batch()

    async def send_batch(self, batch: "Batch", topic: str, *, partition: int) -> asyncio.Future[Placed]:
        """Write a batch. The future is done when the broker has acknowledged it, or will not."""
        await self.life.reaches(f"relay: before records are sent to {topic}")
        item = TopicPartition(topic, partition)
        fate = self.cluster.refuse.pop(0) if self.cluster.refuse else ""
        if fate:
            self.cluster.faults[f"send: {fate}"] += 1
        begin = self.cluster.ends[item]
        if fate != "refused" and item not in self._broken:
            for record in batch.records:
                self.cluster.write(item, *record)
        future: asyncio.Future[Placed] = asyncio.get_running_loop().create_future()
        if fate or item in self._broken:
            self._broken.add(item)
            future.set_exception(KafkaTimeoutError(f"the simulated send was {fate or 'refused'}"))
        else:
            future.set_result(Placed(begin))
        await self.life.reaches(f"relay: after records were sent to {topic}")
        return future
