"""The process of one service: everything started in order, everything stopped in order."""

import asyncio
import gc
import signal
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import uvicorn
from aiokafka.errors import KafkaError
from fastapi import Depends, FastAPI, Request
from faststream.kafka import KafkaBroker

from .bus import Shell
from .clock import within
from .db import MIGRATIONS, missing_migrations, plain
from .health import Health
from .http import create_app, still_learning
from .kafka import ReferenceReader, cluster_id, subscribe, wait_for_topics
from .learning import Learner
from .log import log
from .outbox import Relay
from .replay import Replays
from .service import Context, Service, every, until_done
from .sweeper import Sweeper

_MEASURE_SECONDS = 5.0
_GARBAGE = (15_000, 20, 20)
"""When the collector looks, between batches. With Python's own thresholds it took a third of the CPU of the points
path; with 50,000 notification kept 20 MB more, of mails that refer to themselves, and nothing was faster.
"""
RELAY = "relay"
_STOPPED_SECONDS = 2.0
_CONSUMER_SECONDS, _PARTS_SECONDS, _LAST_SECONDS = 10.0, 13.0, 3.0
"""How long a stop waits for the consumer, for all parts from its beginning, and for them at least after the consumer.

With the pool's five it stays below the grace period of containers.
"""


class Process:
    """Runs a service until SIGTERM or SIGINT."""

    def __init__(self, context: Context, service: Service, migrations: Path) -> None:
        self.context, self.service = context, service
        self.migrations: Sequence[Path] = (MIGRATIONS, migrations)
        settings = context.settings
        self.learner = Learner(settings, context.clock, service.name, service.adopt, context.history)
        self.relay = Relay(
            settings, service.name, lambda: cluster_id(settings), self.learner.check, context.history
        )  # fmt: skip
        context.committed = self.relay.wake.set
        context.history.changed = self._fail
        self.reader = (
            ReferenceReader(settings, service.name, service.reference, time.monotonic) if service.reference else None
        )
        self.shell = self._build_shell() if service.consumes else None
        self.replays = Replays(context, service)
        self.health = Health(context, self.migrations, self.shell, self.relay, self.reader)
        self._tasks: list[asyncio.Task[None]] = []
        self._nothing_more = asyncio.Event()
        """Set when nothing more comes into the outbox; the relay drains it then."""
        self._broker: KafkaBroker | None = None

    def _build_shell(self) -> Shell:
        service, settings = self.service, self.context.settings

        async def process(tx, batch):  # type: ignore[no-untyped-def]
            if self.reader is not None and self.reader.why_not is not None:
                raise TimeoutError(self.reader.why_not)
            await service.process(tx, batch)

        return Shell(
            settings, self.context.clock, service.name,
            consumes=service.consumes, process=process, handled=service.handled, ignored=service.ignored,
            committed=self._committed, cluster_id=lambda: cluster_id(settings), history=self.context.history,
        )  # fmt: skip

    def _committed(self, published: bool) -> None:
        """Who may have something to do after a batch need not wait until they look again."""
        if published:
            self.relay.wake.set()
        for name in self.service.wakes:
            self.context.wake(name).set()

    def app(self) -> FastAPI:
        """The service's HTTP application."""
        service, settings = self.service, self.context.settings
        app = create_app(service.name, body_bytes_max=settings.http_body_bytes_max, routes=service.routes)
        app.state.tokens, app.state.clock = self.context.tokens, self.context.clock
        self.health.add_routes(app)
        if service.routes is not None:
            waiting = [] if service.stores_first else [Depends(self._require_learnt)]
            app.include_router(service.routes, dependencies=waiting)
        return app

    async def _require_learnt(self, request: Request) -> None:
        if request.method != "GET" and not self.context.learnt():
            raise still_learning()

    async def run(self) -> None:
        """Start, serve, stop."""
        stopping = self.context.stopping
        self.context.learnt = lambda: self.learner.done
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopping.set)
        server = self._server()
        self._start("http", server.serve)
        self._start("start", self.start)
        await stopping.wait()
        log.info("stopping")
        server.should_exit = True
        await self.stop()

    def _server(self) -> uvicorn.Server:
        settings = self.context.settings
        config = uvicorn.Config(
            self.app(), host=settings.http_host, port=settings.http_port, log_config=None, access_log=False,
            limit_concurrency=1000, timeout_keep_alive=15, h11_max_incomplete_event_size=64 * 1024,
            timeout_graceful_shutdown=10, server_header=False, proxy_headers=False,
        )  # fmt: skip
        server = uvicorn.Server(config)
        server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
        return server

    def _start(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        async def guarded() -> None:
            try:
                await work()
            except asyncio.CancelledError as error:
                # When it stops it cancels what does not end; a part that ends so before was not told to.
                if not self.context.stopping.is_set():
                    self._fail(error)
                raise
            except BaseException as error:  # noqa: BLE001 - told below, and the process stops
                # A part that ends by an error takes the process along: half a service helps nobody.
                self._fail(error)

        self._tasks.append(asyncio.create_task(guarded(), name=name))

    failed = False

    def _fail(self, error: BaseException) -> None:
        log.error("the process stops", error=repr(error), exc_info=error)
        self.failed = True
        self.context.stopping.set()

    async def start(self) -> None:
        """Start all but the HTTP server, waiting for what is not there yet."""
        context, service = self.context, self.service
        await context.open()
        await until_done(context.stopping, "migrations", self._migrated)
        loops: dict[str, tuple[float, Callable[[], Awaitable[bool]]]] = {
            "measure": (_MEASURE_SECONDS, self.health.measure)
        }
        if self.reader is not None:
            await self._start_reading(self.reader)
        await self.learner.run(context.stopping)
        if not self.learner.done:
            return  # Told to stop before that: a database that lacks something sends nothing.
        for task in service.tasks:
            self._start(f"task-{getattr(task, '__name__', 'loop')}", task)
        self._start(RELAY, lambda: self.relay.run(self._nothing_more))
        if self.shell is not None:
            self.shell.look_back, self.shell.restored = self.learner.check, self._fail
            await self._start_consuming(self.shell)
            loops["replay"] = (1.0, self._current_only(self.replays.some))
            loops["stopped"] = (_STOPPED_SECONDS, self._look_at_stopped)
            if service.sweep is not None:
                sweeper = Sweeper(self.shell, service.sweep, context.clock, service.name, self.relay.wake.set)
                loops["sweep"] = (context.settings.sweep_seconds, self._current_only(sweeper.run_once))
        for name, (seconds, work) in loops.items():
            self._start(name, lambda n=name, s=seconds, w=work: every(context, n, seconds=s, work=w))  # type: ignore[misc]
        gc.collect()
        gc.freeze()
        gc.set_threshold(*_GARBAGE)
        log.info("started", http_port=context.settings.http_port)

    async def _start_reading(self, reader: ReferenceReader) -> None:
        context = self.context
        context.reference_current = lambda: reader.current
        self._start("reference", lambda: reader.run(context.stopping))
        # What is learnt may have to be judged by what the reader knows.
        await reader.ready.wait()

    async def _migrated(self) -> bool:
        async with self.context.pool.acquire() as connection:
            missing = await missing_migrations(plain(connection), self.migrations)
        if missing:
            log.warning("waiting for migrations", missing=missing, what_to_do="laurel migrate")
        return not missing

    async def _start_consuming(self, shell: Shell) -> None:
        topics = [topic.name for topic in self.service.consumes]
        await wait_for_topics(self.context.settings, topics, self.context.stopping)
        if self.reader is not None:
            await self.reader.ready.wait()
        broker = subscribe(self.context.settings, self.service.name, self.service.consumes, shell)

        async def begin() -> bool:
            async with shell.connection() as connection:
                await shell.breaker.read(connection)
            await broker.start()
            self._broker = broker
            return True

        await until_done(self.context.stopping, "consumer", begin)

    def _current_only(self, work: Callable[[], Awaitable[bool]]) -> Callable[[], Awaitable[bool]]:
        async def guarded() -> bool:
            if self.reader is not None and not self.reader.current:
                return False
            return await work()

        return guarded

    async def _look_at_stopped(self) -> bool:
        """Go on with partitions that an operator has accepted."""
        shell = self.shell
        if shell is not None and shell.stopped:
            async with shell.lock:
                await shell.settle(set(shell.stopped))
        return False

    async def _stop_consuming(self) -> None:
        """Let the running batch end and leave the group, for a bounded time.

        A broker that takes connections and says nothing would be waited for for a minute; it gives our partitions to
        others by itself, and a batch that was cut off is rolled back.
        """
        if self._broker is None:
            return
        try:
            await within(_CONSUMER_SECONDS, self._broker.stop())
        except (TimeoutError, KafkaError) as error:
            log.warning("the consumer did not stop cleanly", error=repr(error))

    async def stop(self) -> None:
        """No new work, the running batch and requests end, the outbox is drained, everything closes."""
        started = time.monotonic()
        for wake in self.context.wakes():
            wake.set()
        others = [task for task in self._tasks if task.get_name() != RELAY]
        await asyncio.gather(self._stop_consuming(), asyncio.wait(others, timeout=_CONSUMER_SECONDS))
        self._nothing_more.set()
        self.relay.wake.set()
        left = max(_LAST_SECONDS, _PARTS_SECONDS - (time.monotonic() - started))
        _, pending = await asyncio.wait(self._tasks, timeout=left)
        if pending:
            log.warning("parts are cut off", parts=sorted(task.get_name() for task in pending))
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        if self.shell is not None:
            await self.shell.close()
        await self.context.close()
        log.info("stopped")
