"""What multiplies points: campaigns of one group, also for activities; and never more than limits and caps leave."""

from datetime import timedelta
from typing import Any

import pytest

from contracts.program import faults_of_new
from tests.unit.points_accrual.samples import T0, Ledger, activity, enrolled, program

REVIEW = {"type": "activity", "id": "rev", "activity": "review", "points": 10}
X2 = {"id": "x2", "multiplier": 2, "rules": ["rev"]}
X3 = {"id": "x3", "multiplier": 3, "rules": ["rev"]}


def has(book: Ledger, claim_id: str) -> dict[str, int]:
    """What a claim has, by rule."""
    (claim,) = (claim for claim in book.claims() if claim.key.id == claim_id)
    return {rule_id: points for rule_id, points in claim.granted.items() if points}


def reviewed(count: int, *rules: Any, **values: Any) -> Ledger:
    """A member who wrote so many reviews, a minute apart."""
    book = Ledger(program(*rules, **values)).send(enrolled(T0))
    return book.send(*(activity("review", str(place), at=T0 + timedelta(minutes=place)) for place in range(count)))


@pytest.mark.parametrize(
    ("stacking", "points"),
    [("best_of", {"rev": 10, "x3": 20}), ("first_match", {"rev": 10, "x2": 10}),
     ("sum", {"rev": 10, "x2": 10, "x3": 20})],
)  # fmt: skip
@pytest.mark.parametrize("by", ["order", "line"])
def test_campaigns_of_one_group_stack_for_activities_too(stacking: str, by: str, points: dict[str, int]) -> None:
    groups = [{"id": "g", "stacking": stacking, "by": by}]
    campaigns = [X2 | {"group": "g"}, X3 | {"group": "g"}]
    book = reviewed(1, REVIEW, groups=groups, campaigns=campaigns)
    assert has(book, "shop:0") == points
    assert not faults_of_new(program(REVIEW, groups=groups, campaigns=campaigns))


def test_a_group_that_rewards_orders_and_activities_chooses_for_each() -> None:
    other = {"id": "x9", "multiplier": 9, "group": "g"}
    book = reviewed(
        1, REVIEW, {"type": "spend", "id": "spend", "points_per_unit": "1"},
        groups=[{"id": "g", "stacking": "best_of"}], campaigns=[other, X2 | {"group": "g"}],
    )  # fmt: skip
    assert has(book, "shop:0") == {"rev": 10, "x2": 10}
