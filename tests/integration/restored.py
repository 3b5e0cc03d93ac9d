"""A service whose database is set back to an earlier state: it reads what it published since, and its inputs again."""

import asyncio
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar

from hypothesis import strategies as st

from contracts.base import Event
from contracts.envelope import from_headers
from contracts.topics import EVENTS
from shared.sending import unpack_headers
from shared.testing import Harness
from shared.transaction import Message, Transaction

T = TypeVar("T")
_EACH = """
    DO $$ DECLARE name text; fields text; BEGIN
        SET LOCAL session_replication_role = replica;
        {first}
        FOR name, fields IN
            SELECT table_name, string_agg(quote_ident(column_name), ', ') FROM information_schema.columns
            WHERE table_schema = 'public' AND table_name NOT LIKE '%yoyo%' AND is_generated = 'NEVER' GROUP BY 1
        LOOP
            {each}
        END LOOP;
    END $$"""
_SAVE = _EACH.format(
    first="DROP SCHEMA IF EXISTS saved CASCADE; CREATE SCHEMA saved;",
    each="EXECUTE format('CREATE TABLE saved.%I AS SELECT %s FROM public.%I', name, fields, name);",
)
_RESTORE = _EACH.format(
    first="",
    each="""EXECUTE format('DELETE FROM public.%I', name);
            EXECUTE format('INSERT INTO public.%I (%s) OVERRIDING SYSTEM VALUE TABLE saved.%I', name, fields, name);""",
)


async def save(served: Harness) -> None:
    """Keep all tables as they are."""
    await _execute(served, _SAVE)


async def restore(served: Harness) -> None:
    """All tables are again as they were kept."""
    await _execute(served, _RESTORE)


async def _execute(served: Harness, statement: str) -> None:
    async with served.context.pool.acquire() as connection:
        await connection.execute(statement)


async def take_published(served: Harness) -> list[Message]:
    """What was published since this was last asked, in its order."""

    async def take(tx: Transaction) -> list[Message]:
        rows = await tx.connection.fetch("DELETE FROM outbox RETURNING id, topic, value, headers")
        found = []
        for row in sorted(rows, key=lambda row: row["id"]):
            envelope = from_headers(unpack_headers(row["headers"]))
            event = EVENTS[envelope.type].model_validate_json(row["value"])
            found.append(served.message(event, id=envelope.id, time=envelope.time))
        return found

    return await served.context.execute(take)


def portions(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """So many at once, in their order."""
    return (items[start : start + size] for start in range(0, len(items), size))


class Story:
    """What happens to one service, drawn step by step, until its database is set back."""

    def __init__(self, served: Harness, runner: asyncio.Runner, data: st.DataObject) -> None:
        self.served, self._runner, self._data = served, runner, data
        self.told: list[Event] = []
        """Since the database was saved."""
        self.steps = [self.tell_nothing]

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(work)

    def one(self, *things: Any) -> Any:
        return self._data.draw(st.sampled_from(things))

    def number(self, least: int, most: int) -> int:
        return self._data.draw(st.integers(least, most))

    @property
    def now(self) -> datetime:
        return self.served.clock.at

    def tell(self, *events: Event) -> None:
        self.told += events
        self.run(self.served.deliver(*events))

    def tell_nothing(self) -> None:
        """Time passes; the sweeper comes or not."""
        self.served.clock.at += timedelta(hours=self.one(1, 30, 300, 3000))
        if self.one(True, False):
            self.run(self.served.sweep())

    def ends_equal(self, tables: Mapping[str, str]) -> None:
        """Some steps, a backup, some more; then the backup is restored, and all is as it was. `tables`: what to see."""
        self._some()
        self.run(take_published(self.served))
        self.run(save(self.served))
        self.told = []
        self._some()
        self.run(self.served.sweep())
        before = {name: self.run(self._rows(query)) for name, query in tables.items()}
        published = self.run(take_published(self.served))
        self.run(restore(self.served))
        assert self.served.service.adopt is not None
        for portion in portions(published, self.one(1, 4, 100)):
            self.run(self.served.context.execute(lambda tx, p=portion: self.served.service.adopt(tx, list(p))))  # type: ignore[misc]
        begun = self.now
        self.served.clock.at += timedelta(seconds=1)
        for portion in portions(self.told, self.one(1, 3, 100)):
            self.run(self.served.deliver(*portion))
            # Nothing is due that was recorded later than what has been read again.
            self.run(self.served.sweep(begun - timedelta(seconds=1)))
        self.run(self.served.sweep())
        after = {name: self.run(self._rows(query)) for name, query in tables.items()}
        for name, rows in before.items():
            assert after[name] == rows, name

    def _some(self) -> None:
        for _ in range(self.number(1, 12)):
            self.one(*self.steps)()

    async def _rows(self, query: str) -> list[tuple[Any, ...]]:
        async with self.served.context.pool.acquire() as connection:
            return [tuple(row) for row in await connection.fetch(query)]
