"""Dry runs that leave no trace and show no secret, adjustments with a second person, what members gave to causes."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import httpx
import pytest

from contracts.base import EARLIEST
from contracts.ids import derived_id
from contracts.program import Program
from points_accrual import store
from points_accrual.rebuild import check
from shared.db import plain
from shared.testing import Harness
from tests.integration.points_accrual.conftest import NOW, service
from tests.integration.points_accrual.test_chance import know
from tests.integration.points_accrual.test_ledger_database import rows
from tests.unit.points_accrual.programs import CAT
from tests.unit.points_accrual.samples import ANN, BOB, DAY, activity, back, book, enrolled, line, order, program

pytestmark = pytest.mark.integration
COMMITMENT = "ab" * 32
DOCUMENT = program(
    {"type": "spend", "id": "spend", "points_per_unit": "1"},
    {
        "type": "activity",
        "id": "review",
        "activity": "review",
        "points": 20,
        "limits": [{"per": "object", "times": 1}],
    },
    pending_days=0,
    rest={
        "rewards": [
            {"type": "free_product", "id": "mug", "name": {"en": "Mug"}, "cost": 50, "product": "mug", "codes": "pool"},
            {
                "type": "donation",
                "id": "tree",
                "name": {"en": "Tree"},
                "cost": 40,
                "value_minor": 100,
                "cause": "trees",
            },
        ],
        "challenges": [
            {"id": "second", "counts": "orders", "at": [2], "reward": "mug"},
            {"id": "luck", "counts": "orders", "surprise_in": 2, "commitment": COMMITMENT, "points": 999},
        ],
        "causes": [{"id": "trees", "name": {"en": "Trees"}}],
        "households": {"members_max": 2},
        "adjustments": {"points_max": 1000, "approval_above": 100},
    },
)


@pytest.fixture
async def ledger(database: str) -> AsyncIterator[Harness]:
    async with service(database, DOCUMENT) as running:
        await running.deliver(enrolled(NOW - 9 * DAY), order(placed_at=NOW - 8 * DAY))
        await running.outbox()
        yield running
        async with running.context.pool.acquire() as connection:
            assert await store.imbalances(plain(connection)) == []


async def post(ledger: Harness, path: str, body: Any, scope: Any = "admin", key: str | None = None) -> httpx.Response:
    headers = ledger.token(scope) | ({"Idempotency-Key": key} if key else {})
    return await ledger.client.post(f"/v1/{path}", json=body, headers=headers)


def cart(gross: int) -> dict[str, Any]:
    made = order(line("1", gross), placed_at=NOW).model_dump(mode="json")
    names = {"program_id", "member_id", "revision", "recorded_at", "fingerprints"}
    return {name: value for name, value in made.items() if name not in names}


async def test_a_cart_is_tried_and_nothing_is_written(ledger: Harness) -> None:
    async with ledger.context.pool.acquire() as connection:
        await store.import_codes(plain(connection), "aurora", "mug", ["SECRET-MUG"])
        await connection.execute(
            "INSERT INTO seeds (commitment, program_id, seed, made_at) VALUES ($1, 'aurora', $2, now())",
            COMMITMENT, b"x" * 32,
        )  # fmt: skip
    before = await rows(ledger)
    answer = await post(ledger, f"members/{ANN}/dry-runs/order", cart(95000), "store")
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert (found["points"], found["granted_by_rule"]) == (950, {"spend": 950})
    assert (found["tier_before"], found["tier_after"], found["missing_for_next_tier"]) == ("basic", "silver", 950)
    assert "loyalty.reward.issued.v1" in {item["type"] for item in found["events"]}
    assert "SECRET" not in answer.text
    assert "luck" not in answer.text
    tried = activity("review", at=NOW).model_dump(mode="json", include={"source", "activity_id", "kind", "occurred_at",
                                                                       "verified", "object_id"})  # fmt: skip
    review = await post(ledger, f"members/{ANN}/dry-runs/activity", tried, "store")
    assert review.json()["points"] == 20, review.text
    assert await rows(ledger) == before
    assert await ledger.outbox() == []


async def test_a_cart_says_nothing_of_others(ledger: Harness) -> None:
    """Whether a guessed code is somebody's cannot be found out by trying carts, nor can their accounts be locked."""
    async with ledger.context.pool.acquire() as connection:
        await store.import_codes(plain(connection), "aurora", "mug", ["MUG"])
    bought = await post(ledger, f"members/{ANN}/redemptions", {"reward_id": "mug"}, "store", "mug")
    assert bought.json()["code"] == "MUG"
    await ledger.deliver(enrolled(NOW - 9 * DAY, member_id=BOB))
    refund = back("r", NOW, {"1": 5000}).model_dump(mode="json")
    token, found = ledger.token("member", member_id=BOB), []
    async with ledger.context.pool.acquire() as connection, connection.transaction():
        await connection.execute("SELECT FROM accounts WHERE member_id = $1 FOR UPDATE", ANN)
        for rest in ({}, *({"discount_codes": [code], "refunds": [refund]} for code in ("MUG", "GUM"))):
            path = f"/v1/members/{BOB}/dry-runs/order"
            answer = await ledger.client.post(path, json=cart(5000) | rest, headers=token)
            assert answer.status_code == 200, answer.text
            assert all(item["data"].get("member_id") == str(BOB) for item in answer.json()["events"])
            found.append((answer.json()["points"], [item["type"] for item in answer.json()["events"]]))
    assert found == [found[0]] * 3


async def test_a_great_adjustment_waits_for_a_second_person(ledger: Harness) -> None:
    path = f"members/{ANN}/adjustments"
    asked = await post(ledger, path, {"points": 500, "reason": "a lost parcel"}, key="1")
    assert asked.status_code == 202, asked.text
    waiting = await ledger.client.get("/v1/approvals", headers=ledger.token("admin"))
    (item,) = waiting.json()["approvals"]
    own = await post(ledger, f"approvals/{item['approval_id']}/approval", None)
    assert (own.status_code, own.json()["title"]) == (409, "Second person needed")
    other = ledger.context.tokens.mint(
        "aurora", "admin", now=ledger.clock.now(), ttl=10 * DAY, member_id=None, subject="bob"
    )
    headers = {"Authorization": f"Bearer {other}"}
    done = await ledger.client.post(f"/v1/approvals/{item['approval_id']}/approval", headers=headers)
    assert done.json()["balances"]["active"] == 600, done.text
    again = await ledger.client.post(f"/v1/approvals/{item['approval_id']}/approval", headers=headers)
    assert again.json()["title"] == "Decided already"
    assert (await post(ledger, path, {"points": 2000, "reason": "too much"}, key="2")).status_code == 422
    small = await post(ledger, path, {"points": -50, "reason": "a mistake"}, key="3")
    assert (small.status_code, small.json()["balances"]["active"]) == (201, 550)


async def test_a_key_has_its_effect_once_though_the_bound_changes_between_two_tries(ledger: Harness) -> None:
    """What was posted does not wait later, and what waits is not posted later; another request is an error."""
    path, posted, asked = (
        f"members/{ANN}/adjustments",
        {"points": 90, "reason": "why"},
        {"points": 500, "reason": "why"},
    )
    done = await post(ledger, path, posted, key="done")
    waits = await post(ledger, path, asked, key="waits")
    assert (done.status_code, waits.status_code) == (201, 202)
    bound(ledger, 2, 10)
    again = await post(ledger, path, posted, key="done")
    assert (again.status_code, again.json()) == (201, done.json())
    bound(ledger, 3, 900)
    again = await post(ledger, path, asked, key="waits")
    assert (again.status_code, again.json()) == (202, waits.json())
    for key, other in (("waits", posted), ("waits", asked | {"points": 501}), ("done", asked)):
        assert (await post(ledger, path, other, key=key)).json()["title"] == "Idempotency key used"
    assert (await approve(ledger, waits)).json()["balances"]["active"] == 690
    again = await post(ledger, path, asked, key="waits")
    assert (again.status_code, again.json()["state"]) == (202, "approved")
    async with ledger.context.pool.acquire() as connection:
        await connection.execute("TRUNCATE approvals")  # A backup was restored that did not know it.
    again = await post(ledger, path, asked, key="waits")
    assert (again.status_code, again.json()["balances"]["active"]) == (201, 690)


async def test_no_key_of_a_client_is_that_of_an_approval(ledger: Harness) -> None:
    """Its id follows from the key of who asked: who guesses that must not keep the points away."""
    path, asked = f"members/{ANN}", {"points": 500, "reason": "a lost parcel"}
    guessed = f"approval-{derived_id(EARLIEST, 'approval', ANN, '1')}"
    taken = await post(ledger, f"{path}/redemptions", {"reward_id": "tree"}, "store", guessed)
    assert taken.status_code == 201, taken.text
    waits = await post(ledger, f"{path}/adjustments", asked, key="1")
    assert waits.status_code == 202, waits.text
    done = await approve(ledger, waits)
    assert (done.status_code, done.json()["balances"]["active"]) == (200, 560), done.text
    async with ledger.context.pool.acquire() as connection:
        await connection.execute("TRUNCATE approvals")  # A backup was restored that did not know it.
    again = await post(ledger, f"{path}/adjustments", asked, key="1")
    assert (again.status_code, again.json()) == (201, done.json())


async def test_a_lender_has_keys_of_their_own(ledger: Harness) -> None:
    await ledger.deliver(enrolled(NOW - 9 * DAY, member_id=BOB))
    for member_id in (ANN, BOB):
        headers = ledger.token("admin") | {"Idempotency-Key": "join"}
        home = {"household_id": str(UUID(int=1))}
        assert (
            await ledger.client.put(f"/v1/members/{member_id}/household", json=home, headers=headers)
        ).status_code == 200
    tree = {"reward_id": "tree"}
    assert (await post(ledger, f"members/{ANN}/redemptions", tree, "store", f"plant:{BOB}")).status_code == 201
    lent = await post(ledger, f"members/{BOB}/redemptions", tree, "store", "plant")
    assert lent.status_code == 201, lent.text
    checked = await check(ledger.context.settings.dsn(), book(DOCUMENT))
    assert checked.differences == []


async def test_points_that_have_run_out_are_not_added(ledger: Harness) -> None:
    """Neither at once nor when they run out while they wait for a second person."""
    path, soon = f"members/{ANN}/adjustments", {"reason": "why", "expires_at": (NOW + DAY).isoformat()}
    for points in (50, 500):
        late = await post(ledger, path, {"points": points, "reason": "why", "expires_at": NOW.isoformat()}, key="1")
        assert (late.status_code, late.json()["type"]) == (409, "urn:laurel:expired"), late.text
    waits = await post(ledger, path, soon | {"points": 500}, key="2")
    ledger.clock.at = NOW + 2 * DAY
    refused = await approve(ledger, waits)
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:laurel:expired"), refused.text


def bound(ledger: Harness, version: int, above: int) -> None:
    """A version of the program by which other adjustments wait."""
    rest = {"adjustments": {"points_max": 1000, "approval_above": above}}
    document = DOCUMENT.model_dump(mode="json") | rest | {"version": version}
    know(ledger, Program.model_validate(document))


async def approve(ledger: Harness, asked: httpx.Response) -> httpx.Response:
    """By another person than who asked."""
    token = ledger.context.tokens.mint(
        "aurora", "admin", now=ledger.clock.now(), ttl=10 * DAY, member_id=None, subject="bob"
    )
    headers = {"Authorization": f"Bearer {token}"}
    return await ledger.client.post(f"/v1/approvals/{asked.json()['approval_id']}/approval", headers=headers)


async def test_what_members_gave_is_told(ledger: Harness) -> None:
    for key in ("1", "2"):
        given = await post(ledger, f"members/{ANN}/redemptions", {"reward_id": "tree"}, "store", key)
        assert given.status_code == 201, given.text
    causes = await ledger.client.get("/v1/causes", headers=ledger.token("store"))
    (trees,) = causes.json()["causes"]
    assert (trees["donations"], trees["value_minor"], trees["points"]) == (2, 200, 80)


async def test_a_household_is_never_fuller_than_it_may_be(ledger: Harness) -> None:
    members = [UUID(int=0x8000 << 64 | number) for number in range(1, 9)]
    await ledger.deliver(*(enrolled(NOW - 9 * DAY, member_id=member_id) for member_id in members))

    async def join(member_id: UUID) -> int:
        headers = ledger.token("admin") | {"Idempotency-Key": str(member_id)}
        body = {"household_id": str(UUID(int=1))}
        return (await ledger.client.put(f"/v1/members/{member_id}/household", json=body, headers=headers)).status_code

    answers = await asyncio.gather(*(join(member_id) for member_id in members))
    assert sorted(answers) == [200] * 2 + [409] * 6


async def test_who_was_merged_spends_from_the_household_of_the_survivor(ledger: Harness) -> None:
    await ledger.deliver(*(enrolled(NOW - 9 * DAY, member_id=member_id) for member_id in (BOB, CAT)))
    gone = enrolled(NOW - 9 * DAY, member_id=CAT, version=2).model_copy(update={"merged_into": BOB})
    await ledger.deliver(gone)
    for member_id in (ANN, BOB):
        headers = ledger.token("admin") | {"Idempotency-Key": "join"}
        body = {"household_id": str(UUID(int=1))}
        url = f"/v1/members/{member_id}/household"
        assert (await ledger.client.put(url, json=body, headers=headers)).status_code == 200
    answer = await post(ledger, f"members/{CAT}/redemptions", {"reward_id": "tree"}, "store", "plant")
    assert answer.status_code == 201, answer.text


async def test_points_that_are_earned_in_the_future_are_not_taken_over(ledger: Harness) -> None:
    """They would be spendable from then on, maybe after they ran out; the field is named."""
    for ends in ("2028-01-01T00:00:00Z", "2032-01-01T00:00:00Z", None):
        lot = {"points": 5, "earned_at": "2030-01-01T00:00:00Z", "expires_at": ends}
        body = {"import_id": "old", "as_of": NOW.isoformat(), "lots": [{"points": 1}, lot]}
        answer = await post(ledger, f"members/{ANN}/imports", body)
        assert (answer.status_code, answer.json()["type"]) == (422, "urn:laurel:earned_at"), answer.text
        assert "Lot 2: `earned_at`" in answer.json()["detail"]


async def test_input_that_no_table_can_hold_is_refused(ledger: Harness) -> None:
    path = f"members/{ANN}"
    lot = {"points": 10, "expires_at": "2027-01-01T00:00:00Z", "activates_at": "2027-06-01T00:00:00Z"}
    imported = {"import_id": "old", "as_of": NOW.isoformat(), "lots": [lot]}
    counts = [{"challenge_id": "second", "things": ["a\x00"]}]
    tried = {
        "source": "shop",
        "activity_id": "1",
        "kind": "review",
        "occurred_at": NOW.isoformat(),
        "object_id": "a\x00",
    }
    answers = [
        await post(ledger, f"{path}/adjustments", {"points": 5, "reason": "a\x00bc"}, key="1"),
        await post(ledger, f"{path}/redemptions", {"reward_id": "tree", "order": "shop:a\x00b"}, key="2"),
        await post(ledger, f"{path}/imports", imported),
        await post(ledger, f"{path}/imports", imported | {"lots": [{"points": 10**30}]}),
        await post(ledger, f"{path}/imports", imported | {"lots": [], "counts": counts}),
        await post(ledger, f"{path}/dry-runs/activity", tried, "store"),
        await ledger.client.get("/v1/liability?cost_minor=1e400", headers=ledger.token("admin")),
    ]
    for before in ("2026-01-01T00:00:00Z~a%00b", "9999-12-31T23:59:59-14:00~a", "2026-01-01T00:00:00~a", "x"):
        answers.append(await ledger.client.get(f"/v1/{path}/orders?before={before}", headers=ledger.token("store")))
    assert [answer.status_code for answer in answers] == [422] * len(answers), [answer.text for answer in answers]
