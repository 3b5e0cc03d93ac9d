"""What changes for members is said, whatever field it is."""

from collections.abc import Iterator
from pathlib import Path as File
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from console.document import check
from console.domain.differing import differences
from contracts.program import Program


def everything() -> Program:
    program, findings = check((File(__file__).parent / "everything.yaml").read_text("utf-8"))
    assert program is not None, findings
    return program


def changes(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Every field of a document with another value, one at a time; most are still right."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield from changes(item, (*path, name))
    elif isinstance(value, list):
        yield path, value[1:]
        for place, item in enumerate(value):
            yield from changes(item, (*path, place))
    elif isinstance(value, bool):
        yield path, not value
    elif isinstance(value, int):
        yield path, value + 1
    elif isinstance(value, str) and path[-1] not in ("id", "type"):
        yield path, OTHER.get(value, value + "x" if not value.replace(".", "").isdigit() else f"{float(value) + 1}")


OTHER = {
    "floor": "ceiling", "half_up": "floor", "within_balance": "unlimited", "when_lost": "when_opened",
    "keep": "recheck",
    "pro_rata": "never", "best_of": "sum", "first_match": "sum", "add": "multiply", "line": "order", "day": "week",
    "week": "month", "month": "year", "year": "month", "pool": "generated", "give_back": "keep", "az": "en",
}  # fmt: skip


def with_change(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    copy = dict(document) if isinstance(document, dict) else list(document)
    copy[path[0]] = with_change(document[path[0]], path[1:], value)
    return copy


def test_every_field_is_told() -> None:
    """Each field that can change alone is changed alone; of the others at least the models know them."""
    old = everything()
    document, seen = old.model_dump(mode="json"), 0
    for path, value in changes(document):
        if path[0] in ("version", "effective_from", "id"):
            continue
        try:
            new = Program.model_validate(with_change(document, path, value))
        except (ValidationError, ValueError):
            continue
        if new != old:
            assert differences(old, new), path
            seen += 1
    assert seen > 200


def test_nothing_is_said_of_nothing() -> None:
    old = everything()
    assert differences(old, old.model_copy(update={"version": 4})) == []


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        (("earning", "terms", 0, "pending", "days"), 10,
         "Terms slow: Points can be spent 10 days after the payment, instead of 60."),
        (("tiers", "levels", 1, "threshold"), 1500,
         "Tier silver: It is reached with 1,500 tier points, instead of 1,000."),
        (("rewards", 0, "cost"), 1200, "Reward five-off: It costs 1,200 points, instead of 1,000."),
        (("earning", "rules", 0, "when", "last_day"), "2027-04-01",
         "Rule base: It ends with 2027-04-01, instead of 2027-03-01."),
    ],
)  # fmt: skip
def test_sentences(path: tuple[Any, ...], value: Any, sentence: str) -> None:
    old = everything()
    new = Program.model_validate(with_change(old.model_dump(mode="json"), path, value))
    assert differences(old, new) == [sentence]


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        (("rewards", 0, "stock"), "Reward five-off: stock: not set, instead of 100."),
        (("earning", "write_off_days"), "Earning write off days: not set, instead of 365."),
    ],
)
def test_a_limit_that_is_taken_out_is_not_told_as_nothing_left(path: tuple[Any, ...], sentence: str) -> None:
    old = everything()
    new = Program.model_validate(with_change(old.model_dump(mode="json"), path, None))
    assert differences(old, new) == [sentence]


def test_what_comes_and_goes() -> None:
    old = everything()
    earning: BaseModel = old.earning.model_copy(update={"campaigns": old.earning.campaigns[:1]})
    fewer = old.model_copy(update={"earning": earning})
    assert differences(old, fewer) == ["Campaign extra is gone."]
    (sentence,) = differences(fewer, old)
    assert sentence.startswith("Campaign extra is new: when ")
