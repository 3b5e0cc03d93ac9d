"""Servers that go away in the middle of the work and come back: nothing lost, nothing done twice."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest

from contracts.ids import derived_id
from laurel.embedded import EmbeddedKafka, EmbeddedPostgres
from laurel.embedded.process import ServerProcess, free_port
from shared.kafka import Reference, ReferenceReader
from shared.settings import Settings

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


async def test_a_start_survives_connections_that_are_cut(kafka: str, database: str) -> None:
    """Each connection is cut a little later than the one before: wherever a start is, it tries again."""
    toy = Toy(kafka, database)
    await toy.create()
    await toy.send(*(record(number) for number in range(20)))
    async with _cut_after(toy.dsn, range(0, 4000, 160)) as dsn, toy.running(database_url=dsn):
        await until(lambda: _reached(toy, 20), seconds=60)


@asynccontextmanager
async def _cut_after(dsn: str, budgets: range) -> AsyncIterator[str]:
    """A way to the database on which the n-th connection breaks after so many bytes of answers; later ones hold."""
    left, parts = iter(budgets), urlsplit(dsn)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        budget = next(left, None)
        there, back = await asyncio.open_connection(parts.hostname, parts.port)
        asking = asyncio.create_task(_pass(reader, back, None))
        try:
            await _pass(there, writer, budget)
        finally:
            asking.cancel()
            back.transport.abort()
            writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield urlunsplit(parts._replace(netloc=f"{parts.netloc.rpartition(':')[0]}:{port}"))
    finally:
        server.close()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, budget: int | None) -> None:
    while data := await reader.read(65_536):
        writer.write(data if budget is None else data[:budget])
        if budget is not None:
            budget -= len(data)
            if budget <= 0:
                return


@asynccontextmanager
async def _reading(kafka: EmbeddedKafka) -> AsyncIterator[tuple[Toy, ReferenceReader]]:
    """A topic and who reads it, which is up to date at first."""
    toy = Toy(kafka.bootstrap, "")
    await toy.create_topics(toy.topic.name)
    settings = Settings.model_validate({"kafka": kafka.bootstrap, "reference_wait_seconds": 2.0})
    reader = ReferenceReader(settings, "toy", Reference(toy.topic, lambda _: None), time.monotonic)
    stopping = asyncio.Event()
    task = asyncio.create_task(reader.run(stopping))
    try:
        await until(lambda: _is_current(reader, wanted=True))
        yield toy, reader
    finally:
        stopping.set()
        await asyncio.wait_for(task, 10)


@pytest.mark.parametrize("trouble", [signal.SIGSTOP, signal.SIGKILL])
async def test_a_reader_that_kafka_leaves_waiting_starts_over(server_dir: Path, trouble: signal.Signals) -> None:
    """A broker that says nothing; and one that is gone, whose client is cancelled by itself when it is stopped."""
    with EmbeddedKafka(server_dir / f"kafka-reader-{trouble}") as kafka:
        async with _reading(kafka) as (_, reader):
            broker = int((kafka.data_dir / "kafka.pid").read_text())
            try:
                os.kill(broker, trouble)
                await until(lambda: _is_current(reader, wanted=False))
                await asyncio.sleep(4)  # Long enough for it to begin anew while there is no answer.
                if trouble == signal.SIGKILL:
                    await asyncio.to_thread(kafka.restart)
                else:
                    os.kill(broker, signal.SIGCONT)
                await until(lambda: _is_current(reader, wanted=True), seconds=10)
            finally:
                with suppress(ProcessLookupError):
                    os.kill(broker, signal.SIGCONT)


async def test_a_reader_waits_while_the_topic_has_what_it_cannot_read(server_dir: Path) -> None:
    """A newer producer's: to go on by what held before would judge otherwise than those who can read it."""
    with EmbeddedKafka(server_dir / "kafka-unreadable") as kafka:
        async with _reading(kafka) as (toy, reader):
            await toy.send((b"key", b"{}", [], 0))
            await until(lambda: _is_current(reader, wanted=False))
            await asyncio.sleep(3)
            assert "offset 0" in (reader.why_not or "")
            await toy.send((b"key", None, [], 0))  # It was taken back.
            await until(lambda: _is_current(reader, wanted=True))


async def _is_current(reader: ReferenceReader, *, wanted: bool) -> bool:
    return reader.current is wanted


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
