"""HTTP as every service speaks it: problem details (RFC 9457), bounded bodies, trace context."""

import json
import re
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

import asyncpg
from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from contracts.texts import unstorable

from .db import TRANSIENT, Retry, is_transient
from .log import log
from .telemetry import new_traceparent, read_traceparent, set_traceparent

PROBLEM_TYPE = "application/problem+json"


class Problem(Exception):
    """What is told to a caller: a status, a title for the kind, a detail that says what to do."""

    def __init__(
        self,
        status: int,
        title: str,
        detail: str,
        *,
        type: str = "about:blank",
        errors: list[dict[str, Any]] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(f"{status} {title}: {detail}")
        self.status, self.title, self.detail, self.type = status, title, detail, type
        self.errors, self.headers = errors, headers

    def response(self) -> Response:
        """As the wire has it."""
        body: dict[str, Any] = {"type": self.type, "title": self.title, "status": self.status, "detail": self.detail}
        if self.errors is not None:
            body["errors"] = self.errors
        headers = dict(self.headers or {})
        if self.status == 401:
            headers.setdefault("WWW-Authenticate", "Bearer")
        return JSONResponse(body, self.status, headers, PROBLEM_TYPE)


def still_learning() -> Problem:
    """While a service reads back what a restored database had lost."""
    return Problem(503, "Try again", "this service reads back what it knew", headers={"Retry-After": "1"})


def unknown(title: str, detail: str, *, learnt: bool) -> Problem:
    """What is not known, or not known again yet: then nobody may take it for gone."""
    return Problem(404, title, detail) if learnt else still_learning()


async def _on_problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return error.response()


def _field(loc: Sequence[str | int], body: Any) -> str:
    """Where a mistake is in what the caller sent: without the kinds of items of several kinds, which pydantic adds."""
    kept: list[str | int] = []
    here = body if loc[0] == "body" else None
    for place, part in enumerate(loc[1:], start=2):
        if isinstance(here, dict) and part not in here and place < len(loc):
            continue
        kept.append(part)
        if isinstance(here, dict):
            here = here.get(part)
        elif isinstance(here, list) and isinstance(part, int) and part < len(here):
            here = here[part]
    return ".".join(str(part) for part in kept) or str(loc[0])


async def _on_invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    errors = [{"field": _field(item["loc"], error.body), "message": item["msg"]} for item in error.errors()]
    fields = ", ".join(item["field"] for item in errors[:5])
    return Problem(422, "Invalid request", f"these fields are wrong: {fields}", errors=errors).response()


async def _on_http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return Problem(
        error.status_code, str(error.detail), str(error.detail), headers=dict(error.headers or {})
    ).response()


async def _on_error(request: Request, error: Exception) -> Response:
    if is_transient(error):
        log.warning("request failed for now", path=_path(request), error=repr(error))
        return Problem(
            503,
            "Try again",
            "a part that this needs is away for the moment; send the same again, with the same Idempotency-Key if any",
            headers={"Retry-After": "1"},
        ).response()
    log.error("request failed", path=_path(request), error=repr(error), exc_info=error)
    return Problem(500, "Internal error", "this is a fault of Laurel; it is in the service's log").response()


def _path(request: Request) -> str:
    """The route's: what stands in the place of its parameters may be a token."""
    route = request.scope.get("route")
    return str(getattr(route, "path", "no route"))


class _Edge:
    """Counts the body while it streams and gives every request a trace. Pure ASGI: it costs microseconds."""

    def __init__(self, app: ASGIApp, body_bytes_max: int) -> None:
        self._app, self._max = app, body_bytes_max

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        given = headers.get(b"traceparent", b"").decode("latin-1")
        set_traceparent(read_traceparent(given or None) or new_traceparent())
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length) > self._max:
            await self._too_large()(scope, receive, send)
            return
        await self._counting(scope, receive, send)

    async def _counting(self, scope: Scope, receive: Receive, send: Send) -> None:
        seen, answered = 0, False

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            return message if seen <= self._max else {"type": "http.disconnect"}

        async def answer(message: Message) -> None:
            nonlocal answered
            if seen <= self._max or answered:
                answered = True
                await send(message)

        # FastAPI makes a 400 of whatever goes wrong while it reads; that answer is held back.
        with suppress(ClientDisconnect):
            await self._app(scope, counted, answer)
        if seen > self._max and not answered:
            await self._too_large()(scope, receive, send)

    def _too_large(self) -> Response:
        return Problem(413, "Too large", f"a body has at most {self._max} bytes here").response()


_MAY_BE_THAT = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])|\x00|\xed[\xa0-\xbf]")
"""Without any of these in its bytes no JSON has a text that no table takes: most is not looked through."""


class _Texts:
    """A 422 for zero characters and halves of surrogate pairs, wherever they come in: PostgreSQL takes none, and in an
    event they would be everybody's trouble. One guard for all routes but the `answered` ones, which come before it:
    what a platform signed is stored as it is.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        wrong = "\x00" in scope["path"] or b"%00" in scope["query_string"]
        if not wrong and scope["method"] != "GET":
            body = await Request(scope, receive).body()
            wrong, receive = _is_wrong(body), _once_more(body, receive)
        if wrong:
            text = "no text may hold a zero character or half of a surrogate pair"
            await Problem(422, "Invalid request", text).response()(scope, receive, send)
            return
        await self._app(scope, receive, send)


def _once_more(body: bytes, receive: Receive) -> Receive:
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Message:
        return waiting.pop() if waiting else await receive()

    return replayed


def _is_wrong(body: bytes) -> bool:
    if _MAY_BE_THAT.search(body):
        with suppress(ValueError, RecursionError):  # Then it is no JSON: it has no texts, and its route refuses it.
            return unstorable(json.loads(body))
    return False


AtOnce = Callable[[Request], Awaitable[Response | None]]


class _Asked(APIRoute):
    """See `answered`."""

    at_once: AtOnce


def answered(at_once: AtOnce) -> type[APIRoute]:
    """Routes for what is asked most: `at_once` answers without the framework's way to routes, dependencies and
    arguments, which takes longer than all else. Where it gives None, as to whatever is rare or wrong, the route goes
    that way; it must not have read the body then. No dependency is asked, so it checks for itself who may have what.
    """
    return type("Asked", (_Asked,), {"at_once": staticmethod(at_once)})


class _First:
    """Answers `answered` routes at once, and lets all else pass. Their parameters in the path are texts."""

    def __init__(self, app: ASGIApp, routes: Sequence[_Asked]) -> None:
        self._app, self._routes = app, routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        for route in self._routes if scope["type"] == "http" else ():
            if scope["method"] in (route.methods or ()) and (found := route.path_regex.match(scope["path"])):
                request = Request({**scope, "path_params": found.groupdict(), "route": route}, receive)
                if response := await self._answer(type(route).at_once, request):
                    await response(scope, receive, send)
                    return
        await self._app(scope, receive, send)

    async def _answer(self, at_once: AtOnce, request: Request) -> Response | None:
        try:
            return await at_once(request)
        except Problem as problem:
            return problem.response()
        except ClientDisconnect:
            raise
        except Exception as error:  # noqa: BLE001 - told as the other routes tell it
            return await _on_error(request, error)


def create_app(title: str, *, body_bytes_max: int, routes: APIRouter | None = None) -> FastAPI:
    """An application with the handlers above, which answers the `answered` ones of these routes at once. The caller
    adds routes, these too.
    """
    app = FastAPI(
        title=f"Laurel {title}", version="1", docs_url="/docs", redoc_url=None, openapi_url="/openapi.json",
        redirect_slashes=False,  # A redirect would name the scheme and port of this side of the proxy.
    )  # fmt: skip
    app.add_exception_handler(Problem, _on_problem)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http)
    # Said one by one: what only `Exception` covers is raised again for the server, which writes down its stack.
    for kind in (*TRANSIENT, asyncpg.InterfaceError, Retry, Exception):
        app.add_exception_handler(kind, _on_error)
    app.add_middleware(_Texts)
    asked = [route for route in routes.routes if isinstance(route, _Asked)] if routes else []
    app.add_middleware(_First, routes=asked)
    app.add_middleware(_Edge, body_bytes_max=body_bytes_max)
    return app
