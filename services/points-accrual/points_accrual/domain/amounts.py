"""Exact amounts become whole points in two ways only: rounded by a named mode, or split by largest remainder."""

from collections.abc import Sequence
from fractions import Fraction
from typing import Literal

Exact = int | Fraction
Rounding = Literal["floor", "half_up", "ceiling"]

MILLION = 10**6
"""Rates and multipliers of the program have six decimals: as integers they are so many millionths."""


def rounded(value: Exact, mode: Rounding, unit: int = 1) -> int:
    """A non-negative amount, counted in `unit`-ths, as a whole number."""
    if mode == "floor":
        return int(value // unit)
    if mode == "ceiling":
        return -int(-value // unit)
    return int((2 * value + unit) // (2 * unit))


def times(value: Exact, millionths: int) -> Exact:
    """A value multiplied by a rate in millionths. It stays an integer as long as that is exact: that is much faster."""
    product = value * millionths
    if isinstance(product, int):
        whole, rest = divmod(product, MILLION)
        return whole if not rest else Fraction(product, MILLION)
    return product / MILLION


def rounded_apart(values: Sequence[Exact], mode: Rounding, unit: int = 1) -> list[int]:
    """Each amount as a whole number, so that they add up to their sum rounded once (largest remainder).

    What whole parts leave over goes to the largest fractions, ties to the earlier: a whole amount stays as it is.
    """
    return _filled([divmod(value, unit) for value in values], rounded(sum(values), mode, unit))


def apportion(total: int, weights: Sequence[Exact]) -> list[int]:
    """Whole shares of `total`, in proportion to the weights, that add up to it (largest remainder, Hamilton's method).

    What is left after rounding down goes to the largest fractions, ties to the earlier. All zero when no weight is.
    """
    if len(weights) == 1:
        return [total if weights[0] else 0]
    whole = sum(weights)
    if not whole:
        return [0] * len(weights)
    return _filled([divmod(total * weight, whole) for weight in weights], total)


def _filled(parts: Sequence[tuple[Exact, Exact]], total: int) -> list[int]:
    """Whole parts with their remainders, filled up to the total: the largest remainders first, ties to the earlier."""
    shares = [int(quotient) for quotient, _ in parts]
    left = total - sum(shares)
    if left:
        by_fraction = sorted(range(len(parts)), key=lambda index: (-parts[index][1], index))
        for index in by_fraction[:left]:
            shares[index] += 1
    return shares
