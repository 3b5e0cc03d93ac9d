"""Gifts of challenges that wait: they are given once, when they can be, to who may still have them."""

from typing import Any

from contracts.orders import OrderChangedV1
from contracts.program import Program
from points_accrual.domain.world import UseKey
from points_accrual.store.coupons import gifts
from tests.unit.points_accrual.samples import ANN, DAY, T0, Ledger, back, enrolled, order, program
from tests.unit.points_accrual.test_replaying import same

COUPON = {"type": "money_off", "id": "ten-off", "name": {"en": "10"}, "cost": 100, "value_minor": 1000}
POOLED = COUPON | {"codes": "pool"}


def challenge(every: int, **gives: Any) -> list[dict[str, Any]]:
    return [{"id": "c", "counts": "orders", "every": every, **gives}]


def coupon_then_points(every: int) -> tuple[Program, Program]:
    """A challenge that gave a coupon of the pool, and from the tenth day on points."""
    first = program(rest={"rewards": [POOLED], "challenges": challenge(every, reward="ten-off")})
    rest = {"rewards": [POOLED], "challenges": challenge(every, points=5)}
    return first, program(version=2, effective_from=T0 + 10 * DAY, rest=rest)


def waiting(codes: list[str], *programs: Program) -> Ledger:
    """A ledger whose pool has these codes."""
    ledger = Ledger(*programs)
    ledger.world.new_code = lambda _program, _reward: codes.pop() if codes else None
    ledger.send(enrolled())
    return ledger


def bought(number: int, day: int, *, revision: int = 1, at: int | None = None, **values: Any) -> OrderChangedV1:
    told = T0 + (day if at is None else at) * DAY
    return order(
        order_id=str(number), placed_at=T0 + day * DAY, revision=revision, recorded_at=told, updated_at=told, **values
    )  # fmt: skip


def test_a_gift_that_is_deserved_again_is_given_by_a_decision_of_its_own() -> None:
    codes: list[str] = []
    ledger = waiting(codes, *coupon_then_points(2))
    ledger.send(bought(1, 1), bought(2, 2), bought(3, 11))
    codes.append("A")
    ledger.sweep(T0 + 12 * DAY)
    ledger.send(bought(2, 2, revision=2, at=13, payment="pending", paid_at=None), bought(2, 2, revision=3, at=14))
    codes.append("B")
    ledger.sweep(T0 + 15 * DAY)
    assert [(coupon.code, coupon.state) for coupon in ledger.world.coupons.values()] == [
        ("A", "returned"),
        ("B", "issued"),
    ]
    ledger.check()
    same(ledger)


def test_what_another_version_gives_points_for_waits_for_no_code() -> None:
    codes: list[str] = []
    ledger = waiting(codes, *coupon_then_points(3))
    ledger.send(*(bought(number, number) for number in (1, 2, 3)), bought(4, 12))
    gone = {"payment": "refunded", "refunds": (back("r", T0 + 13 * DAY, {"1": 10000}),)}
    ledger.send(bought(3, 3, revision=2, at=13, **gone))
    codes.append("A")
    ledger.sweep(T0 + 14 * DAY)
    assert not ledger.world.coupons


def test_who_was_erased_gets_nothing_that_waited() -> None:
    codes: list[str] = []
    ledger = waiting(codes, program(rest={"rewards": [POOLED], "challenges": challenge(1, reward="ten-off")}))
    ledger.send(bought(1, 1), enrolled(T0 + 5 * DAY, version=2, status="erased"))
    codes.append("A")
    ledger.sweep(T0 + 14 * DAY)
    assert not ledger.world.coupons


def test_a_gift_takes_from_the_stock_that_a_later_version_set() -> None:
    """The version whose challenge gives it knew none, so that nobody thought of looking it up."""
    first = program(rest={"rewards": [COUPON], "challenges": challenge(1, reward="ten-off")})
    stocked = {"rewards": [COUPON | {"stock": 1}], "challenges": []}
    ledger = Ledger(first, program(version=2, effective_from=T0 + 10 * DAY, rest=stocked))
    stock = UseKey("aurora", None, "stock:ten-off", "")
    assert {reward.stock for _, reward in gifts(ledger.world, ["aurora"])} == {None, 1}
    ledger.send(enrolled(), bought(1, 1, at=20), bought(2, 2, at=20))
    assert [coupon.member_id for coupon in ledger.world.coupons.values()] == [ANN]
    assert ledger.world.uses[stock] == 1
