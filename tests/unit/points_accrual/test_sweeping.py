"""What time alone changes comes in the order of its moments, however seldom somebody looks."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from contracts.orders import Dispute, OrderChangedV1
from contracts.program import Program
from points_accrual.domain.catalogue import RefusedError
from points_accrual.domain.commands import Redeem
from points_accrual.domain.spending import redeem
from points_accrual.domain.world import UseKey
from tests.unit.points_accrual.samples import (
    ANN,
    DAY,
    T0,
    Ledger,
    back,
    enrolled,
    interval,
    line,
    order,
    program,
    spend,
    standing,
)
from tests.unit.points_accrual.test_replaying import same

ACTIVE = T0 + 14 * DAY


def owing(document: Program) -> Ledger:
    """A member who spent 100 points of an order that came back four days after they were active."""
    ledger = Ledger(document).send(enrolled(), order()).sweep(ACTIVE)
    ledger.do(redeem, ANN, Redeem(reward_id="ten-off"), ACTIVE)
    refund = back("r", ACTIVE + 4 * DAY, {"1": 10000})
    ledger.send(order(revision=2, refunds=(refund,), recorded_at=ACTIVE + 4 * DAY))
    assert ledger.buckets() == (0, 0, 100)
    return ledger


def test_a_debt_that_is_forgiven_first_is_not_paid_by_points_that_come_later() -> None:
    ledger = owing(program(write_off_days=30))
    second = order(line("1", 5000), order_id="2", placed_at=ACTIVE + 25 * DAY)
    ledger.send(second)
    assert ledger.sweep(ACTIVE + 60 * DAY).buckets() == (0, 50, 0)


def test_a_debt_that_is_paid_first_is_not_forgiven() -> None:
    ledger = owing(program(write_off_days=30))
    ledger.send(order(line("1", 12000), order_id="2", placed_at=ACTIVE + 5 * DAY))
    assert ledger.sweep(ACTIVE + 60 * DAY).buckets() == (0, 20, 0)


@pytest.mark.parametrize("parts", [(10000,), (2000, 8000)])
def test_a_debt_that_is_forgiven_stays_so_however_it_arose(parts: tuple[int, ...]) -> None:
    """The refunds turn out to be goodwill: what was forgiven is not given once more."""
    ledger = Ledger(program(write_off_days=30, pending_days=0)).send(enrolled(), order())
    ledger.do(redeem, ANN, Redeem(reward_id="ten-off"), T0 + DAY)
    refunds = tuple(back(str(n), T0 + (2 + n) * DAY, {"1": part}) for n, part in enumerate(parts))
    for number in range(1, len(parts) + 1):
        at = T0 + (1 + number) * DAY
        ledger.send(order(revision=1 + number, refunds=refunds[:number], recorded_at=at))
        if number == 1:
            ledger.send(order(line("1", 3000), order_id="2", placed_at=at, recorded_at=at))
    assert ledger.buckets() == (0, 0, 70)
    ledger.sweep(T0 + 60 * DAY)
    goodwill = tuple(item.model_copy(update={"goodwill": True}) for item in refunds)
    ledger.send(order(revision=9, refunds=goodwill, recorded_at=T0 + 61 * DAY))
    assert ledger.buckets() == (0, 30, 0)


def test_a_coupon_whose_points_were_spent_again_is_settled_more_than_once_by_one_revision() -> None:
    """Each is a decision of its own: the database takes no key twice."""
    ledger = Ledger(program(pending_days=0, clawback="within_balance")).send(enrolled(), order())
    code = ledger.do(redeem, ANN, Redeem(reward_id="ten-off"), T0 + DAY)["code"]
    for revision, payment in enumerate(("paid", "voided"), start=1):
        ledger.send(_second(revision, payment, code))
    ledger.do(redeem, ANN, Redeem(reward_id="ten-off"), T0 + 4 * DAY)
    ledger.send(_second(3, "paid", code))
    for version, tier in enumerate(("gold", "silver"), start=1):
        ledger.send(standing(interval(tier, T0), version=version, at=T0 + (8 + version) * DAY))
    ledger.check()


def _second(revision: int, payment: str, code: str) -> OrderChangedV1:
    at = T0 + (1 + revision) * DAY
    return order(
        line("1", 5000), order_id="2", placed_at=T0 + 2 * DAY, recorded_at=at, updated_at=at, revision=revision,
        payment=payment, discount_codes=(code,),
    )  # fmt: skip


def test_the_days_of_a_debt_are_those_of_the_zone() -> None:
    """Clocks go forward in Berlin on 29 March 2026: thirty days after 19 March 13:00 are an hour fewer."""
    ledger = owing(program(write_off_days=30, zone="Europe/Berlin"))
    due = datetime(2026, 4, 18, 11, tzinfo=UTC)
    assert ledger.sweep(due - timedelta(minutes=1)).buckets() == (0, 0, 100)
    assert ledger.sweep(due).buckets() == (0, 0, 0)


def test_points_of_a_coupon_that_ran_out_come_back_before_their_lot_ends() -> None:
    """The coupon runs out on 18 April, its lot after 15 May: the points are back in time, and end with the lot."""
    document = program(validity_months=2, rest={"redemption": {"expired_coupon": "give_back"}})
    ledger = Ledger(document).send(enrolled(), order(line("1", 15000))).sweep(ACTIVE)
    ledger.do(redeem, ANN, Redeem(reward_id="ten-off"), ACTIVE + 3 * DAY)
    assert ledger.sweep(datetime(2026, 5, 16, tzinfo=UTC)).buckets() == (0, 0, 0)


def test_an_order_that_was_not_fulfilled_in_time_lapses_once() -> None:
    document = program(pending={"fulfilled": True, "cancel_after_days": 30})
    ledger = Ledger(document).send(enrolled(), order())
    ledger.sweep(T0 + 31 * DAY)
    decisions = len(ledger.account().decisions)
    assert ledger.sweep(T0 + 32 * DAY).buckets() == (0, 0, 0)
    assert len(ledger.account().decisions) == decisions


def test_an_order_that_waits_with_no_points_left_does_not_lapse() -> None:
    """Nobody looks it up then; if points come back into it late, it lapses at once."""
    document = program(pending={"fulfilled": True, "cancel_after_days": 30})
    waiting = order(line("1", 10000))
    gone = {"revision": 2, "recorded_at": T0 + DAY, "cancelled_at": T0 + DAY}
    ledger = Ledger(document).send(enrolled(), waiting, waiting.model_copy(update=gone))
    decisions = len(ledger.account().decisions)
    ledger.sweep(T0 + 31 * DAY)
    assert len(ledger.account().decisions) == decisions
    again = {"revision": 3, "recorded_at": T0 + 32 * DAY}
    ledger.send(waiting.model_copy(update=again)).sweep(T0 + 32 * DAY)
    assert ledger.buckets() == (0, 0, 0)


@pytest.mark.parametrize("together", [False, True])
def test_a_payment_learnt_late_gives_an_order_that_lapsed_more_time(together: bool) -> None:
    """It lapsed on the day that counted from its order; it was paid ten days later, and fulfilled in time for that."""
    document = program(pending={"fulfilled": True, "cancel_after_days": 30})
    waiting = order().model_copy(update={"paid_at": None})
    ledger = Ledger(document).send(enrolled(), waiting).sweep(T0 + 31 * DAY)
    assert ledger.buckets() == (0, 0, 0)
    paid = {"revision": 2, "paid_at": T0 + 10 * DAY, "recorded_at": T0 + 32 * DAY}
    fulfilled = {**paid, "revision": 3, "fulfilled_at": T0 + 35 * DAY, "recorded_at": T0 + 36 * DAY}
    if not together:
        ledger.send(waiting.model_copy(update=paid)).sweep(T0 + 33 * DAY)
        assert ledger.buckets() == (100, 0, 0)
    assert ledger.send(waiting.model_copy(update=fulfilled)).sweep(T0 + 50 * DAY).buckets() == (0, 100, 0)


def test_an_order_whose_later_time_runs_out_too_lapses_again() -> None:
    document = program(pending={"fulfilled": True, "cancel_after_days": 30})
    waiting = order().model_copy(update={"paid_at": None})
    ledger = Ledger(document).send(enrolled(), waiting).sweep(T0 + 31 * DAY)
    paid = {"revision": 2, "paid_at": T0 + 10 * DAY, "recorded_at": T0 + 32 * DAY}
    ledger.send(waiting.model_copy(update=paid)).sweep(T0 + 41 * DAY)
    assert ledger.buckets() == (0, 0, 0)
    late = {**paid, "revision": 3, "fulfilled_at": T0 + 42 * DAY, "recorded_at": T0 + 42 * DAY}
    assert ledger.send(waiting.model_copy(update=late)).buckets() == (0, 0, 0)


@pytest.mark.parametrize("learnt_after_days", [6, 40])
def test_an_order_cancelled_before_its_time_ran_out_counted_until_then(learnt_after_days: int) -> None:
    document = program(pending={"fulfilled": True, "cancel_after_days": 30})
    waiting, cancelled_at = order(), T0 + 5 * DAY
    learnt_at = T0 + learnt_after_days * DAY
    gone = {"revision": 2, "recorded_at": learnt_at, "cancelled_at": cancelled_at}
    ledger = Ledger(document).send(enrolled(), waiting).sweep(learnt_at)
    ledger.send(waiting.model_copy(update=gone)).sweep(T0 + 50 * DAY)
    (claim,) = (claim for claim in ledger.world.claims.values() if claim.key.kind == "order")
    assert [(step.acts_from, step.base_points) for step in claim.base] == [(T0, 100), (cancelled_at, 0)]


def contested(number: str, placed_at: datetime, at: datetime, *, revision: int, won: bool = False) -> OrderChangedV1:
    """An order that somebody disputes two days after it was placed; `at`: when that, or that the shop won, is told."""
    opened_at = placed_at + 2 * DAY
    dispute = Dispute(
        dispute_id=number, opened_at=opened_at, outcome="won" if won else "open", closed_at=at if won else None
    )  # fmt: skip
    return order(order_id=number, placed_at=placed_at, revision=revision, disputes=(dispute,), recorded_at=at,
                 updated_at=at)  # fmt: skip


@pytest.mark.parametrize(("won", "ends"), [("1", (0, 100, 0)), ("2", (0, 0, 0))])
def test_a_debt_is_forgiven_where_it_is_still_open(won: str, ends: tuple[int, int, int]) -> None:
    """The first was paid by another order: its points come back when the dispute is won, those of the second do not."""
    ledger = Ledger(program(pending_days=0, clawback="unlimited", write_off_days=30)).send(enrolled())
    for number, placed_at in (("1", T0), ("2", T0 + 10 * DAY)):
        ledger.send(order(order_id=number, placed_at=placed_at))
        ledger.do(redeem, ANN, Redeem(reward_id="ten-off"), placed_at + DAY)
        ledger.send(contested(number, placed_at, placed_at + 2 * DAY, revision=2))
        assert ledger.buckets() == (0, 0, 100)
        if number == "1":
            assert ledger.send(order(order_id="3", placed_at=T0 + 3 * DAY)).buckets() == (0, 0, 0)
    assert ledger.sweep(T0 + 60 * DAY).buckets() == (0, 0, 0)
    ledger.send(contested(won, T0 if won == "1" else T0 + 10 * DAY, T0 + 61 * DAY, revision=3, won=True))
    assert ledger.buckets() == ends


def test_a_debt_that_arose_last_is_forgiven_first_whatever_its_lot() -> None:
    """The refund of the older order came later: what was added in between had paid that of the newer one."""
    ledger = Ledger(program(pending_days=0, clawback="unlimited", write_off_days=30)).send(enrolled())
    ledger.send(order(order_id="A"), order(order_id="B", placed_at=T0 + DAY))
    for _ in range(2):
        ledger.do(redeem, ANN, Redeem(reward_id="ten-off"), T0 + 2 * DAY)

    def gone(number: str, placed_at: datetime, at: datetime) -> OrderChangedV1:
        return order(
            order_id=number, placed_at=placed_at, revision=2, recorded_at=at, updated_at=at, payment="refunded",
            refunds=(back("r", at, {"1": 10000}),),
        )  # fmt: skip

    ledger.send(gone("B", T0 + DAY, T0 + 3 * DAY), order(order_id="C", placed_at=T0 + 4 * DAY))
    assert ledger.send(gone("A", T0, T0 + 5 * DAY)).buckets() == (0, 0, 100)
    assert ledger.sweep(T0 + 60 * DAY).buckets() == (0, 0, 0)
    at = T0 + 61 * DAY
    ledger.send(order(order_id="A", revision=3, recorded_at=at, updated_at=at))
    assert ledger.buckets() == (0, 0, 0), "it was forgiven, so it does not come back"


def test_who_enrolled_before_any_version_gets_what_the_first_one_brings() -> None:
    welcome = {"type": "enrolment", "id": "welcome", "points": 500}
    later = program(spend(), welcome, version=2, effective_from=T0 + 200 * DAY)
    ledger = Ledger(program(spend(), effective_from=T0 + 10 * DAY), later).send(enrolled())
    assert ledger.sweep(T0 + 201 * DAY).buckets() == (0, 0, 0)


def test_who_enrolled_before_any_version_was_in_force_gets_what_enrolment_brings_then() -> None:
    welcome = {"type": "enrolment", "id": "welcome", "points": 100}
    versions = [program(spend(), welcome, version=n, effective_from=T0 + (2 * n - 1) * DAY) for n in (1, 2)]
    ledger = Ledger(*versions)
    assert ledger.send(enrolled()).sweep(T0).buckets() == (0, 0, 0)
    for later in (2, 4, 6):
        assert ledger.sweep(T0 + later * DAY).buckets() == (0, 100, 0)


@pytest.mark.parametrize("reward", [
    {"type": "donation", "value_minor": 100, "cause": "trees"}, {"type": "draw_entry", "draw": "car"},
    {"type": "membership", "membership": "plus", "days": 365},
])  # fmt: skip
def test_points_for_what_is_no_coupon_do_not_come_back_with_time(reward: dict[str, Any]) -> None:
    """A version that was published says so still."""
    draw = {"id": "car", "name": {"en": "Car"}, "closes_at": T0 + 90 * DAY, "winners": 1, "commitment": "0" * 64}
    rest = {
        "rewards": [reward | {"id": "it", "name": {"en": "It"}, "cost": 100, "valid_days": 5}], "draws": [draw],
        "causes": [{"id": "trees", "name": {"en": "Trees"}}], "memberships": [{"id": "plus", "name": {"en": "Plus"}}],
        "redemption": {"expired_coupon": "give_back"},
    }  # fmt: skip
    ledger = Ledger(program(pending_days=0, rest=rest)).send(enrolled(), order())
    ledger.do(redeem, ANN, Redeem(reward_id="it"), T0 + DAY)
    assert ledger.sweep(T0 + 30 * DAY).buckets() == (0, 0, 0)
    assert [coupon.state for coupon in ledger.world.coupons.values()] == ["issued"]


def test_a_gift_that_waited_for_a_code_is_given_once_there_are_some() -> None:
    gift = {"id": "c", "counts": "orders", "at": [1, 2], "reward": "ten-off"}
    ledger = Ledger(program(codes="pool", rest={"challenges": [gift]}))
    codes: list[str] = []
    ledger.world.new_code = lambda _program, _reward: codes.pop() if codes else None
    ledger.send(enrolled(), order(), order(order_id="2")).sweep(T0 + DAY)
    assert not ledger.world.coupons
    for found, code in enumerate(("B", "A"), start=1):
        codes.append(code)
        ledger.sweep(T0 + (1 + found) * DAY)
        assert len(ledger.world.coupons) == found
    assert [coupon.code for coupon in ledger.world.coupons.values()] == ["B", "A"]
    assert [decision.kind for decision in ledger.account().decisions].count("gift") == 2
    same(ledger)


def mugs(stock: int | None, version: int = 1, **reward: Any) -> Program:
    """Every order brings a mug, of which there are so many in all."""
    mug = {"type": "free_product", "id": "mug", "name": {"en": "Mug"}, "cost": 10, "product": "mug", "stock": stock}
    mug |= {"valid_days": 100} | reward
    gift = {"id": "c", "counts": "orders", "every": 1, "reward": "mug"}
    since = datetime(2020, 1, 1, tzinfo=UTC) if version == 1 else T0 + version * DAY
    rest = {"rewards": [mug], "challenges": [gift]}
    return program(version=version, effective_from=since, pending_days=0, rest=rest)


def given(ledger: Ledger) -> tuple[int, int]:
    """How many mugs there are, and what was counted against the stock."""
    live = sum(coupon.live for coupon in ledger.world.coupons.values())
    return live, ledger.world.uses[UseKey("aurora", None, "stock:mug", "")]


def test_gifts_take_from_the_stock_and_wait_when_it_is_empty() -> None:
    ledger = Ledger(mugs(1), mugs(2, version=5)).send(enrolled(), *(order(order_id=str(n)) for n in range(3)))
    assert given(ledger) == (1, 1)
    with pytest.raises(RefusedError, match="out of stock"):
        ledger.do(redeem, ANN, Redeem(reward_id="mug"), T0 + DAY)
    assert given(ledger.sweep(T0 + 2 * DAY)) == (1, 1)
    assert given(ledger.sweep(T0 + 6 * DAY)) == (2, 2)
    gone = [order(order_id=str(n), revision=2, payment="voided", recorded_at=T0 + 7 * DAY) for n in range(3)]
    assert given(ledger.send(*gone)) == (0, 0)
    same(ledger)


def test_a_gift_of_a_reward_without_codes_waits_for_stock_too() -> None:
    trees = {"type": "donation", "id": "mug", "name": {"en": "Tree"}, "cost": 10, "value_minor": 100, "cause": "trees"}
    changed = []
    for document in (mugs(1), mugs(None, version=5)):
        data = document.model_dump(mode="json")
        data["rewards"] = [trees | {"stock": data["rewards"][0]["stock"], "codes": "pool"}]
        changed.append(Program.model_validate(data | {"causes": [{"id": "trees", "name": {"en": "Trees"}}]}))
    ledger = Ledger(*changed).send(enrolled(), order(), order(order_id="2"))
    ledger.world.new_code = lambda _program, _reward: None
    assert given(ledger) == (1, 1)
    assert given(ledger.sweep(T0 + 6 * DAY)) == (2, 1)
    same(ledger)


def test_gifts_of_before_stock_was_counted_are_made_again_as_they_were() -> None:
    ledger = Ledger(mugs(1)).send(enrolled(), order())
    for decision in ledger.account().decisions:
        decision.pinned = {name: value for name, value in decision.pinned.items() if not name.startswith("stock:")}
    for coupon in ledger.world.coupons.values():
        coupon.windows = {}
    same(ledger)


def test_a_gift_that_waited_and_is_not_deserved_any_more_is_not_given() -> None:
    gift = {"id": "c", "counts": "orders", "at": [1], "reward": "ten-off"}
    ledger = Ledger(program(codes="pool", rest={"challenges": [gift]}))
    ledger.world.new_code = lambda _program, _reward: None
    ledger.send(enrolled(), order(), order(revision=2, payment="voided"))
    ledger.world.new_code = lambda _program, _reward: "A"
    ledger.sweep(T0 + DAY)
    assert not ledger.world.coupons
