"""The handlers on PostgreSQL: duplicates, batches, sweeps, late standings, continuations, and what adds up."""

from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID

import asyncpg
import pytest

from contracts.base import Event
from contracts.points import PointsEvent, PointsGrantedV1
from points_accrual import store
from points_accrual.store import audit, claims
from shared.db import plain
from shared.testing import Harness
from shared.transaction import Message, Permanent
from tests.integration.points_accrual.conftest import NOW, service
from tests.unit.points_accrual.samples import (
    BOB,
    DAY,
    T0,
    back,
    confirmed,
    enrolled,
    interval,
    line,
    order,
    program,
    published,
    reversed_,
    standing,
)

pytestmark = pytest.mark.integration


@pytest.fixture
async def ledger(database: str) -> AsyncIterator[Harness]:
    async with service(database) as running:
        yield running
        assert await imbalances(running) == []


async def imbalances(harness: Harness) -> list[str]:
    async with harness.context.pool.acquire() as connection:
        return await store.imbalances(plain(connection))


TABLES = ("accounts", "members", "claims", "lots", "decisions", "transfers", "uses", "coupons")


async def rows(harness: Harness) -> dict[str, list[str]]:
    """Everything in the ledger, as text."""
    async with harness.context.pool.acquire() as connection:
        return {
            table: [row[0] for row in await connection.fetch(f"SELECT t::text FROM {table} t ORDER BY 1")]
            for table in TABLES
        }


async def buckets(harness: Harness, member_id: UUID | None = None) -> tuple[int, int, int]:
    async with harness.context.pool.acquire() as connection:
        row = await connection.fetchrow(
            "SELECT sum(pending) p, sum(active) a, sum(deficit) d FROM accounts"
            " WHERE $1::uuid IS NULL OR member_id = $1",
            member_id,
        )
    assert row is not None
    return int(row["p"]), int(row["a"]), int(row["d"])


def history() -> list[Event]:
    """Two members: orders, refunds, a late standing, referrals."""
    refund = back("r", T0 + 2 * DAY, {"1": 4000})
    rest = back("s", T0 + 30 * DAY, {"1": 6000})
    events: list[Event] = [enrolled(), enrolled(member_id=BOB, status="shopper")]
    events += [standing(interval("silver", T0 - DAY))]
    events += [confirmed(role="advocate"), confirmed(role="friend", member_id=BOB)]
    for number in range(1, 8):
        member_id = BOB if number % 3 == 0 else order().member_id
        events.append(order(order_id=str(number), member_id=member_id, placed_at=T0 + number * DAY))
    events.append(order(revision=2, order_id="1", placed_at=T0 + DAY, refunds=(refund,), recorded_at=T0 + 3 * DAY))
    events.append(enrolled(T0 + 9 * DAY, version=2, member_id=BOB))
    events.append(standing(interval("silver", T0 - DAY), interval("gold", T0 + 4 * DAY), version=2, at=T0 + 10 * DAY))
    events.append(reversed_(at=T0 + 11 * DAY))
    events.append(
        order(revision=3, order_id="1", placed_at=T0 + DAY, refunds=(refund, rest), recorded_at=T0 + 31 * DAY)
    )
    return events


async def test_a_batch_leaves_the_rows_that_single_events_leave(database: str) -> None:
    left = []
    for size in (1, 4, 100):
        async with service(database) as running:
            messages = [running.message(event, id=UUID(int=place)) for place, event in enumerate(history(), start=1)]
            rank = {topic.name: place for place, topic in enumerate(running.service.consumes)}
            messages.sort(key=lambda item: (rank[item.topic], item.partition, item.offset))
            for start in range(0, len(messages), size):
                await running.deliver(*messages[start : start + size])
            left.append((await rows(running), [event for _, event in await running.outbox()]))
            assert await imbalances(running) == []
    assert len(left[0][0]["transfers"]) > 10
    assert left[0] == left[1] == left[2]


async def test_repeats_and_old_revisions_change_nothing(ledger: Harness) -> None:
    messages = [ledger.message(event) for event in history()]
    await ledger.deliver(*messages)
    before = await rows(ledger)
    assert await ledger.outbox()
    await ledger.deliver(*messages)
    for message in messages:
        await ledger.deliver(message.data, message)
    assert await rows(ledger) == before
    assert await ledger.outbox() == []


async def test_ids_are_the_same_on_every_replay(database: str) -> None:
    found = []
    for _ in range(2):
        async with service(database) as running:
            await running.deliver(*(running.message(event, id=UUID(int=n)) for n, event in enumerate(history())))
            await running.sweep(NOW + 500 * DAY)
            found.append([(envelope.id, event) for envelope, event in await running.outbox()])
    assert found[0] == found[1]
    assert len({event_id for event_id, _ in found[0]}) == len(found[0])


async def test_points_become_active_and_run_out_by_the_sweep(ledger: Harness) -> None:
    await ledger.deliver(enrolled(), order())
    assert await buckets(ledger) == (100, 0, 0)
    assert await ledger.sweep(T0 + 13 * DAY) == 0
    assert await ledger.sweep(T0 + 14 * DAY) == 1
    assert await buckets(ledger) == (0, 100, 0)
    assert await ledger.sweep(T0 + 400 * DAY) == 1
    assert await buckets(ledger) == (0, 0, 0)
    assert await ledger.sweep(T0 + 400 * DAY) == 0
    kinds = [envelope.type for envelope, _ in await ledger.outbox()]
    assert kinds == ["loyalty.points.granted.v1", "loyalty.points.activated.v1", "loyalty.points.expired.v1"]


async def test_a_sweep_in_vain_forgets_what_was_due(ledger: Harness) -> None:
    await ledger.deliver(enrolled(), order(), order(revision=2, cancelled_at=T0 + DAY, recorded_at=T0 + DAY))
    async with ledger.context.pool.acquire() as connection:
        await connection.execute("UPDATE accounts SET due_at = $1", T0)
    before = await rows(ledger)
    assert await ledger.sweep(NOW) == 0
    assert (await rows(ledger))["decisions"] == before["decisions"]
    async with ledger.context.pool.acquire() as connection:
        assert await connection.fetchval("SELECT due_at FROM accounts") is None


async def test_a_late_standing_judges_orders_again_in_parts(ledger: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "CLAIMS_MAX", 7)
    orders = [order(order_id=f"{number:02}", placed_at=T0 + number * timedelta(hours=1)) for number in range(20)]
    await ledger.deliver(enrolled(), *orders)
    await ledger.outbox()
    await ledger.deliver(standing(interval("gold", T0 - DAY), at=T0 + DAY))
    assert await buckets(ledger) == (2000 + 7 * 50, 0, 0)
    await ledger.deliver(standing(interval("silver", T0 - DAY), version=2, at=T0 + 2 * DAY))
    assert await buckets(ledger) == (2000 + 7 * 25, 0, 0)
    assert await ledger.sweep(T0 + 2 * DAY) == 2
    assert await buckets(ledger) == (2500, 0, 0)
    assert await ledger.sweep(T0 + 2 * DAY) == 0
    granted = [event for _, event in await ledger.outbox() if isinstance(event, PointsGrantedV1)]
    assert {event.cause.order.order_id for event in granted if event.cause.order} == {f"{n:02}" for n in range(20)}
    assert all(event.cause.kind == "standing" for event in granted)


async def test_a_standing_that_ends_later_does_not_touch_orders_before_it(ledger: Harness) -> None:
    await ledger.deliver(enrolled(), order(), order(order_id="2", placed_at=T0 + 5 * DAY))
    await ledger.deliver(standing(interval("gold", T0 + 2 * DAY), at=T0 + 5 * DAY))
    assert await buckets(ledger) == (250, 0, 0)


async def test_an_order_without_a_program_waits_for_one(database: str) -> None:
    later = program(effective_from=T0 + DAY)
    async with service(database, later) as running:
        await running.deliver(enrolled(), order(), confirmed())
        await running.sweep()
        assert await buckets(running) == (0, 0, 0)
        reference = running.service.reference
        assert reference is not None
        reference.apply(published(program(version=2, effective_from=T0 - DAY)))
        assert await running.sweep() == 1
        assert await buckets(running) == (0, 600, 0)
        assert await running.sweep() == 0


async def test_clawbacks_reach_other_lots_and_come_back(ledger: Harness) -> None:
    await ledger.deliver(
        enrolled(), *(order(order_id=str(n), placed_at=T0 + n * timedelta(hours=1)) for n in range(1, 6))
    )
    await ledger.sweep(NOW)
    assert await buckets(ledger) == (0, 500, 0)
    headers = ledger.token("store") | {"Idempotency-Key": "a"}
    spent = await ledger.client.post(
        f"/v1/members/{order().member_id}/redemptions", json={"reward_id": "ten-off"}, headers=headers
    )
    assert spent.status_code == 201
    gone = order(order_id="1", revision=2, cancelled_at=NOW, recorded_at=NOW, placed_at=T0 + timedelta(hours=1))
    await ledger.deliver(gone)
    assert await buckets(ledger) == (0, 300, 0)
    await ledger.deliver(gone.model_copy(update={"revision": 3, "cancelled_at": None}))
    assert await buckets(ledger) == (0, 400, 0)
    async with ledger.context.pool.acquire() as connection:
        lots = await connection.fetch("SELECT claim_id, remaining FROM lots ORDER BY claim_id")
    assert [tuple(lot) for lot in lots] == [
        (f"shop:{n}", points) for n, points in enumerate((0, 100, 100, 100, 100), start=1)
    ]


async def test_an_event_that_can_never_be_applied_changes_nothing(ledger: Harness) -> None:
    await ledger.deliver(enrolled(), order())
    before = await rows(ledger)
    for bad in (order(program_id="other", order_id="9"), order(member_id=BOB, revision=2)):
        with pytest.raises(Permanent):
            await ledger.deliver(order(order_id="8"), bad)
        assert await rows(ledger) == before


async def test_the_journal_only_grows(ledger: Harness) -> None:
    await ledger.deliver(enrolled(), order())
    async with ledger.context.pool.acquire() as connection:
        for statement in ("UPDATE transfers SET points = 5", "DELETE FROM transfers", "DELETE FROM decisions"):
            with pytest.raises(asyncpg.RaiseError, match="only added"):
                await connection.execute(statement)
        with pytest.raises(asyncpg.CheckViolationError):
            await connection.execute("UPDATE accounts SET active = 1, deficit = 1")


async def test_imbalances_are_named(database: str) -> None:
    async with service(database) as running:
        await running.deliver(enrolled(), order())
        assert await imbalances(running) == []
        async with running.context.pool.acquire() as connection:
            await connection.execute("UPDATE accounts SET pending = 101")
            await connection.execute("UPDATE claims SET granted = '{\"spend\": 7}'")
        sentences = await imbalances(running)
    assert len(sentences) == 4
    assert "the accounts say pending 101" in sentences[0]
    assert "lots hold pending 100" in sentences[1]
    assert "all buckets together are 1" in sentences[2]
    assert "claims 7 points, transfers of 100" in sentences[3]


async def test_the_books_are_checked_without_reading_all_lots_for_each_member(database: str) -> None:
    async with service(database) as running, running.context.pool.acquire() as connection:
        # Only what no index serves is still read from end to end, however few rows there are.
        await connection.execute("SET enable_seqscan = off")
        for check in audit.CHECKS:
            plan = [row[0] for row in await connection.fetch(f"EXPLAIN (COSTS off) {check}")]
            assert not [line for line in plan if "Seq Scan on lots" in line], plan


async def test_a_decision_keeps_its_input_and_what_was_pinned(ledger: Harness) -> None:
    await ledger.deliver(enrolled(), standing(interval("silver", T0 - DAY), version=4), order())
    async with ledger.context.pool.acquire() as connection:
        row = await connection.fetchrow(
            "SELECT decision_key, kind, input::jsonb ->> 'order_id' AS order_id,"
            " pinned ->> 'program_version' AS version FROM decisions ORDER BY sequence DESC LIMIT 1"
        )
    assert row is not None
    assert tuple(row) == ("order:shop:1:1", "order", "1", "1")


async def test_many_orders_of_many_members_add_up(ledger: Harness) -> None:
    members = [UUID(int=0x8000 << 64 | number) for number in range(1, 41)]
    people: list[Event] = [enrolled(member_id=member_id) for member_id in members]
    orders: list[Message | Event] = [
        order(line("1", 1000 + 10 * number), order_id=str(number), member_id=members[number % 40], placed_at=T0 + DAY)
        for number in range(400)
    ]
    await ledger.deliver(*people, *orders)
    assert await buckets(ledger) == (sum(10 + number // 10 for number in range(400)), 0, 0)
    published_events = [event for _, event in await ledger.outbox()]
    assert len(published_events) == 400
    assert all(isinstance(event, PointsEvent) for event in published_events)
