"""What multiplies points: campaigns of one group, also for activities; and never more than limits and caps leave."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.orders import OrderChangedV1, OrderLine
from contracts.program import faults_of_new
from points_accrual.domain.explaining import explain_activity
from points_accrual.domain.lots import ClaimKey
from points_accrual.domain.rulebook import rulebook
from tests.unit.points_accrual.samples import (
    ANN,
    DAY,
    T0,
    Ledger,
    activity,
    back,
    enrolled,
    interval,
    line,
    order,
    program,
    standing,
)

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


def test_a_campaign_does_not_go_round_the_limits_of_a_rule() -> None:
    book = reviewed(5, REVIEW | {"limits": [{"per": "day", "times": 1}]}, campaigns=[X3])
    assert book.buckets() == (0, 30, 0)
    assert has(book, "shop:0") == {"rev": 10, "x3": 20}
    assert {claim.reason for claim in book.claims() if claim.key.id != "shop:0"} == {"limit_reached"}


def test_a_campaign_multiplies_what_a_limit_left() -> None:
    book = reviewed(4, REVIEW | {"limits": [{"per": "month", "points": 25}]}, campaigns=[X3])
    assert [has(book, f"shop:{place}") for place in range(4)] == [
        {"rev": 10, "x3": 20}, {"rev": 10, "x3": 20}, {"rev": 5, "x3": 10}, {},
    ]  # fmt: skip


def test_a_limit_of_one_rule_leaves_what_another_is_multiplied_by() -> None:
    photo = {"type": "activity", "id": "photo", "activity": "review", "points": 15}
    limited = REVIEW | {"limits": [{"per": "day", "times": 1}]}
    book = reviewed(2, limited, photo, campaigns=[X3 | {"rules": ["rev", "photo"]}])
    assert has(book, "shop:0") == {"rev": 10, "photo": 15, "x3": 50}
    assert has(book, "shop:1") == {"photo": 15, "x3": 30}


def test_what_is_revoked_frees_the_limit_and_its_multiple_goes_with_it() -> None:
    book = reviewed(2, REVIEW | {"limits": [{"per": "day", "times": 1}]}, campaigns=[X3])
    gone = activity("review", "0", revision=2, revoked_at=T0 + DAY, recorded_at=T0 + DAY)
    book.send(gone, activity("review", "9", at=T0 + timedelta(minutes=9), recorded_at=T0 + DAY))
    assert (has(book, "shop:0"), has(book, "shop:1"), has(book, "shop:9")) == ({}, {}, {"rev": 10, "x3": 20})


def test_explain_says_what_cut_the_multiple() -> None:
    document = program(REVIEW | {"limits": [{"per": "day", "times": 1}]}, campaigns=[X3])
    book = Ledger(document).send(enrolled(T0), activity("review", "0"), activity("review", "1"))
    claim = book.world.claims["aurora", ClaimKey("activity", "shop:1")]
    told = explain_activity(claim, book.world.members[ANN], rulebook(document), [])
    assert [(rule["rule_id"], rule["wanted"], rule["granted"], rule["cut_by"]) for rule in told["rules"]] == [
        ("rev", 10, 0, ["rev:day:times"]), ("x3", 20, 0, ["rev:day:times"]),
    ]  # fmt: skip


SPEND = {"type": "spend", "id": "spend", "points_per_unit": "1"}
BONUS = {"type": "order", "id": "bonus", "points": 50}
GOLD = standing(interval("gold", T0 - DAY))


def bought(revision: int = 1, returned: int = 0, *lines: OrderLine, **values: Any) -> OrderChangedV1:
    """An order, or what is left of it a day later."""
    at = T0 if revision == 1 else T0 + revision * DAY
    refunds = (back("r", at, {"1": returned}),) if returned else ()
    return order(*lines, revision=revision, recorded_at=at, updated_at=at, refunds=refunds, **values)


def test_tier_and_campaigns_multiply_what_a_cap_left_of_a_rule() -> None:
    caps = [{"id": "most", "per": "day", "points": 60, "rules": ["spend"]}]
    book = Ledger(program(SPEND, BONUS, caps=caps, campaigns=[{"id": "x3", "multiplier": 3}]))
    book.send(enrolled(T0 - DAY), GOLD, bought())
    # 60 of 100, and 50: the tier adds half of each, and the campaign twice all of that.
    assert has(book, "shop:1") == {"spend": 60, "bonus": 50, "tier": 55, "x3": 330}
    book.send(bought(2, 7000))
    assert has(book, "shop:1") == {"spend": 30, "bonus": 50, "tier": 40, "x3": 240}
    book.send(bought(3))  # The refund was a mistake.
    assert has(book, "shop:1") == {"spend": 60, "bonus": 50, "tier": 55, "x3": 330}


def test_multipliers_that_add_follow_the_rule_alone() -> None:
    caps = [{"id": "most", "per": "claim", "points": 60, "rules": ["spend"]}]
    document = program(SPEND, caps=caps, campaigns=[{"id": "x3", "multiplier": 3}], multipliers="add")
    book = Ledger(document).send(enrolled(T0 - DAY), GOLD, bought())
    assert has(book, "shop:1") == {"spend": 60, "tier": 30, "x3": 120}


def test_what_multiplies_a_campaign_follows_its_budget() -> None:
    campaigns = [{"id": "x2", "multiplier": 2, "budget": 150}, {"id": "x3", "multiplier": 3}]
    book = Ledger(program(SPEND, campaigns=campaigns)).send(enrolled(), bought(), bought(order_id="2"))
    assert has(book, "shop:1") == {"spend": 100, "x2": 100, "x3": 400}
    assert has(book, "shop:2") == {"spend": 100, "x2": 50, "x3": 300}


def test_a_cap_of_all_cuts_in_proportion_as_before() -> None:
    caps = [{"id": "most", "per": "claim", "points": 100}]
    book = Ledger(program(SPEND, caps=caps, campaigns=[{"id": "x3", "multiplier": 3}]))
    assert has(book.send(enrolled(), bought()), "shop:1") == {"spend": 33, "x3": 67}


def test_a_refund_never_brings_points_by_what_multiplies() -> None:
    """What is left of a cap counts first as what a campaign multiplies: what comes back of the rest changes nothing."""
    wine = {"type": "spend", "id": "wine", "points_per_unit": "1", "match": {"categories": ["wine"]}}
    rest = SPEND | {"match": {"but_not": {"categories": ["wine"]}}}
    caps = [{"id": "most", "per": "day", "points": 100, "rules": ["wine", "spend"]}]
    campaign = {"id": "x2", "multiplier": 2, "rules": ["wine"]}
    book = Ledger(program(rest, wine, caps=caps, campaigns=[campaign])).send(enrolled())
    lines = line("1", 10000), line("2", 10000, categories=("wine",))
    for revision, returned in enumerate((0, 5000, 10000), 1):
        book.send(bought(revision, returned, *lines))
        assert sum(has(book, "shop:1").values()) == 200


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 25), min_size=1, max_size=4), st.integers(1, 200), st.booleans(), st.booleans())
def test_less_of_an_order_never_earns_more(refunded: list[int], most: int, add: bool, gold: bool) -> None:
    """In whole points, so that nothing is rounded."""
    caps = [{"id": "most", "per": "lifetime", "points": most, "rules": ["spend"]}]
    some = {"id": "x25", "multiplier": "2.5", "match": {"categories": ["wine"]}}
    document = program(
        SPEND, BONUS, caps=caps, campaigns=[some, {"id": "x2", "multiplier": 2}],
        multipliers="add" if add else "multiply",
    )  # fmt: skip
    book = Ledger(document).send(enrolled(T0 - DAY), *([GOLD] if gold else []))
    lines = line("1", 10000), line("2", 8000, categories=("wine",))
    had = sum(has(book.send(bought(1, 0, *lines)), "shop:1").values())
    for revision, part in enumerate(sorted(refunded), 2):
        book.send(bought(revision, part * 400, *lines))
        has_now = has(book, "shop:1")
        assert sum(has_now.values()) <= had
        assert has_now.get("spend", 0) <= most
        had = sum(has_now.values())
        book.check()
