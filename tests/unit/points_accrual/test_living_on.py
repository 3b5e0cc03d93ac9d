"""Points that live on, or again, by what their member does or the shop decides; and what is told of it."""

from typing import Any
from uuid import UUID

import pytest

from contracts.orders import OrderChangedV1
from contracts.points import PointsReinstatedV1, PointsWaivedV1
from points_accrual.domain import adjusting, sharing, spending
from points_accrual.domain.catalogue import RefusedError
from points_accrual.domain.commands import Capture, Import, Join, OpeningLot, Redeem, Reinstate, Reverse
from points_accrual.domain.lots import Lot
from tests.unit.points_accrual.programs import EVERYBODY
from tests.unit.points_accrual.samples import (
    ANN,
    DAY,
    T0,
    Ledger,
    back,
    enrolled,
    line,
    order,
    program,
)
from tests.unit.points_accrual.test_replaying import same

BY_HAND: dict[str, Any] = {"actor": "test", "reason": "because"}
AT_ONCE = {"redemption": {"returned_days": 0}}
"""What comes back to a lot that has run out is gone at once."""


def bought(number: str, day: int, recorded: int | None = None, minor: int = 10000, **values: Any) -> OrderChangedV1:
    """An order of that day, maybe learnt later. A unit of money is a point."""
    recorded_at = T0 + (day if recorded is None else recorded) * DAY
    return order(
        line("1", minor), order_id=number, placed_at=T0 + day * DAY, updated_at=recorded_at, recorded_at=recorded_at,
        **values,
    )  # fmt: skip


def spent(ledger: Ledger, day: int, **values: Any) -> UUID:
    """A hundred points are spent, or held. Returns the coupon."""
    answer = ledger.do(spending.redeem, ANN, Redeem(reward_id="ten-off", **values), T0 + day * DAY)
    found: UUID = answer["coupon_id"]
    return found


def lot_of(ledger: Ledger, number: str) -> Lot:
    (found,) = (lot for lot in ledger.account().lots.values() if lot.claim.id == f"shop:{number}")
    return found


def checked(ledger: Ledger) -> Ledger:
    ledger.check()
    ledger.check_told()
    same(ledger)
    return ledger


def in_debt() -> Ledger:
    """A hundred points ran out on 1 April; 80 have been owed since 30 April."""
    ledger = Ledger(program(pending_days=0, expiry={"inactive_months": 1})).send(enrolled(T0 - DAY), bought("1", 0))
    ledger.send(bought("2", 50))
    spent(ledger, 51)
    refund = back("r", T0 + 60 * DAY, {"1": 8000})
    ledger.send(bought("2", 50, 60, revision=2, refunds=(refund,))).sweep(T0 + 61 * DAY)
    assert ledger.buckets() == (0, 0, 80)
    return ledger


def late_deed() -> Ledger:
    """With the order of 20 March points would have run out on 20 April: before there was a debt."""
    return in_debt().send(bought("3", 19, 100, minor=100))


def test_points_that_are_over_all_the_same_pay_no_debt() -> None:
    ledger = late_deed()
    assert ledger.buckets() == (0, 0, 79)
    assert (lot_of(ledger, "1").state, lot_of(ledger, "1").expires_at) == ("ended", T0.replace(month=4, day=21, hour=0))
    assert checked(ledger.sweep(T0 + 110 * DAY)).buckets() == (0, 0, 79)


def test_deeds_learnt_late_one_by_one_revive_points_in_the_end() -> None:
    ledger = in_debt().send(*(bought(f"d{day}", day, 100, minor=100) for day in (19, 45, 70, 95)))
    assert ledger.buckets() == (0, 24, 0)
    (event,) = (event for event in ledger.events() if isinstance(event, PointsReinstatedV1))
    assert [(item.debit, item.credit, item.points) for item in event.transfers] == [
        ("expired", "deficit", 78), ("expired", "active", 22),
    ]  # fmt: skip
    assert (event.points, event.cause.kind, event.expires_at) == (100, "order", T0.replace(month=6, day=11, hour=0))
    checked(ledger)


def test_a_spending_revives_nothing_and_tells_nothing_of_it() -> None:
    ledger = Ledger(program(pending_days=0, expiry={"inactive_months": 1})).send(enrolled(), bought("1", 0))
    spent(ledger, 10)
    assert not any(isinstance(event, PointsReinstatedV1) for event in checked(ledger).events())


def reversed_late(first: dict[str, Any], second: dict[str, Any]) -> Ledger:
    """Earned by one version, spent by the next on 30 April, reversed on 17 September."""
    documents = (
        program(pending_days=0, expiry=first, rest=AT_ONCE),
        program(pending_days=0, expiry=second, rest=AT_ONCE, version=2, effective_from=T0 + 31 * DAY),
    )
    ledger = Ledger(*documents).send(enrolled(), bought("1", 0))
    coupon_id = spent(ledger, 60)
    ledger.sweep(T0 + 199 * DAY)
    ledger.do(spending.reverse, ANN, Reverse(coupon_id=coupon_id), T0 + 200 * DAY)
    return ledger


@pytest.mark.parametrize(
    ("first", "second", "left"),
    [({"inactive_months": 6}, {"months": 12}, 100), ({"months": 6}, {"inactive_months": 12}, 0)],
)
def test_points_come_back_to_their_lot_by_the_version_of_the_lot(
    first: dict[str, Any], second: dict[str, Any], left: int
) -> None:
    assert checked(reversed_late(first, second)).buckets() == (0, left, 0)


def test_points_taken_for_another_order_come_back_by_the_version_of_their_own_lot() -> None:
    documents = (
        program(pending_days=0, expiry={"inactive_months": 6}),
        program(pending_days=0, expiry={"months": 3}, version=2, effective_from=T0 + 31 * DAY),
    )
    ledger = Ledger(*documents).send(enrolled(), bought("1", 0), bought("2", 40))
    spent(ledger, 50)
    ledger.send(bought("2", 40, 60, revision=2, refunds=(back("r", T0 + 60 * DAY, {"1": 10000}),)))
    assert ledger.send(bought("3", 70, minor=100)).buckets() == (0, 1, 0)
    ledger.sweep(T0 + 239 * DAY).send(bought("2", 40, 240, revision=3))
    assert lot_of(ledger, "1").remaining == 100
    assert checked(ledger).buckets() == (0, 100, 0)


def test_what_was_owed_for_a_hold_is_told_as_waived_when_the_hold_is_captured() -> None:
    document = program(pending_days=0, clawback="within_balance", rest={"redemption": {"hold_minutes": 10_000}})
    ledger = Ledger(document).send(enrolled(), bought("1", 0))
    coupon_id = spent(ledger, 1, hold=True)
    ledger.send(bought("1", 0, 2, revision=2, refunds=(back("r", T0 + 2 * DAY, {"1": 10000}),)))
    assert ledger.buckets() == (0, 0, 100)
    ledger.do(spending.capture, ANN, Capture(coupon_id=coupon_id), T0 + 3 * DAY)
    (event,) = (event for event in ledger.events() if isinstance(event, PointsWaivedV1))
    assert [(item.debit, item.credit, item.points) for item in event.transfers] == [("waived", "deficit", 100)]
    assert checked(ledger).buckets() == (0, 0, 0)


def test_a_capture_that_waives_nothing_tells_of_nothing_waived() -> None:
    document = program(pending_days=0, clawback="within_balance", rest={"redemption": {"hold_minutes": 10_000}})
    ledger = Ledger(document).send(enrolled(), bought("1", 0))
    ledger.do(spending.capture, ANN, Capture(coupon_id=spent(ledger, 1, hold=True)), T0 + 3 * DAY)
    assert not any(isinstance(event, PointsWaivedV1) for event in checked(ledger).events())


def test_what_several_of_a_household_lend_is_told_once_each() -> None:
    ledger = Ledger(program(pending_days=0, rest={"households": {}}))
    for place, member_id in enumerate(EVERYBODY):
        ledger.send(enrolled(member_id=member_id), bought(str(place), 1, minor=4000, member_id=member_id))
        ledger.do(sharing.join, member_id, Join(household_id=UUID(int=7)), T0 + DAY)
    spent(ledger, 2)
    assert sum(ledger.buckets(member_id)[1] for member_id in EVERYBODY) == 20
    checked(ledger)


def reinstated() -> Ledger:
    """Three parts of a lot that ran out, each until another day."""
    ledger = Ledger(program(pending_days=0, validity_months=1)).send(enrolled(), bought("1", 0)).sweep(T0 + 60 * DAY)
    lot = lot_of(ledger, "1")
    for points, days in ((40, 300), (40, 240), (20, 320)):
        until = T0 + days * DAY
        command = Reinstate(lot_id=lot.lot_id, points=points, until=until, **BY_HAND)
        ledger.do(adjusting.reinstate, ANN, command, T0 + 61 * DAY)
    return ledger


def test_what_is_reinstated_shortens_nothing_that_lives() -> None:
    ledger = reinstated()
    told = [event.expires_at for event in ledger.events() if isinstance(event, PointsReinstatedV1)]
    assert told == [T0 + 300 * DAY, T0 + 300 * DAY, T0 + 320 * DAY]
    assert checked(ledger).buckets() == (0, 100, 0)
    assert ledger.sweep(T0 + 319 * DAY).buckets() == (0, 100, 0)


def test_what_is_earned_in_the_future_is_not_taken_over() -> None:
    ledger = Ledger().send(enrolled())
    known = Import(import_id="old", as_of=T0, lots=(OpeningLot(points=5, earned_at=T0),))
    ahead = known.model_copy(update={"lots": (OpeningLot(points=5, earned_at=T0 + 9 * DAY),)})
    with pytest.raises(RefusedError, match="Lot 1: `earned_at` is in the future"):
        ledger.do(adjusting.bring_in, ANN, ahead, T0 + DAY)
    ledger.do(adjusting.bring_in, ANN, known, T0 + DAY)
    assert ledger.buckets() == (0, 5, 0)
