"""The demo's story against a Laurel of its own, while its services are killed at random."""

import asyncio
import contextlib
import os
import random
import signal
import threading
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import httpx
import psycopg

from contracts.topics import NOTIFICATION
from laurel.demo.story import Author
from laurel.services import SERVICES
from laurel.stack import Stack
from notification.mailer import LEASE

from .outcome import Outcome, read_outcome
from .quiet import give_back_leases, wait_until_quiet
from .shop import Shop

KILLS = 14
"""Each service twice, and some more often."""
PAUSE_SECONDS = (0.1, 1.4)
"""Between two kills."""
WORK_SECONDS_MAX = 1.0
"""How long a kill waits for its victim to have work in hand."""
PACE_SECONDS = 0.8
"""Between two webhooks of one connection, at most: the shop is to be busy for as long as there are kills."""
ALIVE_SECONDS_MAX = 60.0
QUIET_SECONDS_MAX = 120.0


def play(home: Path, traffic_seed: int, now: datetime, kill_seed: int | None) -> Outcome:
    """Start everything anew in `home`, play the shop of that seed and moment, wait until all is quiet, and look.

    With a `kill_seed`, services are killed with SIGKILL while the shop sends; nothing waits for them to come back.
    """
    home.mkdir(mode=0o711)
    with Stack(home, durable=False) as stack:
        killer = None if kill_seed is None else Killer(stack, random.Random(kill_seed))
        if killer is not None:
            killer.start()
        pace = 0.0 if killer is None else PACE_SECONDS
        asyncio.run(Shop(stack.state, Author(traffic_seed, now), now, pace_seconds=pace).play())
        if killer is not None:
            killer.finish()
            stack.wait_ready()
            give_back_leases(stack.state, killer.last[NOTIFICATION], LEASE)
        wait_until_quiet(stack.state, seconds_max=QUIET_SECONDS_MAX)
        outcome = read_outcome(stack.state, stack.sink)
        outcome.kills = killer.kills if killer is not None else Counter()
        return outcome


class Killer:
    """Kills services at random moments of a seed: each in random order, each again, then some of them."""

    def __init__(self, stack: Stack, rng: random.Random) -> None:
        assert stack.supervisor is not None
        self.kills = Counter[str]()
        self.last: dict[str, datetime] = {}
        """When each was killed last."""
        self._supervisor, self._rng = stack.supervisor, rng
        self._url, self._databases = stack.state.urls, stack.state.databases
        self._thread = threading.Thread(target=self._run, name="killer", daemon=True)

    def start(self) -> None:
        """Begin; the shop goes on meanwhile."""
        self._thread.start()

    def finish(self) -> None:
        """Return after the last kill."""
        self._thread.join()
        assert self.kills.total() == KILLS, "the killer ended early; its error is above"

    def _run(self) -> None:
        names = list(SERVICES)
        twice = [*self._rng.sample(names, len(names)), *self._rng.sample(names, len(names))]
        for name in [*twice, *self._rng.choices(names, k=KILLS - len(twice))]:
            time.sleep(self._rng.uniform(*PAUSE_SECONDS))
            wait_alive(name, self._url[name])
            wait_working(self._databases[name], self._rng)
            # Not by the supervisor, which first looks for processes below: by then the moment would be over.
            os.kill(self._pid(name), signal.SIGKILL)
            self.kills[name] += 1
            self.last[name] = datetime.now(UTC)

    def _pid(self, name: str) -> int:
        pid = self._supervisor.children[name].pid
        assert pid is not None, f"{name} died by itself; its log says why"
        return pid


def wait_alive(name: str, url: str) -> None:
    """Return when it answers: to kill who is only being started proves little."""
    deadline = time.monotonic() + ALIVE_SECONDS_MAX
    while True:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{url}/livez", timeout=1.0, trust_env=False).is_success:
                return
        assert time.monotonic() < deadline, f"{name} did not come back after it was killed"
        time.sleep(0.05)


def wait_working(database: str, rng: random.Random) -> None:
    """Return when its outbox holds events, if that comes soon: a moment at which much can go wrong."""
    deadline = time.monotonic() + WORK_SECONDS_MAX
    with psycopg.connect(database, autocommit=True) as connection:
        while time.monotonic() < deadline and connection.execute("SELECT FROM outbox LIMIT 1").fetchone() is None:
            time.sleep(0.002)
    time.sleep(rng.uniform(0.0, 0.01))
