"""What the API tells and does: balances as of now, history in pages, explanations, and redemptions under pressure."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest

from contracts.points import PointsRedeemedV1
from contracts.rewards import RewardIssuedV1
from points_accrual import store
from points_accrual.api.views import PointsView
from points_accrual.app import build
from points_accrual.store.coupons import CODE_ALPHABET
from shared.db import plain
from shared.testing import Harness, harness
from tests.conftest import PostgresServer
from tests.integration.points_accrual.conftest import MIGRATIONS, NOW, service
from tests.unit.points_accrual.samples import (
    ANN,
    BOB,
    DAY,
    T0,
    back,
    enrolled,
    interval,
    line,
    order,
    program,
    published,
    standing,
)

pytestmark = pytest.mark.integration


@pytest.fixture
async def ledger(database: str) -> AsyncIterator[Harness]:
    async with service(database, program(pending_days=45, codes="generated")) as running:
        yield running
        async with running.context.pool.acquire() as connection:
            assert await store.imbalances(plain(connection)) == []


async def get(
    ledger: Harness, path: str, *, scope: Any = "store", member_id: UUID | None = None, **query: Any
) -> httpx.Response:
    headers = ledger.token(scope, member_id=member_id)
    return await ledger.client.get(f"/v1/{path}", headers=headers, params=query)


async def redeem(ledger: Harness, key: str, reward_id: str = "ten-off", member_id: UUID = ANN) -> httpx.Response:
    return await ledger.client.post(
        f"/v1/members/{member_id}/redemptions",
        json={"reward_id": reward_id},
        headers=ledger.token() | {"Idempotency-Key": key},
    )


async def bring(ledger: Harness, codes: list[str]) -> Any:
    answer = await ledger.client.post("/v1/rewards/ten-off/codes", json={"codes": codes}, headers=ledger.token())
    return answer.json()


async def earn(ledger: Harness, points: int, member_id: UUID = ANN) -> None:
    """So many spendable points."""
    at = NOW - 60 * DAY
    await ledger.deliver(
        enrolled(at, member_id=member_id),
        order(line("1", points * 100), order_id=f"e{member_id}", placed_at=at, member_id=member_id),
    )
    await ledger.sweep()
    await ledger.outbox()


async def test_points_as_of_now_without_writing(ledger: Harness) -> None:
    await ledger.deliver(enrolled(), order(), order(order_id="2", placed_at=T0 + 10 * DAY))
    ledger.clock.at = T0 + 46 * DAY
    body = (await get(ledger, f"members/{ANN}/points")).json()
    assert body["balances"] == {"pending": 100, "active": 100, "held": 0, "deficit": 0}
    assert body["next_activation"] == {"at": "2026-04-25T12:00:00Z", "points": 100}
    assert body["next_expiry"] == {"at": "2027-04-16T00:00:00Z", "points": 100}
    assert [(lot["claim_id"], lot["state"], lot["remaining"]) for lot in body["lots"]] == [
        ("shop:1", "active", 100),
        ("shop:2", "pending", 100),
    ]
    async with ledger.context.pool.acquire() as connection:
        assert await connection.fetchval("SELECT pending FROM accounts") == 200


async def test_points_are_not_sent_again_while_nothing_changes(ledger: Harness) -> None:
    await ledger.deliver(enrolled(), order(), order(order_id="2", refunds=(back("r", T0 + DAY, {"1": 5000}),)))
    ledger.clock.at = T0 + 46 * DAY
    first = await get(ledger, f"members/{ANN}/points")
    view = PointsView.model_validate_json(first.content)
    assert view.lots
    assert first.json() == view.model_dump(mode="json"), "every field is there, and nothing else"
    ledger.clock.at += timedelta(seconds=1)
    headers = ledger.token() | {"If-None-Match": first.headers["etag"]}
    again = await ledger.client.get(f"/v1/members/{ANN}/points", headers=headers)
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])
    await ledger.deliver(order(order_id="3", placed_at=T0 + DAY))
    changed = await ledger.client.get(f"/v1/members/{ANN}/points", headers=headers)
    assert changed.status_code == 200
    assert changed.headers["etag"] != first.headers["etag"]


async def test_history_in_pages(ledger: Harness) -> None:
    await ledger.deliver(enrolled(), *(order(order_id=str(number), placed_at=T0 + number * DAY) for number in range(5)))
    refund = back("r", T0 + 9 * DAY, {"1": 2500})
    await ledger.deliver(order(order_id="0", revision=2, refunds=(refund,), recorded_at=T0 + 9 * DAY))
    found, before, pages = [], None, 0
    while pages < 10:
        query: dict[str, Any] = {"before": before} if before else {}
        page = (await get(ledger, f"members/{ANN}/history", limit=4, **query)).json()
        found += page["transfers"]
        pages += 1
        before = page["next"]
        if not before:
            break
    assert (pages, len(found)) == (2, 6)
    assert [(item["debit"], item["credit"], item["points"]) for item in found[:2]] == [
        ("pending", "clawed_back", 25),
        ("source", "pending", 100),
    ]
    first = found[0]
    assert (first["rule_id"], first["claim_id"], first["program_version"]) == ("spend", "shop:0", 1)
    assert (first["cause"], first["reason"]) == ("order", "refunded")


async def test_an_order_is_explained(ledger: Harness) -> None:
    refund = back("r", T0 + 2 * DAY, {"1": 2500})
    await ledger.deliver(enrolled(), standing(interval("silver", T0 - DAY)), order())
    await ledger.deliver(order(revision=2, refunds=(refund,), recorded_at=T0 + 2 * DAY), order(order_id="2", test=True))
    body = (await get(ledger, f"members/{ANN}/orders/shop/1")).json()
    assert (body["granted_at_most"], body["clawed_back"], body["granted"], body["reason"]) == (125, 32, 93, None)
    assert (body["tier_id"], body["multiplier"], body["wanted"]) == ("silver", "1.25", 93)
    spend, tier = body["rules"]
    assert (spend["rule_id"], spend["applied"], spend["wanted"], spend["granted"]) == ("spend", True, 75, 75)
    assert (spend["basis_placed_minor"], spend["basis_minor"], spend["exact"]) == ("10000", "7500", "75")
    assert (tier["rule_id"], tier["exact"], tier["granted"]) == ("tier", "18.75", 18)
    assert [step["base_points"] for step in body["base"]] == [100, 75]
    assert (body["program_version"], body["program_hash"]) == (1, program(pending_days=45).hash())
    assert (await get(ledger, f"members/{ANN}/orders/shop/2")).json()["reason"] == "test_order"
    assert (await get(ledger, f"members/{ANN}/orders/shop/3")).status_code == 404
    assert (await get(ledger, f"members/{BOB}/orders/shop/1")).status_code == 404


async def test_the_latest_orders_are_listed(ledger: Harness) -> None:
    await ledger.deliver(enrolled(), *(order(order_id=str(number), placed_at=T0 + number * DAY) for number in range(3)))
    listed = (await get(ledger, f"members/{ANN}/orders", limit=2)).json()["claims"]
    assert [(item["claim_id"], item["granted"]) for item in listed] == [("shop:2", 100), ("shop:1", 100)]
    assert listed[0] == (await get(ledger, f"members/{ANN}/orders/shop/2")).json()
    assert (await get(ledger, f"members/{BOB}/orders")).status_code == 404


async def test_members_of_other_programs_are_unknown(ledger: Harness) -> None:
    await ledger.deliver(enrolled(), order())
    other = ledger.token(program_id="other")
    for path in (f"members/{ANN}/points", f"members/{ANN}/history", f"members/{ANN}/orders/shop/1"):
        assert (await ledger.client.get(f"/v1/{path}", headers=other)).status_code == 404
    spent = await ledger.client.post(
        f"/v1/members/{ANN}/redemptions", json={"reward_id": "ten-off"}, headers=other | {"Idempotency-Key": "1"}
    )
    assert spent.status_code == 404


async def test_a_member_sees_itself_alone(ledger: Harness) -> None:
    await ledger.deliver(enrolled(), enrolled(member_id=BOB))
    assert (await get(ledger, f"members/{ANN}/points", scope="member", member_id=ANN)).status_code == 200
    for path in ("points", "history", "orders/shop/1"):
        assert (await get(ledger, f"members/{ANN}/{path}", scope="member", member_id=BOB)).status_code == 403
        assert (await ledger.client.get(f"/v1/members/{ANN}/{path}")).status_code == 401


async def test_rewards_are_those_of_the_program_in_force(ledger: Harness) -> None:
    body = (await get(ledger, "rewards", scope="member", member_id=ANN)).json()
    assert [(reward["id"], reward["cost"]) for reward in body["rewards"]] == [("ten-off", 100)]


async def test_a_redemption_issues_a_coupon_once(ledger: Harness) -> None:
    await earn(ledger, 250)
    first = await redeem(ledger, "key-1")
    assert first.status_code == 201
    body = first.json()
    assert body["balances"]["active"] == 150
    assert len(body["code"]) == 12
    assert set(body["code"]) <= set(CODE_ALPHABET)
    assert (await redeem(ledger, "key-1")).json() == body
    other = await redeem(ledger, "key-1", "another")
    assert (other.status_code, other.json()["title"]) == (409, "Idempotency key used")
    redeemed, issued = [event for _, event in await ledger.outbox()]
    assert isinstance(redeemed, PointsRedeemedV1)
    assert isinstance(issued, RewardIssuedV1)
    assert (redeemed.points, redeemed.balances.active, redeemed.cause.id) == (100, 150, "key-1")
    assert (issued.code, issued.code_origin, str(issued.coupon_id)) == (body["code"], "generated", body["coupon_id"])
    assert issued.expires_at == NOW + 30 * DAY
    history = (await get(ledger, f"members/{ANN}/history", limit=1)).json()["transfers"][0]
    assert (history["debit"], history["credit"], history["cause"]) == ("active", "redeemed", "command")
    assert body["code"] not in str(history)


async def test_refusals_are_named_and_judged_anew(ledger: Harness) -> None:
    await earn(ledger, 60)
    missing = await redeem(ledger, "key-1")
    assert (missing.status_code, missing.json()["title"]) == (409, "Insufficient points")
    assert "40 are missing" in missing.json()["detail"]
    assert missing.headers["content-type"] == "application/problem+json"
    assert (await redeem(ledger, "key-1", "no-such")).status_code == 404
    assert (await redeem(ledger, "key-1", member_id=BOB)).status_code == 404
    without_key = await ledger.client.post(
        f"/v1/members/{ANN}/redemptions", json={"reward_id": "ten-off"}, headers=ledger.token()
    )
    assert without_key.status_code == 422
    more = order(line("1", 5000), order_id="more", placed_at=NOW - 50 * DAY)
    await ledger.deliver(more)
    assert (await redeem(ledger, "key-1")).status_code == 201


async def test_input_that_no_table_can_hold_is_refused(ledger: Harness) -> None:
    await earn(ledger, 100)
    for path in ("shop/a%00b", "a%00b/1", "UPPER/1"):
        assert (await get(ledger, f"members/{ANN}/orders/{path}")).status_code == 422
    for key in (b"a\x00b", b" ", b"\xff"):
        headers = [(name.encode(), value.encode()) for name, value in ledger.token().items()]
        refused = await ledger.client.post(
            f"/v1/members/{ANN}/redemptions",
            json={"reward_id": "ten-off"},
            headers=[*headers, (b"Idempotency-Key", key)],
        )
        assert refused.status_code == 422
    assert (await get(ledger, f"members/{ANN}/points")).json()["balances"]["active"] == 100


async def test_spending_waits_until_the_program_is_read(database: str) -> None:
    async with service(database) as ledger:
        await earn(ledger, 100)
    async with harness(build, database, MIGRATIONS, name="points-accrual", now=NOW) as unread:
        early = await redeem(unread, "1")
        assert (early.status_code, early.headers["retry-after"]) == (503, "1")
        reference = unread.service.reference
        assert reference is not None
        reference.apply(published(program()))
        assert (await redeem(unread, "1")).status_code == 201


async def test_a_shopper_cannot_spend(ledger: Harness) -> None:
    await ledger.deliver(enrolled(status="shopper"))
    refused = await redeem(ledger, "1")
    assert (refused.status_code, refused.json()["title"]) == (409, "Not a member")


async def test_a_refusal_leaves_no_trace(ledger: Harness) -> None:
    """Not even the advance of the account."""
    await ledger.deliver(enrolled(), order(line("1", 5000)))
    ledger.clock.at = T0 + 50 * DAY
    assert (await redeem(ledger, "1")).status_code == 409
    async with ledger.context.pool.acquire() as connection:
        row = await connection.fetchrow("SELECT pending, active, sequence FROM accounts")
        assert row is not None
        assert tuple(row) == (50, 0, 2)
    assert len(await ledger.outbox()) == 1


async def test_points_that_became_active_meanwhile_can_be_spent(ledger: Harness) -> None:
    await ledger.deliver(enrolled(), order())
    await ledger.outbox()
    ledger.clock.at = T0 + 50 * DAY
    assert (await redeem(ledger, "1")).status_code == 201
    assert [envelope.type for envelope, _ in await ledger.outbox()] == [
        "loyalty.points.activated.v1",
        "loyalty.points.redeemed.v1",
        "loyalty.reward.issued.v1",
    ]


async def test_fifty_at_once_never_go_below_zero(ledger: Harness) -> None:
    await earn(ledger, 730)
    answers = await asyncio.gather(*(redeem(ledger, f"key-{number}") for number in range(50)))
    assert sorted(answer.status_code for answer in answers) == [201] * 7 + [409] * 43
    assert {answer.json()["title"] for answer in answers if answer.status_code == 409} == {"Insufficient points"}
    codes = [answer.json()["code"] for answer in answers if answer.status_code == 201]
    assert len(set(codes)) == 7
    body = (await get(ledger, f"members/{ANN}/points")).json()
    assert body["balances"]["active"] == 30


async def test_one_key_many_times_at_once_has_one_effect(ledger: Harness) -> None:
    await earn(ledger, 1000)
    answers = await asyncio.gather(*(redeem(ledger, "the-same") for _ in range(20)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.text for answer in answers}) == 1
    assert (await get(ledger, f"members/{ANN}/points")).json()["balances"]["active"] == 900


async def test_redemptions_beside_clawbacks(ledger: Harness) -> None:
    """Refunds and redemptions of one member at once: every transaction sees the other or waits for it."""
    at = NOW - 60 * DAY
    orders = [order(order_id=str(number), placed_at=at) for number in range(6)]
    await ledger.deliver(enrolled(at), *orders)
    await ledger.sweep()
    gone = [item.model_copy(update={"revision": 2, "cancelled_at": NOW, "recorded_at": NOW}) for item in orders[:4]]
    results = await asyncio.gather(
        *(redeem(ledger, f"key-{number}") for number in range(8)), *(ledger.deliver(item) for item in gone)
    )
    spent = sum(1 for item in results if isinstance(item, httpx.Response) and item.status_code == 201)
    balances = (await get(ledger, f"members/{ANN}/points")).json()["balances"]
    assert balances["active"] - balances["deficit"] == 600 - 400 - 100 * spent


async def test_only_the_shop_names_the_order_that_points_pay_for(ledger: Harness) -> None:
    """A member could name one, use the code in another, and have the first refunded: the points came back."""
    await earn(ledger, 500)
    body, statuses = {"reward_id": "ten-off", "order": "shop:1"}, []
    for scope in ("member", "store"):
        headers = ledger.token(scope, member_id=ANN if scope == "member" else None) | {"Idempotency-Key": scope}
        answer = await ledger.client.post(f"/v1/members/{ANN}/redemptions", json=body, headers=headers)
        statuses.append(answer.status_code)
    assert statuses == [403, 201]


async def test_codes_from_a_pool(database: str) -> None:
    async with service(database, program(pending_days=0, codes="pool")) as ledger:
        await earn(ledger, 1000)
        empty = await redeem(ledger, "1")
        assert (empty.status_code, empty.json()["title"]) == (409, "No codes left")
        async with ledger.context.pool.acquire() as connection:
            added = await store.import_codes(plain(connection), "aurora", "ten-off", ["AAA-1", "AAA-2", "AAA-1"])
            assert added == 2
            assert await store.import_codes(plain(connection), "aurora", "ten-off", ["AAA-2", "AAA-3"]) == 1
            with pytest.raises(ValueError, match="code 2 is empty") as error:
                await store.import_codes(plain(connection), "aurora", "ten-off", ["AAA-4", "  "])
            assert "AAA" not in str(error.value)
        answers = await asyncio.gather(*(redeem(ledger, f"key-{number}") for number in range(6)))
        codes = sorted(answer.json()["code"] for answer in answers if answer.status_code == 201)
        assert codes == ["AAA-1", "AAA-2", "AAA-3"]
        again = await redeem(ledger, "key-0")
        assert again.status_code == answers[0].status_code
        issued = [event for _, event in await ledger.outbox() if isinstance(event, RewardIssuedV1)]
        assert {event.code_origin for event in issued} == {"pool"}


async def test_two_imports_at_once_do_not_both_bring_a_code(database: str) -> None:
    async with service(database, program(pending_days=0, codes="pool")) as ledger:
        one, other = await asyncpg.connect(database), await asyncpg.connect(database)
        async with one.transaction():
            assert await store.import_codes(one, "aurora", "ten-off", ["AAA-1"]) == 1
            second = asyncio.create_task(store.import_codes(other, "aurora", "ten-off", ["aaa-1", "BBB"]))
            await asyncio.sleep(0.3)
        assert await second == 1
        async with ledger.context.pool.acquire() as connection:
            assert await store.pool_left(plain(connection), "aurora", "ten-off") == 2
        await one.close()
        await other.close()


async def test_codes_that_differ_only_in_case_are_one(database: str) -> None:
    """As they are for shops: no table takes the second of two coupons with one code."""
    async with service(database, program(pending_days=0, codes="pool")) as ledger:
        await earn(ledger, 1000)
        for codes, added in ((["Welcome1", "WELCOME1", "other"], 2), (["welcome1", "OTHER"], 0)):
            assert (await bring(ledger, codes))["added"] == added
        given = [(await redeem(ledger, key)).json() for key in ("1", "2", "3")]
        assert [item.get("code") for item in given] == ["WELCOME1", "other", None]
        assert given[2]["title"] == "No codes left"
        assert await bring(ledger, ["welcome1"]) == {"added": 0, "left": 0}


@pytest.mark.parametrize(
    ("code", "told", "used"),
    [("straße", "STRAßE", True), ("STRASSE", "straße", False), ("été", "ÉTÉ", True), ("été", "été", True)],
)
async def test_a_code_beyond_ascii_is_found_in_orders(database: str, code: str, told: str, used: bool) -> None:
    """Case by Python's rules and by the database's was not one: where they differ no order had the very code of it."""
    async with service(database, program(pending_days=0, codes="pool")) as ledger:
        assert await use(ledger, code, told) == ("used" if used else "issued")


async def test_a_code_beyond_ascii_is_found_where_the_database_knows_no_case_of_it(postgres: PostgresServer) -> None:
    dsn = postgres.create("plain", options="LOCALE_PROVIDER libc LOCALE 'C'")
    async with service(dsn, program(pending_days=0, codes="pool")) as ledger:
        assert await use(ledger, "été", "éTé") == "used"
    postgres.drop(dsn)


async def use(ledger: Harness, code: str, told: str) -> str:
    """What becomes of a coupon with this code by an order that tells another."""
    await earn(ledger, 100)
    await bring(ledger, [code])
    assert (await redeem(ledger, "1")).json()["code"] == code
    await ledger.deliver(order(order_id="with", placed_at=NOW, recorded_at=NOW, discount_codes=(told,)))
    async with ledger.context.pool.acquire() as connection:
        return str(await connection.fetchval("SELECT state FROM coupons"))


async def test_codes_that_came_in_twice_before_are_drawn_once(database: str) -> None:
    async with service(database, program(pending_days=0, codes="pool")) as ledger:
        await earn(ledger, 1000)
        await bring(ledger, ["A1"])
        assert (await redeem(ledger, "1")).json()["code"] == "A1"
        migration = (MIGRATIONS / "0003_codes_in_any_case.sql").read_text().replace("INDEX", "INDEX IF NOT EXISTS")
        async with ledger.context.pool.acquire() as connection:
            twice = "INSERT INTO coupon_codes (program_id, reward_id, code) VALUES ('aurora', 'ten-off', $1)"
            await connection.executemany(twice, [("a1",), ("b1",), ("B1",), ("c1",)])
            await connection.execute(migration)
        codes = [(await redeem(ledger, key)).json().get("code") for key in ("2", "3", "4")]
        assert [code and code.upper() for code in codes] == ["B1", "C1", None]


async def test_two_members_never_draw_the_same_code(database: str) -> None:
    async with service(database, program(pending_days=0, codes="pool")) as ledger:
        members = [UUID(int=0x8000 << 64 | number) for number in range(1, 9)]
        for member_id in members:
            await earn(ledger, 100, member_id)
        async with ledger.context.pool.acquire() as connection:
            await store.import_codes(plain(connection), "aurora", "ten-off", [f"P-{number}" for number in range(8)])
        answers = await asyncio.gather(*(redeem(ledger, "1", member_id=member_id) for member_id in members))
        assert sorted(answer.json()["code"] for answer in answers) == [f"P-{number}" for number in range(8)]
