"""Programs, their members and their orders, as their owners publish them."""

import asyncio
import hashlib
import random
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self
from uuid import UUID

from aiokafka import AIOKafkaProducer

from console.document import check
from contracts.base import Event
from contracts.envelope import Envelope, to_headers
from contracts.ids import derived_id
from contracts.members import MemberChangedV1
from contracts.orders import Amount, OrderChangedV1, OrderLine
from contracts.program import Program, ProgramPublishedV1
from contracts.topics import TOPIC_OF

PRESET = Path(__file__).parents[2] / "programs" / "aurora.yaml"
PORTION = 1000


class Record(NamedTuple):
    """What Kafka takes."""

    topic: str
    value: bytes
    key: bytes
    headers: list[tuple[str, bytes]]


@dataclass(frozen=True)
class Crowd:
    """A program with so many rules for orders, and its members."""

    rules: int
    first: int
    """The number of the first member."""
    members: int = 5000

    @property
    def program_id(self) -> str:
        return f"rules-{self.rules}"

    def member(self, number: int) -> UUID:
        """The member of a number. Neighbours are far apart, as drawn ids are: an index gets no help."""
        return UUID(hashlib.md5(str(self.first + number % self.members).encode()).hexdigest())


TEN = Crowd(10, 1_000_000)
TWO_HUNDRED = Crowd(200, 2_000_000)
CROWDS = (TEN, TWO_HUNDRED)
MANY = Crowd(10, 3_000_000, 50_000)
"""Members of the same program as the first, whose orders are filled in and not consumed."""


def program_of(crowd: Crowd) -> Program:
    """The preset with more rules, each for goods of one kind, besides the one for all that every order meets."""
    preset, findings = check(PRESET.read_text())
    assert preset is not None, findings
    own = [
        {"type": "spend", "id": f"kind-{kind}", "points_per_unit": "0.5", "match": {"categories": [f"kind-{kind}"]}}
        for kind in range(1, crowd.rules)
    ]
    document = preset.model_dump(mode="json")
    document["id"] = crowd.program_id
    document["earning"]["rules"] += own
    return Program.model_validate(document)


def published(crowd: Crowd, now: datetime) -> list[Event]:
    """The program and its members."""
    program = program_of(crowd)
    event = ProgramPublishedV1(
        program_id=program.id, version=program.version, hash=program.hash(), published_at=now, document=program
    )
    return [event, *(_member(crowd, number, now) for number in range(crowd.members))]


def _member(crowd: Crowd, number: int, now: datetime) -> MemberChangedV1:
    long_ago = now - timedelta(days=100)
    return MemberChangedV1(
        program_id=crowd.program_id, member_id=crowd.member(number), version=1, status="member",
        seen_at=long_ago, enrolled_at=long_ago, recorded_at=now,
    )  # fmt: skip


def order_of(crowd: Crowd, number: int, now: datetime, *, member_id: UUID | None = None) -> OrderChangedV1:
    """A paid order of the last twenty days: some points wait, some can be spent. Two rules apply to each."""
    chance = random.Random(number)
    price = chance.randrange(500, 30_000)
    amount = Amount(shop_minor=price, presentment_minor=price)
    placed = now - timedelta(seconds=chance.randrange(3600, 20 * 86_400))
    kind = f"kind-{1 + number % (crowd.rules - 1)}"
    return OrderChangedV1(
        program_id=crowd.program_id, member_id=member_id or crowd.member(number), source="bench",
        order_id=str(number), revision=1, currency="USD", presentment_currency="USD", placed_at=placed, paid_at=placed,
        updated_at=placed, payment="paid",
        lines=(OrderLine(line_id="1", product_id="p", quantity=1, gross=amount, categories=(kind,)),),
        subtotal=amount, total=amount, recorded_at=now,
    )  # fmt: skip


def orders(crowd: Crowd, count: int, start: int = 0, *, hot: bool = False) -> Iterator[Record]:
    """So many different orders. `hot`: every second one is of the same member."""
    now = datetime.now(UTC)
    for number in range(start, start + count):
        member_id = crowd.member(0) if hot and number % 2 else None
        yield record(order_of(crowd, number, now, member_id=member_id))


def record(event: Event, topic: str | None = None) -> Record:
    """An event as its owner's relay sends it."""
    value, now = event.model_dump_json().encode(), datetime.now(UTC)
    envelope = Envelope(
        id=derived_id(now, event.key(), value), type=event.TYPE, source="bench", subject=event.key(), time=now,
        correlation_id="bench",
    )  # fmt: skip
    return Record(topic or TOPIC_OF[type(event)].name, value, event.key().encode(), to_headers(envelope))


@asynccontextmanager
async def publishing(kafka: str) -> AsyncIterator[AIOKafkaProducer]:
    """A producer as safe as the relay's."""
    producer = AIOKafkaProducer(bootstrap_servers=kafka, acks="all", enable_idempotence=True, max_batch_size=256 * 1024)
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


async def put(producer: AIOKafkaProducer, records: Iterable[Record]) -> int:
    """Put records on their topics; all are acknowledged when this returns. Returns how many there were."""
    count, waiting = 0, iter(records)
    while portion := list(islice(waiting, PORTION)):
        futures = [await producer.send(item.topic, item.value, item.key, headers=item.headers) for item in portion]
        await asyncio.gather(*futures)
        count += len(portion)
    return count


async def send(kafka: str, records: Iterable[Record]) -> int:
    """The same with a producer of its own."""
    async with publishing(kafka) as producer:
        return await put(producer, records)


class Live:
    """Orders that keep coming at a steady rate while something else is measured."""

    def __init__(self, kafka: str, per_second: float, records: Iterator[Record]) -> None:
        self._kafka, self._per_second, self._records = kafka, per_second, records
        self.sent = 0
        """Acknowledged so far."""

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def stop(self) -> None:
        """No more; what was begun is finished."""
        self._stopping = True
        await self._task

    _stopping = False

    async def _run(self) -> None:
        started = time.perf_counter()
        async with publishing(self._kafka) as producer:
            while not self._stopping:
                due = int((time.perf_counter() - started) * self._per_second) - self.sent
                self.sent += await put(producer, islice(self._records, due))
                await asyncio.sleep(0.02)
