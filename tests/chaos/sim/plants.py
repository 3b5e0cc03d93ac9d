"""Bugs that are planted, to see that the checks catch them: each takes the place of one function while a story is told.

This is the one place where functions of our own are replaced: a checker that never cries is worth nothing.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import points_accrual.handlers
import points_accrual.store
import points_accrual.store.saving as saving
from contracts.orders import OrderChangedV1
from shared import bus, dead_letters, offsets, outbox, transaction

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
        for batch in await outbox._batches(producer, sorted(rows, key=lambda row: row["id"])):
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
    Plant("transfers are not written", saving, "_copy", _without_table("transfers")),
    Plant("a changed lot is not written", saving, "_write", _without_statement(saving._CHANGED_LOTS)),
    Plant("a changed claim is not written", saving, "_write", _without_statement(saving._CHANGED_CLAIMS)),
    Plant("balances are not written", saving, "_write", _without_statement(saving._ACCOUNTS)),
    Plant("a member's state is not written", saving, "_write", _without_statement(saving._MEMBERS)),
    Plant("uses of coupons are not written", saving, "_write", _without_statement(saving._COUPONS)),
)  # fmt: skip
