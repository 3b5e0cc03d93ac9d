"""Clients of Kafka say their settings out loud: the defaults of FastStream and aiokafka lose data."""

import ast
from collections.abc import Iterator

import pytest

from shared.settings import Settings

from .code import Source, calls, sources

SAFE: dict[str, dict[str, str | None]] = {
    "KafkaBroker": {"client_id": None, "allow_auto_create_topics": "False"},
    "subscriber": {
        "group_id": None,
        "batch": "True",
        "ack_policy": "AckPolicy.MANUAL",
        "auto_offset_reset": "'earliest'",
        "max_records": None,
        "batch_timeout_ms": "settings.batch_wait_ms",
        "fetch_max_bytes": None,
        "fetch_max_wait_ms": None,
        "max_partition_fetch_bytes": None,
        "rebalance_timeout_ms": "settings.rebalance_timeout_ms",
        "session_timeout_ms": None,
        "max_poll_interval_ms": None,
        "partition_assignment_strategy": "(RangePartitionAssignor,)",
        "listener": None,
        "parser": None,
        "decoder": None,
    },
    "AIOKafkaProducer": {"client_id": None, "acks": "'all'", "enable_idempotence": "True", "max_request_size": None},
    "AIOKafkaConsumer": {"group_id": None, "enable_auto_commit": "False", "auto_offset_reset": "'earliest'"},
}
"""What each must be given, and as what; None: anything, as long as it is said."""
FORBIDDEN = {
    "publish_batch": "ignores keys, so that a member's events lose their order",
    "publisher": "sends outside the outbox",
    "send_and_wait": "waits for each record; the relay sends in order and gathers",
    "TestKafkaBroker": "belongs to tests",
}


def violations(source: Source) -> Iterator[str]:
    for call, name in calls(source):
        client = name.rpartition(".")[2]
        if client in FORBIDDEN:
            yield source.at(call, f"{client} {FORBIDDEN[client]}")
        said = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        if client in SAFE and None in said:
            yield source.at(call, f"{client} hides its settings behind **")
        if "transactional_id" in said:
            yield source.at(call, "Kafka transactions are not used")
        for setting, value in SAFE.get(client, {}).items():
            if setting not in said:
                yield source.at(call, f"{client} does not say {setting}")
            elif value is not None and said[setting] != value:
                yield source.at(call, f"{client}: {setting} is {said[setting]}, not {value}")


def _made(source: Source) -> set[str]:
    return {name.rpartition(".")[2] for _, name in calls(source)} & SAFE.keys()


def test_clients_are_set_safely() -> None:
    found = [violation for source in sources("shared", "services", "laurel") for violation in violations(source)]
    assert not found, "\n".join(found)


def test_the_kit_makes_each_kind_of_client() -> None:
    """Else the rules above would hold of nothing."""
    assert {client for source in sources("shared") for client in _made(source)} == SAFE.keys()


def test_there_is_one_subscriber_and_one_producer() -> None:
    made = [name.rpartition(".")[2] for source in sources("shared", "services", "laurel") for _, name in calls(source)]
    assert (made.count("subscriber"), made.count("AIOKafkaProducer")) == (1, 1)


def test_the_settings_behind_them_are_those_of_the_design() -> None:
    defaults = {name: field.default for name, field in Settings.model_fields.items()}
    assert (defaults["batch_wait_ms"], defaults["rebalance_timeout_ms"]) == (20, 30_000)


def _kit() -> Source:
    """The module that makes the subscriber."""
    return next(source for source in sources("shared") if "subscriber" in _made(source))


@pytest.mark.parametrize(
    ("safe", "unsafe"),
    [
        ("AckPolicy.MANUAL", "AckPolicy.ACK_FIRST"),
        ("AckPolicy.MANUAL", "AckPolicy.NACK_ON_ERROR"),
        ("ack_policy=AckPolicy.MANUAL,", ""),
        ('auto_offset_reset="earliest"', 'auto_offset_reset="latest"'),
        ("allow_auto_create_topics=False", "allow_auto_create_topics=True"),
        ("parser=_parse,", ""),
        ("listener=shell,", ""),
        ("(RangePartitionAssignor,)", "(RoundRobinPartitionAssignor,)"),
        ("enable_auto_commit=False", "enable_auto_commit=True"),
        ("batch=True,", "**options,"),
    ],
)
def test_an_unsafe_consumer_would_be_found(safe: str, unsafe: str) -> None:
    kit = _kit()
    assert safe in kit.text
    assert set(violations(Source(kit.path, kit.text.replace(safe, unsafe)))) - set(violations(kit))


@pytest.mark.parametrize(
    "line",
    [
        "producer = AIOKafkaProducer(bootstrap_servers='k')",
        "p = AIOKafkaProducer(client_id='r', acks=1, enable_idempotence=True, max_request_size=1)",
        "p = aiokafka.AIOKafkaProducer(client_id='r', acks='all', enable_idempotence=False, max_request_size=1)",
        "p = AIOKafkaProducer(acks='all', enable_idempotence=True, max_request_size=1, transactional_id='t')",
        "await broker.publish_batch(*messages, topic='t')",
        "send = broker.publisher('t')",
    ],
)
def test_an_unsafe_producer_would_be_found(line: str) -> None:
    assert list(violations(Source("shared/outbox.py", f"async def f():\n    {line}\n")))
