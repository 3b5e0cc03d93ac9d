"""After a restore: what only the ledger's own topic still knows is known again, and decides as it did."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from contracts.base import Event
from contracts.decisions import DecisionsMadeV1
from contracts.envelope import from_headers
from contracts.program import Program
from contracts.rewards import DrawHeldV1
from contracts.segments import SegmentsChangedV1
from contracts.topics import EVENTS
from shared.sending import unpack_headers
from shared.testing import Harness
from shared.transaction import Transaction
from tests.integration.points_accrual.conftest import NOW, service
from tests.integration.points_accrual.test_books import post
from tests.integration.points_accrual.test_chance import buy, hold, know
from tests.integration.points_accrual.test_loading import rows
from tests.integration.restored import restore, save
from tests.unit.points_accrual.samples import ANN, BOB, DAY, T0, enrolled, merge, order, program, spend

pytestmark = pytest.mark.integration
BIRTHDAY = {"type": "birthday", "id": "birthday", "points": 100}
TABLES = {
    "accounts": "member_id", "decisions": "member_id, sequence", "lots": "lot_id",
    "transfers": "member_id, sequence, ordinal", "coupons": "coupon_id", "uses": "member_id, name, time_window",
    "seeds": "commitment", "draws": "draw_id",
}  # fmt: skip


async def ledger(shop: Harness) -> dict[str, list[tuple[Any, ...]]]:
    return {name: await rows(shop, f"SELECT * FROM {name} ORDER BY {key}") for name, key in TABLES.items()}


async def told(tx: Transaction) -> tuple[list[DecisionsMadeV1], set[UUID]]:
    """What the outbox has: the journal, and the ids of all events that a replay tells again."""
    journal, ids = [], set()
    for row in await tx.connection.fetch("DELETE FROM outbox RETURNING *"):
        envelope = from_headers(unpack_headers(row["headers"]))
        kind = EVENTS[envelope.type]
        if kind is DecisionsMadeV1:
            journal.append((row["id"], DecisionsMadeV1.model_validate_json(row["value"])))
        elif kind is not DrawHeldV1:
            ids.add(envelope.id)
    return [event for _, event in sorted(journal, key=lambda item: item[0])], ids


async def adopt(shop: Harness, journal: list[DecisionsMadeV1]) -> None:
    assert shop.service.adopt is not None
    batch = [shop.message(event) for event in journal]
    await shop.context.execute(lambda tx: shop.service.adopt(tx, batch))  # type: ignore[misc]


async def wipe(shop: Harness) -> None:
    async with shop.context.pool.acquire() as connection:
        await connection.execute(f"TRUNCATE members, claims, commands, {', '.join(TABLES)}, outbox CASCADE")


async def begin(shop: Harness, *events: Event) -> None:
    """What was told by then, and a backup."""
    shop.clock.at = T0
    await shop.deliver(*events)
    await shop.sweep()
    await shop.context.execute(told)
    await save(shop)


async def set_back(shop: Harness) -> None:
    """The backup is restored, and what was decided since then is read back."""
    journal, _ = await shop.context.execute(told)
    await restore(shop)
    await adopt(shop, journal)


async def approve(shop: Harness, approval_id: str) -> None:
    """By another person than who asked."""
    token = shop.context.tokens.mint(
        "aurora", "admin", now=shop.clock.now(), ttl=timedelta(minutes=10), member_id=None, subject="another"
    )
    headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": "x"}
    answer = await shop.client.post(f"/v1/approvals/{approval_id}/approval", headers=headers)
    assert answer.is_success, answer.text


def lively(committed: str, drawn: str) -> Program:
    draw = {"id": "bike", "name": {"en": "Bike"}, "closes_at": NOW + DAY, "winners": 1, "commitment": drawn}
    ticket = {"type": "draw_entry", "id": "ticket", "name": {"en": "Ticket"}, "cost": 10, "draw": "bike"}
    luck = {"id": "luck", "counts": "orders", "surprise_in": 2, "commitment": committed, "points": 700}
    twice = {"id": "twice", "counts": "orders", "at": [3], "points": 11}
    rest = {
        "challenges": [luck, twice], "draws": [draw], "rewards": [ticket], "transfers": {"per_day": 100},
        "adjustments": {"approval_above": 50},
    }  # fmt: skip
    return program(version=2, effective_from=T0 - DAY, pending_days=0, rest=rest)


async def test_a_lost_ledger_is_made_again_from_its_journal(database: str) -> None:
    async with service(database) as shop:
        committed, drawn = [(await post(shop, "seeds")).json()["commitment"] for _ in range(2)]
        know(shop, lively(committed, drawn))
        await shop.deliver(enrolled(), enrolled(member_id=BOB))
        orders = [order(order_id=str(n), placed_at=T0 + n * DAY, member_id=BOB if n % 3 else ANN) for n in range(6)]
        await shop.deliver(*orders)
        await shop.sweep()
        gift = {"to_member_id": str(BOB), "points": 80}
        assert (await post(shop, f"members/{ANN}/transfers", gift, "gift")).is_success
        much = {"points": 60, "reason": "because"}
        asked = await post(shop, f"members/{ANN}/adjustments", much, "much")
        await approve(shop, asked.json()["approval_id"])
        await buy(shop, ANN, "1")
        held = await hold(shop)
        await shop.deliver(merge(BOB, ANN, shop.clock.at))
        before, approvals = await ledger(shop), await rows(shop, "SELECT * FROM approvals")
        journal, ids = await shop.context.execute(told)
        await rows(shop, "UPDATE approvals SET state = 'waiting', decided_by = NULL, decided_at = NULL")
        await adopt(shop, journal)
        assert await rows(shop, "SELECT * FROM approvals") == approvals
        await wipe(shop)
        for _ in range(2):
            await adopt(shop, journal)
        assert await ledger(shop) == before
        _, again = await shop.context.execute(told)
        assert ids - again == set()
        assert await hold(shop) == held


async def test_days_long_past_are_not_judged_again_by_what_a_member_is_today(database: str) -> None:
    days = (
        {"type": "anniversary", "id": "year", "points": 1},
        BIRTHDAY,
    )
    async with service(database, program(spend(), *days)) as shop:
        await shop.deliver(enrolled(T0 - 3 * 365 * DAY))
        await shop.sweep()
        shop.clock.at = NOW + DAY
        born = enrolled(T0 - 3 * 365 * DAY, version=2, recorded=shop.clock.at).model_copy(update={"birthday": "05-20"})
        journal: list[DecisionsMadeV1] = []

        class LostError(Exception):
            pass

        async def lose(tx: Transaction) -> None:
            await shop.service.process(tx, [shop.message(born)])
            await tx.flush()
            journal.extend((await told(tx))[0])
            raise LostError

        before = await rows(shop, "SELECT active, pending FROM accounts")
        with pytest.raises(LostError):
            await shop.context.execute(lose)
        await adopt(shop, journal)
        await shop.sweep()
        assert await rows(shop, "SELECT active, pending FROM accounts") == before
        shop.clock.at = datetime(2026, 5, 21, tzinfo=UTC)
        await shop.sweep()
        assert await rows(shop, "SELECT active - 100 AS active, pending FROM accounts") == before


async def test_a_birthday_that_was_told_since_the_backup_and_is_due_is_not_passed_over(database: str) -> None:
    """Nobody had swept since then: the day is found from when it was told, not from when it is read back."""
    async with service(database, program(spend(), BIRTHDAY, effective_from=T0 - DAY)) as shop:
        await begin(shop, enrolled())
        day = (T0 + 7 * DAY).strftime("%m-%d")
        born = enrolled(version=2, recorded=T0).model_copy(update={"birthday": day})
        await shop.deliver(born)
        await set_back(shop)
        shop.clock.at = T0 + 9 * DAY
        await shop.deliver(born)
        await shop.sweep()
        assert await rows(shop, "SELECT active + pending FROM accounts") == [(100,)]


async def test_days_that_were_passed_since_the_backup_stay_passed(database: str) -> None:
    """That a day was passed without a grant is no decision, but it is told."""
    vip = BIRTHDAY | {"when": {"segments": ["vip"]}}
    async with service(database, program(spend(), vip, effective_from=T0 - DAY)) as shop:
        shop.clock.at = T0
        born = enrolled().model_copy(update={"birthday": (T0 + 7 * DAY).strftime("%m-%d")})
        await shop.deliver(born)
        await shop.sweep()
        await shop.context.execute(told)
        await save(shop)
        shop.clock.at = T0 + 9 * DAY
        await shop.sweep()
        chosen = SegmentsChangedV1(
            program_id="aurora", member_id=ANN, version=1, segments=("vip",), recorded_at=shop.clock.at
        )
        await shop.deliver(chosen)
        before = await rows(shop, "SELECT member_id, dates_version, next_date_at FROM members")
        await set_back(shop)
        await shop.sweep(T0)
        await shop.deliver(chosen)
        await shop.sweep()
        assert await rows(shop, "SELECT member_id, dates_version, next_date_at FROM members") == before
        assert await rows(shop, "SELECT active + pending FROM accounts") == [(0,)]


async def test_a_birthday_that_was_told_after_it_brings_nothing_after_a_restore_either(database: str) -> None:
    async with service(database, program(spend(), BIRTHDAY, effective_from=T0 - DAY)) as shop:
        await begin(shop, enrolled())
        shop.clock.at = T0 + 9 * DAY
        born = enrolled(version=2, recorded=shop.clock.at)
        born = born.model_copy(update={"birthday": (T0 + 4 * DAY).strftime("%m-%d")})
        await shop.deliver(born)
        await shop.sweep()
        await set_back(shop)
        await shop.sweep(T0)
        await shop.deliver(born)
        await shop.sweep()
        assert await rows(shop, "SELECT active + pending FROM accounts") == [(0,)]


async def test_a_version_that_begins_while_nobody_sweeps_brings_the_days_since_then(database: str) -> None:
    async with service(database, program(spend(), effective_from=T0 - DAY)) as shop:
        shop.clock.at = T0
        await shop.deliver(enrolled().model_copy(update={"birthday": (T0 + 4 * DAY).strftime("%m-%d")}))
        await shop.sweep()
        know(shop, program(spend(), BIRTHDAY, version=2, effective_from=T0 + 2 * DAY))
        shop.clock.at = T0 + 9 * DAY
        await shop.sweep()
        assert await rows(shop, "SELECT active + pending FROM accounts") == [(100,)]


async def test_a_database_that_went_another_way_says_so(database: str) -> None:
    async with service(database) as shop:
        await shop.deliver(enrolled())
        await shop.deliver(order(order_id="1"))
        journal, _ = await shop.context.execute(told)
        await wipe(shop)
        await adopt(shop, journal[:1])
        await shop.deliver(order(order_id="2"))
        with pytest.raises(LookupError, match=r"decision 2 of .* was published as 'order:shop:1"):
            await adopt(shop, journal)
