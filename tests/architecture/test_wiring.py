"""Topics, `consumes` and HANDLERS say the same: no event of a topic that a service reads is left without an answer."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from contracts import topics
from contracts.topics import EVENTS, TOPICS, Topic

from .code import ROOT, SERVICES, Source

EVENT_NAMES = {event.__name__ for event in EVENTS.values()}


@dataclass(frozen=True)
class Wiring:
    """What a service's `app.py` and `handlers.py` say, as names."""

    name: str
    consumes: tuple[Topic, ...]
    reference: Topic | None
    handlers: frozenset[str]
    """Keys of HANDLERS."""
    handled: frozenset[str]
    """What the kit is told to hand over."""
    ignored: frozenset[str]


def read(app: Source, handlers: Source) -> Wiring:
    """Read the call of `Service(…)` and the tables at the foot of the handlers."""
    tables = dict(_tables(handlers))
    calls = [node for node in ast.walk(app.tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == "Service"]
    assert len(calls) == 1, f"{app.path}: one Service(…) is expected, {len(calls)} are there"
    said = {keyword.arg: keyword.value for keyword in calls[0].keywords if keyword.arg}
    consumes = said["consumes"]
    assert isinstance(consumes, ast.Tuple), app.at(consumes, "consumes must be a tuple of topics")
    reference = said.get("reference")
    return Wiring(
        name=str(getattr(topics, ast.unparse(said["name"]))),
        consumes=tuple(getattr(topics, ast.unparse(item)) for item in consumes.elts),
        reference=getattr(topics, ast.unparse(reference.args[0])) if isinstance(reference, ast.Call) else None,
        handlers=tables["HANDLERS"],
        handled=_named(said["handled"], tables),
        ignored=_named(said["ignored"], tables) if "ignored" in said else frozenset(),
    )


def _tables(source: Source) -> Iterator[tuple[str, frozenset[str]]]:
    """Every upper-case constant that is a dict or a (frozen) set of classes, by name."""
    for node in source.tree.body:
        if isinstance(node, ast.AnnAssign | ast.Assign) and node.value is not None:
            target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
            value: ast.expr = node.value
            if isinstance(value, ast.Call) and ast.unparse(value.func) == "frozenset":
                value = value.args[0] if value.args else ast.Set(elts=[])
            keys = value.keys if isinstance(value, ast.Dict) else getattr(value, "elts", [])
            yield ast.unparse(target), frozenset(ast.unparse(key) for key in keys if key is not None)


def _named(expression: ast.expr, tables: dict[str, frozenset[str]]) -> frozenset[str]:
    """`frozenset(handlers.HANDLERS)`, `handlers.IGNORED` and the like."""
    named = [ast.unparse(node) for node in ast.walk(expression) if isinstance(node, ast.Attribute)]
    return frozenset().union(*(tables[name.removeprefix("handlers.")] for name in named))


def violations(wiring: Wiring) -> Iterator[str]:
    read_topics = {*wiring.consumes, *([wiring.reference] if wiring.reference else [])}
    registered = {topic for topic in TOPICS if wiring.name in topic.consumers}
    yield from (f"{wiring.name} reads {topic.name}, but is no consumer of it" for topic in read_topics - registered)
    yield from (
        f"{wiring.name} is a consumer of {topic.name}, but does not read it" for topic in registered - read_topics
    )
    carried = {event.__name__ for topic in wiring.consumes for event in topic.events}
    answered = wiring.handled | wiring.ignored
    yield from (f"{wiring.name} neither handles nor ignores {event}" for event in carried - answered)
    yield from (f"{wiring.name} answers {event}, which no topic brings it" for event in answered - carried)
    yield from (f"{wiring.name} both handles and ignores {event}" for event in wiring.handled & wiring.ignored)
    yield from (f"{wiring.name} has no function for {event}" for event in wiring.handled - wiring.handlers)
    # Other keys are reports that order-ingest reads from its stored deliveries.
    unused = wiring.handlers & EVENT_NAMES - wiring.handled
    yield from (f"{wiring.name} has a function for {event} that is never called" for event in unused)


def _source(service: str, file: str) -> Source:
    path = f"{SERVICES[service]}/{file}"
    return Source(path, (ROOT / path).read_text(encoding="utf-8"))


@pytest.mark.parametrize("service", SERVICES)
def test_service_is_wired_as_the_registry_says(service: str) -> None:
    wiring = read(_source(service, "app.py"), _source(service, "handlers.py"))
    assert wiring.name == service
    found = sorted(violations(wiring))
    assert not found, "\n".join(found)


def test_the_registry_knows_every_service() -> None:
    assert set(topics.SERVICES) == set(SERVICES)
    assert {name for topic in TOPICS for name in topic.consumers} <= set(SERVICES)
    assert {topic.owner for topic in TOPICS} <= {*SERVICES, "platforms"}


def test_nobody_reads_what_nobody_else_owns() -> None:
    names = [topic.name for topic in TOPICS]
    assert len(set(names)) == len(names)
    types = [event for topic in TOPICS for event in topic.events]
    assert len(set(types)) == len(types), "an event stands on one topic alone"


@pytest.mark.parametrize("event", EVENTS.values(), ids=lambda event: event.__name__)
def test_wire_name_and_class_name_agree(event: type) -> None:
    *words, version = str(vars(event)["TYPE"]).split(".")[1:]
    expected = "".join(part.title() for word in words for part in word.split("_")) + version.upper()
    assert event.__name__ == expected


APP = """
def build(context):
    return Service(
        name=TIER,
        consumes=(MEMBERS, POINTS_TOPIC, REWARDS),
        handled=frozenset(handlers.HANDLERS),
        ignored=handlers.IGNORED,
        reference=Reference(PROGRAMS, programs.add),
    )
"""
OTHERS = ", ".join(
    event.__name__
    for topic in (topics.POINTS_TOPIC, topics.REWARDS)
    for event in topic.events
    if event.__name__ not in ("PointsGrantedV1", "PointsClawedBackV1", "PointsExpiredV1")
)
HANDLERS = f"""
HANDLERS = {{MemberChangedV1: a, PointsGrantedV1: b, PointsClawedBackV1: b}}
IGNORED: frozenset[type[Event]] = frozenset({{PointsExpiredV1, {OTHERS}}})
"""


def _violations(app: str, handlers: str) -> list[str]:
    return list(violations(read(Source("app.py", app), Source("handlers.py", handlers))))


def test_a_right_wiring_is_right() -> None:
    assert _violations(APP, HANDLERS) == []


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        (
            "(MEMBERS, POINTS_TOPIC, REWARDS)",
            "(MEMBERS, REWARDS)",
            "is a consumer of loyalty.points.v1, but does not read it",
        ),
        ("REWARDS)", "REWARDS, CONTACTS)", "reads loyalty.contacts.v1, but is no consumer of it"),
        (
            "reference=Reference(PROGRAMS, programs.add),",
            "",
            "is a consumer of loyalty.programs.v1, but does not read it",
        ),
        ("ignored=handlers.IGNORED,", "", "neither handles nor ignores PointsExpiredV1"),
        ("PointsGrantedV1: b, ", "", "neither handles nor ignores PointsGrantedV1"),
        ("PointsExpiredV1, ", "", "neither handles nor ignores PointsExpiredV1"),
        ("GrantedV1: b", "GrantedV1: b, OrderChangedV1: c", "answers OrderChangedV1, which no topic brings it"),
        ("PointsExpiredV1,", "PointsExpiredV1, MemberChangedV1,", "both handles and ignores MemberChangedV1"),
        ("handlers.HANDLERS", "handlers.IGNORED", "has a function for MemberChangedV1 that is never called"),
        ("handlers.HANDLERS", "handlers.IGNORED", "has no function for PointsActivatedV1"),
    ],
)
def test_a_wrong_wiring_would_be_found(old: str, new: str, sentence: str) -> None:
    assert old in APP + HANDLERS
    assert f"tier {sentence}" in _violations(APP.replace(old, new), HANDLERS.replace(old, new))
