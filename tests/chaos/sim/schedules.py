"""Seeded schedules: what happens, when each process does what, and what goes wrong are all drawn from one seed."""

import asyncio
import random
import time
import traceback
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from contracts.base import Event
from contracts.topics import MEMBERS as MEMBERS_TOPIC
from contracts.topics import SEGMENTS, TIERS
from shared.db import is_transient

from .checks import Finding
from .clients import Call
from .databases import Database
from .edges import simulated
from .ledger_facts import MEMBERS, Author, Fact
from .ledger_run import LedgerRun
from .node import Node, Stuck

ORDERS_MAX = 6
CALLS_MAX = 4
NODES_MAX = 2
COMPACTED = tuple(topic.name for topic in (MEMBERS_TOPIC, TIERS, SEGMENTS) if topic.retention is None)


@dataclass
class Told:
    """What came of some seeds."""

    seeds: list[int] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)
    """What was done to them, by kind."""
    answers: Counter[str] = field(default_factory=Counter)
    events: int = 0
    findings: list[tuple[int, Finding]] = field(default_factory=list)
    seconds: float = 0.0
    drain_seconds: float = 0.0
    """The longest time until all was quiet, once nothing more went wrong."""


class Schedule:
    """One story of a seed."""

    def __init__(self, run: LedgerRun) -> None:
        self.run, self.rng = run, run.rng
        self.nodes: list[Node] = []
        self.skews: dict[Node, timedelta] = {}
        """How wrong the clock of a process is."""
        self.told: list[Fact] = []
        self.stale: set[tuple[type[Event], str]] = set()
        """By type and key, of what something old was published once more."""
        self.calls: list[Call] = []
        self.troubles: dict[str, Callable[[Node], Awaitable[None]]] = {
            "die": self._die, "end": self._end, "cut": self._cut, "commit": self._commit, "refuse": self._refuse,
            "away": self._away, "repeat": self._repeat, "stale": self._stale, "join": self._join, "stall": self._stall,
            "clock": self._clock, "compact": self._compact, "together": self._together,
        }  # fmt: skip

    async def play(self) -> Node:
        """All facts at their times, with work and trouble between. Returns a process that owns everything."""
        for fact in Author(self.rng, len(MEMBERS), self.rng.randint(2, ORDERS_MAX)).facts:
            self.run.cluster.now = fact.at
            self.run.publish(fact)
            self.told.append(fact)
            for _ in range(self.rng.randint(0, 3)):
                node = await self._somebody()
                if self.rng.random() < 0.5:
                    await self.rng.choice(list(self.troubles.values()))(node)
                await self._work(node)
        self.run.calm()
        for node in self.nodes:
            node.end()
        return await self.run.start_alone()

    async def _somebody(self) -> Node:
        """A living process; a dead one's successor takes its partitions over."""
        living = [node for node in self.nodes if not node.dead]
        if len(living) < len(self.nodes) or not living:
            self.nodes = living or [await self.run.start()]
            await self._share_out()
        node = self.rng.choice(self.nodes)
        node.clock.at = self.run.cluster.now + self.skews.get(node, timedelta())  # type: ignore[attr-defined]
        return node

    async def _share_out(self) -> None:
        """As the group's leader would: each partition has one owner."""
        for place, node in enumerate(self.nodes):
            mine = [item for item in self.run.partitions if item.partition % len(self.nodes) == place]
            await node.take_over(mine)

    async def _work(self, node: Node) -> None:
        """One thing that the loops of a process or a client do; topics are read in any order."""
        kind = self.rng.choice(("consume", "consume", "consume", "sweep", "relay", "replay", "ask"))
        if kind == "consume":
            some = self.rng.sample(self.run.partitions, self.rng.randint(1, len(self.run.partitions)))
            await node.consume({item: self.rng.randint(1, 6) for item in some})
        elif kind == "sweep":
            await _as_loop(lambda: self.run.sweep(node))
        elif kind == "relay":
            await node.relay()
        elif kind == "replay":
            await _as_loop(node.replay)
        else:
            await self._ask(node)

    async def _ask(self, node: Node) -> None:
        if (len(self.calls) < CALLS_MAX and self.rng.random() < 0.6) or not self.calls:
            self.calls.append(self.run.clients.new(self.rng.choice(MEMBERS), hold=self.rng.random() < 0.3))
        await self.run.clients.send(node, self.rng.choice(self.calls))

    async def _die(self, node: Node) -> None:
        node.life.die_in = self.rng.randint(1, 40)

    async def _end(self, node: Node) -> None:
        self.run.faults["killed"] += 1
        node.end()

    async def _cut(self, node: Node) -> None:
        node.life.cut_in = self.rng.randint(1, 20)

    async def _commit(self, node: Node) -> None:
        node.life.commit = self.rng.choice(("answer lost", "never arrived", "cut"))

    async def _refuse(self, node: Node) -> None:
        self.run.cluster.refuse.append(self.rng.choice(("refused", "ack lost")))
        await node.relay()

    async def _away(self, node: Node) -> None:
        self.run.cluster.away = self.rng.randint(1, 3)

    async def _repeat(self, node: Node) -> None:
        """The same event at a new offset, as after a relay's repeat."""
        self.run.faults["repeated"] += 1
        self.run.publish(self.told[-1], again=True)

    async def _stale(self, node: Node) -> None:
        """Something old once more, when newer versions are known."""
        self.run.faults["stale"] += 1
        fact = self.rng.choice(self.told)
        self.run.publish(fact, again=True)
        self.stale.add((type(fact.event), fact.event.key()))

    async def _join(self, node: Node) -> None:
        """Another process comes, or one goes: partitions move."""
        self.run.faults["rebalanced"] += 1
        if len(self.nodes) < NODES_MAX:
            self.nodes.append(await self.run.start())
        else:
            self.nodes.remove(node)
            await node.take_over([])
            node.end()
        await self._share_out()

    async def _stall(self, node: Node) -> None:
        """It is held up in the middle of a batch, is thought dead, and goes on beside who has taken over."""
        node.life.stalled.clear()
        node.life.resume.clear()
        node.life.stall_in = self.rng.randint(1, 15)
        held = asyncio.ensure_future(node.consume(dict.fromkeys(self.run.partitions, 5)))
        waiting = asyncio.ensure_future(node.life.stalled.wait())
        await asyncio.wait([held, waiting], return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        node.life.stall_in = None
        if not held.done():
            heir = await self.run.start()
            self.nodes = [heir]
            taken = asyncio.ensure_future(self._take_all(heir))
            await asyncio.sleep(self.rng.choice((0.0, 4.0)))
            node.life.resume.set()
            await asyncio.wait([held, taken])
            node.end()
            taken.result()
        held.result()

    async def _together(self, node: Node) -> None:
        """A batch, clients and the relay of one process at the same time, and one of them is held up."""
        self.run.faults["together"] += 1
        node.life.stalled.clear()
        node.life.resume.clear()
        node.life.stall_in = self.rng.randint(1, 25)
        all_of_them: asyncio.Future[Any] = asyncio.gather(
            node.consume(dict.fromkeys(self.run.partitions, 3)), self._ask(node), self._ask(node), node.relay()
        )
        waiting = asyncio.ensure_future(node.life.stalled.wait())
        await asyncio.wait([all_of_them, waiting], return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        node.life.stall_in = None
        if not all_of_them.done():
            # The others come as far as they can.
            await asyncio.wait([all_of_them], timeout=0.05)
        node.life.resume.set()
        await all_of_them

    async def _take_all(self, heir: Node) -> None:
        await self._share_out()
        await heir.consume(dict.fromkeys(self.run.partitions, 5))

    async def _clock(self, node: Node) -> None:
        """The clock of its machine goes wrong, and stays so."""
        kind, minutes = self.rng.choice((("clock ahead", 180), ("clock behind", -30)))
        self.run.faults[kind] += 1
        self.skews[node] = timedelta(minutes=minutes)
        node.clock.at = self.run.cluster.now + self.skews[node]  # type: ignore[attr-defined]

    async def _compact(self, node: Node) -> None:
        """Only the last of each key stays; who repeats goes on to the newest, so that the last is the newest too."""
        newest = {(type(fact.event), fact.event.key()): fact for fact in self.told}
        for key in sorted(self.stale, key=str):
            self.run.publish(newest[key], again=True)
        self.stale.clear()
        for topic in COMPACTED:
            self.run.cluster.compact(topic)


async def _as_loop(work: Callable[[], Awaitable[object]]) -> None:
    """Loops of a process take what passes as a reason to try again later."""
    try:
        await work()
    except Exception as error:
        if not is_transient(error):
            raise


async def play_seeds(database: Database, keys: Path, seeds: Iterable[int], told: Told) -> None:
    """Each seed's story."""
    began = time.monotonic()
    for seed in seeds:
        await _play(database, keys, seed, told)
    told.seconds += time.monotonic() - began


async def _play(database: Database, keys: Path, seed: int, told: Told) -> None:
    await database.empty()
    run = LedgerRun(database, keys, random.Random(seed), in_order=False)
    findings: list[Finding] = []
    with simulated(run.cluster):
        try:
            node = await Schedule(run).play()
            calm_at = time.monotonic()
            await run.settle(node)
            told.drain_seconds = max(told.drain_seconds, time.monotonic() - calm_at)
            findings = await run.look()
        except Stuck as stuck:
            findings = [Finding("stuck", str(stuck))]
        except Exception as error:
            findings = [Finding("raised", f"{error!r} at {traceback.extract_tb(error.__traceback__)[-1]}")]
        finally:
            run.end_all()
    told.seeds.append(seed)
    told.faults += run.faults
    told.answers.update(call.outcome for call in run.clients.calls)
    told.events += run.events
    told.findings += [(seed, finding) for finding in findings]
