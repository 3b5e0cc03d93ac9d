"""What outstanding points may cost: expected redemption, breakage, the month's movements, and revenue by IFRS 15.

Amounts are minor units of the program's currency, rounded half up, once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import get_args

from contracts.points import Bucket

OWN = ("pending", "active", "held", "deficit")
"""The buckets of members: what they have, less what they owe, is outstanding."""
MOVES = tuple(bucket for bucket in get_args(Bucket) if bucket not in OWN)
"""Where points come from and go to: the lines of a month's report."""


def half_up(value: Fraction) -> int:
    """The nearest whole number, exactly; halves go up, away from zero."""
    whole = (2 * abs(value.numerator) + value.denominator) // (2 * value.denominator)
    return whole if value >= 0 else -whole


@dataclass(frozen=True, slots=True)
class Allocation:
    """A sale's price, split between the goods and the points that came with them."""

    goods_minor: int
    points_minor: int


def allocate(sale_minor: int, points: int, expected: int, value_minor: Fraction = Fraction(1)) -> Allocation:
    """Split a sale by relative stand-alone selling prices: the goods at their price, the points at what those expected
    to be redeemed are worth (IFRS 15.74 and B40; Illustrative Example 52).

    Raises ValueError for amounts that cannot be.
    """
    if sale_minor < 0 or not 0 <= expected <= points:
        raise ValueError("a sale is not below zero, and not more points are expected to be redeemed than were given")
    worth = expected * value_minor
    if not worth:
        return Allocation(sale_minor, 0)
    points_minor = half_up(sale_minor * worth / (sale_minor + worth))
    return Allocation(sale_minor - points_minor, points_minor)


def recognised(points_minor: int, redeemed: int, expected: int) -> int:
    """Revenue of redeemed points so far: their share of all that are expected to be redeemed in the end (IFRS 15.B44).

    The expectation may change: what is new is the difference to what was recognised before.
    """
    if not 0 <= redeemed <= expected:
        raise ValueError("more points are redeemed than are expected to be in the end: raise the expectation")
    return half_up(Fraction(points_minor * redeemed, expected)) if expected else 0


@dataclass(frozen=True, slots=True)
class Cohort:
    """Points granted in one month: how many stand after clawbacks, and how many of them were redeemed by its age."""

    month: str
    granted: int
    redeemed: tuple[int, ...]
    """Cumulative, by the age in months, from 0 to the cohort's own."""


def redemption_rate(cohorts: Sequence[Cohort]) -> Fraction | None:
    """The share of points that will be redeemed in the end; None without any redemption to learn from.

    Young cohorts are projected by the age-to-age factors of older ones (chain ladder; Mack, ASTIN Bulletin 1993).
    """
    granted = sum(cohort.granted for cohort in cohorts)
    if not granted or not any(cohort.redeemed and cohort.redeemed[-1] for cohort in cohorts):
        return None
    oldest = max(len(cohort.redeemed) for cohort in cohorts)
    factors = [_factor(cohorts, age) for age in range(oldest - 1)]
    ultimate = Fraction(0)
    for cohort in cohorts:
        expected = Fraction(cohort.redeemed[-1] if cohort.redeemed else 0)
        for factor in factors[len(cohort.redeemed) - 1 :]:
            expected *= factor
        ultimate += min(Fraction(cohort.granted), expected)
    return ultimate / granted


def _factor(cohorts: Sequence[Cohort], age: int) -> Fraction:
    """How what was redeemed grows from one age to the next, over all cohorts that are old enough."""
    older = [cohort.redeemed for cohort in cohorts if len(cohort.redeemed) > age + 1]
    before = sum(redeemed[age] for redeemed in older)
    return Fraction(sum(redeemed[age + 1] for redeemed in older), before) if before else Fraction(1)


def liability_minor(points: int, rate: Fraction, cost_minor: Fraction) -> int:
    """Outstanding points × the share that will be redeemed × what a point costs."""
    return half_up(max(0, points) * rate * cost_minor)


@dataclass(frozen=True, slots=True)
class Month:
    """Points outstanding at the beginning and the end of a month, and what happened between."""

    opening: int
    moves: dict[str, int]
    """By where they came from (positive) or went to (negative)."""

    @property
    def closing(self) -> int:
        return self.opening + sum(self.moves.values())


def month_of(opening: int, transfers: Mapping[tuple[str, str], int]) -> Month:
    """`transfers`: the points moved from one bucket to another within the month."""
    moves = dict.fromkeys(MOVES, 0)
    for (debit, credit), points in transfers.items():
        if debit not in OWN and credit in OWN:
            moves[debit] += points
        elif debit in OWN and credit not in OWN:
            moves[credit] -= points
    return Month(opening, moves)
