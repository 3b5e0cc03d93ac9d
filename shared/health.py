"""What a service says of itself: alive, ready, and in figures."""

import time
from collections.abc import Sequence
from pathlib import Path

from aiokafka.errors import KafkaError
from fastapi import FastAPI
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from . import backlog
from . import telemetry as figures
from .bus import Shell
from .clock import within
from .db import TRANSIENT, missing_migrations, plain
from .kafka import ReferenceReader
from .outbox import Relay
from .service import Context


class Health:
    """Watches the parts of a process."""

    def __init__(
        self,
        context: Context,
        migrations: Sequence[Path],
        shell: Shell | None,
        relay: Relay,
        reader: ReferenceReader | None,
    ) -> None:
        self._context, self._migrations = context, migrations
        self._shell, self._relay, self._reader = shell, relay, reader
        self._lagging = False
        """There was something to read when last looked; a loop that then does not move is dead."""

    def alive(self) -> list[str]:
        """Why the process should be started anew; nothing while it is alive."""
        shell = self._shell
        limit = self._context.settings.live_seconds_max
        waiting = shell is not None and (shell.busy or self._lagging)
        if shell is not None and waiting and time.monotonic() - shell.moved_at > limit:
            return [f"the consume loop has not moved for {limit:.0f} s"]
        return []

    async def ready(self) -> list[str]:
        """Why the service is not ready; nothing when it is."""
        why: list[str] = []
        try:
            async with self._context.pool.acquire(timeout=2.0) as connection:
                missing = await missing_migrations(plain(connection), self._migrations)
            if missing:
                why.append(f"the database lacks migrations {', '.join(missing)}: run laurel migrate")
        except TRANSIENT as error:
            why.append(f"the database cannot be reached: {error!r}")
        if self._shell is not None:
            consumer = self._shell.find_consumer()
            if consumer is None or not consumer.assignment():
                why.append("no partitions of Kafka are assigned")
            why += [f"{item.topic}-{item.partition} is stopped: {text}" for item, text in self._shell.stopped.items()]
            if self._shell.breaker.why is not None:
                why.append(f"the breaker is open: {self._shell.breaker.why}")
        if self._reader is not None and self._reader.why_not is not None:
            why.append(self._reader.why_not)
        return why

    def add_routes(self, app: FastAPI) -> None:
        """`/livez`, `/readyz`, `/metrics`: open to all who reach the port, and free of personal data."""

        @app.get("/livez", include_in_schema=False)
        async def livez() -> Response:
            return _answer(self.alive())

        @app.get("/readyz", include_in_schema=False)
        async def readyz() -> Response:
            return _answer(await self.ready())

        @app.get("/metrics", include_in_schema=False)
        async def metrics() -> Response:
            return Response(generate_latest(figures.REGISTRY), media_type=CONTENT_TYPE_LATEST)

    async def measure(self) -> bool:
        """Set the gauges; called every few seconds."""
        pool = self._context.pool
        figures.POOL_SIZE.set(pool.get_size())
        figures.POOL_USED.set(pool.get_size() - pool.get_idle_size())
        async with pool.acquire(timeout=2.0) as connection:
            waiting = await backlog.read(plain(connection))
        figures.OUTBOX_ROWS.set(waiting.outbox_rows)
        figures.OUTBOX_SECONDS.set(waiting.outbox_seconds)
        figures.DEAD_LETTERS_OPEN.clear()
        for error_class, count in waiting.letters.items():
            figures.DEAD_LETTERS_OPEN.labels(error_class).set(count)
        await self._measure_lag()
        return False

    async def _measure_lag(self) -> None:
        shell, self._lagging = self._shell, False
        consumer = shell.find_consumer() if shell is not None else None
        if shell is None or consumer is None or not shell.expected:
            return
        positions = dict(shell.expected)
        try:
            ends = await within(5.0, consumer.end_offsets(list(positions)))
        except (KafkaError, TimeoutError):
            return
        figures.LAG_MESSAGES.clear()
        figures.LAG_SECONDS.clear()
        now = time.time()
        for item, position in positions.items():
            lag = max(0, ends[item] - position)
            self._lagging = self._lagging or lag > 0
            figures.LAG_MESSAGES.labels(item.topic, str(item.partition)).set(lag)
            last = shell.record_at.get(item)
            seconds = now - last.timestamp() if lag and last is not None else 0.0
            figures.LAG_SECONDS.labels(item.topic, str(item.partition)).set(seconds)


def _answer(why: list[str]) -> Response:
    return JSONResponse({"ok": not why, "why": why}, 503 if why else 200)
