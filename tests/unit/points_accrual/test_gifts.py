"""Gifts of challenges that wait: they are given once, when they can be, to who may still have them."""

from typing import Any

from contracts.orders import OrderChangedV1
from contracts.program import Program
from points_accrual.domain.giving import waits
from points_accrual.domain.world import UseKey
from points_accrual.store.coupons import gifts
from tests.unit.points_accrual.samples import (
    ANN,
    BOB,
    DAY,
    T0,
    Ledger,
    back,
    enrolled,
    line,
    merge,
    order,
    program,
    published,
)
from tests.unit.points_accrual.test_replaying import same

COUPON = {"type": "money_off", "id": "ten-off", "name": {"en": "10"}, "cost": 100, "value_minor": 1000}
POOLED = COUPON | {"codes": "pool"}
TICKET = {"type": "draw_entry", "id": "ticket", "name": {"en": "Ticket"}, "cost": 100, "draw": "bike"}
TREE = {"type": "donation", "id": "tree", "name": {"en": "Tree"}, "cost": 9, "cause": "trees", "value_minor": 100}
CAUSES = [{"id": "trees", "name": {"en": "Trees"}}]


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


def pieces(number: int, day: int, count: int = 5, **values: Any) -> OrderChangedV1:
    told = T0 + day * DAY
    item = line("1", 10000, quantity=count)
    return order(item, order_id=str(number), placed_at=told, **({"recorded_at": told, "updated_at": told} | values))


def each_again(reward: dict[str, Any]) -> Ledger:
    """Two who turn out to be one reached it once each; that is cancelled, and one order reaches it twice."""
    given = [{"id": "c", "counts": "pieces", "every": 5, "reward": reward["id"]}]
    ledger = Ledger(program(rest={"rewards": [reward], "challenges": given, "causes": CAUSES}))
    ledger.send(enrolled(), enrolled(member_id=BOB), pieces(1, 1), pieces(2, 2, member_id=BOB))
    ledger.send(merge(BOB, ANN, T0 + 3 * DAY))
    gone: dict[str, Any] = {"revision": 2} | dict.fromkeys(("cancelled_at", "updated_at", "recorded_at"), T0 + 4 * DAY)
    ledger.send(pieces(1, 1, **gone), pieces(2, 2, member_id=BOB, **gone))
    assert {coupon.state for coupon in ledger.world.coupons.values()} == {"returned"}
    return ledger.send(pieces(3, 5, 10))


def test_each_coupon_of_two_who_are_one_has_a_code_of_its_own() -> None:
    ledger = each_again(COUPON)
    coupons = ledger.world.coupons.values()
    assert [coupon.state for coupon in coupons].count("issued") == 2
    assert len({coupon.code for coupon in coupons}) == len(coupons) == 4
    same(ledger)


def test_two_who_are_one_get_no_more_than_there_is() -> None:
    ledger = each_again(TREE | {"stock": 1})
    assert [coupon.state for coupon in ledger.world.coupons.values()].count("issued") == 1
    assert ledger.world.uses[UseKey("aurora", None, "stock:tree", "")] == 1
    same(ledger)


def with_draw(challenges: list[dict[str, Any]], version: int = 1, day: int = 0, **ticket: Any) -> Program:
    """A program with a draw that closes on the fifth day."""
    draws = [{"id": "bike", "name": {"en": "Bike"}, "closes_at": T0 + 5 * DAY, "winners": 1, "commitment": "0" * 64}]
    rest = {"rewards": [TICKET | ticket], "challenges": challenges, "draws": draws}
    return program(version=version, effective_from=T0 + (day - 9) * DAY, rest=rest)


def test_a_draw_that_has_closed_gives_no_tickets() -> None:
    ledger = Ledger(with_draw(challenge(1, reward="ticket"))).send(enrolled())
    ledger.send(bought(1, 1), bought(2, 2, at=5)).sweep(T0 + 9 * DAY)
    assert [coupon.issued_at for coupon in ledger.world.coupons.values()] == [T0 + DAY]
    assert ledger.account().decisions[-1].kind == "order", "nothing waits for it to open again"
    same(ledger)


def test_a_ticket_that_waited_until_its_draw_closed_waits_no_more() -> None:
    ledger = Ledger(with_draw(challenge(1, reward="ticket"), stock=1)).send(enrolled(), bought(1, 1), bought(2, 2))
    assert any(waits(claim) for claim in ledger.claims())
    ledger.send(published(with_draw([], version=2, day=15))).sweep(T0 + 7 * DAY)
    assert len(ledger.world.coupons) == 1
    assert not any(waits(claim) for claim in ledger.claims())
    same(ledger)
