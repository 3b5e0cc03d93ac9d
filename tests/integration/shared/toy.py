"""A service with no rules: each activity is one row, and a second row would be a second effect."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from contracts.activities import ActivityRecordedV1
from contracts.envelope import Envelope, to_headers
from contracts.ids import derived_id
from contracts.topics import Topic
from shared.db import MIGRATIONS, migrate
from shared.process import Process
from shared.service import Context, Service, every
from shared.settings import Settings
from shared.sweeper import Sweep
from shared.transaction import Message, Permanent, Transaction

FOLDER = Path(__file__).parent / "migrations"
AT = datetime(2026, 11, 23, 12, tzinfo=UTC)
PARTITIONS = 4
LOOP = "look"


class Toy:
    """One topic, one database, any number of processes of the service on them."""

    def __init__(self, kafka: str, dsn: str, name: str | None = None) -> None:
        self.kafka, self.dsn = kafka, dsn
        self.name = name or f"toy-{uuid4().hex[:8]}"
        self.topic = Topic(f"test.{self.name}", "test", "member", (ActivityRecordedV1,), (self.name,), "For a test.")
        self.slow_seconds = 0.0
        self.failures: list[Exception] = []
        """What goes wrong with the next batches."""
        self.most_in_time = 10_000
        """Of more at once the session is ended."""
        self.also: list[Toy] = []
        """Whose topics are consumed too, after its own."""
        self.sweep: Sweep | None = None
        self.looks: list[int] = []
        """How many effects a loop saw each time that it looked."""

    async def create(self) -> None:
        migrate(self.dsn, [MIGRATIONS, FOLDER])
        await self.create_topics(self.topic.name, self.topic.dead_letters(self.name))

    async def create_topics(self, *names: str) -> None:
        """Where another test has made one, it stays as it is."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.kafka)
        await admin.start()
        try:
            await admin.create_topics([NewTopic(name, PARTITIONS, 1) for name in names])
        finally:
            await admin.close()

    async def handle(self, tx: Transaction, batch: list[Message]) -> None:
        if self.failures:
            raise self.failures.pop()
        if len(batch) > self.most_in_time:
            raise asyncpg.IdleInTransactionSessionTimeoutError("the session was ended")
        for message in batch:
            assert isinstance(message.data, ActivityRecordedV1)
            if message.data.kind == "poison":
                raise Permanent("this kind can never be applied")
            await tx.connection.execute("SELECT FROM effects WHERE member_id = $1 FOR UPDATE", message.data.member_id)
            await tx.connection.execute(
                'INSERT INTO effects (activity_id, member_id, partition, "offset") VALUES ($1, $2, $3, $4)',
                message.data.activity_id, message.data.member_id, message.partition, message.offset,
            )  # fmt: skip
            if self.slow_seconds:
                await asyncio.sleep(self.slow_seconds)

    async def look(self) -> bool:
        self.looks.append(len(await self.effects()))
        return False

    def build(self, **values: object) -> Process:
        settings = Settings.model_validate(
            {"database_url": self.dsn, "kafka": self.kafka, "http_port": 1, "sweep_seconds": 0.2, **values}
        )
        context = Context(self.name, settings)
        service = Service(
            name=self.name, consumes=(self.topic, *(toy.topic for toy in self.also)),
            process=self.handle, handled=frozenset({ActivityRecordedV1}),
            tasks=(lambda: every(context, LOOP, seconds=600.0, work=self.look),), wakes=(LOOP,), sweep=self.sweep,
        )  # fmt: skip
        return Process(context, service, FOLDER)

    @asynccontextmanager
    async def running(self, **values: object) -> AsyncIterator[Process]:
        """One process of the service, without its HTTP server."""
        process = self.build(**values)
        await process.start()
        try:
            yield process
        finally:
            process.context.stopping.set()
            await process.stop()

    async def send(
        self, *records: tuple[bytes | None, bytes | None, list[tuple[str, bytes | None]], int | None]
    ) -> None:
        """Raw records: key, value, headers, partition."""
        producer = AIOKafkaProducer(
            bootstrap_servers=self.kafka, acks="all", enable_idempotence=True, max_request_size=4 * 1024 * 1024
        )
        await producer.start()
        try:
            for key, value, headers, partition in records:
                await producer.send_and_wait(self.topic.name, value, key, partition=partition, headers=headers)
        finally:
            await producer.stop()

    async def effects(self) -> list[str]:
        connection = await asyncpg.connect(self.dsn)
        try:
            return [row["activity_id"] for row in await connection.fetch("SELECT activity_id FROM effects ORDER BY n")]
        finally:
            await connection.close()

    async def fetch(self, query: str, *values: object) -> list[asyncpg.Record]:
        connection = await asyncpg.connect(self.dsn)
        try:
            return await connection.fetch(query, *values)
        finally:
            await connection.close()


def record(
    number: int, *, kind: str = "visit", partition: int | None = None, member: UUID | None = None
) -> tuple[bytes, bytes, list[tuple[str, bytes | None]], int | None]:
    """A good record."""
    member_id = member or UUID(int=number % 16)
    event = ActivityRecordedV1(
        program_id="test",
        member_id=member_id,
        source="shop",
        activity_id=str(number),
        kind=kind,
        occurred_at=AT,
        recorded_at=AT,
    )
    envelope = Envelope(
        id=derived_id(AT, number), type=event.TYPE, source="test", subject=event.key(), time=AT, correlation_id="test"
    )
    headers: list[tuple[str, bytes | None]] = list(to_headers(envelope))
    return event.key().encode(), event.model_dump_json().encode(), headers, partition


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 30.0) -> None:
    """Wait until it is true; fails the test when it does not become so."""
    end = time.monotonic() + seconds
    while not await condition():
        assert time.monotonic() < end, "the condition did not become true in time"
        await asyncio.sleep(0.05)
