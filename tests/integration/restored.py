"""A service whose database is set back to an earlier state: it reads what it published since, and its inputs again."""

import asyncio
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from typing import Any, NamedTuple, TypeVar

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from contracts.base import Event
from contracts.envelope import from_headers
from contracts.topics import EVENTS
from shared.learning import topics_of
from shared.sending import unpack_headers
from shared.testing import Harness
from shared.transaction import Message, Transaction

T = TypeVar("T")
MANY = settings(
    max_examples=15, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.generate),
)  # fmt: skip
"""The same stories in every run; others, and more of them, whenever how a service learns is changed. Without shrinking:
on a database that takes longer than to read the steps.
"""
_EACH = """
    DO $$ DECLARE name text; fields text; BEGIN
        SET LOCAL session_replication_role = replica;
        {first}
        FOR name, fields IN
            SELECT table_name, string_agg(quote_ident(column_name), ', ' ORDER BY ordinal_position)
            FROM information_schema.columns
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
            EXECUTE format('INSERT INTO public.%I (%s) OVERRIDING SYSTEM VALUE SELECT %s FROM saved.%I',
                           name, fields, fields, name);""",
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


def as_partitions_are_read(told: Sequence[T], key: Callable[[T], str], data: st.DataObject) -> list[T]:
    """Of each key in its order, keys among each other in any."""
    queues: dict[str, deque[T]] = defaultdict(deque)
    for item in told:
        queues[key(item)].append(item)
    return [queues[key(item)].popleft() for item in data.draw(st.permutations(told))]


class Told(NamedTuple):
    """What was told to a service, and when."""

    at: datetime
    what: Event | Message

    def key(self) -> str:
        return (self.what.data if isinstance(self.what, Message) else self.what).key()


class Story:
    """What happens to one service, drawn step by step, until its database is set back."""

    tables: Mapping[str, str] = {}
    """Queries of what must be the same again."""
    sizes: Sequence[int] = (1, 3, 100)
    """Of the batches in which the inputs come again; those of several are read topic by topic."""
    in_order = False
    """Whether inputs come again exactly as they came, not only those of each key."""

    def __init__(self, served: Harness, runner: asyncio.Runner, data: st.DataObject) -> None:
        self.served, self._runner, self._data = served, runner, data
        self.told: list[Told] = []
        """Since the database was saved."""
        self.counts = Counter[str]()
        self.steps: list[Callable[[], None]] = [self.tell_nothing]

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(work)

    def one(self, *things: Any) -> Any:
        return self._data.draw(st.sampled_from(things))

    def number(self, least: int, most: int) -> int:
        return self._data.draw(st.integers(least, most))

    def next(self, name: str) -> int:
        """The next number of what is counted by this name."""
        self.counts[name] += 1
        return self.counts[name]

    @property
    def now(self) -> datetime:
        return self.served.clock.at

    def tell(self, *events: Event | Message) -> None:
        self.told += [Told(self.now, event) for event in events]
        self.run(self.served.deliver(*events))

    def tell_nothing(self) -> None:
        """Time passes; the sweeper comes or not."""
        self.served.clock.at += timedelta(hours=self.one(1, 30, 300, 3000))
        if self.one(True, False):
            self._sweep(self.now)

    def repeat(self) -> None:
        if self.told:
            self.tell(self.one(*self.told).what)

    def ends_equal(self) -> None:
        """Some steps, a backup, some more; then the backup is restored, and all is as it was."""
        self._some()
        self.run(take_published(self.served))
        self.run(save(self.served))
        self.told = []
        self._some()
        self.settle()
        published, before = self.run(take_published(self.served)), self.seen()
        self.run(restore(self.served))
        self._read_back(published)
        again = self.told if self.in_order else as_partitions_are_read(self.told, Told.key, self._data)
        size = self.one(*self.sizes)
        for start in range(0, len(again), size):
            self.run(self.served.deliver(*(item.what for item in again[start : start + size])))
            # Nothing is due by then that is later than what has still to be read.
            unread = min((item.at for item in again[start + size :]), default=self.now)
            self._sweep(unread - timedelta(seconds=1))
        self.settle()
        after = self.seen()
        for name, found in before.items():
            gone = [row for row in found if row not in after[name]]
            new = [row for row in after[name] if row not in found]
            assert after[name] == found, f"{name}: gone {gone}, new {new}"

    def settle(self) -> None:
        """Do all that is due."""
        self._sweep(self.now)

    def seen(self) -> dict[str, Any]:
        """What must be the same again."""
        return {name: self.run(self.rows(query)) for name, query in self.tables.items()}

    def _read_back(self, published: Sequence[Message]) -> None:
        adopt = self.served.service.adopt
        assert adopt is not None
        places = {topic.name: place for place, topic in enumerate(topics_of(self.served.service.name))}
        in_order = sorted(published, key=lambda item: (places[item.topic], item.partition, item.offset))
        for portion in portions(in_order, self.one(1, 4, 100)):
            self.run(self.served.context.execute(lambda tx, batch=portion: adopt(tx, list(batch))))  # type: ignore[misc]

    def _sweep(self, horizon: datetime) -> None:
        if self.served.service.sweep is not None:
            self.run(self.served.sweep(horizon))

    def _some(self) -> None:
        for _ in range(self.number(6, 18)):
            self.one(*self.steps)()

    async def rows(self, query: str) -> list[tuple[Any, ...]]:
        async with self.served.context.pool.acquire() as connection:
            return [tuple(row) for row in await connection.fetch(query)]


async def empty(served: Harness, *tables: str) -> None:
    """Begin with nothing in these tables, nor in those that hang on them."""
    await _execute(served, f"TRUNCATE {', '.join((*tables, 'outbox'))} CASCADE")


def tell(story: type[Story], opened: AbstractAsyncContextManager[Harness], data: st.DataObject, *tables: str) -> None:
    """One story from its beginning, with these tables empty."""
    with asyncio.Runner() as runner:
        served = runner.run(opened.__aenter__())
        try:
            runner.run(empty(served, *tables))
            story(served, runner, data).ends_equal()
        finally:
            runner.run(opened.__aexit__(None, None, None))
