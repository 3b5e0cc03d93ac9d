"""What is made of measurements: percentiles, ratios of slices of the same round, and which slices count."""

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

FOREIGN_CORES_MAX = 0.15
"""A slice in which processes that are not the bench's used more than this is marked."""


@dataclass(frozen=True)
class Sample:
    """One slice: its figure, and what was going on in the machine meanwhile."""

    value: float
    foreign_cores: float = 0.0
    """Used by processes that do not belong to the bench, on average."""
    cpu_us: Mapping[str, float] = field(default_factory=dict)
    """CPU time by process, in microseconds for each order or request."""

    @property
    def marked(self) -> bool:
        """Others used so much of the machine that the figure may be theirs."""
        return self.foreign_cores > FOREIGN_CORES_MAX

    def cpu_of(self, *names: str) -> "Sample":
        """The CPU time of these processes together, as a figure of its own."""
        return Sample(sum(self.cpu_us[name] for name in names), self.foreign_cores)


@dataclass(frozen=True)
class Series:
    """The same slice in each round."""

    samples: Sequence[Sample]
    unit: str = ""

    def counted(self) -> list[float]:
        """The values that count: those of unmarked slices; where all are marked, all."""
        calm = [sample.value for sample in self.samples if not sample.marked]
        return calm or [sample.value for sample in self.samples]

    @property
    def marked(self) -> int:
        """How many slices are marked."""
        return sum(sample.marked for sample in self.samples)

    @property
    def median(self) -> float:
        return statistics.median(self.counted())

    @property
    def least(self) -> float:
        return min(self.counted())

    @property
    def most(self) -> float:
        return max(self.counted())

    def map(self, change: Callable[[Sample], Sample], unit: str) -> "Series":
        """Another figure of the same slices."""
        return Series([change(sample) for sample in self.samples], unit)


def ratio(above: Series, below: Series) -> Series:
    """Round by round: only what ran side by side is compared. Raises ValueError when the rounds differ in number."""
    return Series([_ratio(a, b) for a, b in zip(above.samples, below.samples, strict=True)], "÷")


def _ratio(above: Sample, below: Sample) -> Sample:
    return Sample(above.value / below.value, max(above.foreign_cores, below.foreign_cores))


def percentile(values: Sequence[float], percent: float) -> float:
    """The nearest-rank percentile: the least value that `percent` of all values do not exceed.

    Raises ValueError without values, or for a percentage outside of 0 to 100.
    """
    if not values or not 0 <= percent <= 100:
        raise ValueError(f"no {percent}th percentile of {len(values)} values")
    rank = max(1, math.ceil(percent / 100 * len(values)))
    return sorted(values)[rank - 1]


def foreign_cores(busy_seconds: float, ours: Mapping[str, float], seconds: float) -> float:
    """Cores that others used: what the machine was busy for, without the CPU seconds of our processes.

    Clocks that tick in hundredths of a second may give a little less than nothing; that is nothing.
    """
    return max(0.0, busy_seconds - sum(ours.values())) / seconds
