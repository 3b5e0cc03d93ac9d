"""What the relay hands to the producer: one batch for each partition, in the order of the outbox."""

import asyncio
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import asyncpg
import orjson
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.partitioner import DefaultPartitioner
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.structs import RecordMetadata

from .clock import in_turns, within
from .log import log

_CLOSE_SECONDS = 2.0
_AT_ONCE = 100
"""Rows made records before requests that wait are given a turn."""
_PARTITIONER = DefaultPartitioner()


def pack_headers(headers: list[tuple[str, bytes | None]] | list[tuple[str, bytes]]) -> bytes:
    """Headers as bytes that keep what is not UTF-8 (as Latin-1 text) and what is null."""
    return orjson.dumps([(name, None if raw is None else raw.decode("latin-1")) for name, raw in headers])


def unpack_headers(packed: bytes) -> list[tuple[str, bytes | None]]:
    """The inverse of `pack_headers`."""
    return [(name, None if text is None else text.encode("latin-1")) for name, text in orjson.loads(packed)]


@dataclass(frozen=True, slots=True)
class Batch:
    """Records of one partition, in the order of their rows."""

    topic: str
    partition: int
    records: BatchBuilder
    ids: list[int]


async def batches_of(producer: AIOKafkaProducer, rows: Sequence[asyncpg.Record]) -> list[Batch]:
    """The rows by partition: the producer takes a batch at a third of what its records would cost one by one.

    They end where a second batch of one partition would begin: the producer would have it wait for the first.
    """
    batches: dict[tuple[str, int], Batch] = {}
    counts = {topic: len(await producer.partitions_for(topic)) for topic in {row["topic"] for row in rows}}
    async for row in in_turns(rows, _AT_ONCE):
        place = row["topic"], _partition_of(row["key"], counts[row["topic"]])
        if place not in batches:
            batches[place] = Batch(*place, producer.create_batch(), [])
        # The first record is taken whatever its size.
        if not _append(batches[place], row):
            break
    return list(batches.values())


def _append(batch: Batch, row: asyncpg.Record) -> bool:
    """Add a row's record, if there is room."""
    headers = unpack_headers(row["headers"])
    if batch.records.append(timestamp=None, key=row["key"], value=row["value"], headers=headers) is None:
        return False
    batch.ids.append(row["id"])
    return True


@lru_cache(maxsize=16_384)
def _partition_of(key: bytes, partitions: int) -> int:
    """Where all clients of Kafka put a key by default. Hashing it in Python takes as long as the rest of a record."""
    number: int = _PARTITIONER(key, range(partitions), ())
    return number


async def cut_off(producer: AIOKafkaProducer) -> None:
    """End a producer at once, with all that it holds.

    Not by its `stop`, which sends what it still holds, for as long as Kafka is away: by then another relay, or the next
    producer of this one, may have sent that and more.
    """
    producer._closed = True  # Or it warns that nobody stopped it.
    sender = producer._sender.sender_task
    sender.cancel()  # Nothing is begun any more; what is under way ends with its connection.
    for connection in list(producer.client._conns.values()):
        _reset(connection._writer)
    try:
        await within(_CLOSE_SECONDS, producer.client.close())
    except (TimeoutError, KafkaError) as error:
        log.warning("relay's producer did not close cleanly", error=repr(error))
    sender.cancel()  # It would wait for news of the cluster before it ends.
    await asyncio.wait([sender], timeout=_CLOSE_SECONDS)


def _reset(writer: asyncio.StreamWriter | None) -> None:
    """Closed politely, a connection would first send what it holds, however long that takes."""
    if writer is not None:
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()


def failure(done: "asyncio.Future[RecordMetadata]") -> Exception | None:
    """Why a batch has to be sent again. Where a repeat went Kafka may not tell; without its place nothing is done."""
    error = done.exception()
    if error is None and done.result().offset < 0:
        error = KafkaError("Kafka does not tell where the records are")
    assert error is None or isinstance(error, Exception)
    return error
