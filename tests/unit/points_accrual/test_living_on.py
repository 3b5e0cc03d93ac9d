"""Points that live on, or again, by what their member does or the shop decides; and what is told of it."""

from typing import Any
from uuid import UUID

from contracts.orders import OrderChangedV1
from contracts.points import PointsReinstatedV1, PointsWaivedV1
from points_accrual.domain import sharing, spending
from points_accrual.domain.commands import Capture, Join, Redeem
from points_accrual.domain.lots import Lot
from tests.unit.points_accrual.programs import CAT
from tests.unit.points_accrual.samples import (
    ANN,
    BOB,
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

EVERYBODY = (ANN, BOB, CAT)
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


def test_a_spending_revives_nothing_and_tells_nothing_of_it() -> None:
    ledger = Ledger(program(pending_days=0, expiry={"inactive_months": 1})).send(enrolled(), bought("1", 0))
    spent(ledger, 10)
    assert not any(isinstance(event, PointsReinstatedV1) for event in checked(ledger).events())


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
