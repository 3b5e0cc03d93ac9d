"""The points path: orders on the topic are read, judged, committed, and their events acknowledged by Kafka."""

import asyncio
import os
import random
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import asyncpg
from aiokafka import AIOKafkaProducer

from console.document import check
from contracts.base import Event
from contracts.envelope import Envelope, to_headers
from contracts.ids import derived_id
from contracts.members import MemberChangedV1
from contracts.orders import Amount, OrderChangedV1, OrderLine
from contracts.program import ProgramPublishedV1
from contracts.topics import TOPIC_OF

from .floor import MEMBERS

_AURORA = Path(__file__).parents[2] / "programs" / "aurora.yaml"
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Figures:
    """One backlog drained."""

    orders_per_second: float
    cpu_us_per_order: float
    """Of the service's process."""


def _member(number: int, now: datetime) -> MemberChangedV1:
    return MemberChangedV1(
        program_id="aurora", member_id=UUID(int=number), version=1, status="member",
        seen_at=now - timedelta(days=100), enrolled_at=now - timedelta(days=100), recorded_at=now,
    )  # fmt: skip


def _order(number: int, now: datetime) -> OrderChangedV1:
    chance = random.Random(number)
    price = chance.randrange(500, 30_000)
    amount = Amount(shop_minor=price, presentment_minor=price)
    placed = now - timedelta(seconds=chance.randrange(3600, 20 * 86_400))
    return OrderChangedV1(
        program_id="aurora", member_id=UUID(int=number % MEMBERS), source="bench", order_id=str(number), revision=1,
        currency="USD", presentment_currency="USD", placed_at=placed, paid_at=placed, updated_at=placed, payment="paid",
        lines=(OrderLine(line_id="1", product_id="p", quantity=1, gross=amount),),
        subtotal=amount, total=amount, recorded_at=now,
    )  # fmt: skip


async def publish(kafka: str, events: list[Event]) -> None:
    """Put events on their topics as their owners would."""
    producer = AIOKafkaProducer(bootstrap_servers=kafka, acks="all", enable_idempotence=True, max_batch_size=256 * 1024)
    await producer.start()
    try:
        for start in range(0, len(events), 1000):
            futures = []
            for event in events[start : start + 1000]:
                now = datetime.now(UTC)
                envelope = Envelope(
                    id=derived_id(now, event.key(), event.model_dump_json()), type=event.TYPE, source="bench",
                    subject=event.key(), time=now, correlation_id="bench",
                )  # fmt: skip
                futures.append(
                    await producer.send(
                        TOPIC_OF[type(event)].name, event.model_dump_json().encode(), event.key().encode(),
                        headers=to_headers(envelope),
                    )
                )  # fmt: skip
            await asyncio.gather(*futures)
    finally:
        await producer.stop()


async def publish_basis(kafka: str) -> None:
    """The program and the members."""
    now = datetime.now(UTC)
    program, findings = check(_AURORA.read_text())
    assert program is not None, findings
    published = ProgramPublishedV1(
        program_id=program.id, version=program.version, hash=program.hash(), published_at=now, document=program
    )
    await publish(kafka, [published, *(_member(number, now) for number in range(MEMBERS))])


async def publish_orders(kafka: str, start: int, count: int) -> None:
    """A backlog of paid orders."""
    now = datetime.now(UTC)
    await publish(kafka, [_order(number, now) for number in range(start, start + count)])


@asynccontextmanager
async def _running(environment: dict[str, str]) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "laurel", "run", "points-accrual",
        env={**os.environ, **environment}, stdout=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()


async def drain(dsn: str, environment: dict[str, str], count: int) -> Figures:
    """Start the service on a backlog and measure from its first commit to the last acknowledged event."""
    connection = await asyncpg.connect(dsn)
    try:
        before = await _consumed(connection)
        async with _running(environment) as process:
            while await _consumed(connection) == before:
                _alive(process)
                await asyncio.sleep(0.005)
            started, first, cpu = time.perf_counter(), await _consumed(connection), _cpu_seconds(process.pid)
            while await _consumed(connection) < before + count or await connection.fetchval(
                "SELECT EXISTS (SELECT FROM outbox)"
            ):
                _alive(process)
                await asyncio.sleep(0.02)
            seconds, done = time.perf_counter() - started, before + count - first
            used = _cpu_seconds(process.pid) - cpu
        return Figures(done / seconds, used / done * 1e6)
    finally:
        await connection.close()


def _alive(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        raise RuntimeError(f"points-accrual ended with {process.returncode}")


async def _consumed(connection: asyncpg.Connection) -> int:
    return int(
        await connection.fetchval(
            "SELECT coalesce(sum(position), 0) FROM consumer_offsets WHERE topic = 'loyalty.orders.v1'"
        )
    )


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS
