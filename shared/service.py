"""A service: what it consumes, serves and does by the clock, and what its process has."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeVar

import asyncpg
from fastapi import APIRouter

from contracts.base import Event
from contracts.topics import Topic

from .access import Tokens
from .clock import Clock, SystemClock
from .db import TRANSIENT, Retry, is_transient, open_pool, pause_seconds, plain
from .history import History
from .http import Problem
from .kafka import Reference
from .log import log
from .settings import Settings
from .sweeper import Sweep
from .telemetry import LOOP_ERRORS, RETRIES
from .transaction import Process, Transaction

__all__ = ["Context", "Reference", "Service", "every", "until_done"]

T = TypeVar("T")


class Context:
    """What one process of a service has: its database, clock, tokens and settings."""

    def __init__(self, name: str, settings: Settings, clock: Clock | None = None) -> None:
        self.name, self.settings = name, settings
        self.clock: Clock = clock or SystemClock()
        self.tokens = Tokens(settings.keys_dir)
        self.stopping = asyncio.Event()
        self.committed: Callable[[], None] = lambda: None
        """Called after a commit that left something in the outbox."""
        self.reference_current: Callable[[], bool] = lambda: True
        """Whether the reference topic's end was confirmed lately."""
        self.learnt: Callable[[], bool] = lambda: True
        """Whether the database knows all that was published; see `learning`."""
        self.history = History()
        self._pool: asyncpg.Pool | None = None
        self._wakes: dict[str, asyncio.Event] = {}

    @property
    def pool(self) -> asyncpg.Pool:
        """The pool. Raises ConnectionError while the database has not been reached yet."""
        if self._pool is None:
            raise ConnectionError("the database was not reached yet")
        return self._pool

    def require_current(self) -> None:
        """For requests that decide something. Raises a 503 while topics that they depend on are not read to the end."""
        if not (self.reference_current() and self.learnt()):
            raise Problem(
                503, "Try again", "this service is still reading what it depends on", headers={"Retry-After": "1"}
            )

    async def open(self) -> None:
        """Reach the database, however long it takes."""
        self._pool = await open_pool(self.settings, self.name, self.history.check)

    async def close(self) -> None:
        """Close the pool; connections that do not end are cut."""
        if self._pool is not None:
            try:
                await asyncio.wait_for(self._pool.close(), 5.0)
            except (TimeoutError, *TRANSIENT):
                self._pool.terminate()

    def wake(self, name: str) -> asyncio.Event:
        """The event that makes the loop of this name run at once."""
        return self._wakes.setdefault(name, asyncio.Event())

    def wakes(self) -> list[asyncio.Event]:
        """All events of loops."""
        return list(self._wakes.values())

    async def execute(self, work: Callable[[Transaction], Awaitable[T]], *, tries: int = 5) -> T:
        """Do `work` in a transaction of its own; it may run several times. Raises what the last try raised."""

        async def transact(connection: asyncpg.Connection) -> T:
            async with connection.transaction():
                tx = Transaction(connection, self.clock.now(), self.name)
                result = await work(tx)
                published = await tx.flush()
            if published:
                self.committed()
            return result

        return await self.on_connection(transact, tries=tries)

    async def on_connection(self, work: Callable[[asyncpg.Connection], Awaitable[T]], *, tries: int = 5) -> T:
        """The same without a transaction around it: for one statement, which is one by itself, at a third of the round
        trips.
        """
        attempt = 0
        while True:
            try:
                async with self.pool.acquire(timeout=self.settings.connect_timeout_seconds) as connection:
                    return await work(plain(connection))
            except Exception as error:
                attempt += 1
                if attempt >= tries or not is_transient(error):
                    raise
                RETRIES.labels(type(error).__name__).inc()
                # Work that collided with other work is done again at once; a lost connection gets time to come back.
                await asyncio.sleep(0 if isinstance(error, Retry) else pause_seconds(attempt, 0.5))

    async def read(self, work: Callable[[asyncpg.Connection], Awaitable[T]]) -> T:
        """Read in one consistent view."""
        async with self.pool.acquire(timeout=self.settings.connect_timeout_seconds) as connection:
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                return await work(plain(connection))


Republish = Callable[[Transaction, str | None, int], Awaitable[tuple[str | None, int]]]
"""(transaction, after, at most) → where to go on after, None at the end, and how many were sent. Rows are locked."""


@dataclass(frozen=True)
class Service:
    """One service; see `build` in each `app.py`."""

    name: str
    consumes: tuple[Topic, ...]
    """In order of priority within a batch."""
    process: Process
    handled: frozenset[type[Event]]
    ignored: frozenset[type[Event]] = frozenset()
    adopt: Process | None = None
    """Takes over events of its own topics that its database does not know any more; ids and versions as they are."""
    republish: tuple[Republish, ...] = ()
    """Send the current state again, for when Kafka has lost it; one for each kind, in this order."""
    reference: Reference | None = None
    routes: APIRouter | None = None
    stores_first: bool = False
    """Its routes only store what comes, to be decided on later; those of others wait until all is learnt."""
    sweep: Sweep | None = None
    tasks: tuple[Callable[[], Awaitable[None]], ...] = field(default=())
    wakes: tuple[str, ...] = ()
    """Loops among them that may have something to do after a batch."""


async def until_done(stopping: asyncio.Event, what: str, work: Callable[[], Awaitable[bool]]) -> None:
    """Call `work` until it returns True or the process stops: at a start anything may still be away, or go again."""
    attempt = 0
    while not stopping.is_set():
        try:
            if await work():
                return
        except Exception as error:
            if not is_transient(error):
                raise
            log.warning("tried again", what=what, error=repr(error), attempt=attempt + 1)
        attempt += 1
        await asyncio.sleep(0.2 + pause_seconds(attempt, 3.0))


async def every(context: Context, name: str, *, seconds: float, work: Callable[[], Awaitable[bool]]) -> None:
    """Call `work` until the process stops: again at once while it returns True, else after `seconds` or a wake-up.

    After an error nothing wakes it before its pause is over.
    """
    wake = context.wake(name)
    attempt = 0
    while not context.stopping.is_set():
        pause, awaited = seconds, wake
        try:
            wake.clear()
            if await work():
                pause = 0.0
            attempt = 0
        except Exception as error:  # noqa: BLE001 - whatever it is, it is judged below
            attempt += 1
            awaited = context.stopping
            pause = min(0.1 + pause_seconds(attempt, 10.0), 10.0)
            LOOP_ERRORS.labels(name).inc()
            if is_transient(error):
                log.warning("loop is tried again", loop=name, error=repr(error), attempt=attempt)
            else:
                log.error("loop failed", loop=name, error=repr(error), exc_info=error)
        if pause:
            with suppress(TimeoutError):
                await asyncio.wait_for(awaited.wait(), pause)
