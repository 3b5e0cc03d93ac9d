"""Points between members: each transfer is told once, and none arrives after it has run out."""

from datetime import timedelta
from uuid import UUID

import pytest

from contracts.points import PointsTransferredV1
from points_accrual.domain import sharing, spending
from points_accrual.domain.adjusting import bring_in
from points_accrual.domain.catalogue import RefusedError
from points_accrual.domain.commands import Import, Join, OpeningLot, Redeem, Send
from tests.unit.points_accrual.programs import CAT, EVERYBODY
from tests.unit.points_accrual.samples import ANN, BOB, DAY, QUIET, T0, Ledger, enrolled, order, program
from tests.unit.points_accrual.test_replaying import same

NOW = T0 + DAY
SOON, LATE = NOW + timedelta(minutes=2), NOW + 99 * DAY


def household(**points: int) -> Ledger:
    """Three members who share; Ann and Cat have so many points, those of `soon` run out within minutes."""
    book = Ledger(program(QUIET, rest={"transfers": {}, "households": {}}))
    for member_id in EVERYBODY:
        book.send(enrolled(member_id=member_id)).do(sharing.join, member_id, Join(household_id=UUID(int=7)), T0)
    ends = {"soon": (ANN, SOON), "ann": (ANN, LATE), "cat": (CAT, LATE + DAY)}
    for name, count in points.items():
        member_id, expires_at = ends[name]
        lot = OpeningLot(points=count, expires_at=expires_at)
        book.do(bring_in, member_id, Import(import_id=name, as_of=NOW, lots=(lot,)), NOW)
    return book


def ahead(book: Ledger) -> Ledger:
    """Bob's clock is set by an edge that is some minutes fast."""
    book.send(order(member_id=BOB, placed_at=NOW, recorded_at=NOW + timedelta(minutes=5)))
    book.world.now = NOW
    return book


def arrived(book: Ledger) -> list[PointsTransferredV1]:
    return [item for item in book.events() if isinstance(item, PointsTransferredV1) and item.direction == "in"]


def expiries(book: Ledger) -> list[object]:
    return [lot.expires_at for lot in book.account(BOB).lots.values()]


def test_each_loan_is_told_by_one_event() -> None:
    book = household(ann=60, cat=60)
    book.do(spending.redeem, BOB, Redeem(reward_id="ten-off"), NOW)
    told = arrived(book)
    assert [(item.other_member_id, item.points) for item in told] == [(ANN, 60), (CAT, 40)]
    ids = [transfer.transfer_id for item in told for transfer in item.transfers]
    assert len(set(ids)) == len(ids) == 2
    same(book)


def test_points_that_run_out_before_they_arrive_are_not_given() -> None:
    book = ahead(household(soon=50))
    with pytest.raises(RefusedError, match="run out") as refused:
        book.give(ANN, Send(to_member_id=BOB, points=50), NOW)
    assert (refused.value.reason, book.buckets(), book.buckets(BOB)) == ("insufficient_points", (0, 50, 0), (0, 0, 0))


def test_points_that_last_are_given_instead() -> None:
    book = ahead(household(soon=50, ann=100))
    book.give(ANN, Send(to_member_id=BOB, points=60), NOW)
    assert (book.buckets(), book.buckets(BOB), expiries(book)) == ((0, 90, 0), (0, 60, 0), [LATE])
    same(book)


def test_points_that_last_are_lent_instead() -> None:
    book = ahead(household(soon=50, ann=60, cat=70))
    book.do(spending.redeem, BOB, Redeem(reward_id="ten-off"), NOW)
    assert [(item.other_member_id, item.points) for item in arrived(book)] == [(ANN, 60), (CAT, 40)]
    assert (book.buckets(), expiries(book)) == ((0, 50, 0), [LATE, LATE + DAY])
    same(book)


def test_who_is_not_ahead_is_given_what_runs_out_first() -> None:
    book = household(soon=50, ann=100)
    book.give(ANN, Send(to_member_id=BOB, points=60), NOW)
    assert expiries(book) == [SOON, LATE]
    same(book)
