"""What time alone changes comes in the order of its moments, however seldom somebody looks."""

from datetime import UTC, datetime, timedelta

from contracts.program import Program
from points_accrual.domain.commands import Redeem
from points_accrual.domain.spending import redeem
from tests.unit.points_accrual.samples import ANN, DAY, T0, Ledger, back, enrolled, line, order, program

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
