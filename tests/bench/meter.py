"""CPU time and memory of processes with all their children, and of the whole machine, as /proc tells them."""

import os
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from .arithmetic import Sample, foreign_cores

_PROC = Path("/proc")
_TICKS = os.sysconf("SC_CLK_TCK")
_BUSY = (0, 1, 2, 5, 6, 7)
"""Of the machine's line in /proc/stat: user, nice, system, irq, softirq, and stolen by the hypervisor."""
CLIENT = "client"
"""The bench itself: who publishes, asks and counts."""


class Meter:
    """What processes use between `begin` and `end`."""

    def __init__(self, roots: Mapping[str, int]) -> None:
        """`roots`: by name, the process whose whole tree is measured. The bench is added, without its children."""
        self._roots = dict(roots)
        self._before: dict[str, float] = {}
        self._busy = self._started = 0.0

    def begin(self) -> None:
        """From now on."""
        self._before, self._busy, self._started = self._used(), _machine(), time.perf_counter()

    def end(self, units: int, seconds: float | None = None) -> Sample:
        """How many of `units` a second there were, until now or in `seconds`."""
        elapsed = time.perf_counter() - self._started
        busy = _machine() - self._busy
        used = {name: seconds - self._before[name] for name, seconds in self._used().items()}
        per_unit = {name: seconds / units * 1e6 for name, seconds in used.items()}
        return Sample(units / (seconds or elapsed), foreign_cores(busy, used, elapsed), per_unit)

    def _used(self) -> dict[str, float]:
        return {name: tree_seconds(pid) for name, pid in self._roots.items()} | {CLIENT: time.process_time()}


def tree_seconds(root: int) -> float:
    """CPU seconds of a process, of its living descendants, and of those that ended and were waited for."""
    below: dict[int, list[int]] = defaultdict(list)
    seconds: dict[int, float] = {}
    for entry in _PROC.iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))) is not None:
            pid = int(entry.name)
            below[int(fields[1])].append(pid)
            # Own time in user and kernel mode, and the same of children that were waited for.
            seconds[pid] = sum(int(field) for field in fields[11:15]) / _TICKS
    if root not in seconds:
        raise ProcessLookupError(f"process {root} is gone")
    total, waiting = 0.0, [root]
    while waiting:
        pid = waiting.pop()
        total += seconds[pid]
        waiting += below[pid]
    return total


def resident_mb(pid: int) -> float:
    """Memory of one process that is in RAM (RSS), in MB of 10⁶ bytes.

    Not PSS: it shares out what processes have in common, so that a service would look lean beside its neighbours. In a
    container of its own there are none.
    """
    pages = int((_PROC / str(pid) / "statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _stat(pid: int) -> list[str] | None:
    """The fields after the name, which may hold anything; None for a process that has just ended."""
    try:
        return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def _machine() -> float:
    fields = (_PROC / "stat").read_text().split("\n", 1)[0].split()[1:]
    return sum(int(fields[place]) for place in _BUSY) / _TICKS
