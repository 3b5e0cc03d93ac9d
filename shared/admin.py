"""Kafka's administration: topics made or checked against a list, and where partitions begin and end."""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TypeVar

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, for_code

from .clock import within
from .log import log

C = TypeVar("C", AIOKafkaConsumer, AIOKafkaAdminClient)
_CLOSE_SECONDS = 5.0
_TOPIC_EXISTS = 36
_TIMEOUT_MS = 15_000
_COPIES_MAX = 3
"""Each record lies on as many brokers as there are, up to so many."""


@dataclass(frozen=True)
class Wanted:
    """A topic as it should be. `retention_ms` None: compacted."""

    name: str
    partitions: int
    retention_ms: int | None
    record_bytes_max: int

    def configs(self) -> dict[str, str]:
        """Kafka's words for how it is kept."""
        kept = (
            {"cleanup.policy": "compact", "retention.ms": "-1"}
            if self.retention_ms is None
            else {"cleanup.policy": "delete", "retention.ms": str(self.retention_ms)}
        )
        return kept | {"max.message.bytes": str(self.record_bytes_max)}


@dataclass
class Outcome:
    """What was done. `missing` only where nothing may be made; `wrong` has a sentence for each fault."""

    created: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


async def ended(client: AIOKafkaConsumer | AIOKafkaAdminClient) -> None:
    """End a consumer or an administrator, and the client in it, which an end that fails leaves behind."""
    try:
        await within(_CLOSE_SECONDS, client.stop() if isinstance(client, AIOKafkaConsumer) else client.close())
    except TimeoutError as error:
        log.warning("a client of Kafka did not end cleanly", error=str(error))
        with suppress(TimeoutError):
            await within(_CLOSE_SECONDS, client._client.close())


@asynccontextmanager
async def running(client: C) -> AsyncIterator[C]:
    """The client, started; ended afterwards, whatever happened."""
    try:
        await client.start()
        yield client
    finally:
        await ended(client)


def reader(kafka: str) -> AIOKafkaConsumer:
    """A consumer of no group, not started: it reads what it is assigned and sought to."""
    return AIOKafkaConsumer(
        bootstrap_servers=kafka, group_id=None, enable_auto_commit=False, auto_offset_reset="earliest"
    )


@asynccontextmanager
async def _admin(kafka: str) -> AsyncIterator[AIOKafkaAdminClient]:
    try:
        async with running(AIOKafkaAdminClient(bootstrap_servers=kafka, request_timeout_ms=_TIMEOUT_MS)) as admin:
            yield admin
    except (KafkaError, TimeoutError, OSError) as error:
        raise _away(kafka, error) from error


def _away(kafka: str, error: Exception) -> ConnectionError:
    return ConnectionError(f"Kafka at {kafka} cannot be asked ({type(error).__name__})")


async def apply_topics(kafka: str, wanted: Sequence[Wanted], *, check: bool) -> Outcome:
    """Make what is missing, unless only to `check`; what exists is compared and never changed.

    Nothing is made while something that exists is wrong. Raises ConnectionError when Kafka cannot be asked.
    """
    outcome = Outcome()
    async with _admin(kafka) as admin:
        there = set(await admin.list_topics())
        present = [item for item in wanted if item.name in there]
        absent = [item for item in wanted if item.name not in there]
        if present:
            outcome.wrong = await _compare(admin, present)
        if check or outcome.wrong:
            outcome.missing = [item.name for item in absent]
        elif absent:
            outcome.created = await _create(admin, absent)
    return outcome


async def _create(admin: AIOKafkaAdminClient, absent: Sequence[Wanted]) -> list[str]:
    copies = min(_COPIES_MAX, len((await admin.describe_cluster())["brokers"]))
    answer = await admin.create_topics(
        [NewTopic(item.name, item.partitions, copies, topic_configs=item.configs()) for item in absent]
    )
    created = []
    for name, code, *text in answer.topic_errors:
        if code == _TOPIC_EXISTS:
            continue  # Somebody else made it just now; the next check compares it.
        if code:
            why = text[0] if text else for_code(code).__name__
            raise ConnectionError(f"Kafka did not make the topic {name}: {why}")
        created.append(str(name))
    return created


async def _compare(admin: AIOKafkaAdminClient, present: Sequence[Wanted]) -> list[str]:
    described = {item["topic"]: item for item in await admin.describe_topics([item.name for item in present])}
    keys = ["cleanup.policy", "retention.ms", "max.message.bytes"]
    resources = [ConfigResource(ConfigResourceType.TOPIC, item.name, dict.fromkeys(keys)) for item in present]
    configs: dict[str, dict[str, str]] = {}
    for response in await admin.describe_configs(resources):
        for _code, _text, _kind, name, entries in response.resources:
            configs[name] = {entry[0]: entry[1] for entry in entries}
    wrong = []
    for item in present:
        count = len(described[item.name]["partitions"])
        if count != item.partitions:
            wrong.append(
                f"{item.name} has {count} partitions and should have {item.partitions}: the count is fixed at install, "
                "because with another one a key goes elsewhere, and its new events would overtake its old ones"
            )
        wrong += [f"{item.name}: {fault}" for fault in _config_faults(item, configs.get(item.name, {}))]
    return wrong


def _config_faults(item: Wanted, found: dict[str, str]) -> list[str]:
    """Kept longer, or larger records, does no harm; anything else loses events."""
    want = item.configs()
    faults = []
    if found.get("cleanup.policy") != want["cleanup.policy"]:
        faults.append(f"cleanup.policy is {found.get('cleanup.policy')} and should be {want['cleanup.policy']}")
    kept, needed = int(found.get("retention.ms", "-1")), item.retention_ms
    if needed is not None and 0 <= kept < needed:
        faults.append(f"retention.ms is {kept}, less than {needed}: events could be gone before they are read")
    if int(found.get("max.message.bytes", "0")) < item.record_bytes_max:
        faults.append(f"max.message.bytes is {found.get('max.message.bytes')}, less than {item.record_bytes_max}")
    return faults


async def bounds(kafka: str, partitions: Iterable[tuple[str, int]]) -> dict[tuple[str, int], tuple[int, int]]:
    """(topic, partition) → (first offset that is there, offset of the next record); without partitions that are gone.

    Raises ConnectionError when Kafka cannot be asked.
    """
    async with _admin(kafka) as admin:
        there = {
            (topic["topic"], partition["partition"])
            for topic in await admin.describe_topics()
            for partition in topic["partitions"]
        }
    wanted = [TopicPartition(*item) for item in partitions if item in there]
    if not wanted:
        return {}
    try:
        async with running(reader(kafka)) as consumer:
            begins = await consumer.beginning_offsets(wanted)
            ends = await consumer.end_offsets(wanted)
    except (KafkaError, TimeoutError, OSError) as error:
        raise _away(kafka, error) from error
    return {(item.topic, item.partition): (begins[item], ends[item]) for item in wanted}


async def topic_bounds(kafka: str, topics: Sequence[str]) -> dict[tuple[str, int], tuple[int, int]]:
    """The bounds of every partition of these topics. Raises ConnectionError when Kafka cannot be asked."""
    async with _admin(kafka) as admin:
        described = await admin.describe_topics(list(topics))
    return await bounds(
        kafka, [(topic["topic"], partition["partition"]) for topic in described for partition in topic["partitions"]]
    )


async def cluster(kafka: str) -> str:
    """The id of the cluster. Raises ConnectionError when Kafka cannot be asked."""
    async with _admin(kafka) as admin:
        return str((await admin.describe_cluster())["cluster_id"])


def partition_of(topic: str, number: int) -> TopicPartition:
    """A partition as Kafka's client names it."""
    return TopicPartition(topic, number)
