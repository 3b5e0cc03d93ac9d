"""Values that are for ever: derived ids, the hash of a program, times in UTC, whole orders."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter, ValidationError

from contracts.base import Instant
from contracts.ids import derived_id
from contracts.orders import OrderChangedV1
from contracts.program import Program, ProgramBook, ProgramPublishedV1
from contracts.topics import EVENTS

EXAMPLES = Path(__file__).parents[2] / "contracts" / "examples"
MOMENTS = st.datetimes(
    min_value=datetime(1970, 1, 1), max_value=datetime(2200, 1, 1), timezones=st.just(UTC)  # noqa: DTZ001
)  # fmt: skip


def _example(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((EXAMPLES / f"{name}.json").read_text(encoding="utf-8"))
    return document


@given(MOMENTS, st.lists(st.text()))
def test_derived_ids_are_those_of_the_standard(at: datetime, facts: list[str]) -> None:
    """RFC 9562, section 5.8: version 8, variant 10; ours begins with the milliseconds."""
    made = derived_id(at, *facts)
    assert (made.version, made.int >> 62 & 0b11) == (8, 0b10)
    assert made.int >> 80 == (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    assert made == derived_id(at, *facts)


@given(MOMENTS, st.integers(min_value=1, max_value=10**9))
def test_derived_ids_are_in_time_order(at: datetime, later_ms: int) -> None:
    assert derived_id(at, "b") < derived_id(at + timedelta(milliseconds=later_ms), "a")


def test_derived_ids_never_change() -> None:
    at = datetime(2026, 1, 12, 10, 0, 0, 123456, tzinfo=UTC)
    assert derived_id(at, "transfer", UUID(int=7), 3, 1) == UUID("019bb1a5-ed7b-8194-9a83-4dd6fc94a494")
    assert derived_id(at, "a", "b") != derived_id(at, "ab")


@pytest.mark.parametrize(
    "told",
    ["1969-12-31T23:59:59Z", "1970-01-01T01:00:00+02:00", "2200-01-01T00:00:00Z", "2199-12-31T23:00:00-02:00",
     "0001-01-01T00:00:00+05:00", "9999-12-31T23:59:59-05:00"],
)  # fmt: skip
def test_times_beyond_the_calendar_are_refused(told: str) -> None:
    with pytest.raises(ValidationError, match="is not between the years 1970 and 2200"):
        TypeAdapter(Instant).validate_json(f'"{told}"')


@pytest.mark.parametrize("told", ["1969-12-31T23:00:00-02:00", "2200-01-01T00:30:00+01:00"])
def test_times_within_it_are_kept_in_utc(told: str) -> None:
    found = TypeAdapter(Instant).validate_json(f'"{told}"')
    assert found == datetime.fromisoformat(told)
    assert found.tzinfo is UTC


def _program() -> Program:
    return ProgramPublishedV1.model_validate(_example("loyalty.program.published.v1/first-version")).document


def test_the_hash_of_a_program_never_changes() -> None:
    published = _example("loyalty.program.published.v1/first-version")
    assert _program().hash() == published["hash"]
    assert Program.model_validate_json(_program().model_dump_json()).hash() == published["hash"]


def test_the_hash_does_not_depend_on_what_is_said_at_its_default() -> None:
    sparse = _program().model_dump(mode="json", exclude_defaults=True)
    assert sparse != _program().model_dump(mode="json")
    assert Program.model_validate(sparse).hash() == _program().hash()


@pytest.mark.parametrize("change", [{"version": 2}, {"currency": "EUR"}, {"referral": None}, {"rewards": []}])
def test_any_change_changes_the_hash(change: dict[str, Any]) -> None:
    assert Program.model_validate(_program().model_dump() | change).hash() != _program().hash()


def test_a_version_once_known_never_changes() -> None:
    published = ProgramPublishedV1.model_validate(_example("loyalty.program.published.v1/first-version"))
    book = ProgramBook()
    book.add(published)
    book.add(published)
    other = published.document.model_copy(update={"currency": "EUR"})
    with pytest.raises(ValueError, match="another hash"):
        book.add(published.model_copy(update={"document": other, "hash": other.hash()}))
    with pytest.raises(ValueError, match="not that of the document"):
        book.add(published.model_copy(update={"document": other}))


def test_any_offset_is_read_and_utc_is_kept() -> None:
    order = _example("loyalty.order.changed.v1/paid-with-a-referral-code")
    there = order | {"placed_at": "2026-02-01T16:00:00+04:00"}
    assert OrderChangedV1.model_validate(there) == OrderChangedV1.model_validate(order)
    with pytest.raises(ValidationError, match="timezone"):
        OrderChangedV1.model_validate(order | {"placed_at": "2026-02-01T12:00:00"})


@pytest.mark.parametrize("parts", ["lines", "refunds"])
def test_an_id_occurs_once_in_an_order(parts: str) -> None:
    order = _example("loyalty.order.changed.v1/refunded-in-full")
    with pytest.raises(ValidationError, match=f"{parts}: an id occurs twice"):
        OrderChangedV1.model_validate(order | {parts: [*order[parts], order[parts][0]]})


def _models(kind: object, found: set[type[BaseModel]]) -> None:
    """A model and all that its fields are made of."""
    if isinstance(kind, type) and issubclass(kind, BaseModel) and kind not in found:
        found.add(kind)
        for field in kind.model_fields.values():
            _models(field.annotation, found)
    for part in get_args(kind):
        _models(part, found)


def test_what_is_null_may_be_left_out() -> None:
    """Events are written without nulls: who reads them has to find None where nothing is."""
    found: set[type[BaseModel]] = set()
    for event in EVENTS.values():
        _models(event, found)
    assert len(found) > len(EVENTS)
    wrong = [
        f"{model.__name__}.{name}"
        for model in found for name, field in model.model_fields.items()
        if type(None) in get_args(field.annotation) and field.default is not None
    ]  # fmt: skip
    assert not wrong
