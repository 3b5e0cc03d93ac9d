"""The relay: in order, whole, and never beside the one that leads after it."""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer

from laurel.embedded import EmbeddedKafka, EmbeddedPostgres
from shared.history import History
from shared.kafka import cluster_id
from shared.outbox import Relay, Row, insert
from shared.settings import Settings

from .publishing import Publishing
from .toy import Toy, record, until

pytestmark = pytest.mark.integration
KEYS = (b"ann", b"bob", b"cat")


async def _nothing() -> None:
    """No restore to look for."""


@asynccontextmanager
async def relaying(toy: Toy) -> AsyncIterator[asyncio.Task[None]]:
    """A relay alone."""
    settings = Settings.model_validate({"database_url": toy.dsn, "kafka": toy.kafka, "http_port": 1})
    relay = Relay(settings, toy.name, lambda: cluster_id(settings), _nothing, History())
    stopping = asyncio.Event()
    task = asyncio.create_task(relay.run(stopping))
    try:
        yield task
    finally:
        stopping.set()
        relay.wake.set()
        await asyncio.wait([task], timeout=10)


async def fill(toy: Toy, rows: list[tuple[bytes, bytes]]) -> None:
    connection = await asyncpg.connect(toy.dsn)
    try:
        await insert(connection, [Row(toy.topic.name, key, value, []) for key, value in rows])
    finally:
        await connection.close()


async def sent(toy: Toy) -> dict[bytes, list[bytes]]:
    """What is on the topic, by key."""
    consumer = AIOKafkaConsumer(toy.topic.name, bootstrap_servers=toy.kafka, auto_offset_reset="earliest")
    found: dict[bytes, list[bytes]] = {}
    await consumer.start()
    try:
        while records := await consumer.getmany(timeout_ms=1000):
            for item in (item for part in records.values() for item in part):
                found.setdefault(item.key, []).append(item.value[:20])
    finally:
        await consumer.stop()
    return found


async def empty(toy: Toy) -> bool:
    return not await toy.fetch("SELECT 1 FROM outbox LIMIT 1")


async def test_records_too_large_to_share_a_batch_go_out_one_after_the_other(kafka: str, database: str) -> None:
    toy = Toy(kafka, database)
    await toy.create()
    rows = [(KEYS[n % 3], b"%019d " % n + bytes(300_000 if n % 4 else 0)) for n in range(24)]
    await fill(toy, rows)
    async with relaying(toy):
        await until(lambda: empty(toy))
    assert await sent(toy) == {key: [value[:20] for of, value in rows if of == key] for key in KEYS}


async def test_a_batch_that_ends_while_the_process_stops_is_sent_before_it_is_gone(kafka: str, database: str) -> None:
    toy = Publishing(kafka, database)
    await toy.create()
    toy.slow_seconds = 0.02
    await toy.send(*(record(number, partition=0) for number in range(40)))
    async with toy.running(batch_records_max=40) as process:
        await until(lambda: _busy(process.shell))
    effects = len(await toy.effects())
    assert effects
    assert await toy.fetch("SELECT 1 FROM outbox LIMIT 1") == []
    assert not await toy.fetch("SELECT 1 FROM dead_letters")


async def _busy(shell: object) -> bool:
    return bool(getattr(shell, "busy", False))


async def _cut_the_leader(toy: Toy) -> None:
    await toy.fetch(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1", f"{toy.name}-relay"
    )


async def test_a_relay_that_loses_its_lock_leaves_nothing_that_sends_later(server_dir: Path) -> None:
    with (
        EmbeddedKafka(server_dir / "kafka-relay") as kafka,
        EmbeddedPostgres(server_dir / "postgres-relay") as postgres,
    ):
        toy = Toy(kafka.bootstrap, postgres.create_database("toy"))
        await toy.create()
        broker = int((kafka.data_dir / "kafka.pid").read_text())
        before = asyncio.all_tasks()
        async with relaying(toy):
            await fill(toy, [(b"ann", b"1")])
            await until(lambda: empty(toy))
            os.kill(broker, signal.SIGSTOP)
            try:
                await fill(toy, [(b"ann", b"2")])
                await asyncio.sleep(1)
                await _cut_the_leader(toy)
                # The lock is free at once for who can lead now; what this one had under way is gone with its sender.
                await until(lambda: _no_sender(before))
            finally:
                os.kill(broker, signal.SIGCONT)
            await fill(toy, [(b"ann", b"3")])
            await until(lambda: empty(toy))
        assert await _no_sender(before)
        [values] = (await sent(toy)).values()
        # The second may be there twice, never after the third.
        assert list(Counter(values)) == [b"1", b"2", b"3"]
        assert values == sorted(values)


async def _no_sender(before: set[asyncio.Task[object]]) -> bool:
    return not any("_sender_routine" in repr(task) for task in asyncio.all_tasks() - before)
