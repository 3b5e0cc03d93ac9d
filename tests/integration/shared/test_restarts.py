"""Servers that go away in the middle of the work and come back: nothing lost, nothing done twice."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from contracts.ids import derived_id
from laurel.embedded import EmbeddedKafka, EmbeddedPostgres
from laurel.embedded.process import ServerProcess, free_port

from .publishing import Publishing
from .toy import AT, Toy, record, until

pytestmark = pytest.mark.integration
ROOT = str(Path(__file__).parents[3])


@pytest.fixture
def servers(server_dir: Path) -> Iterator[tuple[EmbeddedKafka, EmbeddedPostgres]]:
    """Servers of this test alone, because it ends them."""
    with (
        EmbeddedKafka(server_dir / "kafka-restarts") as kafka,
        EmbeddedPostgres(server_dir / "postgres-restarts") as postgres,
    ):
        yield kafka, postgres


async def test_both_servers_are_killed_in_mid_work(servers: tuple[EmbeddedKafka, EmbeddedPostgres]) -> None:
    kafka, postgres = servers
    toy = Publishing(kafka.bootstrap, postgres.create_database("toy"))
    await toy.create()
    await _create_output(kafka.bootstrap)
    toy.slow_seconds = 0.004
    await toy.send(*(record(number) for number in range(400)))
    async with toy.running(batch_records_max=40):
        await until(lambda: _reached(toy, 60))
        postgres.kill()
        await asyncio.sleep(1)
        await asyncio.to_thread(postgres.start)
        await until(lambda: _reached(toy, 160))
        kafka.kill()
        await asyncio.sleep(1)
        await asyncio.to_thread(kafka.start)
        await until(lambda: _reached(toy, 400), seconds=90)
        await until(lambda: _outbox_empty(toy), seconds=60)
    assert sorted(await toy.effects()) == sorted(str(number) for number in range(400))
    assert {item async for item in _output(kafka.bootstrap)} == {
        str(derived_id(AT, "out", str(number))) for number in range(400)
    }


STOP_SECONDS_MAX = 20.0
"""Well below the grace period of containers, after which a process is killed."""


@pytest.mark.parametrize("frozen", [False, True])
async def test_a_stop_does_not_wait_for_kafka(
    servers: tuple[EmbeddedKafka, EmbeddedPostgres], server_dir: Path, *, frozen: bool
) -> None:
    """A broker that is away, or takes connections and says nothing; the relay is in the middle of a portion."""
    kafka, postgres = servers
    toy = Publishing(kafka.bootstrap, postgres.create_database(f"toy_stop_{frozen}".lower()))
    await toy.create()
    await _create_output(kafka.bootstrap)
    await toy.send(*(record(number) for number in range(400)))
    broker = int((kafka.data_dir / "kafka.pid").read_text())
    module = "tests.integration.shared.publishing"
    service = ServerProcess(
        "toy", [sys.executable, "-m", module, toy.kafka, toy.dsn, toy.name, str(free_port())],
        log=server_dir / "toy.log", stop_signal=signal.SIGTERM, env={**os.environ, "PYTHONPATH": ROOT},
    )  # fmt: skip
    try:
        await until(lambda: _reached(toy, 60))
        os.kill(broker, signal.SIGSTOP if frozen else signal.SIGKILL)
        await asyncio.sleep(1)
        started = time.monotonic()
        await asyncio.to_thread(service.stop, STOP_SECONDS_MAX)
        took = time.monotonic() - started
    finally:
        service.kill()
        if frozen:
            os.kill(broker, signal.SIGCONT)
    assert took < STOP_SECONDS_MAX, f"it had to be killed after {took:.0f} s"


async def _reached(toy: Toy, count: int) -> bool:
    try:
        return len(await toy.effects()) >= count
    except OSError:
        return False


async def _outbox_empty(toy: Toy) -> bool:
    return not await toy.fetch("SELECT 1 FROM outbox LIMIT 1")


async def _create_output(kafka: str) -> None:
    from aiokafka.admin import AIOKafkaAdminClient, NewTopic

    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        await admin.create_topics([NewTopic("loyalty.activities.v1", 4, 1)])
    finally:
        await admin.close()


async def _output(kafka: str) -> AsyncIterator[str]:
    from aiokafka import AIOKafkaConsumer

    consumer = AIOKafkaConsumer("loyalty.activities.v1", bootstrap_servers=kafka, auto_offset_reset="earliest")
    await consumer.start()
    try:
        while records := await consumer.getmany(timeout_ms=1500):
            for part in records.values():
                for item in part:
                    yield dict(item.headers)["ce_id"].decode()
    finally:
        await consumer.stop()
