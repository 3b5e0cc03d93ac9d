"""Orders of which a part waits for fulfilment that never comes: what it earns, and what it counts for tiers."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from contracts.orders import OrderChangedV1
from tests.unit.points_accrual.samples import DAY, T0, Ledger, back, enrolled, order, program, spend
from tests.unit.points_accrual.test_replaying import again, state

BIG = {"type": "order", "id": "big", "points": 500, "terms": "slow"}
PERSONAL = {"type": "order", "id": "vip", "points": 1, "when": {"segments": ["vip"]}}
SLOW = [{"id": "slow", "pending": {"fulfilled": True, "cancel_after_days": 10}}]


def waiting(*rules: Any, **values: Any) -> Ledger:
    """An order of 100.00 that brings 100 points at once, and 500 if it is fulfilled in ten days."""
    document = program(spend(), BIG, *rules, **({"pending_days": 0, "terms": SLOW} | values))
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
