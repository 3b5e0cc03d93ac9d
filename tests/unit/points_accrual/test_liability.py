"""What points cost: the published figures, and sums that are exact."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from points_accrual.domain.liability import (
    MOVES,
    OWN,
    Allocation,
    Cohort,
    allocate,
    half_up,
    liability_minor,
    month_of,
    recognised,
    redemption_rate,
)


def test_the_example_of_ifrs_15() -> None:
    """Illustrative Example 52: a sale of 100,000 with 10,000 points, of which 9,500 are expected to be redeemed."""
    parts = allocate(100_000, 10_000, 9_500)
    assert parts == Allocation(goods_minor=91_324, points_minor=8_676)
    first = recognised(parts.points_minor, 4_500, 9_500)
    assert first == 4_110
    assert recognised(parts.points_minor, 8_500, 9_700) - first == 3_493


@given(st.integers(0, 10**12), st.integers(1, 10**9), st.data(), st.fractions(0, 100, max_denominator=1000))
def test_a_sale_is_split_without_rest(sale: int, points: int, data: st.DataObject, worth: Fraction) -> None:
    expected = data.draw(st.integers(0, points))
    parts = allocate(sale, points, expected, worth)
    assert parts.goods_minor + parts.points_minor == sale
    assert min(parts.goods_minor, parts.points_minor) >= 0
    assert recognised(parts.points_minor, expected, expected) == (parts.points_minor if expected else 0)
    some = data.draw(st.integers(0, expected))
    assert 0 <= recognised(parts.points_minor, some, expected) <= parts.points_minor


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="not more points are expected"):
        allocate(100, 10, 11)
    with pytest.raises(ValueError, match="raise the expectation"):
        recognised(100, 11, 10)


def test_redemption_is_learnt_from_older_months() -> None:
    """January: of 1,000 points 300 were spent in its first month, 600 by the second. February is at 150 of 1,000 in its
    first: doubled, as January did, it comes to 300. (600 + 300) / 2,000 = 0.45.
    """
    cohorts = [Cohort("2026-01", 1000, (300, 600)), Cohort("2026-02", 1000, (150,))]
    assert redemption_rate(cohorts) == Fraction(9, 20)
    assert redemption_rate([Cohort("2026-01", 1000, (0, 0))]) is None
    assert redemption_rate([]) is None


@given(
    st.lists(st.tuples(st.integers(1, 10**6), st.lists(st.integers(0, 10**6), min_size=1, max_size=24)), max_size=12)
)
def test_never_more_than_all_is_expected(months: list[tuple[int, list[int]]]) -> None:
    cohorts = [Cohort(str(n), granted, tuple(sorted(spent))) for n, (granted, spent) in enumerate(months)]
    rate = redemption_rate(cohorts)
    assert rate is None or 0 <= rate <= 1


def test_liability_is_rounded_once_and_never_below_zero() -> None:
    assert liability_minor(1001, Fraction(1, 2), Fraction(1)) == 501
    assert liability_minor(-5, Fraction(1), Fraction(1)) == 0
    assert [half_up(Fraction(n, 2)) for n in (1, 2, 3, -1)] == [1, 1, 2, -1]
    assert half_up(Fraction(10**40 // 2 - 1, 10**40)) == 0, "not by way of a rounded decimal"


buckets = st.sampled_from([*OWN, *MOVES])


@given(st.integers(0, 10**6), st.dictionaries(st.tuples(buckets, buckets), st.integers(1, 10**6)))
def test_a_month_closes_with_what_moved(opening: int, transfers: dict[tuple[str, str], int]) -> None:
    month = month_of(opening, transfers)
    gained = sum(points for (debit, credit), points in transfers.items() if debit not in OWN and credit in OWN)
    lost = sum(points for (debit, credit), points in transfers.items() if debit in OWN and credit not in OWN)
    assert month.closing == opening + gained - lost
