"""Every number that a request may hold has bounds that a bigint has, too: one beyond them is 422, no fault of ours."""

from collections.abc import Iterator
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, FastAPI
from pydantic import BaseModel, Field

LEAST, MOST = -(2**63), 2**63 - 1


def unbounded(document: dict[str, Any]) -> Iterator[str]:
    """Where requests of an OpenAPI document may hold a whole number of any size."""
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            place = f"{method.upper()} {path}"
            for parameter in operation.get("parameters", ()):
                yield from _look(document, parameter["schema"], f"{place}: {parameter['name']}", ())
            for content in operation.get("requestBody", {}).get("content", {}).values():
                yield from _look(document, content["schema"], place, ())


def _look(document: dict[str, Any], schema: Any, place: str, seen: tuple[str, ...]) -> Iterator[str]:
    if isinstance(schema, list):
        for item in schema:
            yield from _look(document, item, place, seen)
    if not isinstance(schema, dict):
        return
    name = schema.get("$ref", "").rpartition("/")[2]
    if name and name not in seen:
        yield from _look(document, document["components"]["schemas"][name], f"{place}: {name}", (*seen, name))
    if schema.get("type") == "integer" and not _bounded(schema):
        yield place
    for key in ("anyOf", "allOf", "oneOf", "items", "prefixItems", "additionalProperties"):
        yield from _look(document, schema.get(key), place, seen)
    for key, value in schema.get("properties", {}).items():
        yield from _look(document, value, f"{place}.{key}", seen)


def _bounded(schema: dict[str, Any]) -> bool:
    if "enum" in schema or "const" in schema:
        return True
    least = schema.get("minimum", schema.get("exclusiveMinimum", LEAST - 1))
    most = schema.get("maximum", schema.get("exclusiveMaximum", MOST + 1))
    return bool(least >= LEAST and most <= MOST)


def _document(router: APIRouter) -> dict[str, Any]:
    app = FastAPI()
    app.include_router(router)
    return app.openapi()


def test_no_request_holds_a_number_that_the_database_does_not(routes: dict[str, APIRouter]) -> None:
    found = [f"{service} {place}" for service, router in routes.items() for place in unbounded(_document(router))]
    assert not found, "\n".join(found)


class _Part(BaseModel):
    right: Annotated[int, Field(ge=0, lt=100)] = 0
    wrong: int | None = None


class _Body(BaseModel):
    parts: list[_Part]
    more: dict[str, _Part] = {}


@pytest.mark.parametrize(
    ("kind", "places"),
    [
        (Annotated[int, Field(ge=1, le=100)], []),
        (Annotated[int, Field(ge=1)], ["POST /numbers: value"]),
        (Annotated[int, Field(ge=1, le=2**63)], ["POST /numbers: value"]),
        (int | None, ["POST /numbers: value"]),
        (_Body, ["POST /numbers: _Body.parts: _Part.wrong", "POST /numbers: _Body.more: _Part.wrong"]),
    ],
)
def test_a_number_without_bounds_would_be_found(kind: Any, places: list[str]) -> None:
    router = APIRouter()

    def numbers(value: Any) -> None: ...

    numbers.__annotations__["value"] = kind
    router.add_api_route("/numbers", numbers, methods=["POST"])
    assert list(unbounded(_document(router))) == places
