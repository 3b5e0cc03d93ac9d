"""Bugs that are planted, to see that the checks catch them: each takes the place of one function while a story is told.

This is the one place where functions of our own are replaced: a checker that never cries is worth nothing.
"""

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

import points_accrual.handlers
import points_accrual.store
import points_accrual.store.saving as saving
from contracts.orders import OrderChangedV1
from contracts.tiers import StandingChangedV1
from points_accrual.domain import deciding
from points_accrual.domain.lots import ClaimKey
from points_accrual.store import claims
from shared import bus, dead_letters, decoding, offsets, outbox, sending, transaction

from .life import Plot


@dataclass(frozen=True)
class Plant:
    """A bug, and the moment at which a process has to die for it to show; None: it shows by itself."""

    name: str
    holder: Any
    attribute: str
    wrong: Callable[[Any], Any]
    """The right function → the wrong one."""
    moment: tuple[str, int] | None = None
    seeded: bool = False
    """It takes what only schedules bring."""

    def plot(self) -> Plot | None:
        """When to die."""
        return Plot("points-accrual", *self.moment) if self.moment else None

    @contextmanager
    def planted(self) -> Iterator[None]:
        """The bug is there meanwhile."""
        held = self.holder if isinstance(self.holder, dict) else None
        right = held[self.attribute] if held is not None else getattr(self.holder, self.attribute)
        self._put(self.wrong(right))
        try:
            yield
        finally:
            self._put(right)

    def _put(self, value: Any) -> None:
        if isinstance(self.holder, dict):
            self.holder[self.attribute] = value
        else:
            setattr(self.holder, self.attribute, value)


def _not_kept(right: Any) -> Any:
    return lambda *args, **kwargs: None


def _nothing(right: Any) -> Any:
    async def nothing(*args: Any, **kwargs: Any) -> int:
        return 0

    return nothing


def _delete_first(right: Any) -> Any:
    async def send_some(self: outbox.Relay, connection: Any) -> bool:
        rows = await connection.fetch("DELETE FROM outbox RETURNING id, topic, key, value, headers")
        producer = await self._connected_producer()
        for batch in await sending.batches_of(producer, sorted(rows, key=lambda row: row["id"])):
            await (await producer.send_batch(batch.records, batch.topic, partition=batch.partition))
        return bool(rows)

    return send_some


def _backwards(right: Any) -> Any:
    async def insert(connection: Any, rows: list[outbox.Row]) -> None:
        await right(connection, rows[::-1])

    return insert


def _without_table(name: str) -> Callable[[Any], Any]:
    def wrong(right: Any) -> Any:
        async def copy(tx: Any, table: str, columns: str, rows: Any) -> None:
            if table != name:
                await right(tx, table, columns, rows)

        return copy

    return wrong


def _without_statement(statement: str) -> Callable[[Any], Any]:
    def wrong(right: Any) -> Any:
        async def write(tx: Any, given: str, rows: Any) -> None:
            if given != statement:
                await right(tx, given, rows)

        return write

    return wrong


def _set_aside_quietly(right: Any) -> Any:
    async def add(*args: Any, **kwargs: Any) -> bool:
        return True

    return add


def _dropped(right: Any) -> Any:
    return lambda world, event, event_id, trace: None


def _first_only(right: Any) -> Any:
    def positions(work: list[Any], ours: Any) -> Any:
        return right(work[:1], ours)

    return positions


def _skipping(right: Any) -> Any:
    def positions(work: list[Any], ours: Any) -> Any:
        return {item: (old, new + 1, at) for item, (old, new, at) in right(work, ours).items()}

    return positions


def _acknowledged_first(right: Any) -> Any:
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


def _by_the_first_record(right: Any) -> Any:
    async def apply(self: bus.Shell, decoded: list[Any]) -> Any:
        for item in reversed(decoded):
            self.expected[TopicPartition(item.record.topic, item.record.partition)] = item.record.offset
        return await right(self, decoded)

    return apply


def _from_the_group(right: Any) -> Any:
    def go_on(self: Any, item: TopicPartition, position: int) -> None:
        consumer = self.consumer()
        right(self, item, consumer.cluster.group.get((consumer.group, item), 0))

    return go_on


def _whole_batch_set_aside(right: Any) -> Any:
    async def one_by_one(self: bus.Shell, decoded: list[Any]) -> None:
        failure = dead_letters.Failure("Planted", "one of its batch failed")
        await self._apply([dataclasses.replace(item, message=None, failure=failure) for item in decoded])

    return one_by_one


def _skips_unknown(right: Any) -> Any:
    def read(record: Any, handled: Any, ignored: Any) -> Any:
        found = right(record, handled, ignored)
        unknown = found.failure is not None and found.failure.error_class == dead_letters.UNKNOWN_TYPE
        return decoding.Decoded(record) if unknown else found

    return read


def _behind_the_last(right: Any) -> Any:
    async def send_some(self: Any, connection: Any) -> bool:
        try:
            return bool(await right(self, connection))
        except KafkaError:
            await connection.execute("DELETE FROM outbox")
            raise

    return send_some


def _by_member(right: Any) -> Any:
    def take(world: Any, event: OrderChangedV1, event_id: str, trace: Any) -> None:
        key = ClaimKey("order", f"{event.source}:{event.member_id}")
        deciding._take_claim(
            world, event, event_id, trace, key, event.placed_at, event.revision, event.updated_at
        )  # fmt: skip

    return take


def _forgetful(right: Any) -> Any:
    async def load_told(tx: Any, world: Any, events: Any) -> None:
        await right(tx, world, [event for event in events if tx.now - event.recorded_at < timedelta(days=1)])

    return load_told


def _any_standing(right: Any) -> Any:
    def take(world: Any, event: Any, event_id: str, trace: Any) -> None:
        member = world.members[event.member_id]
        member.standing_version = min(member.standing_version, event.version - 1)
        right(world, event, event_id, trace)

    return take


PLANTS = (
    Plant("outbox rows are deleted before the broker has them", outbox.Relay, "_send_some", _delete_first,
          ("relay: before records are sent to loyalty.points.v1", 1)),
    Plant("events of a batch are sent in the wrong order", transaction, "insert", _backwards),
    Plant("events are not written with their state", transaction.Transaction, "flush", _nothing),
    Plant("offsets are not moved", offsets, "move", _nothing),
    Plant("offsets move past one record of a batch only", bus, "_positions", _first_only),
    Plant("offsets move one record too far", bus, "_positions", _skipping),
    Plant("what cannot be read is thrown away", dead_letters, "add", _set_aside_quietly),
    Plant("an order's failure is swallowed", points_accrual.handlers.HANDLERS, OrderChangedV1, _dropped),  # type: ignore[arg-type]
    Plant("the idempotency key is not kept", points_accrual.store, "keep_command", _not_kept,
          ("pool: after COMMIT", 1)),
    Plant("offsets are committed before the effects", bus.Shell, "_apply", _acknowledged_first,
          ("shell: before INSERT INTO decisions", 2)),
    Plant("what fails takes its whole batch along", bus.Shell, "_one_by_one", _whole_batch_set_aside),
    Plant("events of an unknown type are skipped", bus, "decode", _skips_unknown),
    Plant("claims are kept by member, not by order", points_accrual.handlers.HANDLERS, OrderChangedV1, _by_member),  # type: ignore[arg-type]
    Plant("repeats are known for a day only", claims, "load_told", _forgetful, seeded=True),
    Plant("an older standing takes the place of a newer one", points_accrual.handlers.HANDLERS, StandingChangedV1,  # type: ignore[arg-type]
          _any_standing, seeded=True),
    Plant("what is expected is what comes first", bus.Shell, "_apply", _by_the_first_record, seeded=True),
    Plant("reading goes on where the group says", bus.Shell, "go_on", _from_the_group, seeded=True),
    Plant("the relay goes on behind what was refused", outbox.Relay, "_send_some", _behind_the_last, seeded=True),
    Plant("transfers are not written", saving, "_copy", _without_table("transfers")),
    Plant("a changed lot is not written", saving, "_write", _without_statement(saving._CHANGED_LOTS)),
    Plant("a changed claim is not written", saving, "_write", _without_statement(saving._CHANGED_CLAIMS)),
    Plant("balances are not written", saving, "_write", _without_statement(saving._ACCOUNTS)),
    Plant("a member's state is not written", saving, "_write", _without_statement(saving._MEMBERS)),
    Plant("uses of coupons are not written", saving, "_write", _without_statement(saving._COUPONS)),
)  # fmt: skip
