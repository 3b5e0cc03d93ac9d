"""Crash enumeration: every moment of a story is one at which the process once dies, restarts and is looked at."""

import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .checks import Finding
from .databases import Database
from .edges import simulated
from .ledger_flow import END, LedgerFlow
from .ledger_run import LedgerRun
from .life import Plot
from .node import Stuck

Play = Callable[[Plot | None], Awaitable["Played"]]


@dataclass
class Played:
    """One story told: the moments that passed, by service, and what was wrong at the end."""

    moments: list[tuple[str, str]]
    findings: list[Finding]
    faults: Counter[str] = field(default_factory=Counter)


@dataclass
class Crashes:
    """What came of one flow."""

    flow: str
    points: int
    """Moments with different names."""
    planned: int
    fired: Counter[tuple[str, str]] = field(default_factory=Counter)
    silent: list[Plot] = field(default_factory=list)
    """Those that were planned and did not come."""
    findings: list[tuple[Plot | None, Finding]] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def wrong(self) -> int:
        """What may not be: moments that did not come, and findings."""
        return len(self.silent) + len(self.findings)


async def enumerate_crashes(flow: str, play: Play, *, each_max: int | None, every: int = 1, seed: int = 0) -> Crashes:
    """Die at each moment in turn: at all its occurrences, or at `each_max` of them, chosen by the seed.

    `every`: only at one of so many moments.
    """
    began = time.monotonic()
    whole = await play(None)
    counts = Counter(whole.moments)
    plots = [Plot(*moment, number) for moment in counts for number in _chosen(counts[moment], each_max, seed)][::every]
    result = Crashes(flow, len(counts), len(plots), findings=[(None, finding) for finding in whole.findings])
    for plot in plots:
        told, played = await _dying(play, plot)
        if told.fired:
            result.fired[plot.service, plot.moment] += 1
        else:
            result.silent.append(plot)
        result.findings += [(plot, finding) for finding in played.findings]
    result.seconds = time.monotonic() - began
    return result


async def _dying(play: Play, plot: Plot) -> tuple[Plot, Played]:
    """Tell it with a death. Ids are drawn, and with them partitions and portions: a late time of a moment may not come
    in every story, but an earlier one does."""
    count = plot.count
    while True:
        told = Plot(plot.service, plot.moment, count)
        played = await play(told)
        if told.fired or count == 1:
            return told, played
        count //= 2


def _chosen(count: int, each_max: int | None, seed: int) -> Sequence[int]:
    every = range(1, count + 1)
    return every if each_max is None or each_max >= count else sorted(random.Random(seed).sample(every, each_max))


def ledger_play(database: Database, keys: Path) -> Play:
    """The flow of points-accrual."""

    async def play(plot: Plot | None) -> Played:
        await database.empty()
        run = LedgerRun(database, keys, random.Random(0), end=END, plot=plot)
        flow = LedgerFlow(run)
        findings: list[Finding] = []
        with simulated(run.cluster):
            try:
                await flow.play()
                node = flow.processes.node
                assert node is not None
                await run.settle(node)
                findings += await run.look()
            except Stuck as stuck:
                findings.append(Finding("stuck", str(stuck)))
            finally:
                run.end_all()
        moments = [(node.site.name, moment) for node in run.nodes for moment in node.life.moments]
        return Played(moments, findings, run.faults)

    return play
