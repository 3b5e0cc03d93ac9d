"""A process of a service as `shared.process` builds it, stepped by hand instead of by its loops."""

import asyncio
import dataclasses
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeVar

import httpx
from aiokafka import TopicPartition

from contracts.base import Event
from laurel.services import SERVICES
from shared.clock import FixedClock
from shared.outbox import Relay
from shared.process import Process
from shared.service import Context
from shared.sweeper import Sweeper
from tests.unit.points_accrual.samples import T0

from .kafka import PARTITIONS, Cluster, Consumer
from .life import LIFE, Life, Plot

T = TypeVar("T")
STEP_SECONDS_MAX = 20.0
"""A step that takes longer is stuck."""
DEATHS_MAX = 3
"""Of one step."""


class Stuck(AssertionError):
    """A step did not come to its end."""


@dataclass
class Site:
    """What all processes of one service share: a database, Kafka, keys, what is known of programs."""

    name: str
    dsn: str
    cluster: Cluster
    keys: Path
    reference: Sequence[Event]
    faults: Counter[str]
    settings: dict[str, Any] = field(default_factory=dict)
    plot: Plot | None = None

    def partitions(self) -> list[TopicPartition]:
        """All that the service consumes."""
        topics = SERVICES[self.name].build(self._context(T0)).consumes
        return [TopicPartition(topic.name, number) for topic in topics for number in range(PARTITIONS)]

    def _context(self, now: datetime) -> Context:
        entry = SERVICES[self.name]
        values = {
            "database_url": self.dsn, "keys_dir": self.keys, "lock_timeout_ms": 1000, "pool_size_max": 8,
            "retry_seconds_max": 2.0, "http_port": 1, **self.settings,
        }  # fmt: skip
        return Context(self.name, entry.settings.model_validate(values), FixedClock(now))

    def start(self, now: datetime, *, without: frozenset[type[Event]] = frozenset()) -> "Node":
        """A new process; an older version of the service does not know the types `without`."""
        return Node(self, self._context(now), without)


async def _nothing() -> None:
    """In place of looking whether the database was put back."""


class Node:
    """One process."""

    def __init__(self, site: Site, context: Context, without: frozenset[type[Event]]) -> None:
        self.site, self.context = site, context
        self.life = Life(site.name, faults=site.faults, plot=site.plot)
        self.clock = context.clock
        assert isinstance(self.clock, FixedClock)
        entry = SERVICES[site.name]
        service = entry.build(context)
        self.service = dataclasses.replace(service, handled=service.handled - without)
        if service.reference is not None:
            for event in site.reference:
                service.reference.apply(event)
        self.process = Process(context, self.service, entry.migrations)
        # The reader of programs is not simulated: what it reads is known from the start.
        self.process.reader = None
        # Nor is a restore: no database is put back here.
        self.process.relay.check = _nothing
        self.consumer: Consumer | None = None

    @cached_property
    def client(self) -> httpx.AsyncClient:
        """Speaks to the process over HTTP."""
        transport = httpx.ASGITransport(self.process.app(), raise_app_exceptions=False)
        return httpx.AsyncClient(transport=transport, base_url="http://test")

    @property
    def dead(self) -> bool:
        return self.life.dead is not None

    async def do(self, work: Callable[[], Awaitable[T]]) -> T | None:
        """A step of this process, in a task of its own. None when it died of it, or was dead."""
        if self.dead:
            return None

        async def lived() -> T:
            LIFE.set(self.life)
            return await work()

        task, death = asyncio.ensure_future(lived()), asyncio.ensure_future(self.life.over.wait())
        await asyncio.wait([task, death], timeout=STEP_SECONDS_MAX, return_when=asyncio.FIRST_COMPLETED)
        if death.done() and not task.done():
            # It is about to notice; but what waits for a part of the process that is dead would wait for long.
            await asyncio.wait([task], timeout=0.2)
        late = not (task.done() or death.done())
        for one in (task, death):
            one.cancel()
        await asyncio.wait([task, death], timeout=5.0)
        if late:
            raise Stuck(f"{self.site.name} did not get on; it passed {self.life.moments[-6:]}")
        if self.life.dead is not None:
            with suppress(BaseException):
                task.result()
            return None
        return task.result()

    async def open(self) -> None:
        """Reach the database and begin to consume what is assigned."""
        await self.do(self.context.open)
        with suppress(ConnectionError):
            self.life.on_death.append(self.context.pool.terminate)

    async def take_over(self, items: Iterable[TopicPartition]) -> None:
        """What the group's leader tells: these partitions are this process's now, and no others."""
        shell = self.process.shell
        assert shell is not None
        wanted = sorted(items)

        async def work() -> None:
            if self.consumer is not None:
                await shell.on_partitions_revoked(list(self.consumer.positions))
                assert not shell.expected, f"{self.site.name} goes on with partitions that were taken from it"
            consumer = self.consumer or Consumer(self.site.cluster, self.site.name, self.life)
            self.consumer = consumer
            consumer.assign(wanted)
            shell.find_consumer = lambda: consumer
            await shell.on_partitions_assigned(wanted)

        await self.do(work)

    async def consume(self, counts: Mapping[TopicPartition, int]) -> int:
        """Fetch a batch and bring it to its end. Returns how many records it had."""
        shell, consumer = self.process.shell, self.consumer
        if self.dead or shell is None or consumer is None:
            return 0
        records = consumer.take(counts)
        if records:
            await self.do(lambda: shell.handle(records))
        return len(records)

    async def sweep(self) -> bool | None:
        """One round over all partitions."""
        shell, sweep = self.process.shell, self.service.sweep
        if shell is None or sweep is None:
            return False
        sweeper = Sweeper(shell, sweep, self.clock, self.service.name, self.process.relay.wake.set)
        return await self.do(sweeper.run_once)

    async def loops(self) -> None:
        """What the service does beside, loop by loop, each until it finds nothing to do."""
        stopping = self.context.stopping
        self.context.wake = lambda name: _Idle(stopping)  # type: ignore[method-assign]
        for loop in self.service.tasks:
            await self.do(loop)
            stopping.clear()

    async def relay(self) -> None:
        """Lead once: send everything that is there, and stop."""
        relay = self.process.relay
        await self.do(lambda: relay.run(_UntilLeading(relay)))

    async def replay(self) -> None:
        """Replay the dead letters that were asked for."""
        while await self.do(self.process.replays.some):
            pass

    def end(self) -> None:
        """Kill it between two steps."""
        self.life.end()


@dataclass
class Succession:
    """The processes of a service, one after another: who dies is followed by another, who does the step again."""

    cluster: Cluster
    start: Callable[[], Awaitable[Node]]
    node: Node | None = None

    async def step(self, work: Callable[[Node], Awaitable[object]]) -> None:
        """Brought to its end, however many processes that takes."""
        for _ in range(DEATHS_MAX):
            if self.node is None or self.node.dead:
                self.node = await self.start()
            self.node.clock.at = self.cluster.now  # type: ignore[attr-defined]
            await work(self.node)
            if not self.node.dead:
                return
        raise Stuck("it died more often than it was killed")


class _Idle(asyncio.Event):
    """A loop that waits for its wake-up has nothing to do: it is stopped."""

    def __init__(self, stopping: asyncio.Event) -> None:
        super().__init__()
        self._stopping = stopping

    async def wait(self) -> Literal[True]:
        self._stopping.set()
        return True


class _UntilLeading(asyncio.Event):
    """Says stop as soon as the relay leads: it then drains the outbox, as at the end of every process."""

    def __init__(self, relay: Relay) -> None:
        super().__init__()
        self._relay, self._led = relay, False

    def is_set(self) -> bool:
        self._led = self._led or self._relay.leading
        return self._led

    async def wait(self) -> Literal[True]:
        """Somebody else leads: try again soon."""
        await asyncio.sleep(1.0)
        raise TimeoutError
