"""What decisions need is loaded, locked and kept, whatever happened before: each of these went wrong once."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from contracts.members import MemberChangedV1
from points_accrual import store
from points_accrual.rebuild import check
from shared.db import plain
from shared.sweeper import Round
from shared.testing import Harness
from shared.transaction import Transaction
from tests.integration.points_accrual.conftest import NOW, service
from tests.unit.points_accrual.programs import CAT
from tests.unit.points_accrual.samples import (
    ANN,
    BOB,
    DAY,
    T0,
    back,
    book,
    confirmed,
    enrolled,
    line,
    merge,
    order,
    program,
    spend,
)  # fmt: skip
from tests.unit.points_accrual.test_sweeping import mugs

pytestmark = pytest.mark.integration
BIRTHDAY = {"type": "birthday", "id": "birthday", "points": 100}
WELCOME = {"type": "enrolment", "id": "welcome", "points": 100}
MORNING = datetime(2026, 5, 20, tzinfo=UTC)
"""Of Ann's birthday."""


def born(event: MemberChangedV1, day: str = "05-20") -> MemberChangedV1:
    return event.model_copy(update={"birthday": day})


async def rows(shop: Harness, question: str) -> list[tuple[Any, ...]]:
    async with shop.context.pool.acquire() as connection:
        return [tuple(row) for row in await connection.fetch(question)]


async def active(shop: Harness) -> dict[UUID, int]:
    return dict(await rows(shop, "SELECT member_id, active FROM accounts"))


async def post(shop: Harness, path: str, body: Any, key: str, method: str = "POST", program_id: str = "aurora") -> Any:
    headers = shop.token("admin", program_id=program_id) | {"Idempotency-Key": key}
    return await shop.client.request(method, f"/v1/members/{path}", json=body, headers=headers)


async def adjust(shop: Harness, member_id: UUID, points: int, key: str) -> Any:
    return await post(shop, f"{member_id}/adjustments", {"points": points, "reason": "because"}, key)


def open_batch(shop: Harness, *events: Any) -> tuple[asyncio.Task[None], asyncio.Event, asyncio.Event]:
    """A batch that stays before its commit until told."""
    ready, go = asyncio.Event(), asyncio.Event()
    batch = [shop.message(event) for event in events]

    async def work(tx: Transaction) -> None:
        await shop.service.process(tx, batch)
        ready.set()
        await go.wait()

    return asyncio.create_task(shop.context.execute(work)), ready, go


async def test_caps_are_on_orders_and_activities(database: str) -> None:
    """A cap without rules left no referral, enrolment or birthday through: their use of it was not loaded."""
    caps = [{"id": "ever", "per": "lifetime", "points": 300}]
    async with service(database, program(spend(), BIRTHDAY, WELCOME, caps=caps)) as shop:
        await shop.deliver(born(enrolled()))
        await shop.deliver(confirmed())
        shop.clock.at = MORNING + DAY
        await shop.sweep()
        assert await active(shop) == {ANN: 100 + 500 + 100}


@pytest.mark.parametrize("starts", [MORNING - 3 * DAY, MORNING, MORNING + timedelta(hours=1)])
async def test_a_new_version_passes_over_no_birthday(database: str, starts: datetime) -> None:
    first, second = program(spend(), BIRTHDAY), program(spend(), BIRTHDAY, version=2, effective_from=starts)
    async with service(database, first, second) as shop:
        await shop.deliver(born(enrolled()))
        for shop.clock.at in (MORNING - DAY, MORNING + timedelta(hours=8), MORNING + timedelta(hours=9)):
            await shop.sweep()
        assert await active(shop) == {ANN: 100}
        assert await rows(shop, "SELECT dates_version FROM members") == [(2,)]


async def test_news_of_a_member_pass_over_no_birthday(database: str) -> None:
    async with service(database, program(spend(), BIRTHDAY)) as shop:
        await shop.deliver(born(enrolled()))
        shop.clock.at = MORNING + timedelta(hours=8)
        await shop.deliver(born(enrolled(version=2, recorded=MORNING + timedelta(hours=7))))
        await shop.sweep()
        assert await active(shop) == {ANN: 100}


async def test_a_horizon_before_a_new_version_is_planned_by_the_old_one(database: str) -> None:
    """Or the same members were planned again and again, and nothing else was swept."""
    first, second = program(spend(), BIRTHDAY), program(spend(), BIRTHDAY, version=2, effective_from=NOW + DAY)
    async with service(database, first, second) as shop:
        await shop.deliver(born(enrolled(), "07-20"))
        shop.clock.at = NOW + 2 * DAY
        [(partition,)] = await rows(shop, "SELECT partition FROM accounts")
        assert shop.service.sweep is not None
        sweep = shop.service.sweep
        assert await shop.context.execute(lambda tx: sweep(tx, Round(partition, NOW + DAY / 2))) == 0


async def test_who_was_merged_is_planned_no_days(database: str) -> None:
    first, second = program(spend(), BIRTHDAY), program(spend(), BIRTHDAY, version=2, effective_from=NOW + DAY)
    async with service(database, first, second) as shop:
        await shop.deliver(born(enrolled(member_id=CAT)), born(enrolled()))
        await shop.deliver(born(merge(CAT, ANN, NOW)))
        for shop.clock.at in (NOW + 2 * DAY, MORNING + DAY):
            await shop.sweep()
        assert await active(shop) == {ANN: 100, CAT: 0}


async def test_days_that_merged_members_had_are_known_however_many_are_due(database: str) -> None:
    """A member that was found by a lot alone was given the same anniversary twice."""
    yearly = {"type": "anniversary", "id": "years", "points": 100}
    day = datetime(2027, 6, 1, tzinfo=UTC)
    async with service(database, program(spend(), yearly, validity_months=None)) as shop:
        joined = {ANN: datetime(2026, 6, 1, 5, tzinfo=UTC), CAT: datetime(2026, 3, 1, 5, tzinfo=UTC),
                  BOB: datetime(2026, 5, 30, 5, tzinfo=UTC)}  # fmt: skip
        await shop.deliver(*(enrolled(at, member_id=member_id, recorded=NOW) for member_id, at in joined.items()))
        shop.clock.at = datetime(2027, 4, 1, tzinfo=UTC)
        await shop.sweep(most=1)
        await shop.deliver(merge(CAT, ANN, NOW))
        at = day - 14 * DAY
        await shop.deliver(order(order_id="x", placed_at=at, recorded_at=at))
        async with shop.context.pool.acquire() as connection:
            await connection.execute("UPDATE accounts SET partition = 0; UPDATE lots SET partition = 0")
        shop.clock.at = day + DAY
        await shop.sweep(most=1)
        assert await active(shop) == {ANN: 100 + 100, BOB: 100, CAT: 0}


async def test_who_enrols_after_others_were_merged_in(database: str) -> None:
    """The decision had the key of the merge; and the welcome was given to each of them."""
    async with service(database, program(spend(), WELCOME, pending_days=0)) as shop:
        await shop.deliver(enrolled(member_id=CAT), enrolled(status="shopper"))
        await shop.deliver(order(member_id=CAT, placed_at=T0 + DAY))
        await shop.deliver(merge(CAT, ANN, NOW))
        await shop.deliver(enrolled(T0, version=2, recorded=NOW))
        assert await active(shop) == {ANN: 100 + 100, CAT: 0}


async def test_merges_one_after_the_other(database: str) -> None:
    first = {"challenges": [{"id": "first", "counts": "orders", "at": [1], "points": 1000}]}
    document = program(spend(), pending_days=0, rest=first)
    async with service(database, document) as shop:
        await shop.deliver(*(enrolled(member_id=member_id) for member_id in (ANN, BOB, CAT)))
        await shop.deliver(order(member_id=CAT, order_id="1", placed_at=T0 + DAY))
        await shop.deliver(merge(CAT, BOB, NOW))
        await shop.deliver(merge(BOB, ANN, NOW), order(member_id=CAT, order_id="2", placed_at=NOW))
        returned = (back("r", NOW, {"1": 5000}),)
        await shop.deliver(
            order(member_id=CAT, order_id="2", placed_at=NOW, updated_at=NOW, revision=2, refunds=returned)
        )
        assert await active(shop) == {ANN: 1000 + 100 + 50, BOB: 0, CAT: 0}
    checked = await check(database, book(document))
    assert (checked.stuck, checked.differences) == ([], [])


async def test_keys_of_commands_outlive_a_merge(database: str) -> None:
    taken_over = {"import_id": "old", "as_of": NOW.isoformat(), "lots": [{"points": 500}]}
    async with service(database, program()) as shop:
        await shop.deliver(enrolled(member_id=CAT), enrolled())
        for _ in range(2):
            assert (await adjust(shop, CAT, 100, "key")).status_code == 201
            assert (await post(shop, f"{CAT}/imports", taken_over, "unused")).status_code == 201
            await shop.deliver(merge(CAT, ANN, NOW))
        assert await active(shop) == {ANN: 600, CAT: 0}


async def test_a_command_that_waited_for_a_merge_knows_of_it(database: str) -> None:
    async with service(database, program()) as shop:
        await shop.deliver(enrolled(member_id=CAT), enrolled())
        batch, ready, go = open_batch(shop, merge(CAT, ANN, NOW))
        await ready.wait()
        command = asyncio.create_task(adjust(shop, CAT, 100, "key"))
        await asyncio.sleep(0.3)
        go.set()
        await batch
        assert (await command).status_code == 201
        assert await active(shop) == {ANN: 100, CAT: 0}


async def test_a_survivor_is_swept_where_its_own_events_are_read(database: str) -> None:
    async with service(database, program()) as shop:
        await shop.deliver(enrolled(member_id=CAT))
        await shop.deliver(order(member_id=CAT, placed_at=NOW))
        await shop.deliver(merge(CAT, ANN, NOW))
        own = shop.message(enrolled(version=3))
        await shop.deliver(own)
        for table in ("accounts", "lots"):
            assert await rows(shop, f"SELECT partition FROM {table} WHERE member_id = '{ANN}'") == [(own.partition,)]


async def test_a_place_in_a_household_goes_over_with_the_rest(database: str) -> None:
    home = {"household_id": str(UUID(int=7))}
    async with service(database, program(rest={"households": {"members_max": 2}})) as shop:
        await shop.deliver(*(enrolled(member_id=member_id) for member_id in (ANN, BOB, CAT, UUID(int=99))))
        for number, member_id in enumerate((BOB, CAT)):
            answer = await post(shop, f"{member_id}/household", home, str(number), "PUT")
            assert answer.status_code == 200
        await shop.deliver(merge(CAT, ANN, NOW))
        assert (await post(shop, f"{CAT}/household", home, "2", "PUT")).status_code == 200
        assert (await post(shop, f"{UUID(int=99)}/household", home, "3", "PUT")).status_code == 409
        await shop.deliver(merge(BOB, ANN, NOW))
        assert (await post(shop, f"{UUID(int=99)}/household", home, "4", "PUT")).status_code == 200


async def test_a_household_is_within_one_program(database: str) -> None:
    home = {"household_id": str(UUID(int=7))}
    both: dict[str, object] = {"households": {}}
    async with service(database, program(rest=both), program(program_id="other", rest=both)) as shop:
        stranger = enrolled(member_id=CAT).model_copy(update={"program_id": "other"})
        await shop.deliver(enrolled(), stranger)
        assert (await post(shop, f"{CAT}/household", home, "1", "PUT", "other")).status_code == 200
        points = {"points": 300, "reason": "because"}
        assert (await post(shop, f"{CAT}/adjustments", points, "2", program_id="other")).status_code == 201
        assert (await post(shop, f"{ANN}/household", home, "3", "PUT")).status_code == 200
        assert (await post(shop, f"{ANN}/redemptions", {"reward_id": "ten-off"}, "4")).status_code == 409
        assert await active(shop) == {ANN: 0, CAT: 300}


@pytest.mark.parametrize("known", [False, True])
async def test_a_coupon_is_used_whichever_comes_first(database: str, known: bool) -> None:
    """Captured after its order was read it stayed unused, and its points came back when it ran out."""
    reward = {"type": "gift_card", "id": "pay", "name": {"en": "Pay"}, "points_per_unit": "10", "valid_days": 30}
    rest = {"redemption": {"expired_coupon": "give_back"}, "rewards": (reward,)}
    async with service(database, program(pending_days=0, rest=rest)) as shop:
        await shop.deliver(enrolled())
        await adjust(shop, ANN, 500, "1")
        held = await post(shop, f"{ANN}/redemptions", {"reward_id": "pay", "amount_minor": 1000, "hold": True}, "2")
        paid = order(order_id="1", placed_at=NOW, recorded_at=NOW, points_paid=1000)
        if known:
            await shop.deliver(paid)
        path = f"{ANN}/redemptions/{held.json()['coupon_id']}/capture"
        answer = await post(shop, path, {"order": "shop:1"}, "3")
        assert answer.json()["state"] == ("used" if known else "issued")
        if not known:
            await shop.deliver(paid)
        shop.clock.at = NOW + 40 * DAY
        await shop.sweep()
        assert await rows(shop, "SELECT state, returned FROM coupons") == [("used", 0)]


async def test_a_pool_whose_codes_others_hold_is_not_empty(database: str) -> None:
    rest = {"challenges": [{"id": "c", "counts": "orders", "at": [5], "reward": "ten-off"}]}
    async with service(database, program(codes="pool", rest=rest)) as shop:
        await shop.deliver(enrolled(member_id=CAT), enrolled())
        await adjust(shop, ANN, 500, "1")
        async with shop.context.pool.acquire() as connection:
            await store.import_codes(plain(connection), "aurora", "ten-off", [f"C{number}" for number in range(10)])
        batch, ready, go = open_batch(shop, order(member_id=CAT))
        await ready.wait()
        assert (await post(shop, f"{ANN}/redemptions", {"reward_id": "ten-off"}, "2")).status_code == 503
        go.set()
        await batch
        assert (await post(shop, f"{ANN}/redemptions", {"reward_id": "ten-off"}, "2")).status_code == 201


async def test_of_a_pool_everybody_in_a_batch_gets_a_code(database: str) -> None:
    rest = {"challenges": [{"id": "c", "counts": "orders", "at": [1], "reward": "ten-off"}]}
    people = [UUID(f"00000000-0000-8000-8000-{number:012x}") for number in range(1, 31)]
    async with service(database, program(codes="pool", rest=rest)) as shop:
        async with shop.context.pool.acquire() as connection:
            await store.import_codes(plain(connection), "aurora", "ten-off", [f"C{number}" for number in range(40)])
        await shop.deliver(*(enrolled(member_id=who) for who in people))
        await shop.deliver(*(order(order_id=str(place), member_id=who) for place, who in enumerate(people)))
        assert await rows(shop, "SELECT count(DISTINCT code) FROM coupons") == [(30,)]


async def test_what_stays_due_keeps_no_sweep_going(database: str) -> None:
    """Points of an order that moved wait on terms that its rules have no more: nothing will be told of them."""
    terms = [{"id": "later", "pending": {"fulfilled": True, "cancel_after_days": 10}}]
    bonus = {"type": "order", "id": "bonus", "points": 50}
    first = program(spend(), bonus, terms=terms)
    second = program(spend(), bonus | {"terms": "later"}, terms=terms, version=2, effective_from=T0)
    async with service(database, first, second) as shop:
        await shop.deliver(enrolled(T0 - DAY), order(placed_at=T0 + timedelta(minutes=1)))
        await shop.deliver(order(revision=2, placed_at=T0 - timedelta(minutes=1), recorded_at=T0 + DAY))
        shop.clock.at = T0 + 40 * DAY
        assert [await shop.sweep() > 0 for _ in range(4)][-1] is False


async def test_a_pool_is_drawn_from_as_often_as_a_batch_needs_it(database: str) -> None:
    """One order brings 25 gifts, and 30 members two each; only when the pool is empty do some wait."""
    pieces = {"id": "pieces", "counts": "pieces", "every": 1, "reward": "ten-off"}
    rest = {"challenges": [pieces, {"id": "orders", "counts": "orders", "every": 1, "reward": "ten-off"}]}
    people = [UUID(f"00000000-0000-8000-8000-{number:012x}") for number in range(1, 31)]
    async with service(database, program(codes="pool", rest=rest)) as shop:
        async with shop.context.pool.acquire() as connection:
            codes = [f"C{number}" for number in range(26 + 50)]
            await store.import_codes(plain(connection), "aurora", "ten-off", codes)
        await shop.deliver(enrolled(), *(enrolled(member_id=who) for who in people))
        await shop.deliver(order(line("1", 2500, quantity=25)))
        assert await rows(shop, "SELECT count(DISTINCT code) FROM coupons") == [(26,)]
        await shop.deliver(*(order(order_id=str(place), member_id=who) for place, who in enumerate(people, start=2)))
        assert await rows(shop, "SELECT count(DISTINCT code) FROM coupons") == [(26 + 50,)]
        waiting = "SELECT count(*) FROM claims WHERE detail @> '{\"waiting\": true}'"
        assert await rows(shop, waiting) == [(10,)]


async def test_all_gifts_of_a_member_that_wait_are_given_at_once(database: str) -> None:
    rest = {"challenges": [{"id": "pieces", "counts": "pieces", "every": 1, "reward": "ten-off"}]}
    async with service(database, program(codes="pool", rest=rest)) as shop:
        await shop.deliver(enrolled(), order(line("1", 2500, quantity=25)))
        async with shop.context.pool.acquire() as connection:
            await store.import_codes(plain(connection), "aurora", "ten-off", [f"C{number}" for number in range(40)])
        await shop.sweep()
        assert await rows(shop, "SELECT count(DISTINCT code) FROM coupons") == [(25,)]


async def test_gifts_that_wait_for_codes_are_given_when_some_come(database: str) -> None:
    rest = {"challenges": [{"id": "c", "counts": "orders", "at": [1], "reward": "ten-off"}]}
    document = program(codes="pool", rest=rest)
    async with service(database, document) as shop:
        await shop.deliver(enrolled(), enrolled(member_id=BOB), enrolled(member_id=CAT))
        await shop.deliver(order(), order(order_id="2", member_id=BOB), order(order_id="3", member_id=CAT))
        await shop.sweep()
        assert await rows(shop, "SELECT count(*) FROM coupons") == [(0,)]
        for batch in (["A", "B"], ["C", "D"]):
            async with shop.context.pool.acquire() as connection:
                await store.import_codes(plain(connection), "aurora", "ten-off", batch)
            await shop.sweep()
        assert await rows(shop, "SELECT code FROM coupons ORDER BY code") == [("A",), ("B",), ("C",)]
        assert await rows(shop, "SELECT code FROM coupon_codes WHERE NOT drawn") == [("D",)]
        assert await rows(shop, "SELECT count(*) FROM decisions WHERE kind = 'gift'") == [(3,)]
    checked = await check(database, book(document))
    assert (checked.stuck, checked.differences) == ([], [])


async def test_gifts_and_redemptions_share_a_stock_that_is_never_overspent(database: str) -> None:
    """Who comes too late gets it by the version that raises the stock; what is taken back is there for others."""
    first, second = mugs(2), mugs(3, version=5)
    people = (ANN, BOB, CAT)
    async with service(database, first, second) as shop:
        await shop.deliver(*(enrolled(member_id=who) for who in people))
        for who in people:
            await adjust(shop, who, 100, str(who))
        shop.clock.at = T0  # So the accounts are ahead of the sweeps, and what they do must be made again all the same.
        paid = [order(order_id=str(n), member_id=who) for n, who in enumerate(people)]
        tries = (post(shop, f"{ANN}/redemptions", {"reward_id": "mug"}, str(n)) for n in range(3))
        await asyncio.gather(*(shop.deliver(item) for item in paid), *tries)
        count = "SELECT (SELECT count(*) FROM coupons WHERE state <> 'returned'), (SELECT used FROM uses)"
        assert await rows(shop, count) == [(2, 2)]
        await shop.sweep()
        assert await rows(shop, count) == [(2, 2)]
        shop.clock.at = T0 + 6 * DAY
        await shop.sweep()
        assert await rows(shop, count) == [(3, 3)]
        await shop.deliver(*(item.model_copy(update={"revision": 2, "payment": "voided"}) for item in paid))
        ((live, used),) = await rows(shop, count)
        assert live == used < 3
    checked = await check(database, book(first, second))
    assert (checked.stuck, checked.differences) == ([], [])


async def test_debts_are_forgiven_by_a_version_that_brings_it(database: str) -> None:
    first, second = program(), program(version=2, effective_from=NOW + 50 * DAY, write_off_days=30)
    async with service(database, first, second) as shop:
        await shop.deliver(enrolled())
        one = order(order_id="1", placed_at=NOW, recorded_at=NOW)
        await shop.deliver(one)
        shop.clock.at = NOW + 15 * DAY
        await shop.sweep()
        await adjust(shop, ANN, -100, "1")
        gone = {"updated_at": NOW + 16 * DAY, "recorded_at": NOW + 16 * DAY}
        await shop.deliver(one.model_copy(update=gone | {"revision": 2, "payment": "voided"}))
        later = NOW + 44 * DAY  # So that a lot is due by then, too.
        await shop.deliver(order(order_id="2", placed_at=later, recorded_at=later))
        shop.clock.at = NOW + 59 * DAY
        await shop.sweep()
        assert await active(shop) == {ANN: 100}
        await shop.deliver(one.model_copy(update=gone | {"revision": 3, "payment": "paid"}))
        assert await active(shop) == {ANN: 100}, "what was forgiven is not given again"
