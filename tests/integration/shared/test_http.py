"""The edge of HTTP: bodies are bounded while they stream, faults become problems, traces are kept."""

import json
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import httpx
import pytest
from fastapi import APIRouter, FastAPI, Request, Response
from pydantic import BaseModel
from structlog.testing import capture_logs

from shared.http import Problem, answered, create_app
from shared.telemetry import current_traceparent

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Body(BaseModel):
    name: str
    details: dict[str, Any] = {}


def _asked() -> APIRouter:
    router = APIRouter(prefix="/v1")

    async def at_once(request: Request) -> Response | None:
        match request.path_params["name"]:
            case "common":
                return Response("at once")
            case "away":
                raise ConnectionResetError("the database went away")
            case "refused":
                raise Problem(409, "Conflict", "say why")
        return None

    async def ordinary(name: str, number: int = 0) -> str:
        return f"{name} {number}"

    router.add_api_route("/asked/{name}", ordinary, route_class_override=answered(at_once))
    return router


def _app() -> FastAPI:
    asked = _asked()
    app = create_app("test", body_bytes_max=1000, routes=asked)
    app.include_router(asked)

    @app.post("/echo")
    async def echo(body: Body) -> dict[str, str | None]:
        return {"name": body.name, "trace": current_traceparent()}

    @app.get("/asked-for/{name}")
    async def asked_for(name: str, key: str = "") -> str:
        return name + key

    @app.post("/done")
    async def done() -> str:
        return "done"

    @app.get("/broken")
    async def broken() -> None:
        raise KeyError("secret-detail")

    @app.get("/away")
    async def away() -> None:
        raise ConnectionResetError("the database went away")

    @app.get("/opt-out/{token}")
    async def opt_out(token: str) -> None:
        raise ConnectionResetError("the database went away")

    @app.get("/full")
    async def full() -> None:
        raise asyncpg.DiskFullError("No space left on device")

    @app.get("/refused")
    async def refused() -> None:
        raise Problem(409, "Conflict", "say why")

    return app


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(_app(), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as made:
        yield made


async def _chunks(size: int) -> AsyncIterator[bytes]:
    for _ in range(size // 100):
        yield b"x" * 100


@pytest.mark.parametrize("stream", [False, True])
async def test_a_body_over_the_limit_is_413(client: httpx.AsyncClient, stream: bool) -> None:
    content = _chunks(2000) if stream else b"x" * 2000
    answer = await client.post("/echo", content=content, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["title"]) == (413, "Too large")


async def test_a_lying_content_length_is_refused(client: httpx.AsyncClient) -> None:
    answer = await client.post("/echo", content=b"{}", headers={"content-length": "-5"})
    assert answer.status_code == 413


async def test_an_invalid_field_is_named(client: httpx.AsyncClient) -> None:
    answer = await client.post("/echo", json={"name": 5})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["errors"] == [{"field": "name", "message": "Input should be a valid string"}]


@pytest.mark.parametrize("text", ["a\x00", "\ud800", "\udc00\ud800"])
async def test_texts_that_no_table_takes_are_refused_wherever_they_are(client: httpx.AsyncClient, text: str) -> None:
    deep = [text]
    for _ in range(200):
        deep = [deep]  # type: ignore[list-item]
    for body in ({"name": text}, {"name": "a", "details": {"b": deep}}, {"name": "a", "more": [{text: 1}]}):
        answer = await client.post("/echo", content=json.dumps(body), headers={"content-type": "application/json"})
        assert answer.status_code == 422, body
        if body["name"] == "a":
            assert "zero character" in answer.json()["detail"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32"])
async def test_a_zero_character_in_another_encoding_is_refused_too(client: httpx.AsyncClient, encoding: str) -> None:
    content = json.dumps({"name": "a\x00"}).encode(encoding)
    answer = await client.post("/echo", content=content, headers={"content-type": "application/json"})
    assert answer.status_code == 422


@pytest.mark.parametrize("path", ["/asked-for/a%00b", "/asked-for/a?key=%00"])
async def test_a_zero_character_in_an_address_is_refused(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path)
    assert (answer.status_code, answer.json()["title"]) == (422, "Invalid request")
    assert (await client.get("/asked-for/a?key=%2500")).json() == "a%00"


@pytest.mark.parametrize("text", ["a\\u0000", "\\\\u0000", "\U0001f600", "\\ud800", "ΑΩ"])
async def test_texts_that_only_look_so_are_taken(client: httpx.AsyncClient, text: str) -> None:
    assert (await client.post("/echo", json={"name": text})).json()["name"] == text
    answer = await client.post(
        "/echo", content=json.dumps({"name": text}), headers={"content-type": "application/json"}
    )
    assert answer.json()["name"] == text


async def test_what_is_no_json_is_nobodys_text(client: httpx.AsyncClient) -> None:
    for content in (b"\\u0000", b"\x00", b"a=%00"):
        assert (await client.post("/done", content=content)).json() == "done"
        assert (await client.post("/echo", content=content)).status_code == 422


@pytest.mark.parametrize(
    ("path", "status", "title"),
    [
        ("/broken", 500, "Internal error"),
        ("/away", 503, "Try again"),
        ("/refused", 409, "Conflict"),
        ("/nowhere", 404, "Not Found"),
    ],
)
async def test_faults_are_problems_without_details_of_the_inside(
    client: httpx.AsyncClient, path: str, status: int, title: str
) -> None:
    answer = await client.get(path)
    assert (answer.status_code, answer.json()["title"]) == (status, title)
    assert "secret-detail" not in answer.text
    assert "Traceback" not in answer.text


@pytest.mark.parametrize("path", ["/away", "/full"])
async def test_what_passes_by_itself_is_no_fault_of_the_server(path: str) -> None:
    """The server writes down the whole stack of what reaches it: in an outage, that of every request."""
    transport = httpx.ASGITransport(_app(), raise_app_exceptions=True)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        answer = await client.get(path)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert "nothing was changed" not in answer.text, "a commit whose answer was lost may have been one"


@pytest.mark.parametrize("path", ["/opt-out/a-bearer-of-this", "/v1/asked/away"])
async def test_what_failed_is_written_down_without_what_its_address_carries(
    client: httpx.AsyncClient, path: str
) -> None:
    with capture_logs() as said:
        assert (await client.get(path)).status_code == 503
    assert [item["path"] for item in said] == [path.rpartition("/")[0] + ("/{name}" if "v1" in path else "/{token}")]


async def test_an_address_is_known_or_not_and_leads_nowhere_else(client: httpx.AsyncClient) -> None:
    """Behind a proxy a redirect would be to plain HTTP, with the token and the body."""
    assert (await client.post("/echo/", json={"name": "a"})).status_code == 404


async def test_a_trace_goes_on_and_a_broken_one_is_replaced(client: httpx.AsyncClient) -> None:
    kept = await client.post("/echo", json={"name": "a"}, headers={"traceparent": TRACE})
    assert kept.json()["trace"] == TRACE
    fresh = await client.post("/echo", json={"name": "a"}, headers=[(b"traceparent", b"00-zz-\xff-01")])
    assert fresh.json()["trace"] not in (None, TRACE)
    # Later versions may say more, which is well-formed and no envelope takes: its event would be read by nobody.
    longer = f"01{TRACE[2:]}-what-the-future-will-be-like"
    short = await client.post("/echo", json={"name": "a"}, headers={"traceparent": longer})
    assert len(short.json()["trace"]) == len(TRACE)


async def test_what_is_asked_most_is_answered_at_once_and_the_rest_as_ever(client: httpx.AsyncClient) -> None:
    assert (await client.get("/v1/asked/common")).text == "at once"
    assert (await client.get("/v1/asked/rare", params={"number": 3})).json() == "rare 3"
    wrong = await client.get("/v1/asked/rare", params={"number": "x"})
    assert (wrong.status_code, wrong.json()["title"]) == (422, "Invalid request")
    other = await client.post("/v1/asked/common")
    assert (other.status_code, other.headers["allow"]) == (405, "GET")
    told = (await client.get("/openapi.json")).json()["paths"]["/v1/asked/{name}"]
    assert list(told) == ["get"]


@pytest.mark.parametrize(("name", "status"), [("away", 503), ("refused", 409)])
async def test_faults_of_what_is_answered_at_once_are_problems(
    client: httpx.AsyncClient, name: str, status: int
) -> None:
    answer = await client.get(f"/v1/asked/{name}")
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
