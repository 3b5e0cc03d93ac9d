"""The AsyncAPI document says of every topic what the registry says, and all that it points at is there."""

import json
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import yaml
from jsonschema import Draft202012Validator

from contracts import asyncapi
from contracts.envelope import Envelope, to_headers
from contracts.topics import EVENTS, PARTITIONS_DEFAULT, TOPICS, Topic

FOLDER = Path(__file__).parents[2] / "contracts"
DOCUMENT: dict[str, Any] = yaml.safe_load((FOLDER / "asyncapi.yaml").read_text(encoding="utf-8"))


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            if key == "$ref":
                yield item
            else:
                yield from _references(item)
    elif isinstance(value, list):
        for item in value:
            yield from _references(item)


def _at(reference: str) -> Any:
    file, _, pointer = reference.partition("#")
    value = json.loads((FOLDER / file).read_text(encoding="utf-8")) if file else DOCUMENT
    for part in filter(None, pointer.split("/")):
        value = value[part]
    return value


def test_it_is_asyncapi_3_of_this_version() -> None:
    assert DOCUMENT["asyncapi"] == "3.0.0"
    for file in (FOLDER / "pyproject.toml", FOLDER.parent / "pyproject.toml"):
        assert DOCUMENT["info"]["version"] == tomllib.loads(file.read_text(encoding="utf-8"))["project"]["version"]


def test_every_reference_leads_somewhere() -> None:
    references = set(_references(DOCUMENT))
    assert len(references) > len(EVENTS) * 2
    for reference in references:
        assert _at(reference)


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
def test_channel_says_what_the_registry_says(topic: Topic) -> None:
    channel = DOCUMENT["channels"][topic.name]
    kafka = channel["bindings"]["kafka"]
    assert channel["address"] == kafka["topic"] == topic.name
    assert kafka["partitions"] == (topic.partitions or PARTITIONS_DEFAULT)
    kept = kafka["topicConfiguration"]
    if topic.retention is None:
        assert (kept["cleanup.policy"], kept["retention.ms"]) == (["compact"], -1)
    else:
        assert (kept["cleanup.policy"], kept["retention.ms"]) == (["delete"], topic.retention.total_seconds() * 1000)
    assert {_at(message["$ref"])["name"] for message in channel["messages"].values()} == {
        event.TYPE for event in topic.events
    }


def test_one_channel_stands_for_all_topics_of_dead_letters() -> None:
    channel = DOCUMENT["channels"]["dead-letters"]
    topics, services = (channel["parameters"][name]["enum"] for name in ("topic", "service"))
    said = {channel["address"].format(topic=topic, service=service) for topic in topics for service in services}
    assert {topic.dead_letters(service) for topic in TOPICS for service in topic.consumers} <= said
    assert DOCUMENT["channels"].keys() == {topic.name for topic in TOPICS} | {"dead-letters"}


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
def test_owner_sends_and_consumers_receive(topic: Topic) -> None:
    said = {
        (operation["tags"][0]["name"], operation["action"])
        for operation in DOCUMENT["operations"].values()
        if operation["channel"]["$ref"] == f"#/channels/{topic.name}"
        and {_at(message["$ref"])["$ref"] for message in operation["messages"]}
        == {f"#/components/messages/{event.__name__}" for event in topic.events}
    }
    assert said == {(topic.owner, "send"), *((consumer, "receive") for consumer in topic.consumers)}


@pytest.mark.parametrize("name", EVENTS)
def test_message_has_key_headers_and_payload(name: str) -> None:
    message = DOCUMENT["components"]["messages"][EVENTS[name].__name__]
    assert _at(message["payload"]["$ref"])["$id"] == f"urn:laurel:{name}"
    assert message["headers"]["properties"]["ce_type"]["const"] == name
    key = Draft202012Validator(message["bindings"]["kafka"]["key"])
    for example in (FOLDER / "examples" / name).glob("*.json"):
        key.validate(EVENTS[name].model_validate_json(example.read_text(encoding="utf-8")).key())


def test_real_headers_fit_the_schema_of_headers() -> None:
    schema = Draft202012Validator(DOCUMENT["components"]["schemas"]["Headers"] | {"additionalProperties": False})
    envelope = Envelope(
        id=UUID(int=7), type="loyalty.points.granted.v1", source="points-accrual", subject=str(UUID(int=8)),
        time=datetime(2026, 1, 12, 10, tzinfo=UTC), correlation_id="c",
    )  # fmt: skip
    schema.validate(_texts(envelope))
    schema.validate(_texts(envelope.model_copy(update={"causation_id": "e", "traceparent": "00-1-2-01"})))
    assert not schema.is_valid(_texts(envelope) | {"ce_specversion": "0.3"})
    for name in _texts(envelope):
        assert not schema.is_valid({key: text for key, text in _texts(envelope).items() if key != name}), name


def _texts(envelope: Envelope) -> dict[str, str]:
    return {name: raw.decode() for name, raw in to_headers(envelope)}


TRICKY = {
    "plain": "text", "on": True, "no": None, "with space": [], "1": {}, "$ref": "#/a", "a.b-c": 1.5, "true": "true",
    "nested": [{"a": 1, "b": [1, [2, "x: y # z"]]}, [], "multi\nline \"quoted\" 'single' ü"], "empty": "",
}  # fmt: skip


def test_yaml_reads_back_as_what_was_written() -> None:
    assert yaml.safe_load(asyncapi.to_yaml(TRICKY)) == TRICKY
