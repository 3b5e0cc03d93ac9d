"""The AsyncAPI 3.0 document of the platform: every topic with its keys, headers, messages, owner and readers."""

import inspect
import json
import re
from typing import Any

from .base import Event
from .envelope import _HEADERS, CONTENT_TYPE, SPEC_VERSION
from .topics import PARTITIONS_DEFAULT, RECORD_BYTES_MAX, SERVICES, TOPICS, Topic

VERSION = "0.1.0"
"""Of the distribution `laurel-contracts`."""
BINDING_VERSION = "0.5.0"

Json = dict[str, Any]

HEADER_OF = {field: header for header, field in _HEADERS.items()}
"""The Kafka header of each attribute of the envelope."""


def summary(event: type[Event]) -> str:
    """The first sentence of the event's docstring."""
    text = " ".join((inspect.getdoc(event) or "").split())
    return re.split(r"(?<=\.)\s", text, maxsplit=1)[0]


def cleanup_policy(topic: Topic) -> str:
    """Kafka's word for how the topic is kept."""
    return "compact" if topic.retention is None else "delete"


def document(envelope: Json) -> Json:
    """The whole document; `envelope` is the JSON Schema of the envelope. Payloads point at the files in schemas/."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Laurel",
            "version": VERSION,
            "description": "The events of a customer-loyalty platform. CloudEvents 1.0 in Kafka's binary mode: "
            "the attributes are headers, the value is the JSON of the data alone.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": CONTENT_TYPE,
        "servers": {
            "kafka": {
                "host": "{bootstrap}",
                "protocol": "kafka",
                "description": "The Apache Kafka of the installation.",
                "variables": {"bootstrap": {"default": "localhost:9092", "description": "Bootstrap server."}},
            }
        },
        "channels": {topic.name: _channel(topic) for topic in TOPICS} | {"dead-letters": _dead_letters()},
        "operations": dict(operation for topic in TOPICS for operation in _operations(topic)),
        "components": {
            "messages": {event.__name__: _message(topic, event) for topic in TOPICS for event in topic.events}
            | {"DeadLetter": _dead_letter()},
            "schemas": {"Headers": _headers(envelope)},
        },
    }


def _channel(topic: Topic) -> Json:
    retention = -1 if topic.retention is None else int(topic.retention.total_seconds() * 1000)
    return {
        "address": topic.name,
        "description": topic.summary,
        "servers": [{"$ref": "#/servers/kafka"}],
        "messages": {event.__name__: {"$ref": f"#/components/messages/{event.__name__}"} for event in topic.events},
        "bindings": {
            "kafka": {
                "topic": topic.name,
                "partitions": topic.partitions or PARTITIONS_DEFAULT,
                "topicConfiguration": {
                    "cleanup.policy": [cleanup_policy(topic)],
                    "retention.ms": retention,
                    "max.message.bytes": RECORD_BYTES_MAX,
                },
                "bindingVersion": BINDING_VERSION,
            }
        },
        "x-owner": topic.owner,
        "x-consumers": list(topic.consumers),
    }


def _dead_letters() -> Json:
    """One channel stands for all topics of dead letters: each topic has one for each of its readers."""
    return {
        "address": "{topic}.{service}.dlq",
        "description": "Copies of what a reader could not read or apply, for people to look at.",
        "servers": [{"$ref": "#/servers/kafka"}],
        "parameters": {
            "topic": {"enum": [topic.name for topic in TOPICS if topic.consumers], "description": "Where it was."},
            "service": {"enum": list(SERVICES), "description": "Who could not."},
        },
        "messages": {"DeadLetter": {"$ref": "#/components/messages/DeadLetter"}},
    }


def _dead_letter() -> Json:
    origin = {"type": "string", "pattern": "^.+/[0-9]+/[0-9]+$", "description": "Topic, partition and offset."}
    return {
        "name": "dead-letter",
        "title": "DeadLetter",
        "summary": "A record with its original key, value and headers, and two headers more.",
        "contentType": "application/octet-stream",
        "headers": {
            "type": "object",
            "properties": {"laurel_origin": origin, "laurel_error_class": {"type": "string"}},
            "required": ["laurel_origin", "laurel_error_class"],
        },
    }


def _operations(topic: Topic) -> list[tuple[str, Json]]:
    """The owner sends, each consumer receives."""
    parts = [(topic.owner, "send"), *((consumer, "receive") for consumer in topic.consumers)]
    messages = [{"$ref": f"#/channels/{topic.name}/messages/{event.__name__}"} for event in topic.events]
    return [
        (
            f"{service}.{action}.{topic.name}",
            {
                "action": action,
                "channel": {"$ref": f"#/channels/{topic.name}"},
                "tags": [{"name": service}],
                "messages": messages,
            },
        )
        for service, action in parts
    ]


def _message(topic: Topic, event: type[Event]) -> Json:
    return {
        "name": event.TYPE,
        "title": event.__name__,
        "summary": summary(event),
        "contentType": CONTENT_TYPE,
        "headers": {
            "type": "object",
            "allOf": [{"$ref": "#/components/schemas/Headers"}],
            "properties": {"ce_type": {"type": "string", "const": event.TYPE}},
        },
        "payload": {"$ref": f"./schemas/{event.TYPE}.json"},
        "correlationId": {"location": "$message.header#/ce_correlationid"},
        "bindings": {"kafka": {"key": key_schema(topic, event), "bindingVersion": BINDING_VERSION}},
    }


def key_schema(topic: Topic, event: type[Event]) -> Json:
    """The schema of the Kafka key: one field of the data as text, or several with colons between."""
    fields = topic.key.strip("`").split(":")
    if len(fields) > 1:
        named = " and ".join(f"`{field}`" for field in fields)
        pattern = "^" + "[^:]+:" * (len(fields) - 1) + ".+$"
        return {"type": "string", "description": f"{named} of the data, with a colon between.", "pattern": pattern}
    schema = event.model_json_schema()["properties"][fields[0]]
    form = {name: schema[name] for name in ("format", "pattern") if name in schema}
    return {"type": "string", "description": f"`{fields[0]}` of the data, in lower case.", **form}


def _headers(envelope: Json) -> Json:
    """What Kafka's headers hold; an optional attribute that is unset is no header at all."""
    properties: Json = {
        "ce_specversion": {"type": "string", "const": SPEC_VERSION},
        "content-type": {"type": "string", "const": CONTENT_TYPE},
    }
    for name, attribute in envelope["properties"].items():
        present = next((part for part in attribute.get("anyOf", []) if part["type"] != "null"), attribute)
        kept = {key: present[key] for key in ("type", "format", "minLength", "maxLength") if key in present}
        described = {"description": attribute["description"]} if "description" in attribute else {}
        properties[HEADER_OF[name]] = kept | described
    required = ["ce_specversion", "content-type", *(HEADER_OF[name] for name in envelope["required"])]
    return {"type": "object", "description": envelope["description"], "properties": properties, "required": required}


_WORDS = {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}


def to_yaml(value: Any, indent: int = 0) -> str:
    """Plain data as YAML in block style; texts are quoted as in JSON, of which YAML is a superset."""
    pad = "  " * indent
    if isinstance(value, dict) and value:
        return "".join(f"{pad}{_quote(key)}:{_below(item, indent)}" for key, item in value.items())
    if isinstance(value, list) and value:
        return "".join(f"{pad}- {to_yaml(item, indent + 1).lstrip()}" for item in value)
    return f"{pad}{json.dumps(value, ensure_ascii=False)}\n"


def _below(value: Any, indent: int) -> str:
    """What follows a key: a scalar on its line, anything larger below it."""
    return "\n" + to_yaml(value, indent + 1) if isinstance(value, dict | list) and value else " " + to_yaml(value)


def _quote(key: str) -> str:
    """Keys that YAML could take for something else than text are quoted."""
    plain = re.fullmatch(r"[A-Za-z_$][A-Za-z0-9_.$-]*", key) and key.lower() not in _WORDS
    return key if plain else json.dumps(key, ensure_ascii=False)
