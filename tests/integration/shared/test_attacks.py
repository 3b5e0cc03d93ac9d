"""Records that must not stop a service, and positions that must not be passed over."""

import asyncio
from contextlib import suppress

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.partitioner import DefaultPartitioner

from shared.bus import Shell
from shared.outbox import Row, insert
from shared.process import Process
from shared.sweeper import Round, Sweeper

from .toy import Toy, record, until

pytestmark = pytest.mark.integration


@pytest.fixture
async def toy(kafka: str, database: str) -> Toy:
    made = Toy(kafka, database)
    await made.create()
    return made


async def _has(toy: Toy, number: str) -> bool:
    return number in await toy.effects()


async def test_a_time_before_all_times_is_set_aside(toy: Toy) -> None:
    key, value, headers, _ = record(1)
    odd = [(name, b"0001-01-01T00:00:00+14:00" if name == "ce_time" else raw) for name, raw in headers]
    await toy.send((key, value, odd, 0), record(2, partition=0))
    async with toy.running():
        await until(lambda: _has(toy, "2"), 12)
    assert len(await toy.fetch("SELECT 1 FROM dead_letters")) == 1


async def test_a_dead_letter_with_a_huge_key_does_not_block_the_outbox(toy: Toy) -> None:
    """Brokers bound what is sent compressed; what comes out may be larger than the relay can send again."""
    producer = AIOKafkaProducer(bootstrap_servers=toy.kafka, compression_type="gzip", max_request_size=8 * 1024 * 1024)
    await producer.start()
    try:
        await producer.send_and_wait(toy.topic.name, b"{}", b"k" * 3_000_000, partition=0)
    finally:
        await producer.stop()
    await toy.send(record(2, partition=0))
    async with toy.running():
        await until(lambda: _has(toy, "2"), 12)
        await until(lambda: _nothing_waits(toy), 12)


async def test_a_position_set_back_loses_nothing_beside_a_poison(toy: Toy) -> None:
    """A restore sets a partition back. A batch with a poisoned event of another one must not pass over the gap."""
    await toy.send(*(record(number, partition=0) for number in range(10)))
    async with toy.running() as process:
        await until(lambda: _has(toy, "9"))
        shell = await _paused(process)
        await toy.send(*(record(number, partition=0) for number in range(10, 15)))
        await toy.send(record(100, kind="poison", partition=1))
        records = await _all_records(toy, 16)
        await toy.fetch("UPDATE consumer_offsets SET position = 3 WHERE partition = 0")
        await toy.fetch("DELETE FROM effects WHERE activity_id::int >= 3")
        await shell.handle([item for item in records if item.partition == 1 or item.offset >= 10])
        shell.consumer().resume(*(TopicPartition(toy.topic.name, n) for n in range(4)))
        await asyncio.sleep(4)
    assert sorted(map(int, await toy.effects())) == list(range(15))


async def test_what_was_fetched_before_a_seek_stays_dropped_when_the_batch_is_tried_again(toy: Toy) -> None:
    """Only what is fetched after the seek can prove a gap."""
    await toy.send(*(record(number, partition=0) for number in range(10)))
    async with toy.running() as process:
        await until(lambda: _has(toy, "9"))
        shell = await _paused(process)
        await toy.send(*(record(number, partition=0) for number in range(10, 15)))
        await toy.send(record(15, partition=1))
        records = await _all_records(toy, 16)
        await toy.fetch("UPDATE consumer_offsets SET position = 3 WHERE partition = 0")
        await toy.fetch("DELETE FROM effects WHERE activity_id::int >= 3")
        async with shell.lock:
            shell.expected[TopicPartition(toy.topic.name, 0)] = 3
        toy.failures = [ConnectionResetError("the session was lost")]
        await shell.handle([item for item in records if item.partition == 1 or item.offset >= 10])
        shell.consumer().resume(*(TopicPartition(toy.topic.name, n) for n in range(4)))
        await until(lambda: _has(toy, "14"))
    assert sorted(map(int, await toy.effects())) == list(range(16))


async def _paused(process: Process) -> Shell:
    """The shell, which reads nothing by itself any more."""
    shell = process.shell
    assert shell is not None
    async with shell.lock:
        shell.consumer().pause(*(item for item in shell.expected))
    await asyncio.sleep(0.5)
    return shell


async def _all_records(toy: Toy, count: int) -> list[ConsumerRecord]:
    reader = AIOKafkaConsumer(toy.topic.name, bootstrap_servers=toy.kafka, group_id=None, auto_offset_reset="earliest")
    await reader.start()
    records: list[ConsumerRecord] = []
    while len(records) < count:
        for found in (await reader.getmany(timeout_ms=200)).values():
            records += found
    await reader.stop()
    return records


async def test_one_bad_sweep_leaves_other_partitions_alone(toy: Toy) -> None:
    swept = []

    async def sweep(_tx: object, one: Round) -> int:
        swept.append(one.partition)
        if one.partition == 1:
            raise ValueError("one account is odd")
        return 0

    async with toy.running() as process:
        shell = process.shell
        assert shell is not None

        async def assigned() -> bool:
            return len(shell.expected) == 4

        await until(assigned)
        sweeper = Sweeper(shell, sweep, process.context.clock, toy.name, lambda: None)
        with suppress(ValueError):
            await sweeper.run_once()
    assert swept == [0, 1, 2, 3]


async def test_one_batch_of_rubbish_opens_the_breaker(toy: Toy) -> None:
    await toy.send(*((b"k", b"{}", [], 0) for _ in range(300)))
    async with toy.running():
        await asyncio.sleep(4)
    letters = len(await toy.fetch("SELECT 1 FROM dead_letters"))
    assert letters <= 21, letters


async def test_rows_of_all_sizes_are_sent_in_their_order(toy: Toy) -> None:
    """A row may be larger than what the producer sends at a time; and it goes where every other client puts its key."""
    topic = toy.topic.dead_letters(toy.name)
    rows = [(topic, b"key-%d" % (n % 7), b"%06d" % n + b"x" * (900_000 if n % 9 == 4 else n)) for n in range(60)]
    connection = await asyncpg.connect(toy.dsn)
    try:
        await insert(connection, [Row(*row, [("number", b"%d" % n)]) for n, row in enumerate(rows)])
    finally:
        await connection.close()
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=toy.kafka, auto_offset_reset="earliest")
    await consumer.start()
    try:
        async with toy.running():
            async with asyncio.timeout(30):
                read = [await consumer.getone() for _ in rows]
            await until(lambda: _nothing_waits(toy), 12)
        partitions = sorted(consumer.partitions_for_topic(topic))
        assert await consumer.getmany(timeout_ms=200) == {}
    finally:
        await consumer.stop()
    for key in {key for _, key, _ in rows}:
        mine = [item for item in read if item.key == key]
        assert [item.value for item in mine] == [value for _, other, value in rows if other == key]
        assert {item.partition for item in mine} == {DefaultPartitioner()(key, partitions, [])}
    assert all(dict(item.headers)["number"] == b"%d" % int(item.value[:6]) for item in read)


async def _nothing_waits(toy: Toy) -> bool:
    return not await toy.fetch("SELECT 1 FROM outbox")
