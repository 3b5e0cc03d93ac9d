"""Wrong functions: each is made of the right one, whose place it takes (see `plants`)."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from contracts.orders import OrderChangedV1
from notification.store import queue
from points_accrual.domain import deciding
from points_accrual.domain.lots import ClaimKey
from shared import bus, dead_letters, decoding, offsets, outbox, sending, transaction


def not_kept(right: Any) -> Any:
    return lambda *args, **kwargs: None


def nothing(right: Any) -> Any:
    async def nothing(*args: Any, **kwargs: Any) -> int:
        return 0

    return nothing


def delete_first(right: Any) -> Any:
    async def send_some(self: outbox.Relay, connection: Any) -> bool:
        rows = await connection.fetch("DELETE FROM outbox RETURNING id, topic, key, value, headers")
        producer = await self._connected_producer()
        for batch in await sending.batches_of(producer, sorted(rows, key=lambda row: row["id"])):
            await (await producer.send_batch(batch.records, batch.topic, partition=batch.partition))
        return bool(rows)

    return send_some


def backwards(right: Any) -> Any:
    async def insert(connection: Any, rows: list[outbox.Row]) -> None:
        await right(connection, rows[::-1])

    return insert


def without_table(name: str) -> Callable[[Any], Any]:
    def wrong(right: Any) -> Any:
        async def copy(tx: Any, table: str, columns: str, rows: Any) -> None:
            if table != name:
                await right(tx, table, columns, rows)

        return copy

    return wrong


def without_statement(statement: str) -> Callable[[Any], Any]:
    def wrong(right: Any) -> Any:
        async def write(tx: Any, given: str, rows: Any) -> None:
            if given != statement:
                await right(tx, given, rows)

        return write

    return wrong


def set_aside_quietly(right: Any) -> Any:
    async def add(*args: Any, **kwargs: Any) -> bool:
        return True

    return add


def dropped(right: Any) -> Any:
    return lambda world, event, event_id, trace: None


def first_only(right: Any) -> Any:
    def positions(work: list[Any], ours: Any) -> Any:
        return right(work[:1], ours)

    return positions


def skipping(right: Any) -> Any:
    def positions(work: list[Any], ours: Any) -> Any:
        return {item: (old, new + 1, at) for item, (old, new, at) in right(work, ours).items()}

    return positions


def acknowledged_first(right: Any) -> Any:
    async def apply(self: bus.Shell, decoded: list[Any]) -> int:
        async with self.connection() as connection, connection.transaction():
            ours = {TopicPartition(item.record.topic, item.record.partition) for item in decoded}
            expected = {item: self.expected[item] for item in ours}
            await offsets.lock(connection, expected)
            news = bus._positions(decoded, expected)
            await offsets.move(connection, news)
        self.expected.update({item: position for item, (_, position, _) in news.items()})
        async with self.connection() as connection, connection.transaction():
            tx = transaction.Transaction(connection, self._clock.now(), self._name)
            await self._run(tx, decoded)
            await tx.flush()
        return len(decoded)

    return apply


def by_the_first_record(right: Any) -> Any:
    async def apply(self: bus.Shell, decoded: list[Any]) -> Any:
        for item in reversed(decoded):
            self.expected[TopicPartition(item.record.topic, item.record.partition)] = item.record.offset
        return await right(self, decoded)

    return apply


def from_the_group(right: Any) -> Any:
    def go_on(self: Any, item: TopicPartition, position: int) -> None:
        consumer = self.consumer()
        right(self, item, consumer.cluster.group.get((consumer.group, item), 0))

    return go_on


def whole_batch_set_aside(right: Any) -> Any:
    async def one_by_one(self: bus.Shell, decoded: list[Any]) -> None:
        failure = dead_letters.Failure("Planted", "one of its batch failed")
        await self._apply([item._replace(message=None, failure=failure) for item in decoded])

    return one_by_one


def skips_unknown(right: Any) -> Any:
    def read(record: Any, handled: Any, ignored: Any) -> Any:
        found = right(record, handled, ignored)
        unknown = found.failure is not None and found.failure.error_class == dead_letters.UNKNOWN_TYPE
        return decoding.Decoded(record) if unknown else found

    return read


def behind_the_last(right: Any) -> Any:
    async def send_some(self: Any, connection: Any) -> bool:
        try:
            return bool(await right(self, connection))
        except KafkaError:
            await connection.execute("DELETE FROM outbox")
            raise

    return send_some


def after_the_last_id(right: Any) -> Any:
    last: dict[str, int] = {}

    async def send_some(self: outbox.Relay, connection: Any) -> bool:
        database = self._settings.dsn()
        rows = await connection.fetch(
            "SELECT id, topic, key, value, headers FROM outbox WHERE id > $1 ORDER BY id", last.get(database, 0)
        )
        producer = await self._connected_producer()
        for batch in await sending.batches_of(producer, rows):
            await (await producer.send_batch(batch.records, batch.topic, partition=batch.partition))
        if rows:
            last[database] = rows[-1]["id"]
            await connection.execute("DELETE FROM outbox WHERE id = ANY($1)", [row["id"] for row in rows])
        return bool(rows)

    return send_some


def unlocked(right: str) -> str:
    return right.replace("FOR UPDATE", "FOR KEY SHARE")


def to_the_end_of_time(right: Any) -> Any:
    async def sweep_partition(self: Any, one: Any, ends: Any) -> int:
        return int(await right(self, one, dict.fromkeys(ends, 0)))

    return sweep_partition


def marked_first(right: Any) -> Any:
    async def send_one(context: Any, client: Any, server: Any, programs: Any, message: Any) -> Any:
        await context.execute(lambda tx: queue.finish(tx, message, "email", "sent", locale="en"))
        return await right(context, client, server, programs, message)

    return send_one


def handed_over_twice(right: Any) -> Any:
    async def hand_over(client: Any, sender: str, recipient: str, mail: Any) -> None:
        for _ in range(2):
            await right(client, sender, recipient, mail)

    return hand_over


def answered_first(right: Any) -> Any:
    async def keep_later(receiver: Any, delivery: Any) -> None:
        await asyncio.sleep(2.0)  # Of the simulation's seconds: the answer is given by then.
        await right(receiver, delivery)

    async def keep(self: Any, delivery: Any) -> None:
        self._later = asyncio.ensure_future(keep_later(self, delivery))

    return keep


def by_member(right: Any) -> Any:
    def take(world: Any, event: OrderChangedV1, event_id: str, trace: Any) -> None:
        key = ClaimKey("order", f"{event.source}:{event.member_id}")
        deciding._take_claim(
            world, event, event_id, trace, key, event.placed_at, event.revision, event.updated_at
        )  # fmt: skip

    return take


def forgetful(right: Any) -> Any:
    async def load_told(tx: Any, world: Any, events: Any) -> None:
        await right(tx, world, [event for event in events if tx.now - event.recorded_at < timedelta(days=1)])

    return load_told


def any_standing(right: Any) -> Any:
    def take(world: Any, event: Any, event_id: str, trace: Any) -> None:
        member = world.members[event.member_id]
        member.standing_version = min(member.standing_version, event.version - 1)
        right(world, event, event_id, trace)

    return take
