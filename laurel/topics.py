"""The topics of the registry as Kafka should have them."""

from collections.abc import Iterator
from datetime import timedelta

from contracts.topics import PARTITIONS_DEFAULT, RECORD_BYTES_MAX, TOPICS
from shared.admin import Wanted

DEAD_LETTERS_KEPT = timedelta(days=30)
_HEADERS_BYTES = 64 * 1024
"""A copy of a record says in its headers where it came from."""


def wanted(partitions: int = PARTITIONS_DEFAULT) -> list[Wanted]:
    """Every topic of the registry, each followed by the dead-letter topics of its readers."""
    return list(_wanted(partitions))


def _wanted(partitions: int) -> Iterator[Wanted]:
    for topic in TOPICS:
        retention = None if topic.retention is None else _ms(topic.retention)
        yield Wanted(topic.name, topic.partitions or partitions, retention, RECORD_BYTES_MAX)
        for service in topic.consumers:
            # Copies for people to look at: their order means nothing, so one partition is enough.
            name = topic.dead_letters(service)
            yield Wanted(name, 1, _ms(DEAD_LETTERS_KEPT), RECORD_BYTES_MAX + _HEADERS_BYTES)


def _ms(duration: timedelta) -> int:
    return int(duration.total_seconds() * 1000)
