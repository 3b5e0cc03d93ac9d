"""Every route of every service with every kind of wrong token: nothing answers to whom it should not."""

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fastapi.routing import APIRoute

from laurel.services import SERVICES
from shared.testing import Harness, harness
from tests.conftest import PostgresServer

pytestmark = pytest.mark.integration

MEMBER = UUID("11111111-1111-4111-8111-111111111111")
OTHER = UUID("22222222-2222-4222-8222-222222222222")
PUBLIC = {
    ("POST", "/v1/connections/{connection_id}/webhooks"): "signed by the platform",
    ("GET", "/v1/opt-out/{token}"): "the link is signed",
    ("POST", "/v1/opt-out/{token}"): "the link is signed",
}
"""The only routes without a token, and why."""

_PLACEHOLDER = re.compile(r"\{(\w+)(?::\w+)?\}")


@dataclass(frozen=True)
class Call:
    """One route with its placeholders filled in for `MEMBER`."""

    method: str
    path: str
    template: str
    of_member: bool


def _routes(service: Harness) -> Iterator[APIRoute]:
    assert service.service.routes is not None, f"{service.service.name} serves nothing"
    for route in service.service.routes.routes:
        assert isinstance(route, APIRoute)
        yield route


def _calls(service: Harness) -> list[Call]:
    calls = []
    for route in _routes(service):
        names = route.param_convertors
        for method in sorted(route.methods or ()):
            if (method, route.path) not in PUBLIC:
                path = _PLACEHOLDER.sub(lambda found: str(MEMBER) if found[1] == "member_id" else "1", route.path)
                calls.append(Call(method, path, route.path, "member_id" in names))
    return calls


@pytest.fixture(params=SERVICES)
async def service(request: pytest.FixtureRequest, postgres: PostgresServer) -> AsyncIterator[Harness]:
    entry = SERVICES[request.param]
    dsn = postgres.create()
    async with AsyncExitStack() as stack:
        made = harness(entry.build, dsn, entry.migrations, name=entry.name, settings=entry.settings)
        yield await stack.enter_async_context(made)
    postgres.drop(dsn)


async def test_what_is_answered_at_once_changes_nothing_that_is_still_to_be_learnt(service: Harness) -> None:
    """It comes before the dependency that holds changes back while a restored service learns."""
    for route in _routes(service):
        assert not hasattr(route, "at_once") or route.methods == {"GET"} or service.service.stores_first


def _wrong_tokens(service: Harness) -> dict[str, dict[str, str]]:
    now = service.clock.now()
    good = service.token("store")["Authorization"].removeprefix("Bearer ")
    claims = {
        "iss": "laurel", "aud": "laurel", "sub": "test", "iat": now, "exp": now + timedelta(minutes=5),
        "program": "aurora", "scope": "admin",
    }  # fmt: skip
    header, body, signature = good.split(".")
    late = service.context.tokens.mint(
        "aurora", "store", now=now - timedelta(hours=2), ttl=timedelta(hours=1), subject="test"
    )
    own_key = Ed25519PrivateKey.generate()
    texts = {
        "none": None,
        "not a token": "x",
        "empty": "",
        "run out": late,
        "another key": jwt.encode(claims, own_key, algorithm="EdDSA", headers={"kid": "test"}),
        "unknown key": jwt.encode(claims, own_key, algorithm="EdDSA", headers={"kid": "nobody"}),
        "key id is a path": jwt.encode(claims, own_key, algorithm="EdDSA", headers={"kid": "../test"}),
        "no signature": jwt.encode(claims, "", algorithm="none", headers={"kid": "test"}),
        "HMAC": jwt.encode(claims, "secret" * 8, algorithm="HS256", headers={"kid": "test"}),
        "signature of another": ".".join((header, body, signature[::-1])),
        "body changed": ".".join((header, body[:-2] + ("AA" if body[-2:] != "AA" else "BB"), signature)),
    }
    wrong = {name: {} if text is None else {"Authorization": f"Bearer {text}"} for name, text in texts.items()}
    wrong["not Bearer"] = {"Authorization": f"Basic {good}"}
    return wrong


async def _ask(service: Harness, call: Call, headers: dict[str, str]) -> httpx.Response:
    return await service.client.request(call.method, call.path, headers=headers, json=None)


async def test_no_route_answers_to_a_wrong_token(service: Harness) -> None:
    calls = _calls(service)
    assert calls, f"{service.service.name} has no route to walk"
    for name, headers in _wrong_tokens(service).items():
        for call in calls:
            answer = await _ask(service, call, headers)
            assert answer.status_code == 401, f"{call.method} {call.template} with token '{name}': {answer.text}"
            assert answer.headers["content-type"] == "application/problem+json"


async def test_a_member_sees_nobody_else_and_no_store_route(service: Harness) -> None:
    foreign = service.token("member", member_id=OTHER)
    for call in _calls(service):
        answer = await _ask(service, call, foreign)
        if call.of_member:
            assert answer.status_code == 403, f"{call.method} {call.template}: {answer.text}"
        else:
            assert answer.status_code in (200, 403, 404), f"{call.method} {call.template}: {answer.text}"


async def test_another_program_finds_nothing(service: Harness) -> None:
    foreign = service.token("store", program_id="another")
    for call in _calls(service):
        if call.of_member:
            answer = await _ask(service, call, foreign)
            assert answer.status_code in (403, 404, 422, 400), f"{call.method} {call.template}: {answer.text}"


async def test_public_routes_are_those_listed(service: Harness) -> None:
    """A route without a guard is either listed above with its reason, or a hole."""
    for route in _routes(service):
        guarded = any(getattr(dependency.call, "guards", False) for dependency in route.dependant.dependencies)
        for method in route.methods or ():
            assert guarded != ((method, route.path) in PUBLIC), f"{method} {route.path}"


def test_key_files_are_closed_to_others(tmp_path: Path) -> None:
    from shared.access import create_key

    create_key(tmp_path, "one")
    assert (tmp_path / "one.key.pem").stat().st_mode & 0o077 == 0
    with pytest.raises(FileExistsError):
        create_key(tmp_path, "one")
