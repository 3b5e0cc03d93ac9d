"""A service on a real database without Kafka: batches are run exactly as the shell runs them."""

import tempfile
import zlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import httpx

from contracts.base import Event
from contracts.envelope import Envelope, from_headers
from contracts.topics import EVENTS, PARTITIONS_DEFAULT, TOPIC_OF

from .access import Scope, create_key
from .clock import FixedClock
from .db import MIGRATIONS, migrate
from .process import Process
from .sending import unpack_headers
from .service import Context, Service
from .settings import Settings
from .sweeper import KEYS_MAX, Round
from .transaction import Message, Transaction


class Harness:
    """See `harness`."""

    def __init__(self, context: Context, service: Service, clock: FixedClock, client: httpx.AsyncClient) -> None:
        self.context, self.service, self.clock, self.client = context, service, clock, client
        self._offsets: dict[tuple[str, int], int] = {}

    def message(self, event: Event, *, id: UUID | None = None, time: datetime | None = None) -> Message:
        """The event as it would be read from its topic."""
        topic, partition = TOPIC_OF[type(event)], zlib.crc32(event.key().encode()) % PARTITIONS_DEFAULT
        offset = self._offsets[topic.name, partition] = self._offsets.get((topic.name, partition), -1) + 1
        envelope = Envelope(
            id=id or uuid4(), type=event.TYPE, source=topic.owner, subject=event.key(),
            time=time or self.clock.now(), correlation_id=f"test-{offset}",
        )  # fmt: skip
        return Message(event, envelope, topic.name, partition, offset)

    async def deliver(self, *events: Event | Message) -> None:
        """Run one batch in one transaction."""
        batch = [item if isinstance(item, Message) else self.message(item) for item in events]
        rank = {topic.name: rank for rank, topic in enumerate(self.service.consumes)}
        batch = [item for item in batch if type(item.data) in self.service.handled]
        batch.sort(key=lambda item: (rank[item.topic], item.partition, item.offset))
        await self.context.execute(lambda tx: self.service.process(tx, batch))

    async def sweep(self, horizon: datetime | None = None, most: int = KEYS_MAX) -> int:
        """Sweep all partitions, `most` at once, until nothing is due; returns how many were handled."""
        sweep = self.service.sweep
        if sweep is None:
            raise LookupError(f"{self.service.name} has no sweep")
        total = 0
        for partition in range(PARTITIONS_DEFAULT):
            while handled := await self.context.execute(
                lambda tx, n=partition: sweep(tx, Round(n, horizon or self.clock.now(), most))  # type: ignore[misc]
            ):
                total += handled
        return total

    async def outbox(self) -> list[tuple[Envelope, Event]]:
        """What was published for others, in order; the outbox is empty afterwards."""

        async def take(tx: Transaction) -> list[tuple[Envelope, Event]]:
            rows = await tx.connection.fetch("SELECT * FROM outbox ORDER BY id")
            await tx.connection.execute("DELETE FROM outbox")
            out = []
            for row in rows:
                envelope = from_headers(unpack_headers(row["headers"]))
                if not TOPIC_OF[EVENTS[envelope.type]].private:
                    out.append((envelope, EVENTS[envelope.type].model_validate_json(row["value"])))
            return out

        return await self.context.execute(take)

    def token(
        self, scope: Scope = "store", *, program_id: str = "aurora", member_id: UUID | None = None
    ) -> dict[str, str]:
        """Headers with a token."""
        token = self.context.tokens.mint(
            program_id, scope, now=self.clock.now(), ttl=timedelta(minutes=10), member_id=member_id, subject="test"
        )
        return {"Authorization": f"Bearer {token}"}


@asynccontextmanager
async def harness(
    build: Callable[[Context], Service],
    database_url: str,
    migrations: Path,
    *,
    name: str,
    settings: type[Settings] = Settings,
    now: datetime = datetime(2026, 11, 23, 12, tzinfo=UTC),
    reference: Sequence[Event] = (),
    **values: object,
) -> AsyncIterator[Harness]:
    """A service on `database_url`, migrated, at a fixed time, with `reference` events (programs) already read."""
    migrate(database_url, [MIGRATIONS, migrations])
    with tempfile.TemporaryDirectory() as folder:
        create_key(Path(folder), "test")
        chosen = settings.model_validate({"database_url": database_url, "keys_dir": folder, **values})
        clock = FixedClock(now)
        context = Context(name, chosen, clock)
        await context.open()
        try:
            service = build(context)
            for event in reference:
                assert service.reference is not None, f"{name} has no reference"
                service.reference.apply(event)
            transport = httpx.ASGITransport(Process(context, service, migrations).app(), raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                yield Harness(context, service, clock, client)
        finally:
            await context.close()
