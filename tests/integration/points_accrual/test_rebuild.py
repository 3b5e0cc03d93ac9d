"""The ledger made again from its kept decisions, on PostgreSQL: equal, and planted damage is found and named."""

from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID

import pytest

from contracts.members import MemberChangedV1
from contracts.program import Program, ProgramBook
from points_accrual.rebuild import Outcome, check
from shared.testing import Harness
from tests.integration.points_accrual.conftest import NOW, service
from tests.unit.points_accrual.programs import CAT, EVERYBODY, rich
from tests.unit.points_accrual.samples import (
    ANN,
    BOB,
    DAY,
    T0,
    activity,
    back,
    book,
    enrolled,
    interval,
    line,
    order,
    standing,
)

pytestmark = pytest.mark.integration
DOCUMENT: Program = rich("unlimited", {"days": 0}, {"months": 2, "warn_days": [10]}, "pro_rata", 30)
PROGRAMS: ProgramBook = book(DOCUMENT)


async def ask(shop: Harness, member_id: UUID, path: str, body: dict[str, object], key: str) -> dict[str, object]:
    headers = shop.token("admin") | {"Idempotency-Key": key}
    answer = await shop.client.post(f"/v1/members/{member_id}/{path}", json=body, headers=headers)
    assert answer.is_success, answer.text
    found: dict[str, object] = answer.json()
    return found


@pytest.fixture
async def played(database: str) -> AsyncIterator[Harness]:
    """A small shop in which a bit of everything happened."""
    async with service(database, DOCUMENT) as shop:
        await shop.deliver(*(enrolled(T0, member_id=member_id) for member_id in EVERYBODY))
        orders = [
            order(
                line("1", 9000 + 10 * n, categories=("wine",)), line("2", 4000, categories=("book",)),
                order_id=str(n), member_id=EVERYBODY[n % 3], placed_at=T0 + n * DAY, recorded_at=T0 + n * DAY,
            )
            for n in range(12)
        ]  # fmt: skip
        await shop.deliver(*orders[:6])
        await shop.deliver(*orders[6:], activity("review", at=T0 + DAY, object_id="a"))
        await shop.deliver(standing(interval("silver", T0 + 2 * DAY), at=T0 + 9 * DAY))
        await shop.sweep(T0 + 15 * DAY)
        coupon = await ask(shop, ANN, "redemptions", {"reward_id": "ten-off"}, "a")
        held = await ask(shop, ANN, "redemptions", {"reward_id": "ten-off", "hold": True}, "b")
        await ask(shop, ANN, f"redemptions/{held['coupon_id']}/capture", {}, "c")
        await ask(shop, BOB, "transfers", {"to_member_id": str(ANN), "points": 25}, "d")
        await ask(shop, BOB, "adjustments", {"points": 40, "reason": "late parcel"}, "e")
        lots = [{"points": 70, "expires_at": "2026-09-01T00:00:00Z"}]
        await ask(shop, BOB, "imports", {"import_id": "old", "as_of": "2026-03-01T00:00:00Z", "lots": lots}, "f")
        # Somebody else's order uses the coupon, and comes back.
        used = order(
            order_id="98", member_id=BOB, placed_at=NOW, recorded_at=NOW, discount_codes=(str(coupon["code"]),)
        )
        await shop.deliver(used)
        refund = back("r", NOW, {"1": 5000})
        change = {"revision": 2, "recorded_at": NOW, "updated_at": NOW, "refunds": (refund,)}
        await shop.deliver(used.model_copy(update=change), *(item.model_copy(update=change) for item in orders[:5]))
        gone: MemberChangedV1 = enrolled(T0, version=2, member_id=CAT, recorded=NOW)
        await shop.deliver(gone.model_copy(update={"merged_into": ANN}))
        last = {**change, "revision": 3, "cancelled_at": NOW}
        await shop.deliver(orders[2].model_copy(update=last))
        await shop.sweep(NOW + timedelta(days=100))
        yield shop


async def damaged(shop: Harness, database: str, *statements: str) -> Outcome:
    async with shop.context.pool.acquire() as connection:
        await connection.execute("SET session_replication_role = replica")
        for statement in statements:
            assert (await connection.execute(statement)).endswith(" 1"), statement
        await connection.execute("RESET session_replication_role")
    return await check(database, PROGRAMS)


async def test_a_rebuild_is_equal_and_leaves_nothing_behind(played: Harness, database: str) -> None:
    said: list[tuple[int, int]] = []
    outcome = await check(database, PROGRAMS, lambda done, total: said.append((done, total)))
    assert (outcome.stuck, outcome.differences) == ([], [])
    assert outcome.equal
    assert outcome.members == 3
    assert said[-1] == (outcome.decisions, outcome.decisions)
    assert all(outcome.rows[name] for name in ("accounts", "lots", "transfers", "claims", "coupons", "decisions"))
    async with played.context.pool.acquire() as connection:
        assert not await connection.fetchval("SELECT count(*) FROM pg_database WHERE datname LIKE 'rebuild%'")


FIRST_GRANT = "(SELECT transfer_id FROM transfers WHERE rule_id = 'wine' ORDER BY member_id, sequence LIMIT 1)"


@pytest.mark.parametrize(
    ("statement", "table", "word"),
    [
        (f"UPDATE transfers SET points = points + 1 WHERE transfer_id = {FIRST_GRANT}", "transfers", "points"),
        ("DELETE FROM lots WHERE lot_id = (SELECT lot_id FROM lots ORDER BY lot_id LIMIT 1)", "lots", "remaining"),
        ("UPDATE accounts SET active_at = now() WHERE member_id = (SELECT min(member_id::text)::uuid FROM accounts)",
         "accounts", "active_at"),
        ("UPDATE coupons SET code = 'OTHER' WHERE ctid = (SELECT ctid FROM coupons WHERE code IS NOT NULL LIMIT 1)",
         "coupons", "code"),
        ("UPDATE claims SET granted = '{\"wine\": 1}' WHERE claim_id = 'shop:3'", "claims", "granted"),
    ],
)  # fmt: skip
async def test_damage_is_named(played: Harness, database: str, statement: str, table: str, word: str) -> None:
    outcome = await damaged(played, database, statement)
    assert not outcome.equal
    assert {item.table for item in outcome.differences} == {table}
    [first] = outcome.differences
    assert word in f"{first.live} {first.rebuilt}"
    assert "OTHER" not in f"{first.live} {first.rebuilt}"


async def test_an_altered_pinned_number_is_found_by_what_the_rules_make_of_it(played: Harness, database: str) -> None:
    outcome = await damaged(
        played, database,
        "UPDATE decisions SET pinned = jsonb_set(pinned, '{room:all}', '3') WHERE (member_id, sequence) ="
        " (SELECT member_id, min(sequence) FROM decisions WHERE pinned ? 'room:all' GROUP BY 1 ORDER BY 1 LIMIT 1)",
    )  # fmt: skip
    assert not outcome.equal
    assert any(item.table == "transfers" for item in outcome.differences) or outcome.stuck


async def test_a_lost_decision_is_found_and_the_others_are_still_compared(played: Harness, database: str) -> None:
    outcome = await damaged(
        played, database, f"DELETE FROM decisions WHERE member_id = '{ANN}' AND sequence = 2"
    )  # fmt: skip
    assert not outcome.equal
    assert all(str(BOB) not in item.key for item in outcome.differences)
