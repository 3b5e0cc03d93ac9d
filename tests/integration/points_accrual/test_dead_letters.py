"""Dead letters replayed late, and more than once: what was applied already has no second effect."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from contracts.base import Event
from contracts.envelope import Envelope, to_headers
from contracts.topics import TOPIC_OF
from shared.replay import Replays
from shared.sending import pack_headers
from shared.testing import Harness
from shared.transaction import Transaction
from tests.unit.points_accrual.samples import DAY, T0, enrolled, order

from .conftest import service

pytestmark = pytest.mark.integration
STATE = (
    "SELECT * FROM accounts ORDER BY 1", "SELECT * FROM transfers ORDER BY 1, 2, 3", "SELECT * FROM lots ORDER BY 1",
    "SELECT * FROM decisions ORDER BY 1, 2", "SELECT * FROM claims ORDER BY 1, 2, 3",
    "SELECT * FROM members ORDER BY 1",
)  # fmt: skip


@pytest.fixture
async def ledger(database: str) -> AsyncIterator[Harness]:
    async with service(database) as running:
        yield running


async def state(ledger: Harness) -> list[Any]:
    return [await ledger.context.read(lambda connection, q=question: connection.fetch(q)) for question in STATE]  # type: ignore[misc]


async def set_aside(ledger: Harness, *events: Event) -> None:
    """As dead letters that an operator wants replayed."""

    async def work(tx: Transaction) -> None:
        await tx.connection.execute("DELETE FROM dead_letters")
        for place, event in enumerate(events):
            envelope = Envelope(
                id=UUID(int=place + 1), type=event.TYPE, source="order-ingest", subject=event.key(), time=T0,
                correlation_id="test",
            )  # fmt: skip
            await tx.connection.execute(
                """INSERT INTO dead_letters
                       (topic, partition, "offset", cluster_id, key, value, headers, error_class, error, state)
                   VALUES ($1, $2, $3, 'c', $4, $5, $6, 'ValueError', 'x', 'replaying')""",
                TOPIC_OF[type(event)].name, ledger.message(event).partition, place, event.key().encode(),
                event.model_dump_json().encode(), pack_headers(to_headers(envelope)),
            )  # fmt: skip

    await ledger.context.execute(work)


async def replay(ledger: Harness) -> None:
    await Replays(ledger.context, ledger.service).some()
    left = await ledger.context.read(
        lambda c: c.fetchval("SELECT count(*) FROM dead_letters WHERE state <> 'replayed'")
    )
    assert left == 0


async def again(ledger: Harness) -> None:
    """The operator asks once more."""
    await ledger.context.execute(lambda tx: tx.connection.execute("UPDATE dead_letters SET state = 'replaying'"))
    await replay(ledger)


async def test_replayed_twice_is_applied_once(ledger: Harness) -> None:
    await set_aside(ledger, enrolled(), order())
    await replay(ledger)
    once = await state(ledger)
    assert once[1], "nothing was granted, which proves nothing"
    await ledger.outbox()
    await again(ledger)
    assert await state(ledger) == once
    assert await ledger.outbox() == []


async def test_replayed_after_newer_events_it_changes_nothing(ledger: Harness) -> None:
    newer = order(revision=2, cancelled_at=T0 + DAY, recorded_at=T0 + DAY)
    await ledger.deliver(enrolled(), order(), newer)
    await ledger.sweep()
    before = await state(ledger)
    await ledger.outbox()
    await set_aside(ledger, enrolled(), order(), newer)
    await replay(ledger)
    await again(ledger)
    assert await state(ledger) == before
    assert await ledger.outbox() == []


async def test_replayed_after_erasure_it_brings_nobody_back(ledger: Harness) -> None:
    member = enrolled()
    gone = member.model_copy(update={"version": member.version + 1, "status": "erased", "attributes": {}})
    await ledger.deliver(member, order())
    await ledger.deliver(gone)
    before = await state(ledger)
    assert [row["status"] for row in before[5]] == ["erased"]
    await ledger.outbox()
    ledger.clock.at += timedelta(days=1)
    await set_aside(ledger, member, order())
    await replay(ledger)
    await again(ledger)
    assert await state(ledger) == before
    assert await ledger.outbox() == []
