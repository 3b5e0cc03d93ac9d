"""The proxy's map knows every route of every service, and nothing else: a route that it lacks is 404 outside."""

import re
from collections.abc import Iterator

import pytest
from fastapi import APIRouter

from .code import ROOT

_MAP = re.compile(r"map \$uri \$service \{\n(.*?)\n    \}", re.DOTALL)
_ENTRY = re.compile(r"~(\S+)\s+(\S+);")
_PLACEHOLDER = re.compile(r"\{\w+(:path)?\}")
_WORD = re.compile(r"[a-z][a-z-]+")


def entries(conf: str) -> list[tuple[re.Pattern[str], str]]:
    """What the map says, in nginx's order: the first expression that is found counts. Nothing but these is in it."""
    found = _MAP.search(conf)
    assert found, "there is no map from $uri to $service"
    lines = [line.strip() for line in found[1].splitlines()]
    default, *said = [line for line in lines if line and not line.startswith("#")]
    assert re.fullmatch(r'default\s+"";', default), f"what the map does not name must go nowhere: {default}"
    parts = [_ENTRY.fullmatch(line) for line in said]
    assert None not in parts, f"these are evaluated by other rules: {[line for line in said if not _ENTRY.match(line)]}"
    return [(re.compile(part[1]), part[2]) for part in parts if part]


def routed(said: list[tuple[re.Pattern[str], str]], path: str) -> str:
    """Where nginx sends a path; empty where it answers 404."""
    return next((service for pattern, service in said if pattern.search(path)), "")


def violations(conf: str, served: dict[str, set[str]]) -> Iterator[str]:
    """`served`: the paths of each service, by its address."""
    said = entries(conf)
    for service, templates in served.items():
        for template in sorted(templates):
            # What is a path itself holds slashes, as the ids of some platforms do.
            path = _PLACEHOLDER.sub(lambda found: "gid://shop/1" if found[1] else "1", template)
            if (there := routed(said, path)) != service:
                yield f"{template} of {service} goes to {there or 'nobody'}"
    for pattern, service in said:
        words = {word for template in served.get(service, ()) for word in template.split("/")}
        for word in _WORD.findall(pattern.pattern):
            if word not in words:
                yield f"the map sends {word} to {service}, which does not serve it"


@pytest.fixture
def served(routes: dict[str, APIRouter]) -> dict[str, set[str]]:
    """The paths that services serve beside those of every process, which stay within."""
    return {
        service: {route.path for route in router.routes}  # type: ignore[attr-defined]
        for service, router in routes.items()
    }


@pytest.fixture(scope="module")
def conf() -> str:
    return (ROOT / "ops" / "nginx" / "nginx.conf").read_text(encoding="utf-8")


def test_every_route_reaches_its_service(conf: str, served: dict[str, set[str]]) -> None:
    found = list(violations(conf, served))
    assert not found, "\n".join(found)


@pytest.mark.parametrize("path", ["/metrics", "/readyz", "/livez", "/docs", "/openapi.json", "/", "/v1", "/v2/members"])
def test_what_is_for_the_inside_goes_nowhere(conf: str, path: str) -> None:
    assert routed(entries(conf), path) == ""


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("tier:8103", "referral:8104", "/v1/members/{member_id}/tier of tier:8103 goes to referral:8104"),
        ("programs(/|$)", "programs$", "/v1/programs/{program_id}/versions/{version} of console:8106 goes to nobody"),
        ("|seeds", "", "/v1/seeds/{commitment} of points-accrual:8102 goes to nobody"),
        ("|seeds", "|seeds|lookup", "the map sends lookup to points-accrual:8102, which does not serve it"),
    ],
)
def test_a_wrong_map_would_be_found(conf: str, served: dict[str, set[str]], old: str, new: str, sentence: str) -> None:
    assert old in conf
    assert sentence in list(violations(conf.replace(old, new), served))
