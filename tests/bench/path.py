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
from contracts.program import Program, ProgramPublishedV1
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


RULES = (1, 10, 50, 200)
"""So many earning rules have the programs that are compared."""
_KINDS = 200


@dataclass(frozen=True)
class Crowd:
    """The members of a program, who buy."""

    program_id: str
    first: int
    """The number of the first member."""
    members: int


AURORA = Crowd("aurora", 0, MEMBERS)
CROWDS = {rules: Crowd(f"rules-{rules}", (place + 1) * 1_000_000, 2_000) for place, rules in enumerate(RULES)}


def _program(aurora: Program, rules: int) -> Program:
    """So many rules, each for a kind of goods of its own, besides the one for all that every order meets."""
    own = [
        {"type": "spend", "id": f"kind-{kind}", "points_per_unit": "0.5", "match": {"categories": [f"kind-{kind}"]}}
        for kind in range(1, rules)
    ]  # fmt: skip
    document = aurora.model_dump(mode="json")
    document["id"] = CROWDS[rules].program_id
    document["earning"]["rules"] += own
    return Program.model_validate(document)


def _member(number: int, now: datetime, program_id: str) -> MemberChangedV1:
    return MemberChangedV1(
        program_id=program_id, member_id=UUID(int=number), version=1, status="member",
        seen_at=now - timedelta(days=100), enrolled_at=now - timedelta(days=100), recorded_at=now,
    )  # fmt: skip


def _order(number: int, now: datetime, crowd: Crowd) -> OrderChangedV1:
    chance = random.Random(number)
    price = chance.randrange(500, 30_000)
    amount = Amount(shop_minor=price, presentment_minor=price)
    placed = now - timedelta(seconds=chance.randrange(3600, 20 * 86_400))
    member_id = UUID(int=crowd.first + number % crowd.members)
    return OrderChangedV1(
        program_id=crowd.program_id, member_id=member_id, source="bench", order_id=str(number), revision=1,
        currency="USD", presentment_currency="USD", placed_at=placed, paid_at=placed, updated_at=placed, payment="paid",
        lines=(
            OrderLine(
                line_id="1", product_id="p", quantity=1, gross=amount, categories=(f"kind-{number % _KINDS}",)
            ),
        ),
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
    """The programs and their members."""
    now = datetime.now(UTC)
    aurora, findings = check(_AURORA.read_text())
    assert aurora is not None, findings
    programs = [aurora, *(_program(aurora, rules) for rules in RULES)]
    published: list[Event] = [
        ProgramPublishedV1(
            program_id=item.id, version=item.version, hash=item.hash(), published_at=now, document=item
        )
        for item in programs
    ]  # fmt: skip
    for crowd in (AURORA, *CROWDS.values()):
        members = range(crowd.first, crowd.first + crowd.members)
        published += [_member(number, now, crowd.program_id) for number in members]
    await publish(kafka, published)


async def publish_orders(kafka: str, start: int, count: int, crowd: Crowd = AURORA) -> None:
    """A backlog of paid orders."""
    now = datetime.now(UTC)
    await publish(kafka, [_order(number, now, crowd) for number in range(start, start + count)])


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
