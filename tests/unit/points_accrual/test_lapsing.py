"""Orders of which a part waits for fulfilment that never comes: what it earns, and what it counts for tiers."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from contracts.orders import OrderChangedV1
from points_accrual.domain.explaining import explain_order
from tests.unit.points_accrual.samples import (
    ANN,
    DAY,
    T0,
    Ledger,
    back,
    enrolled,
    interval,
    order,
    program,
    spend,
    standing,
)
from tests.unit.points_accrual.test_replaying import again, state

BIG = {"type": "order", "id": "big", "points": 500, "terms": "slow"}
PERSONAL = {"type": "order", "id": "vip", "points": 1, "when": {"segments": ["vip"]}}
SLOW = [{"id": "slow", "pending": {"fulfilled": True, "cancel_after_days": 10}}]


def waiting(*rules: Any, **values: Any) -> Ledger:
    """An order of 100.00 that brings 100 points at once, and 500 if it is fulfilled in ten days."""
    known: dict[str, Any] = {"pending_days": 0, "terms": SLOW}
    document = program(spend(), BIG, *rules, **(known | values))
    return Ledger(document).send(enrolled(), order())


def refunded(occurred_at: datetime, recorded_at: datetime, minor: int = 100, revision: int = 2) -> OrderChangedV1:
    return order(
        revision=revision, recorded_at=recorded_at, updated_at=recorded_at, payment="partially_refunded",
        refunds=(back("r", occurred_at, {"1": minor}),),
    )  # fmt: skip


def base(book: Ledger) -> list[tuple[timedelta, int]]:
    """What the order counts for tiers, by the time since it was placed."""
    (claim,) = (claim for claim in book.claims() if claim.key.kind == "order")
    return [(step.acts_from - T0, step.base_points) for step in claim.base]


@pytest.mark.parametrize("rules", [(), (PERSONAL,)])
def test_what_lapsed_counts_for_no_tier_whatever_comes_back_later(rules: tuple[Any, ...]) -> None:
    book = waiting(*rules)
    assert base(book) == [(timedelta(0), 600)]
    assert base(book.sweep(T0 + 20 * DAY)) == [(timedelta(0), 100)]
    book.send(refunded(T0 + 21 * DAY, T0 + 21 * DAY))
    assert base(book) == [(timedelta(0), 100), (21 * DAY, 99)]
    assert state(again(book)) == state(book.world)


@pytest.mark.parametrize("rules", [(), (PERSONAL,)])
@pytest.mark.parametrize("learnt_after_days", [6, 21])
def test_a_part_that_came_back_before_it_lapsed_counts_for_none_either(
    learnt_after_days: int, rules: tuple[Any, ...]
) -> None:
    learnt_at = T0 + learnt_after_days * DAY
    book = waiting(*rules).sweep(learnt_at).send(refunded(T0 + 5 * DAY, learnt_at)).sweep(T0 + 30 * DAY)
    assert base(book) == [(timedelta(0), 100), (5 * DAY, 99)]


@pytest.mark.parametrize("learnt_after_days", [6, 21])
def test_what_was_gone_before_its_time_ran_out_counted_until_then(learnt_after_days: int) -> None:
    learnt_at = T0 + learnt_after_days * DAY
    book = waiting().sweep(learnt_at).send(refunded(T0 + 5 * DAY, learnt_at, 10000)).sweep(T0 + 30 * DAY)
    assert base(book) == [(timedelta(0), 600), (5 * DAY, 0)]


def test_a_part_on_terms_of_its_own_counts_when_the_rest_lapses() -> None:
    book = waiting(pending={"fulfilled": True, "cancel_after_days": 10}, terms=[{"id": "slow", "pending": {}}])
    assert base(book.sweep(T0 + 20 * DAY)) == [(timedelta(0), 500)]
    assert book.granted() == {"shop:1": {"big": 500}}


def test_fulfilment_in_time_that_is_learnt_later_counts_again() -> None:
    book = waiting().sweep(T0 + 20 * DAY)
    late = order(revision=2, fulfilled_at=T0 + 3 * DAY, recorded_at=T0 + 21 * DAY)
    assert base(book.send(late)) == [(timedelta(0), 600)]


@pytest.mark.parametrize("multipliers", ["multiply", "add"])
def test_what_multiplies_goes_with_what_lapsed(multipliers: str) -> None:
    campaigns = [{"id": "x2", "multiplier": 2}]
    book = waiting(campaigns=campaigns, multipliers=multipliers).send(standing(interval("gold", T0 - DAY)))
    tier, doubled = (300, 900) if multipliers == "multiply" else (300, 600)
    assert book.granted() == {"shop:1": {"spend": 100, "big": 500, "tier": tier, "x2": doubled}}
    book.sweep(T0 + 20 * DAY)
    assert book.granted() == {"shop:1": {"spend": 100, "tier": tier // 6, "x2": doubled // 6}}
    assert state(again(book)) == state(book.world)


def test_what_multiplies_a_campaign_that_lapsed_goes_with_it() -> None:
    """The choice within a group stays: another campaign does not come in its place."""
    campaigns = [
        {"id": "x3", "multiplier": 3, "terms": "slow", "group": "g"}, {"id": "x2", "multiplier": 2, "group": "g"},
        {"id": "x5", "multiplier": 5},
    ]  # fmt: skip
    groups = [{"id": "g", "stacking": "best_of"}]
    document = program(spend(), campaigns=campaigns, groups=groups, pending_days=0, terms=SLOW)
    book = Ledger(document).send(enrolled(), order())
    assert book.granted() == {"shop:1": {"spend": 100, "x3": 200, "x5": 1200}}
    assert book.sweep(T0 + 20 * DAY).granted() == {"shop:1": {"spend": 100, "x5": 400}}


def test_explain_says_that_it_was_never_fulfilled() -> None:
    book = waiting().send(standing(interval("gold", T0 - DAY))).sweep(T0 + 20 * DAY)
    (claim,) = (claim for claim in book.claims() if claim.key.kind == "order")
    told = explain_order(claim, book.world.members[ANN], book.world.book("aurora", 1), [])
    assert [(rule["rule_id"], rule["reason"], rule["exact"], rule["granted"]) for rule in told["rules"]] == [
        ("spend", None, "100", 100), ("big", "never_fulfilled", "0", 0), ("tier", None, "50", 50),
    ]  # fmt: skip
