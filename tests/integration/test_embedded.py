"""The embedded servers do what real ones do, survive a kill, and say clearly why they cannot run."""

import os
import signal
import smtplib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

import asyncpg
import psutil
import psycopg
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import UnknownTopicOrPartitionError

from laurel.embedded import EmbeddedError, EmbeddedKafka, EmbeddedPostgres, EmbeddedServers, SmtpSink
from laurel.embedded.process import free_port

pytestmark = pytest.mark.integration


async def create_topic(bootstrap: str, topic: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, num_partitions=1, replication_factor=1)])
    finally:
        await admin.close()


async def produce(bootstrap: str, topic: str, value: bytes) -> None:
    async with AIOKafkaProducer(
        bootstrap_servers=bootstrap, enable_idempotence=True, acks="all", max_request_size=4_000_000
    ) as producer:
        await producer.send_and_wait(topic, value)


async def consume(bootstrap: str, topic: str, count: int) -> list[bytes]:
    async with AIOKafkaConsumer(topic, bootstrap_servers=bootstrap, auto_offset_reset="earliest") as consumer:
        return [(await consumer.getone()).value for _ in range(count)]


@pytest.fixture
def listener() -> Iterator[int]:
    """A port that another program listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield taken.getsockname()[1]


async def test_shared_kafka_carries_a_record_of_two_megabytes(kafka: str) -> None:
    await create_topic(kafka, "embedded.large")
    await produce(kafka, "embedded.large", b"x" * 2_000_000)
    assert [len(value) for value in await consume(kafka, "embedded.large", 1)] == [2_000_000]


async def test_topics_are_never_made_by_using_them(kafka: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        [answer] = await admin.describe_topics(["embedded.absent"])
        assert answer["error_code"] == UnknownTopicOrPartitionError.errno
        assert "embedded.absent" not in await admin.list_topics()
    finally:
        await admin.close()


async def test_database_is_empty_utf8_and_ours(database: str) -> None:
    connection = await asyncpg.connect(database)
    try:
        await connection.execute("CREATE TABLE words (word text PRIMARY KEY)")
        await connection.executemany("INSERT INTO words VALUES ($1)", [("xal",), ("نقاط",), ("Əhməd",)])
        assert await connection.fetchval("SELECT count(*) FROM words") == 3
        assert await connection.fetchval("SHOW server_encoding") == "UTF8"
        assert await connection.fetchval("SHOW timezone") == "UTC"
    finally:
        await connection.close()


async def test_data_survive_a_kill_of_both_servers(server_dir: Path) -> None:
    with EmbeddedServers(server_dir / "killed", durable=False) as servers:
        cluster_id = servers.kafka.cluster_id
        dsn = servers.postgres.create_database("tier")
        assert servers.postgres.create_database("tier") == dsn
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 7 AS number")
            await create_topic(servers.kafka.bootstrap, "kept")
            await produce(servers.kafka.bootstrap, "kept", b"before")
            servers.kill()
        assert not servers.kafka.running
        assert not servers.postgres.running

        servers.start()
        with psycopg.connect(dsn) as connection:
            assert connection.execute("SELECT number FROM kept").fetchone() == (7,)
        await produce(servers.kafka.bootstrap, "kept", b"after")
        assert await consume(servers.kafka.bootstrap, "kept", 2) == [b"before", b"after"]
        assert servers.kafka.cluster_id == cluster_id


def test_roles_reach_their_own_database_alone(server_dir: Path) -> None:
    with EmbeddedPostgres(server_dir / "roles", durable=False) as server:
        server.create_database("tier")
        server.create_database("referral")
        with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
            psycopg.connect(server.dsn("referral", "tier"))


def test_port_in_use_is_one_clear_sentence(server_dir: Path, listener: int) -> None:
    for server in (
        EmbeddedKafka(server_dir / "port-kafka", port=listener),
        EmbeddedKafka(server_dir / "port-kafka", controller_port=listener),
        EmbeddedPostgres(server_dir / "port-postgres", port=listener),
        SmtpSink(server_dir / "port-mail", port=listener),
    ):
        with pytest.raises(
            EmbeddedError, match=rf"Port {listener}, which .* is taken; stop the program .* another port"
        ):
            server.start()


def test_second_server_on_the_same_data_is_refused(server_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("laurel.embedded.process.PATIENCE_S", 0.2)
    with EmbeddedServers(server_dir / "twice", durable=False):
        with pytest.raises(EmbeddedError, match=r"Apache Kafka already runs on .* stop that one first"):
            EmbeddedKafka(server_dir / "twice" / "kafka").start()
        with pytest.raises(EmbeddedError, match=r"PostgreSQL already runs on .* stop that one first"):
            EmbeddedPostgres(server_dir / "twice" / "postgres").start()


def test_failed_start_shows_the_end_of_the_log(server_dir: Path) -> None:
    server = EmbeddedPostgres(server_dir / "misled", settings={"nonsense": "1"})
    with pytest.raises(EmbeddedError, match='unrecognized configuration parameter "nonsense"'):
        server.start()
    assert not server.running


def test_stale_pid_files_do_not_stop_a_start(server_dir: Path) -> None:
    server = EmbeddedPostgres(server_dir / "stale", durable=False)
    server.start()
    server.stop()
    # After a reboot the number may be another program's: here, ours.
    pid_file = server.data_dir / "postmaster.pid"
    pid_file.write_text(f"{os.getpid()}\n{server.data_dir}\n1\n{server.port}\n\n127.0.0.1\n")
    server.start()
    assert server.running
    server.stop()


def test_no_port_is_given_twice() -> None:
    """Not even to processes that start their servers at the same time, before any of them listens."""
    program = (
        "from laurel.embedded.process import free_port\nprint(*(free_port() for _ in range(200)), flush=True); input()"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        ports = [*map(int, other.stdout.readline().split()), *(free_port() for _ in range(100))]
        other.communicate(b"\n")
    assert len(set(ports)) == 300


def test_servers_end_when_their_starter_is_killed(server_dir: Path) -> None:
    port = free_port()
    program = (
        "import sys, time; from pathlib import Path; from laurel.embedded import EmbeddedPostgres\n"
        f"EmbeddedPostgres(Path(sys.argv[1]), port={port}, durable=False).start(); print('up', flush=True)\n"
        "time.sleep(600)"
    )
    starter = subprocess.Popen([sys.executable, "-c", program, str(server_dir / "orphan")], stdout=subprocess.PIPE)
    with starter:
        assert starter.stdout is not None
        assert starter.stdout.readline() == b"up\n"
        server = int((server_dir / "orphan" / "postmaster.pid").read_text().split()[0])
        starter.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 15
    while psutil.pid_exists(server) and psutil.Process(server).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, "the server outlived its starter"
        time.sleep(0.05)
    # The same folder and port are free again.
    with EmbeddedPostgres(server_dir / "orphan", port=port, durable=False) as again:
        assert again.running


def test_mails_become_files_and_an_outage_can_be_played(tmp_path: Path) -> None:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "shop@example.com", "leyla@example.com", "Sizə 250 xal!"
    mail.set_content("Salam")
    with SmtpSink(tmp_path / "mails") as sink:
        with smtplib.SMTP(sink.host, sink.port) as client:
            client.send_message(mail)
        sink.stop()
        with pytest.raises(ConnectionRefusedError):
            smtplib.SMTP(sink.host, sink.port)
        sink.start()
        with smtplib.SMTP(sink.host, sink.port) as client:
            client.send_message(mail)
        assert [file.name for file in sink.files()] == ["0001-sizə-250-xal.eml", "0002-sizə-250-xal.eml"]
        assert sink.mails()[0]["subject"] == "Sizə 250 xal!"
