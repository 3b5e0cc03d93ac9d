"""One run: a story told twice, once in peace and once in trouble, and held against each other."""

import asyncio
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg

from contracts.topics import NOTIFICATION
from laurel.demo.story import Author
from tests.e2e.history import History, Verdict, Watched
from tests.e2e.kills import play
from tests.e2e.outcome import Outcome, read_outcome
from tests.e2e.quiet import wait_until_quiet
from tests.e2e.shop import Shop

from . import disk, toxiproxy
from .checker import Findings, check
from .faults import BY_PROXY, EVERYWHERE, ON_SMALL_DISK, schedule
from .invariants import violations
from .nemesis import Nemesis, Trouble
from .stack import ChaosStack
from .till import Till

QUIET_SECONDS_MAX = 180.0
DRAIN_SECONDS_GOAL = 60.0
PER_SECOND = 6.0
"""Requests of the till."""


@dataclass(frozen=True)
class Profile:
    """How much trouble."""

    times: Mapping[str, int]
    """By kind, how often in a run."""
    short_seconds: tuple[float, float]
    long_seconds: float
    pace_seconds: float
    """Of the shop; it is to be busy for as long as there is trouble."""

    @property
    def patience_seconds(self) -> float:
        """How long the shop repeats a call."""
        return 240.0 + self.long_seconds


@dataclass
class Result:
    """What came of one run."""

    seed: int
    fired: Counter[str]
    missed: Counter[str]
    fault_seconds: dict[str, float]
    by_service: Counter[tuple[str, str]]
    not_run: dict[str, str]
    answers: Counter[str]
    verdicts: Counter[str]
    away: dict[str, Counter[str]]
    """By kind of outage, what the edge answered meanwhile."""
    edge_ms: list[float]
    """How long each of those answers took without Kafka."""
    events: int
    mails: int
    drain_seconds: float
    seconds: float
    findings: Findings
    differences: list[str] = field(default_factory=list)

    @property
    def wrong(self) -> list[str]:
        """Everything that is."""
        return [*self.findings.all, *self.differences]


def not_run() -> dict[str, str]:
    """Kinds of trouble that this machine cannot make, with the reason."""
    found: dict[str, str] = {}
    program, why = toxiproxy.program()
    if program is None:
        found |= dict.fromkeys(BY_PROXY, why)
    if not disk.available():
        found |= dict.fromkeys(ON_SMALL_DISK, "mounting a small file system takes root on Linux")
    return found


def run(home: Path, seed: int, profile: Profile) -> Result:
    """Play the seed's story undisturbed and in trouble, both below `home`."""
    home.mkdir(mode=0o711, parents=True, exist_ok=True)
    now = datetime.now(UTC)
    peaceful = play(home / "undisturbed", seed, now, None)
    return troubled(home, seed, profile, now, peaceful)


def troubled(
    home: Path, seed: int, profile: Profile, now: datetime, peaceful: Outcome,
    then: Callable[["Played"], None] | None = None,
) -> Result:  # fmt: skip
    """Play the story of `peaceful`, of that seed and moment, in trouble; then call `then`, while all still runs."""
    started = time.monotonic()
    home.mkdir(mode=0o711, parents=True, exist_ok=True)
    missing = not_run()
    program, _ = toxiproxy.program()
    stack = ChaosStack(home / "troubled", seed, toxiproxy=program, small_disk="disk_full" not in missing)
    with stack:
        played = Played(stack, seed, now, profile, missing)
        asyncio.run(played.traffic())
        drain_seconds = played.settle()
        result = played.look(peaceful, drain_seconds)
        if then is not None:
            then(played)
    result.seconds = time.monotonic() - started
    return result


class Played:
    """The troubled run while it lasts."""

    def __init__(self, stack: ChaosStack, seed: int, now: datetime, profile: Profile, missing: dict[str, str]) -> None:
        self.stack, self.seed, self.now, self.profile, self.missing = stack, seed, now, profile, missing
        self.history = History()
        self.trouble = Trouble(stack, random.Random(seed), profile.short_seconds, profile.long_seconds)
        kinds = {
            kind: fault for kind, fault in {**EVERYWHERE, **BY_PROXY, **ON_SMALL_DISK}.items() if kind not in missing
        }
        self.nemesis = Nemesis(self.trouble, schedule(random.Random(seed), kinds, dict(profile.times)))
        self.till: Till | None = None

    async def traffic(self) -> None:
        """The shop plays its story, the till sells, until both the story and the trouble are over."""
        shop = Shop(
            self.stack.state, Author(self.seed, self.now), self.now, pace_seconds=self.profile.pace_seconds,
            patience_seconds=self.profile.patience_seconds, transport=Watched(self.history),
        )  # fmt: skip
        self.till = till = Till(self.stack.state, random.Random(self.seed), Watched(self.history))
        await till.prepare()
        self.nemesis.start()
        selling = asyncio.create_task(till.run(PER_SECOND))
        try:
            await shop.play()
            await asyncio.to_thread(self.nemesis.finish)
        finally:
            till.stopping.set()
            await selling
            await till.close()

    def settle(self) -> float:
        """End all trouble, and wait until nothing is on its way; returns the seconds that it took."""
        started = time.monotonic()
        self.stack.mail_trouble.quiet = self.stack.hook_trouble.quiet = True
        self.stack.wait_ready()
        done = threading.Event()
        helper = threading.Thread(target=self._bring_forward, args=(done,))
        helper.start()
        try:
            wait_until_quiet(self.stack.state, seconds_max=QUIET_SECONDS_MAX)
        finally:
            done.set()
            helper.join()
        return time.monotonic() - started

    def _bring_forward(self, done: threading.Event) -> None:
        """Messages wait minutes, and hours, for their next try; what they wait for is over now."""
        with psycopg.connect(self.stack.state.databases[NOTIFICATION], autocommit=True) as connection:
            while not done.wait(3.0):
                connection.execute(
                    "UPDATE messages SET next_attempt_at = now() WHERE state = 'due' AND attempts > 0"
                    " AND next_attempt_at > now()"
                )

    def look(self, peaceful: Outcome, drain_seconds: float) -> Result:
        """Everything at rest, against what was told and against the peaceful run."""
        stack, trouble = self.stack, self.trouble
        outcome, findings = self.check()
        findings.other += trouble.wrong
        away, edge_ms = self._while_away(findings)
        edges = self.nemesis.fired | stack.mail_trouble.fired | stack.hook_trouble.fired
        return Result(
            seed=self.seed, fired=edges, missed=self.nemesis.missed,
            fault_seconds=self.nemesis.seconds, by_service=trouble.by_service,
            not_run=self.missing, answers=self.history.answers(), away=away, edge_ms=edge_ms,
            verdicts=Counter(verdict.name.lower() for verdict in self.history.verdicts().values()),
            events=_events(stack), mails=outcome.mails, drain_seconds=drain_seconds, seconds=0.0, findings=findings,
            differences=peaceful.differences(_without_till(outcome)),
        )  # fmt: skip

    def check(self) -> tuple[Outcome, Findings]:
        """What is there now, and what is wrong with it."""
        assert self.till is not None
        stack = self.stack
        outcome = read_outcome(stack.state, stack.sink, frozenset(stack.mail_server.refused))
        findings = check(stack.state, self.history, self.till, stack.target.taken)
        findings.other += [*outcome.faults, *violations(stack.state)]
        return outcome, findings

    def _while_away(self, findings: Findings) -> tuple[dict[str, Counter[str]], list[float]]:
        """What the edge answered while a server was away, and how fast: without Kafka it takes orders as ever."""
        port = int(self.stack.state.urls["order-ingest"].rpartition(":")[2])
        found: dict[str, Counter[str]] = {}
        took_ms: list[float] = []
        for window in self.trouble.windows:
            inside = [
                item for item in self.history.attempts
                if item.port == port and item.method == "POST" and window.started <= item.started
                and item.ended <= window.ended
            ]  # fmt: skip
            told = Counter(str(item.status or item.why) for item in inside)
            found[window.kind] = found.get(window.kind, Counter()) + told
            if window.kind.startswith("kafka"):
                took_ms += [(item.ended - item.started) * 1000 for item in inside]
                bad = [item for item in inside if item.verdict is Verdict.UNKNOWN or item.status is None]
                findings.other += [f"the edge said {item.status or item.why} in {window.kind}" for item in bad]
        return found, took_ms


def _without_till(outcome: Outcome) -> Outcome:
    """The facts of the story alone."""
    facts: dict[str, dict[str, Any]] = {
        subject: {name: fact for name, fact in named.items() if "till-" not in name}
        for subject, named in outcome.facts.items()
    }
    return replace(outcome, facts=facts)


def _events(stack: ChaosStack) -> int:
    """How many records the topics hold that services have consumed."""
    total = 0
    for dsn in stack.state.databases.values():
        with psycopg.connect(dsn) as connection:
            row = connection.execute("SELECT coalesce(sum(position), 0) FROM consumer_offsets").fetchone()
            total += int(row[0]) if row else 0
    return total
