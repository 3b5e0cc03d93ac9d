"""Points between members: each transfer is told once."""

from datetime import timedelta
from uuid import UUID

from contracts.points import PointsTransferredV1
from points_accrual.domain import sharing, spending
from points_accrual.domain.adjusting import bring_in
from points_accrual.domain.commands import Import, Join, OpeningLot, Redeem
from tests.unit.points_accrual.programs import CAT, EVERYBODY
from tests.unit.points_accrual.samples import ANN, BOB, DAY, T0, Ledger, enrolled, program
from tests.unit.points_accrual.test_replaying import same

NOW = T0 + DAY
SOON, LATE = NOW + timedelta(minutes=2), NOW + 99 * DAY
QUIET = {"type": "activity", "id": "none", "activity": "nothing", "points": 1}


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


def arrived(book: Ledger) -> list[PointsTransferredV1]:
    return [item for item in book.events() if isinstance(item, PointsTransferredV1) and item.direction == "in"]


def test_each_loan_is_told_by_one_event() -> None:
    book = household(ann=60, cat=60)
    book.do(spending.redeem, BOB, Redeem(reward_id="ten-off"), NOW)
    told = arrived(book)
    assert [(item.other_member_id, item.points) for item in told] == [(ANN, 60), (CAT, 40)]
    ids = [transfer.transfer_id for item in told for transfer in item.transfers]
    assert len(set(ids)) == len(ids) == 2
    same(book)
