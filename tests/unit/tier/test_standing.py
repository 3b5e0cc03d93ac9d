"""The standing as a function of facts, against a definition that looks at one place of the history at a time."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.program import Tiers
from contracts.tiers import StandingInterval
from tests.unit.tier.samples import DAY, T0, fact, program
from tier.domain.standing import Fact, held_after, intervals, next_change_after, points_after
from tier.domain.window import leaves_at

UTC_ZONE = ZoneInfo("UTC")
TIERS = program().tiers


def standing(*facts: Fact, tiers: Tiers = TIERS) -> list[tuple[str, datetime, str | None, datetime | None]]:
    return [(i.tier_id, i.starts_at, i.starts_with, i.valid_until) for i in intervals(facts, tiers, UTC_ZONE)]


def year(at: datetime) -> datetime:
    return leaves_at(at, 12, UTC_ZONE)


def tier_for_order(result: tuple[StandingInterval, ...], at: datetime, key: str) -> str:
    """How consumers read a standing: a tier begins strictly after, or for orders of the moment that sort later."""
    for item in reversed(result):
        if item.starts_at < at or (item.starts_at == at and item.starts_with is not None and item.starts_with < key):
            return item.tier_id
    return "basic"


def test_without_facts_there_is_nothing_to_say() -> None:
    assert standing() == []
    assert standing(fact("1", T0, 99)) == []


def test_upgrade_at_the_order_and_downgrade_when_it_leaves() -> None:
    assert standing(fact("1", T0, 100)) == [
        ("silver", T0, "shop:1", year(T0)),
        ("basic", year(T0), None, None),
    ]


def test_all_that_is_to_come_is_in_it() -> None:
    later = T0 + 100 * DAY
    assert standing(fact("1", T0, 100), fact("2", later, 200)) == [
        ("silver", T0, "shop:1", later),
        ("gold", later, "shop:2", year(T0)),
        ("silver", year(T0), None, year(later)),
        ("basic", year(later), None, None),
    ]


@pytest.mark.parametrize(("points", "reached"), [(99, []), (100, ["silver", "basic"]), (101, ["silver", "basic"])])
def test_a_threshold_is_reached_by_equality(points: int, reached: list[str]) -> None:
    assert [item[0] for item in standing(fact("1", T0, points))] == reached


def test_a_refund_acts_from_its_own_moment() -> None:
    refunded = T0 + 3 * DAY
    assert standing(fact("1", T0, 100, (refunded, 50))) == [
        ("silver", T0, "shop:1", refunded),
        ("basic", refunded, None, None),
    ]


def test_a_refund_at_the_boundary_concerns_what_comes_after_it() -> None:
    refunded = T0 + 3 * DAY
    result = intervals([fact("1", T0, 100, (refunded, 50))], TIERS, UTC_ZONE)
    assert tier_for_order(result, refunded, "shop:9") == "silver"
    assert tier_for_order(result, refunded + timedelta(microseconds=1), "shop:0") == "basic"
    assert held_after(result, refunded) == result[1]


def test_the_last_moment_of_the_window_counts() -> None:
    result = intervals([fact("1", T0, 100)], TIERS, UTC_ZONE)
    assert tier_for_order(result, year(T0), "shop:2") == "silver"
    assert tier_for_order(result, year(T0) + timedelta(microseconds=1), "shop:2") == "basic"


def test_a_refund_after_the_window_changes_nothing() -> None:
    assert standing(fact("1", T0, 100, (year(T0) + DAY, 0))) == standing(fact("1", T0, 100))


def test_an_order_that_follows_as_another_leaves_keeps_the_tier() -> None:
    assert standing(fact("1", T0, 100), fact("2", year(T0), 100)) == [
        ("silver", T0, "shop:1", year(year(T0))),
        ("basic", year(year(T0)), None, None),
    ]


def test_orders_of_one_moment_see_each_other_by_their_key() -> None:
    result = intervals([fact("2", T0, 200), fact("1", T0, 100)], TIERS, UTC_ZONE)
    assert [(i.tier_id, i.starts_at, i.starts_with, i.valid_until) for i in result[:2]] == [
        ("silver", T0, "shop:1", T0),
        ("gold", T0, "shop:2", year(T0)),
    ]
    assert tier_for_order(result, T0, "shop:1") == "basic"
    assert tier_for_order(result, T0, "shop:2") == "silver"
    assert tier_for_order(result, T0, "shop:3") == "gold"


def test_what_leaves_together_drops_once() -> None:
    orders = [fact("1", T0, 100), fact("2", T0, 200)]
    assert standing(*orders)[-1] == ("basic", year(T0), None, None)
    assert len(standing(*orders)) == 3


# Few moments and points near the thresholds: what matters is what coincides. The window is a month, the unit a day.
moments = st.integers(0, 70).map(lambda days: T0 + days * DAY)
orders = st.lists(
    st.tuples(
        moments,
        st.sampled_from([0, 50, 99, 100, 101, 200, 300]),
        st.lists(st.tuples(moments, st.integers(0, 200)), max_size=3),
    ),
    max_size=6,
).map(
    lambda drawn: [
        fact(str(n), at, points, *sorted((max(at, m), rest) for m, rest in refunds))
        for n, (at, points, refunds) in enumerate(drawn)
    ]
)
MONTH = program(months=1).tiers


def counted(one: Fact, moment: datetime, key: str | None, tiers: Tiers) -> int:
    """The definition, for what is placed at `moment` as `key`, or (None) for what comes after all of that moment."""
    if key is None:
        before = one.placed_at <= moment and moment < leaves_at(one.placed_at, tiers.window_months, UTC_ZONE)
        steps = [step for step in one.steps if step.acts_from <= moment]
    else:
        before = (one.placed_at, one.key) < (moment, key) and moment <= leaves_at(
            one.placed_at, tiers.window_months, UTC_ZONE
        )
        steps = [step for step in one.steps if step.acts_from < moment or step.acts_from <= one.placed_at]
    return steps[-1].base_points if before and steps else 0


def defined(facts: list[Fact], moment: datetime, key: str | None) -> str:
    points = sum(counted(one, moment, key, MONTH) for one in facts)
    return [level.id for level in MONTH.levels if level.threshold <= points][-1]


@settings(deadline=None)
@given(orders)
def test_agrees_with_the_definition_everywhere(facts: list[Fact]) -> None:
    result = intervals(facts, MONTH, UTC_ZONE)
    ends = [leaves_at(one.placed_at, 1, UTC_ZONE) for one in facts]
    breaks = sorted({one.placed_at for one in facts} | set(ends) | {s.acts_from for one in facts for s in one.steps})
    tick = timedelta(microseconds=1)
    for moment in [at for point in breaks for at in (point - tick, point, point + tick)]:
        for key in ["", *(one.key for one in facts), "shop:zzz"]:
            assert tier_for_order(result, moment, key) == defined(facts, moment, key)
        held = held_after(result, moment)
        assert (held.tier_id if held else "basic") == defined(facts, moment, None)
        assert points_after(facts, moment, MONTH, UTC_ZONE) == sum(counted(o, moment, None, MONTH) for o in facts)


@settings(deadline=None)
@given(orders)
def test_no_gaps_no_overlaps_no_repetition(facts: list[Fact]) -> None:
    result = intervals(facts, MONTH, UTC_ZONE)
    for one, following in pairwise(result):
        assert one.valid_until == following.starts_at
        assert one.starts_at <= following.starts_at
        assert one.tier_id != following.tier_id
    if result:
        assert result[0].tier_id != "basic"
        assert (result[-1].tier_id, result[-1].valid_until) == ("basic", None)


@settings(deadline=None)
@given(orders, moments)
def test_the_next_change_is_the_end_of_what_is_held(facts: list[Fact], now: datetime) -> None:
    result = intervals(facts, MONTH, UTC_ZONE)
    held, following = held_after(result, now), next_change_after(result, now)
    assert following is None or following > now
    if held is not None:
        assert held.valid_until == following


@settings(deadline=None)
@given(orders, st.randoms(use_true_random=False))
def test_the_order_of_facts_does_not_matter(facts: list[Fact], chance: object) -> None:
    mixed = list(facts)
    chance.shuffle(mixed)  # type: ignore[attr-defined]
    assert intervals(mixed, MONTH, UTC_ZONE) == intervals(facts, MONTH, UTC_ZONE)


def test_local_months_end_the_standing() -> None:
    placed = datetime(2025, 8, 31, 20, 30, tzinfo=UTC)  # 1 September in Baku
    result = intervals([fact("1", placed, 100)], program(months=6).tiers, ZoneInfo("Asia/Baku"))
    assert result[0].valid_until == datetime(2026, 2, 28, 20, 30, tzinfo=UTC)
