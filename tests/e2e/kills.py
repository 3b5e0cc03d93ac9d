"""The demo's story against a Laurel of its own, while its services are killed at random."""

import asyncio
import random
import threading
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

from contracts.topics import NOTIFICATION
from laurel.demo.story import Author
from laurel.services import SERVICES
from laurel.stack import Stack
from notification.mailer import LEASE

from .outcome import Outcome, read_outcome
from .quiet import give_back_leases, wait_until_quiet
from .shop import Shop

KILLS = 9
"""Each service once, and some once more."""
PAUSE_SECONDS = (0.3, 2.5)
"""Between two kills."""
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
        asyncio.run(Shop(stack.state, Author(traffic_seed, now), now).play())
        if killer is not None:
            killer.finish()
            stack.wait_ready()
            give_back_leases(stack.state, killer.last[NOTIFICATION], LEASE)
        wait_until_quiet(stack.state, seconds_max=QUIET_SECONDS_MAX)
        outcome = read_outcome(stack.state, stack.sink)
        outcome.kills = killer.kills if killer is not None else Counter()
        return outcome


class Killer:
    """Kills services at random moments of a seed: each once in random order, then some of them again."""

    def __init__(self, stack: Stack, rng: random.Random) -> None:
        assert stack.supervisor is not None
        self.kills = Counter[str]()
        self.last: dict[str, datetime] = {}
        """When each was killed last."""
        self._supervisor, self._rng = stack.supervisor, rng
        self._thread = threading.Thread(target=self._run, name="killer", daemon=True)

    def start(self) -> None:
        """Begin; the shop goes on meanwhile."""
        self._thread.start()

    def finish(self) -> None:
        """Return after the last kill."""
        self._thread.join()

    def _run(self) -> None:
        names = list(SERVICES)
        for name in [*self._rng.sample(names, len(names)), *self._rng.choices(names, k=KILLS - len(names))]:
            time.sleep(self._rng.uniform(*PAUSE_SECONDS))
            while self._supervisor.children[name].pid is None:  # Only who lives can be killed.
                time.sleep(0.05)
            self._supervisor.kill(name)
            self.kills[name] += 1
            self.last[name] = datetime.now(UTC)
