"""The breaker: after a bad deploy a service stops itself instead of emptying a topic into its dead letters."""

import time
from collections import deque

import asyncpg

from .log import log
from .settings import Settings
from .telemetry import BREAKER_OPEN

_WINDOW_SECONDS = 60.0


class Opened(Exception):
    """Too many events failed within a minute."""


class Breaker:
    """Counts the events and failures of the last minute. Open, it stays so until an operator deletes its row."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._applied: deque[tuple[float, int, int]] = deque()
        self.why: str | None = None
        """Set while open."""

    def applied(self, events: int, failures: int) -> None:
        """Count a committed batch."""
        self._forget_old()
        self._applied.append((time.monotonic(), events, failures))

    def check(self, failures_of_batch: int, events_of_batch: int) -> None:
        """Before another failure is set aside, after those of this batch. Raises `Opened` when it is one too many."""
        self._forget_old()
        events = events_of_batch + sum(item[1] for item in self._applied)
        failures = 1 + failures_of_batch + sum(item[2] for item in self._applied)
        if failures > self._settings.breaker_dead_letters and failures > events * self._settings.breaker_share:
            raise Opened(f"{failures} of {events} events failed within a minute")

    def _forget_old(self) -> None:
        since = time.monotonic() - _WINDOW_SECONDS
        while self._applied and self._applied[0][0] < since:
            self._applied.popleft()

    async def read(self, connection: asyncpg.Connection) -> None:
        """Learn from the database whether it is open."""
        self.why = await connection.fetchval("SELECT why FROM breaker")
        BREAKER_OPEN.set(self.why is not None)

    async def open(self, connection: asyncpg.Connection, why: str) -> None:
        """Stop; the row survives a restart."""
        await connection.execute(
            "INSERT INTO breaker (opened_at, why) VALUES (now(), $1) ON CONFLICT (one) DO NOTHING", why
        )
        log.error("breaker opened", why=why, what_to_do="mend the cause, then laurel breaker clear")
        self._applied.clear()
        await self.read(connection)


async def find(connection: asyncpg.Connection) -> asyncpg.Record | None:
    """The open breaker's `opened_at` and `why`; None while it is closed."""
    return await connection.fetchrow("SELECT opened_at, why FROM breaker")


async def clear(connection: asyncpg.Connection, *, actor: str) -> str | None:
    """Close the breaker by an operator's word, audited. Returns why it was open; None if it was not."""
    async with connection.transaction():
        why: str | None = await connection.fetchval("DELETE FROM breaker RETURNING why")
        if why is not None:
            await connection.execute(
                "INSERT INTO audit_log (actor, action, subject, detail) VALUES ($1, 'breaker.clear', 'breaker', $2)",
                actor, why,
            )  # fmt: skip
    return why
