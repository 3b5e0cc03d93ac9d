"""The batch shell on real Kafka and PostgreSQL: whatever comes, each event has one effect and none is lost."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from uuid import UUID

import asyncpg
import pytest
from aiokafka import TopicPartition

from shared import offsets
from shared.bus import Shell
from shared.process import Process
from shared.sweeper import Round
from shared.telemetry import REGISTRY
from shared.transaction import Transaction

from .toy import Toy, record, until

pytestmark = pytest.mark.integration


@pytest.fixture
async def toy(kafka: str, database: str) -> Toy:
    made = Toy(kafka, database)
    await made.create()
    return made


async def _all_of(toy: Toy, count: int) -> bool:
    return len(await toy.effects()) >= count


def _numbers(count: int, start: int = 0) -> list[str]:
    return sorted(str(number) for number in range(start, start + count))


async def test_applies_each_event_once_and_in_the_order_of_its_partition(toy: Toy) -> None:
    await toy.send(*(record(number) for number in range(300)))
    async with toy.running():
        await until(lambda: _all_of(toy, 300))
    assert sorted(await toy.effects()) == _numbers(300)
    rows = await toy.fetch('SELECT partition, array_agg("offset" ORDER BY n) AS seen FROM effects GROUP BY partition')
    assert all(row["seen"] == sorted(row["seen"]) for row in rows)


async def test_a_restart_goes_on_where_the_database_says(toy: Toy) -> None:
    await toy.send(*(record(number) for number in range(50)))
    async with toy.running():
        await until(lambda: _all_of(toy, 50))
    await toy.send(*(record(number) for number in range(50, 80)))
    async with toy.running():
        await until(lambda: _all_of(toy, 80))
    assert sorted(await toy.effects()) == _numbers(80)


async def test_a_batch_that_takes_too_long_together_is_done_one_by_one(toy: Toy) -> None:
    await toy.send(*(record(number) for number in range(20)))
    toy.most_in_time = 1
    async with toy.running():
        await until(lambda: _all_of(toy, 20))
    assert sorted(await toy.effects()) == _numbers(20)


@pytest.mark.parametrize("limit", ["lock_timeout_ms", "statement_timeout_ms"])
async def test_a_member_whose_row_is_held_keeps_only_their_partition_number_waiting(toy: Toy, limit: str) -> None:
    """All topics of it: they are of the same members, and what is less urgent must not overtake."""
    also = Toy(toy.kafka, toy.dsn)
    toy.also.append(also)
    await also.create_topics(also.topic.name)
    await toy.send(*(record(number, partition=number) for number in (1, 2, 3)))
    async with toy.running(retry_seconds_max=0.2, **{limit: 500}) as process, AsyncExitStack() as stack:
        await until(lambda: _all_of(toy, 3))
        first, third = await stack.enter_async_context(_held(toy, 1)), await stack.enter_async_context(_held(toy, 3))
        async with _in_one_batch(_shell(process)):
            for more in (10, 20):
                await toy.send(*(record(more + n, partition=n, member=UUID(int=n)) for n in (1, 2, 3)))
            await also.send(*(record(30 + n, partition=n, member=UUID(int=9)) for n in (1, 2, 3)))
        await until(lambda: _all_of(toy, 6))
        await asyncio.sleep(1.0)
        assert (await toy.effects())[3:] == ["12", "22", "32"]
        await third.rollback()
        await until(lambda: _all_of(toy, 9))
        assert (await toy.effects())[6:] == ["13", "23", "33"]
        await first.rollback()
        await until(lambda: _all_of(toy, 12))
        assert (await toy.effects())[9:] == ["11", "21", "31"]


@asynccontextmanager
async def _held(toy: Toy, member: int) -> AsyncIterator[asyncpg.transaction.Transaction]:
    """Somebody locks what there is of a member."""
    connection = await asyncpg.connect(toy.dsn)
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute("SELECT FROM effects WHERE member_id = $1 FOR UPDATE", UUID(int=member))
    yield transaction
    await connection.close()


@asynccontextmanager
async def _in_one_batch(shell: Shell) -> AsyncIterator[None]:
    """What is sent meanwhile is read together."""
    consumer = shell.consumer()
    consumer.pause(*shell.expected)
    await asyncio.sleep(0.5)
    yield
    consumer.resume(*shell.expected)


async def test_a_new_database_reads_old_topics_from_the_beginning(toy: Toy) -> None:
    await toy.send(*(record(number) for number in range(40)))
    async with toy.running():
        await until(lambda: _all_of(toy, 40))
    # Kafka's own group offset now stands at the end; it must not matter.
    await toy.fetch("TRUNCATE effects, consumer_offsets")
    async with toy.running():
        await until(lambda: _all_of(toy, 40))
    assert sorted(await toy.effects()) == _numbers(40)


Headers = list[tuple[str, bytes | None]]
Record = tuple[bytes | None, bytes | None, Headers, int | None]

POISON: dict[str, tuple[Callable[[Record], Record], str]] = {
    "bad JSON": (lambda good: (good[0], b'{"a":', good[2], 0), "ValidationError"),
    "bad UTF-8": (lambda good: (good[0], b"\xff\xfe{}", good[2], 0), "ValidationError"),
    "null header": (lambda good: (good[0], good[1], [*good[2], ("ce_id", None)], 0), "EnvelopeError"),
    "non-UTF-8 header": (lambda good: (good[0], good[1], [*good[2], ("ce_time", b"\xff")], 0), "EnvelopeError"),
    "no headers": (lambda good: (good[0], good[1], [], 0), "EnvelopeError"),
    "unknown type": (lambda good: (good[0], good[1], _typed(good[2], b"loyalty.moon.risen.v1"), 0), "UnknownType"),
    "unknown version": (
        lambda good: (good[0], good[1], _typed(good[2], b"loyalty.activity.recorded.v9"), 0),
        "UnknownType",
    ),
    "other key": (lambda good: (b"somebody", good[1], good[2], 0), "WrongKey"),
    "2 MB": (lambda good: (good[0], b'"' + b"x" * 2_000_000 + b'"', good[2], 0), "ValidationError"),
    "deep nesting": (lambda good: (good[0], b"[" * 10_000, good[2], 0), "ValidationError"),
}


def _typed(headers: Headers, name: bytes) -> Headers:
    return [(key, name if key == "ce_type" else value) for key, value in headers]


@pytest.mark.parametrize("poison", POISON)
async def test_poison_is_set_aside_once_and_its_neighbours_are_applied(toy: Toy, poison: str) -> None:
    spoil, error_class = POISON[poison]
    await toy.send(record(1, partition=0), spoil(record(2)), record(3, partition=0))
    async with toy.running():
        await until(lambda: _all_of(toy, 2))
        await until(lambda: _relayed(toy))
    assert await toy.effects() == ["1", "3"]
    letters = await toy.fetch("SELECT * FROM dead_letters")
    assert [(row["error_class"], row["offset"], row["partition"]) for row in letters] == [(error_class, 1, 0)]


async def _relayed(toy: Toy) -> bool:
    return not await toy.fetch("SELECT 1 FROM outbox")


async def test_a_handler_that_refuses_one_event_does_not_stop_the_others(toy: Toy) -> None:
    await toy.send(*(record(number, kind="poison" if number % 10 == 3 else "visit") for number in range(30)))
    async with toy.running():
        await until(lambda: _all_of(toy, 27))
    assert len(await toy.effects()) == 27
    letters = await toy.fetch("SELECT error_class, error FROM dead_letters")
    assert [(row["error_class"], row["error"]) for row in letters] == [
        ("Permanent", "this kind can never be applied")
    ] * 3


async def test_a_second_process_takes_over_partitions_in_mid_batch(toy: Toy) -> None:
    toy.slow_seconds = 0.01
    await toy.send(*(record(number) for number in range(200)))
    async with toy.running(batch_records_max=50) as first:
        await until(lambda: _all_of(toy, 10))
        async with toy.running(batch_records_max=50) as second:
            await until(lambda: _has_partitions(second))
            await toy.send(*(record(number) for number in range(200, 300)))
            await until(lambda: _all_of(toy, 300), seconds=60)
            assert set(_shell(first).expected).isdisjoint(_shell(second).expected)
    assert sorted(await toy.effects()) == _numbers(300)


async def _has_partitions(process: Process) -> bool:
    return bool(_shell(process).expected)


async def test_a_zombie_finds_its_partition_moved_and_applies_nothing_twice(toy: Toy) -> None:
    await toy.send(*(record(number, partition=0) for number in range(10)))
    async with toy.running() as process:
        await until(lambda: _all_of(toy, 10))
        # Somebody else consumes the next five: this process was thought dead, and still holds its assignment.
        async with _shell(process).lock:
            await toy.fetch("UPDATE consumer_offsets SET position = 15 WHERE partition = 0")
            await toy.send(*(record(number, partition=0) for number in range(10, 20)))
        await until(lambda: _all_of(toy, 15))
        await asyncio.sleep(0.3)
    assert sorted(await toy.effects()) == sorted(_numbers(10) + _numbers(5, start=15))


async def test_an_offset_outside_the_topic_stops_the_partition_until_accepted(toy: Toy) -> None:
    await toy.send(*(record(number, partition=0) for number in range(5)))
    async with toy.running():
        await until(lambda: _all_of(toy, 5))
    await toy.fetch("UPDATE consumer_offsets SET position = 1000 WHERE partition = 0")
    await toy.send(record(5, partition=0), record(6, partition=1))
    async with toy.running() as process:
        await until(lambda: _all_of(toy, 6))
        stopped = {item.partition: why for item, why in _shell(process).stopped.items()}
        assert "beyond Kafka's end" in stopped[0]
        assert any("is stopped" in why for why in await process.health.ready())
        await toy.fetch("UPDATE consumer_offsets SET position = 5, stopped_why = NULL WHERE partition = 0")
        await until(lambda: _all_of(toy, 7))
    assert sorted(await toy.effects()) == _numbers(7)


async def test_what_another_process_has_just_consumed_is_not_taken_for_lost(toy: Toy) -> None:
    """It commits a position that is newer than the ends this one asked Kafka for, while this one waits for the row."""
    await toy.send(*(record(number, partition=0) for number in range(10)))
    async with toy.running():
        await until(lambda: _all_of(toy, 10))
    other = await asyncpg.connect(toy.dsn)
    try:
        transaction = other.transaction()
        await transaction.start()
        await other.execute("UPDATE consumer_offsets SET position = 15 WHERE partition = 0")
        async with toy.running() as process:
            await until(lambda: _waits_for_a_lock(toy))
            await toy.send(*(record(number, partition=0) for number in range(10, 15)))
            await transaction.commit()
            shell = process.shell
            assert shell is not None
            await until(lambda: _is_ours(shell, 0))
            assert (shell.stopped, shell.expected.get(TopicPartition(toy.topic.name, 0))) == ({}, 15)
            await toy.send(record(15, partition=0))
            await until(lambda: _all_of(toy, 11))
    finally:
        await other.close()


async def _waits_for_a_lock(toy: Toy) -> bool:
    waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    return bool(await toy.fetch(waiting))


async def _is_ours(shell: Shell, partition: int) -> bool:
    return any(item.partition == partition for item in [*shell.expected, *shell.stopped])


async def test_another_cluster_stops_every_partition(toy: Toy) -> None:
    await toy.send(record(0, partition=0))
    async with toy.running():
        await until(lambda: _all_of(toy, 1))
    await toy.fetch("UPDATE consumer_offsets SET cluster_id = 'another'")
    async with toy.running() as process:
        await until(lambda: _stopped(process, 4))
    assert await toy.effects() == ["0"]


async def _stopped(process: Process, count: int) -> bool:
    return len(_shell(process).stopped) == count


def _shell(process: Process) -> Shell:
    assert process.shell is not None
    return process.shell


async def test_a_lost_database_connection_loses_and_doubles_nothing(toy: Toy) -> None:
    toy.slow_seconds = 0.005
    await toy.send(*(record(number) for number in range(300)))
    async with toy.running(batch_records_max=30):
        for wanted in (20, 100, 180):
            await until(lambda n=wanted: _all_of(toy, n))  # type: ignore[misc]
            await toy.fetch(
                """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                   WHERE datname = current_database() AND pid <> pg_backend_pid()"""
            )
        await until(lambda: _all_of(toy, 300), seconds=60)
    assert sorted(await toy.effects()) == _numbers(300)


async def test_a_loop_that_a_batch_gives_work_need_not_wait_for_its_next_look(toy: Toy) -> None:
    async with toy.running():
        await until(lambda: _looked(toy, 0))
        await toy.send(*(record(number) for number in range(3)))
        await until(lambda: _looked(toy, 3))


async def _looked(toy: Toy, effects: int) -> bool:
    return effects in toy.looks


async def test_the_breaker_stops_the_service_and_an_operator_closes_it(toy: Toy) -> None:
    await toy.send(*(record(number, kind="poison") for number in range(60)))
    async with toy.running() as process:
        await until(lambda: _breaker(toy))
        assert len(await toy.fetch("SELECT 1 FROM dead_letters")) <= 20
        assert any("breaker" in why for why in await process.health.ready())
        await toy.fetch("DELETE FROM breaker")
        await until(lambda: _letters(toy, 21))


async def _breaker(toy: Toy) -> bool:
    return bool(await toy.fetch("SELECT 1 FROM breaker"))


async def _letters(toy: Toy, count: int) -> bool:
    return len(await toy.fetch("SELECT 1 FROM dead_letters")) >= count


async def test_a_replayed_dead_letter_is_applied_once(toy: Toy) -> None:
    await toy.send((b"wrong", *record(7)[1:3], 0), record(8, partition=0))
    async with toy.running():
        await until(lambda: _letters(toy, 1))
        # Mended: the key is as the data says.
        await toy.fetch("UPDATE dead_letters SET key = $1, state = 'replaying'", record(7)[0])
        await until(lambda: _all_of(toy, 2))
        await toy.fetch("UPDATE dead_letters SET state = 'replaying' WHERE state = 'open'")
        await asyncio.sleep(1.5)
    assert sorted(await toy.effects()) == ["7", "8"]
    assert [row["state"] for row in await toy.fetch("SELECT state FROM dead_letters")] == ["replayed"]


async def test_the_figures_tell_of_open_dead_letters(toy: Toy) -> None:
    await toy.send((b"wrong", *record(7)[1:3], 0))
    async with toy.running() as process:
        await until(lambda: _letters(toy, 1))
        await process.health.measure()
    assert REGISTRY.get_sample_value("laurel_dead_letters_open", {"error_class": "WrongKey"}) == 1


async def test_nobody_accepts_what_goes_on_again(toy: Toy) -> None:
    await toy.send(record(1, partition=0))
    async with toy.running():
        await until(lambda: _all_of(toy, 1))
    connection = await asyncpg.connect(toy.dsn)
    accept = partial(
        offsets.accept, connection, TopicPartition(toy.topic.name, 0), position=9, cluster_id="c", actor="operator"
    )
    with pytest.raises(LookupError, match="not stopped at 1 any more"):
        await accept(before=1)
    await connection.execute("UPDATE consumer_offsets SET stopped_why = 'why' WHERE partition = 0")
    with pytest.raises(LookupError, match="not stopped at 0 any more"):
        await accept(before=0)
    await accept(before=1)
    [row] = await toy.fetch("SELECT position, cluster_id, stopped_why FROM consumer_offsets WHERE partition = 0")
    assert tuple(row) == (9, "c", None)
    assert await connection.fetchval("SELECT detail FROM audit_log") == "1 -> 9: why"
    await connection.close()


async def test_a_member_who_cannot_be_swept_keeps_no_other_waiting(toy: Toy) -> None:
    due = {UUID(int=number) for number in range(5)}

    async def sweep(tx: Transaction, one: Round) -> int:
        one.keys = sorted(due - set(one.spared))[: one.most] if one.partition == 0 else ()
        if UUID(int=3) in one.keys:
            raise ValueError("damaged")
        due.difference_update(one.keys)
        return len(one.keys)

    toy.sweep = sweep
    await toy.send(record(1))
    async with toy.running():

        async def swept() -> bool:
            return due == {UUID(int=3)}

        await until(swept)
        assert REGISTRY.get_sample_value("laurel_sweep_spared") == 1
