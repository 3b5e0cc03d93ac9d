"""Golden examples: valid by model and by schema, whole after a round trip, and one coherent story."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker, ValidationError

from contracts.base import Event
from contracts.points import PointsEvent, PointsExpiringV1
from contracts.program import ProgramBook, ProgramPublishedV1
from contracts.topics import EVENTS

FOLDER = Path(__file__).parents[2] / "contracts"
EXAMPLES = sorted((FOLDER / "examples").glob("*/*.json"))


def _name(path: Path) -> str:
    return f"{path.parent.name}/{path.stem}"


@cache
def _schema(name: str) -> Draft202012Validator:
    schema = json.loads((FOLDER / "schemas" / f"{name}.json").read_text(encoding="utf-8"))
    return Draft202012Validator(schema, format_checker=FormatChecker())


def _read(path: Path) -> Event:
    return EVENTS[path.parent.name].model_validate_json(path.read_text(encoding="utf-8"))


def test_every_event_type_has_an_example_and_none_is_of_another() -> None:
    assert {path.parent.name for path in EXAMPLES} == set(EVENTS)


@pytest.mark.parametrize("path", EXAMPLES, ids=_name)
def test_example_fits_model_and_schema(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    _schema(path.parent.name).validate(json.loads(text))
    event = _read(path)
    assert event.key()
    written = event.model_dump_json()
    _schema(path.parent.name).validate(json.loads(written))
    assert type(event).model_validate_json(written) == event
    assert type(event).model_validate_json(written).model_dump_json() == written
    assert _holds(json.loads(written), json.loads(text))


def _holds(written: Any, example: Any) -> bool:
    """All that the example says is written back as it stands; fields at their default may come in addition."""
    if isinstance(example, dict):
        return isinstance(written, dict) and all(
            key in written and _holds(written[key], value) for key, value in example.items()
        )
    if isinstance(example, list):
        return len(written) == len(example) and all(map(_holds, written, example))
    return bool(written == example)


@pytest.mark.parametrize("path", EXAMPLES, ids=_name)
def test_readers_ignore_what_they_do_not_know(path: Path) -> None:
    document = json.loads(path.read_text(encoding="utf-8")) | {"from_the_future": {"x": 1}}
    _schema(path.parent.name).validate(document)
    assert EVENTS[path.parent.name].model_validate_json(json.dumps(document)) == _read(path)


@pytest.mark.parametrize("path", EXAMPLES, ids=_name)
def test_schema_and_model_refuse_an_event_without_its_required_fields(path: Path) -> None:
    document = json.loads(path.read_text(encoding="utf-8"))
    schema: Any = _schema(path.parent.name).schema
    for field in schema["required"]:
        rest = {name: value for name, value in document.items() if name != field}
        with pytest.raises(ValidationError):
            _schema(path.parent.name).validate(rest)
        with pytest.raises(ValueError, match=field):
            EVENTS[path.parent.name].model_validate_json(json.dumps(rest))


PROGRAMS = ProgramBook()
for _path in EXAMPLES:
    if isinstance(_published := _read(_path), ProgramPublishedV1):
        PROGRAMS.add(_published)


def test_published_program_is_a_program_document() -> None:
    for version in PROGRAMS:
        _schema("program").validate(version.document.model_dump(mode="json"))


@pytest.mark.parametrize("path", [path for path in EXAMPLES if ".points." in path.parent.name], ids=_name)
def test_points_events_add_up(path: Path) -> None:
    event = _read(path)
    assert isinstance(event, PointsEvent)
    moved = sum(transfer.points for transfer in event.transfers)
    # A warning moves nothing; it says how many points will go.
    assert moved == (0 if isinstance(event, PointsExpiringV1) else event.points)
    published = next(version for version in PROGRAMS if version.version == event.program_version)
    assert event.program_hash == published.hash


@pytest.mark.parametrize("path", [path for path in EXAMPLES if ".order." in path.parent.name], ids=_name)
def test_orders_add_up(path: Path) -> None:
    order: Any = _read(path)
    for side in ("shop_minor", "presentment_minor"):
        lines = sum(getattr(line.gross, side) - getattr(line.discount, side) for line in order.lines)
        assert getattr(order.subtotal, side) == lines
        parts = [order.subtotal, order.shipping, order.tip, *([] if order.taxes_included else [order.tax])]
        assert getattr(order.total, side) == sum(getattr(part, side) for part in parts)
