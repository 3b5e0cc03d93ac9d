"""The shared kit is mechanism: its names know nothing of loyalty."""

import ast
import re
from collections.abc import Iterator

import pytest

from .code import Source, sources

NOUNS = {
    "accrual", "advocate", "balance", "birthday", "campaign", "challenge", "clawback", "coupon", "customer", "deficit",
    "earn", "enrolment", "friend", "loyalty", "member", "membership", "order", "points", "program", "redeem",
    "redemption", "referral", "refund", "reward", "segment", "shopper", "standing", "tier", "webhook",
}  # fmt: skip
"""Also in the plural. `order` alone is the order in which things stand; see `_words`."""
ALLOWED = {
    "shared/access.py": {"member", "program"},
    # Tokens name whose they are, and for which program.
    "shared/testing.py": {"member", "program"},
    # Mints such tokens for tests.
}


def _words(identifier: str) -> set[str]:
    """The words of a name, in the singular; `order` counts only as a thing: orders, order_id, an Order."""
    parts = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", identifier)
    words = [part.lower() for part in parts]
    singular = {word if word in NOUNS else word.removesuffix("s") for word in words}
    if not ("orders" in words or "Order" in parts or "order_" in identifier.lower()):
        singular.discard("order")
    return singular


def _identifiers(node: ast.AST) -> Iterator[str]:
    for field in ("name", "id", "attr", "arg", "asname"):
        value = getattr(node, field, None)
        if isinstance(value, str):
            yield value


def violations(source: Source) -> Iterator[str]:
    allowed = ALLOWED.get(source.path, set())
    for node in ast.walk(source.tree):
        for identifier in _identifiers(node):
            for word in sorted(_words(identifier) & NOUNS - allowed):
                yield source.at(node, f"{identifier}: {word} is a word of loyalty")


def test_the_kit_knows_no_loyalty() -> None:
    found = sorted({violation for source in sources("shared") for violation in violations(source)})
    assert not found, "\n".join(found)


def test_what_is_allowed_is_needed() -> None:
    for path, nouns in ALLOWED.items():
        used = {word for source in sources(path) for node in ast.walk(source.tree)
                for identifier in _identifiers(node) for word in _words(identifier)}  # fmt: skip
        assert nouns <= used, path


@pytest.mark.parametrize(
    "line",
    ["member_id = 1", "def lock_members(): ...", "class PointsRelay: ...", "x = row.order_id", "orders = []",
     "import tiers", "def f(*, reward=1): ...", "f(program=1)", "class OrderBatch: ...", "from x import y as coupons"],
)  # fmt: skip
def test_a_word_of_loyalty_would_be_found(line: str) -> None:
    assert list(violations(Source("shared/bus.py", line)))


@pytest.mark.parametrize("line", ["in_order = sorted(rows)", "order = 1", "entry_point = 1", "# members\nx = 'tier'"])
def test_other_words_are_free(line: str) -> None:
    assert not list(violations(Source("shared/bus.py", line)))
