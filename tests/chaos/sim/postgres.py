"""asyncpg with moments: before and after each statement and commit a process can die or lose its connection."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import asyncpg

from .life import LIFE, Life

_VERBS = re.compile(r"\b(INSERT INTO|UPDATE|DELETE FROM|FROM|JOIN|TRUNCATE)\s+([a-z_]+)")
_QUIET = ("pg_advisory_unlock_all", "ROLLBACK", "pg_control_system")
"""What a connection does on its way back to the pool or out of a transaction is no step of ours; nor what is asked of a
new one, which a pool makes when it likes.
"""
LOST = "connection was closed in the middle of operation"


def title(query: str) -> str:
    """A statement as people tell it: what it does, and to which tables."""
    text = " ".join(query.split())
    head = text.split(" ", 1)[0].rstrip(";")
    if head in ("BEGIN", "COMMIT", "SET"):
        return head
    if "pg_try_advisory_lock" in text:
        return "ask to lead"
    tables = list(dict.fromkeys(name for _, name in _VERBS.findall(text) if name not in ("unnest", "jsonb_each_text")))
    lock = " FOR UPDATE" if "FOR UPDATE" in text else ""
    return f"{'SELECT' if head.startswith('(') else head} {', '.join(tables[:3]) or text[:40]}{lock}"


def vars_of(connection: Any) -> dict[str, str]:
    """The settings that a connection was made with."""
    return dict(connection._params.server_settings)


class Watched(asyncpg.Connection):
    """A connection of a simulated process."""

    life: Life

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.life.connections.append(self)
        name = str(vars_of(self)["application_name"])
        self.role = name.removeprefix(self.life.name).strip("-") or "pool"

    async def _step(self, query: str, run: Callable[[], Awaitable[Any]]) -> Any:
        life = self.life
        life.alive()
        if any(word in query for word in _QUIET):
            return await run()
        what = f"{self.role}: {{}} {title(query)}"
        await life.reaches(what.format("before"))
        if query == "COMMIT;" and life.commit is not None:
            await self._doubtful_commit(run)
        if life.cut_in is not None:
            life.cut_in -= 1
            if life.cut_in <= 0:
                life.cut_in = None
                life.faults["connection lost"] += 1
                return await self._cut(run)
        result = await run()
        await life.reaches(what.format("after"))
        return result

    async def _doubtful_commit(self, run: Callable[[], Awaitable[Any]]) -> None:
        """Lose the connection during COMMIT, so that its outcome is unknown to the caller."""
        kind, self.life.commit = self.life.commit, None
        self.life.faults[f"commit: {kind}"] += 1
        if kind == "cut":
            await self._cut(run)
        if kind == "answer lost":
            await run()
        self.terminate()
        raise asyncpg.ConnectionDoesNotExistError(LOST)

    async def _cut(self, run: Callable[[], Awaitable[Any]]) -> Any:
        """The statement is on its way when the connection breaks: the server may do it or not."""
        under_way = asyncio.ensure_future(run())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        self.terminate()
        await asyncio.gather(under_way, return_exceptions=True)
        raise asyncpg.ConnectionDoesNotExistError(LOST)

    async def execute(self, query: str, *args: Any, **kwargs: Any) -> str:
        return str(await self._step(query, lambda: super(Watched, self).execute(query, *args, **kwargs)))

    async def executemany(self, command: str, args: Any, **kwargs: Any) -> None:
        await self._step(command, lambda: super(Watched, self).executemany(command, args, **kwargs))

    async def fetch(self, query: str, *args: Any, **kwargs: Any) -> Any:
        return await self._step(query, lambda: super(Watched, self).fetch(query, *args, **kwargs))

    async def fetchval(self, query: str, *args: Any, **kwargs: Any) -> Any:
        return await self._step(query, lambda: super(Watched, self).fetchval(query, *args, **kwargs))

    async def fetchrow(self, query: str, *args: Any, **kwargs: Any) -> Any:
        return await self._step(query, lambda: super(Watched, self).fetchrow(query, *args, **kwargs))

    async def copy_records_to_table(self, table_name: str, **kwargs: Any) -> str:
        copy = super().copy_records_to_table
        return str(await self._step(f"INSERT INTO {table_name}", lambda: copy(table_name, **kwargs)))


@contextmanager
def watched() -> Iterator[None]:
    """Every connection that is made meanwhile, by whoever has a life, is a watched one."""
    connect: Any = asyncpg.connect
    create_pool: Any = asyncpg.create_pool

    def chosen() -> dict[str, Any]:
        life = LIFE.get(None)
        # A class of each life's own, since a pool also connects in tasks that nobody's life is known in.
        return {} if life is None else {"connection_class": type("Watched", (Watched,), {"life": life})}

    async def connect_watched(*args: Any, **kwargs: Any) -> Any:
        if (life := LIFE.get(None)) is not None:
            life.alive()
        return await connect(*args, **kwargs, **chosen())

    def create_watched(*args: Any, **kwargs: Any) -> Any:
        return create_pool(*args, **kwargs, **chosen())

    asyncpg.connect, asyncpg.create_pool = connect_watched, create_watched
    try:
        yield
    finally:
        asyncpg.connect, asyncpg.create_pool = connect, create_pool
