"""Which lines of an order a match can fit."""

from collections.abc import Sequence

from contracts.program import Lines, Match

FIELDS = ("products", "skus", "categories", "vendors", "collections", "tags")
SINGLE = ("products", "skus", "vendors")
"""Of these a line has one."""


def fits_within(inner: Lines, outer: Lines) -> bool:
    """Every line that fits the inner fits the outer, what they leave out aside."""
    narrow, wide = _values(inner), _values(outer)
    return all(name in narrow and narrow[name] <= values for name, values in wide.items())


def fits_none(match: Match) -> bool:
    """Every line that would fit is taken out again."""
    return _taken_out(match, match)


def match_within(inner: Match, outer: Match) -> bool:
    """Every line that fits the inner fits the outer."""
    return fits_within(inner, outer) and (
        outer.but_not is None or outer.but_not.every or inner.but_not == outer.but_not
    )  # fmt: skip


def share_a_line(matches: Sequence[Match]) -> bool:
    """Whether a line may fit all of them."""
    allowed: dict[str, frozenset[str]] = {}
    for match in matches:
        for name, values in _values(match).items():
            if name in SINGLE:
                allowed[name] = allowed.get(name, values) & values
    return all(allowed.values()) and not any(_taken_out(one, other) for one in matches for other in matches)


def _taken_out(wanted: Lines, other: Match) -> bool:
    return other.but_not is not None and not other.but_not.every and fits_within(wanted, other.but_not)


def _values(lines: Lines) -> dict[str, frozenset[str]]:
    """By field, the values that are given."""
    return {name: frozenset(getattr(lines, name)) for name in FIELDS if getattr(lines, name)}
