"""The official images as containers: what other tests do on embedded servers, in short on those of production.

Needs a Docker engine, and fails without one: `pytest tests/smoke -m docker`, or `make test-compose`.
"""

import asyncio
import socket
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaError
from testcontainers.core.config import testcontainers_config
from testcontainers.core.container import DockerContainer

import referral
from contracts.members import MemberChangedV1
from contracts.referrals import ReferralCodeAssignedV1
from laurel.topics import wanted
from referral import app
from shared.admin import apply_topics
from shared.testing import harness
from tests.unit.referral.samples import program, published

pytestmark = [
    pytest.mark.docker,
    # testcontainers leaves the engine's socket to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]
# Ryuk would be one more image to fetch; the fixtures below remove what they start.
testcontainers_config.ryuk_disabled = True
START_SECONDS_MAX = 60.0
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class KafkaContainer(DockerContainer):
    """Apache's own image. The port is chosen before, because a broker tells its clients where to come back to."""

    def __init__(self) -> None:
        super().__init__("apache/kafka:4.3.1")
        port = free_port()
        self.bootstrap = f"127.0.0.1:{port}"
        self.with_bind_ports(9092, port)
        for name, value in {
            "PROCESS_ROLES": "broker,controller",
            "NODE_ID": "1",
            "CONTROLLER_QUORUM_VOTERS": "1@localhost:9093",
            "LISTENERS": "PLAINTEXT://:9092,CONTROLLER://localhost:9093",
            "ADVERTISED_LISTENERS": f"PLAINTEXT://{self.bootstrap}",
            "LISTENER_SECURITY_PROTOCOL_MAP": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "CONTROLLER_LISTENER_NAMES": "CONTROLLER",
            "AUTO_CREATE_TOPICS_ENABLE": "false",
            "OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
            "GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
            "GROUP_COORDINATOR_APPEND_LINGER_MS": "0",
        }.items():
            self.with_env(f"KAFKA_{name}", value)


class PostgresContainer(DockerContainer):
    """The official image, with a password of this run."""

    def __init__(self) -> None:
        super().__init__("postgres:18")
        port = free_port()
        self.dsn = f"postgresql://postgres:smoke@127.0.0.1:{port}/postgres"
        self.with_bind_ports(5432, port).with_env("POSTGRES_PASSWORD", "smoke")

    def wait_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS_MAX
        while True:
            try:
                psycopg.connect(self.dsn, connect_timeout=2).close()
                return
            except psycopg.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)


@pytest.fixture(scope="module")
def kafka_container() -> Iterator[str]:
    with KafkaContainer() as container:
        yield container.bootstrap


@pytest.fixture(scope="module")
def postgres_container() -> Iterator[str]:
    with PostgresContainer() as container:
        container.wait_ready()
        yield container.dsn


async def started_producer(bootstrap: str) -> AIOKafkaProducer:
    """A producer, once the broker answers."""
    deadline = time.monotonic() + START_SECONDS_MAX
    while True:
        producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", enable_idempotence=True)
        try:
            await producer.start()
            return producer
        except (KafkaError, OSError):
            await producer.stop()
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.2)


async def test_topics_are_made_and_a_record_goes_round(kafka_container: str) -> None:
    producer = await started_producer(kafka_container)
    try:
        made = await apply_topics(kafka_container, wanted(), check=False)
        assert {topic.name for topic in wanted()} == set(made.created)
        sent = await producer.send_and_wait("loyalty.orders.v1", b"{}", key=b"member")
    finally:
        await producer.stop()
    consumer = AIOKafkaConsumer(
        "loyalty.orders.v1",
        bootstrap_servers=kafka_container,
        group_id="smoke",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    await consumer.start()
    try:
        record = await asyncio.wait_for(consumer.getone(), START_SECONDS_MAX)
        await consumer.commit()
    finally:
        await consumer.stop()
    assert (record.partition, record.offset, record.key, record.value) == (
        sent.partition,
        sent.offset,
        b"member",
        b"{}",
    )


async def test_a_service_migrates_and_runs_a_batch_once(postgres_container: str) -> None:
    member_id = UUID("00000000-0000-4000-8000-000000000001")
    enrolled = MemberChangedV1(
        program_id="aurora", member_id=member_id, version=1, status="member",
        seen_at=NOW, enrolled_at=NOW, recorded_at=NOW,
    )  # fmt: skip
    migrations = Path(str(referral.__file__)).parent / "migrations"
    async with harness(
        app.build, postgres_container, migrations, name="referral", now=NOW, reference=[published(program())]
    ) as service:
        await service.deliver(enrolled)
        assigned = [event for _, event in await service.outbox()]
        await service.deliver(enrolled)
        assert await service.outbox() == []
    assert [type(event) for event in assigned] == [ReferralCodeAssignedV1]
    assert assigned[0].key() == str(member_id)
