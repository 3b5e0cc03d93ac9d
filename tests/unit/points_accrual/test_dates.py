"""What enrolment brings: once, to whom its conditions fit then."""

from datetime import timedelta
from typing import Any

import pytest

from contracts.segments import SegmentsChangedV1
from tests.unit.points_accrual.samples import ANN, DAY, T0, Ledger, activity, enrolled, interval, program, standing
from tests.unit.points_accrual.test_replaying import again, state


def welcomed(**when: Any) -> Ledger:
    return Ledger(program({"type": "enrolment", "id": "welcome", "points": 25, "when": when}))


def in_segment(name: str) -> SegmentsChangedV1:
    return SegmentsChangedV1.model_validate(
        {"program_id": "aurora", "member_id": ANN, "version": 1, "segments": [name], "recorded_at": T0 - DAY}
    )


@pytest.mark.parametrize(
    ("when", "points"),
    [
        ({"last_day": "2026-02-28"}, 0),
        ({"first_day": "2026-03-01", "last_day": "2026-03-01"}, 25),
        ({"attributes": {"vip": ["yes"]}}, 25),
        ({"attributes": {"vip": ["no"]}}, 0),
        ({"segments": ["friends"]}, 25),
        ({"segments": ["foes"]}, 0),
        ({"tiers": ["gold"]}, 25),
        ({"tiers": ["basic"]}, 0),
        ({"unless": {"weekdays": ["sun"]}}, 0),
    ],
)
def test_enrolment_brings_points_to_whom_its_conditions_fit(when: dict[str, Any], points: int) -> None:
    book = welcomed(**when)
    joined = enrolled(T0).model_copy(update={"attributes": {"vip": "yes"}})
    book.send(in_segment("friends"), standing(interval("gold", T0 - DAY)), joined)
    assert book.buckets() == (0, points, 0)
    assert len([claim for claim in book.claims() if claim.key.kind == "date"]) == bool(points)
    assert state(again(book)) == state(book.world)


def test_who_did_not_meet_the_conditions_then_gets_nothing_later() -> None:
    book = welcomed(attributes={"vip": ["yes"]}).send(enrolled(T0))
    later = enrolled(T0, version=2, recorded=T0 + DAY).model_copy(update={"attributes": {"vip": "yes"}})
    book.send(later, activity("visit", at=T0 + timedelta(days=2))).sweep(T0 + 9 * DAY)
    assert book.buckets() == (0, 0, 0)
    assert state(again(book)) == state(book.world)
