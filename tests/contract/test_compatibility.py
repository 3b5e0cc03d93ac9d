"""What breaks a released type and what does not, each as a change to a model that pydantic turns into its schema."""

import json
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field

from contracts.compatibility import breaking_changes
from contracts.generate import event_schema, json_schema
from contracts.topics import EVENTS


class Amount(BaseModel):
    minor: int
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")] = "USD"


class Sold(BaseModel):
    """Something was sold."""

    sale_id: str
    state: Literal["open", "paid"]
    quantity: Annotated[int, Field(ge=1, le=100)]
    note: Annotated[str, Field(max_length=10)] | None = None
    total: Amount
    tip: Amount = Amount(minor=0)
    parts: tuple[Amount, ...] = ()
    labels: dict[str, str] = {}
    rate: float | str = 1.0


OLD = json_schema(Sold, "sold")


def _changed(fields: dict[str, Any], **annotations: Any) -> dict[str, Any]:
    """The schema of a model like `Sold` with other or more fields."""
    model = type("Sold", (Sold,), {"__annotations__": annotations, **fields, "__module__": __name__})
    return json_schema(model, "sold")


def _edited(edit: Any) -> dict[str, Any]:
    """The schema of `Sold`, edited as JSON."""
    schema: dict[str, Any] = json.loads(json.dumps(OLD))
    edit(schema)
    return schema


class WiderAmount(BaseModel):
    minor: int
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")] = "USD"
    rounded: bool = False


class RequiringAmount(Amount):
    exponent: int


class OtherAmount(BaseModel):
    minor: str
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")] = "USD"


BREAKING: dict[str, tuple[dict[str, Any], str]] = {
    "field removed": (_edited(lambda s: s["properties"].pop("note")), "note: the field was removed"),
    "field renamed": (
        _edited(lambda s: s["properties"].update(remark=s["properties"].pop("note"))),
        "note: the field was removed",
    ),
    "required field removed": (
        _edited(lambda s: (s["properties"].pop("sale_id"), s["required"].remove("sale_id"))),
        "sale_id: the field was removed",
    ),
    "type changed": (_changed({}, quantity=str), 'quantity: type was "integer" and is "string"'),
    "new required field": (_changed({}, channel=str), "channel: a new field is required"),
    "new optional field without a default": (
        _changed({"tags": Field(default_factory=list)}, tags=list[str]),
        "tags: a new field has no default",
    ),
    "optional field required": (
        _changed({"labels": Field()}, labels=dict[str, str]),
        "labels: the field became required",
    ),
    "required field optional": (_changed({"sale_id": ""}, sale_id=str), "sale_id: the field became optional"),
    "enum value removed": (_changed({}, state=Literal["open"]), "state: const was absent"),
    "enum value added": (_changed({}, state=Literal["open", "paid", "void"]), 'is ["open", "paid", "void"]'),
    "bound tightened": (_changed({}, quantity=Annotated[int, Field(ge=1, le=50)]), "maximum was 100 and is 50"),
    "bound loosened": (_changed({}, quantity=Annotated[int, Field(ge=0, le=100)]), "minimum was 1 and is 0"),
    "bound removed": (_changed({}, quantity=Annotated[int, Field(ge=1)]), "maximum was 100 and is absent"),
    "length changed": (
        _changed({"note": None}, note=Annotated[str, Field(max_length=20)] | None),
        "note: maxLength was 10 and is 20",
    ),
    "pattern added": (
        _changed({}, sale_id=Annotated[str, Field(pattern="^x")]),
        'sale_id: pattern was absent and is "^x"',
    ),
    "format added": (
        _edited(lambda s: s["properties"]["sale_id"].update(format="uuid")),
        'sale_id: format was absent and is "uuid"',
    ),
    "default changed": (_changed({"rate": 2.0}, rate=float | str), "rate: default was 1.0 and is 2.0"),
    "default null where there was none": (
        _edited(lambda s: s["properties"]["sale_id"].update(default=None)),
        "sale_id: default was absent and is null",
    ),
    "default of an object changed": (_changed({"tip": Amount(minor=1)}, tip=Amount), "tip: default was"),
    "may be null": (_changed({}, sale_id=str | None), "sale_id: the field may now be null"),
    "may no longer be null": (
        _changed({"note": ""}, note=Annotated[str, Field(max_length=10)]),
        "note: the field may no longer be null",
    ),
    "alternative added": (_changed({"rate": 1.0}, rate=float | str | bool), "rate: anyOf was"),
    "alternative changed": (_changed({"rate": 1.0}, rate=float | bool), "rate: type was"),
    "field inside changed": (_changed({}, total=OtherAmount), 'total.minor: type was "integer" and is "string"'),
    "field inside required": (_changed({}, total=RequiringAmount), "total.exponent: a new field is required"),
    "items changed": (_changed({"parts": ()}, parts=tuple[OtherAmount, ...]), "parts[].minor: type was"),
    "list became one": (_changed({}, parts=Amount), "parts: type was"),
    "values changed": (_changed({"labels": {}}, labels=dict[str, int]), "labels[]: type was"),
    "object closed": (
        _changed({"model_config": ConfigDict(extra="forbid")}),
        "the document: additionalProperties was absent and is false",
    ),
    "topic changed": (OLD | {"x-topic": "elsewhere"}, 'the document: x-topic was absent and is "elsewhere"'),
}


@pytest.mark.parametrize("case", BREAKING)
def test_breaking(case: str) -> None:
    new, sentence = BREAKING[case]
    changes = breaking_changes(OLD, new)
    assert any(sentence in change for change in changes), changes


class Renamed(BaseModel):
    """Another name and another text, but the same shape as `Amount`."""

    minor: int = Field(description="Hundredths.", examples=[5])
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")] = "USD"


ALLOWED: dict[str, dict[str, Any]] = {
    "nothing changed": _changed({}),
    "optional field with a default": _changed({"channel": "web"}, channel=str),
    "optional field that may be null": _changed({"channel": None}, channel=str | None),
    "optional object with a default": _changed({"fee": Amount(minor=0)}, fee=Amount),
    "optional field inside": _changed({}, total=WiderAmount),
    "optional field inside a default": _changed({"tip": WiderAmount(minor=0)}, tip=WiderAmount),
    "optional field inside items": _changed({"parts": ()}, parts=tuple[WiderAmount, ...]),
    "description": _changed({"__doc__": "Something else was said."}),
    "description of a field": _changed({}, sale_id=Annotated[str, Field(description="Who knows.", examples=["7"])]),
    "title": OLD | {"title": "Sale", "$id": "urn:elsewhere", "$comment": "why"},
    "definition renamed": _changed({}, total=Renamed),
    "order of fields": _edited(lambda s: s.update(properties=dict(reversed(s["properties"].items())))),
    "order of required fields": _edited(lambda s: s["required"].reverse()),
}


@pytest.mark.parametrize("case", ALLOWED)
def test_allowed(case: str) -> None:
    assert breaking_changes(OLD, ALLOWED[case]) == []
    if case not in ("nothing changed", "order of required fields", "order of fields"):
        assert ALLOWED[case] != OLD, "the case must change something"


class Closed(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str


class ClosedWider(Closed):
    rank: int = 0


def test_a_closed_object_cannot_grow() -> None:
    """Readers of the older schema would refuse what newer writers write."""
    assert breaking_changes(json_schema(Closed, "x"), json_schema(ClosedWider, "x")) == [
        "rank: a new field in an object that refuses fields it does not know"
    ]


@pytest.mark.parametrize("name", EVENTS)
def test_every_schema_is_compatible_with_itself(name: str) -> None:
    schema = event_schema(EVENTS[name])
    assert breaking_changes(schema, schema) == []
    assert breaking_changes(schema, schema | {"x-key": "elsewhere"})


@pytest.mark.parametrize("name", EVENTS)
def test_no_field_of_any_event_can_go_unnoticed(name: str) -> None:
    schema = event_schema(EVENTS[name])
    for definition in (schema, *schema.get("$defs", {}).values()):
        for field in list(definition.get("properties", {})):
            before = json.dumps(schema)
            removed = definition["properties"].pop(field)
            changes = breaking_changes(json.loads(before), schema)
            assert any(change.endswith(f"{field}: the field was removed") for change in changes), field
            definition["properties"] = {**definition["properties"], field: removed}
