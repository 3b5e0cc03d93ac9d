"""Exact amounts become whole points in two ways only: rounded by a named mode, or split by largest remainder."""

from collections.abc import Sequence
from fractions import Fraction
from math import ceil, floor
from typing import Literal

Exact = int | Fraction
Rounding = Literal["floor", "half_up", "ceiling"]


def rounded(value: Exact, mode: Rounding) -> int:
    """A non-negative amount as a whole number."""
    if mode == "floor":
        return floor(value)
    if mode == "ceiling":
        return ceil(value)
    return floor(value + Fraction(1, 2))


def apportion(total: int, weights: Sequence[Exact]) -> list[int]:
    """Whole shares of `total`, in proportion to the weights, that add up to it (largest remainder, Hamilton's method).

    What is left after rounding down goes to the largest fractions, ties to the earlier. All zero when no weight is.
    """
    whole = sum(weights)
    if not whole:
        return [0] * len(weights)
    if len(weights) == 1:
        return [total]
    quotas = [Fraction(total) * weight / whole for weight in weights]
    shares = [floor(quota) for quota in quotas]
    by_fraction = sorted(range(len(quotas)), key=lambda index: (shares[index] - quotas[index], index))
    for index in by_fraction[: total - sum(shares)]:
        shares[index] += 1
    return shares
