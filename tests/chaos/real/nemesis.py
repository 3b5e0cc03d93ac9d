"""Brings trouble, one kind after another in the order of a seed, and counts what really happened."""

import asyncio
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import httpx
import psutil
import psycopg
from aiokafka.admin import AIOKafkaAdminClient

from contracts.topics import INGEST, POINTS
from laurel.services import SERVICES
from tests.e2e.kills import wait_alive, wait_working

from .stack import ChaosStack

PAUSE_SECONDS = (0.1, 1.4)
"""Between two faults: most of what the last one broke is still being mended."""
STOP_SECONDS_MAX = 30.0
"""The grace period that containers give."""
READY_SECONDS_MAX = 60.0
_END_SECONDS_MAX = 5.0


@dataclass(frozen=True)
class Window:
    """When something was away, and nothing else was in the way of the edge."""

    kind: str
    started: float
    ended: float


@dataclass
class Trouble:
    """One stack and the trouble it is in. Faults are functions of it; they say whether they really happened."""

    stack: ChaosStack
    rng: random.Random
    short_seconds: tuple[float, float]
    """How long something is away, at least and at most."""
    long_seconds: float
    """How long Kafka is away in the kind that takes long."""
    windows: list[Window] = field(default_factory=list)
    by_service: Counter[tuple[str, str]] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    """What the services did not do as they must."""
    _turns: dict[str, list[str]] = field(default_factory=dict)

    def pause(self, least: float, most: float) -> float:
        """Wait for so long; returns how long."""
        seconds = self.rng.uniform(least, most)
        time.sleep(seconds)
        return seconds

    def victim(self, kind: str, names: Sequence[str] = tuple(SERVICES)) -> str:
        """Whose turn it is: all in random order, then all again. It answers, and has work if that comes soon."""
        turns = self._turns.setdefault(kind, [])
        if not turns:
            turns += self.rng.sample(names, len(names))
        name = turns.pop()
        wait_alive(name, self.stack.state.urls[name])
        with suppress(psycopg.OperationalError):  # The database may be what the last fault took away.
            wait_working(self.stack.state.databases[name], self.rng)
        self.by_service[kind, name] += 1
        return name

    def wait_edge(self) -> None:
        """Return when order-ingest takes orders: it answers, and has reached its database."""
        url = self.stack.state.urls[INGEST]
        wait_alive(INGEST, url)
        assert wait_for(lambda: "the database" not in why_not_ready(url), READY_SECONDS_MAX), (
            "the edge does not recover"
        )

    @contextmanager
    def away(self, kind: str) -> Iterator[None]:
        """Write down the window in which a server is away; the edge must have been well before."""
        started = time.monotonic()
        yield
        self.windows.append(Window(kind, started, time.monotonic()))

    def signal(self, pid: int, number: int) -> None:
        """Send it."""
        os.kill(pid, number)

    def ends(self, pid: int, seconds_max: float = _END_SECONDS_MAX) -> bool:
        """Whether the process ends within the time."""
        return wait_for(lambda: not psutil.pid_exists(pid) or _status(pid) == psutil.STATUS_ZOMBIE, seconds_max)

    def stopped(self, pid: int) -> bool:
        """Whether the process stands still."""
        return wait_for(lambda: _status(pid) == psutil.STATUS_STOPPED, _END_SECONDS_MAX)

    def owners(self) -> int:
        """How many instances of points-accrual the group has; 0 while it is not settled."""
        return asyncio.run(_owners(self.stack.kafka.bootstrap))


Fault = Callable[[Trouble], bool]


class Nemesis:
    """Runs a schedule of faults in a thread of its own."""

    def __init__(self, trouble: Trouble, schedule: Sequence[tuple[str, Fault]]) -> None:
        self.trouble = trouble
        self.fired = Counter[str]()
        self.missed = Counter[str]()
        """Brought, and nothing of it was to be seen."""
        self.seconds: dict[str, float] = {}
        """By kind, how long it took to bring it."""
        self._schedule = list(schedule)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="nemesis", daemon=True)

    @property
    def busy(self) -> bool:
        """Whether there is more to come."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def finish(self) -> None:
        """Return after the last fault. Raises what went wrong with bringing them."""
        self._thread.join()
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            for kind, fault in self._schedule:
                self.trouble.pause(*PAUSE_SECONDS)
                started = time.monotonic()
                counts = self.fired if fault(self.trouble) else self.missed
                counts[kind] += 1
                self.seconds[kind] = self.seconds.get(kind, 0.0) + time.monotonic() - started
        except BaseException as error:  # Raised where the thread is joined.
            self._error = error


def wait_for(true: Callable[[], bool], seconds_max: float) -> bool:
    """Whether it becomes true in time."""
    deadline = time.monotonic() + seconds_max
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def is_ready(url: str) -> bool:
    """Whether a service says so."""
    try:
        return httpx.get(f"{url}/readyz", timeout=3.0, trust_env=False).is_success
    except httpx.TransportError:
        return False


def why_not_ready(url: str) -> str:
    """What a service says of itself; that the database cannot be reached where it says nothing."""
    try:
        return httpx.get(f"{url}/readyz", timeout=3.0, trust_env=False).text
    except httpx.TransportError:
        return "the database may not be reached either"


def _status(pid: int) -> str:
    try:
        return str(psutil.Process(pid).status())
    except psutil.NoSuchProcess:
        return psutil.STATUS_ZOMBIE


async def _owners(bootstrap: str) -> int:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=5000)
    try:
        await admin.start()
        for answer in await admin.describe_consumer_groups([POINTS]):
            for group in answer.groups:
                return len(group[5]) if group[2] == "Stable" else 0
        return 0
    finally:
        await admin.close()
