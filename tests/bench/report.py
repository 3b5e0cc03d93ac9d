"""What a run leaves: one table for people, JSON for machines, a picture of growth."""

import json
import os
import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from .arithmetic import FOREIGN_CORES_MAX, Series, ratio
from .figures import FIGURES, rows
from .growth import MILLIONS, name_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

OUT = Path(".laurel")
_COLOURS = {"goal": "green", "must": "yellow", "not yet": "red", "said": ""}


def show(console: Console, series: Mapping[str, Series], before: Mapping[str, float] | None = None) -> None:
    """The figures, and below them what they are made of. `before`: medians of an earlier run, to stand beside them."""
    table = Table(title="Figures: medians over slices of one run")
    beside = () if before is None else ("before",)
    for name in ("#", "figure", *beside, "value", "spread", "must", "goal", "met", "marked"):
        table.add_column(name, justify="left" if name in ("figure", "met") else "right")
    for figure in FIGURES:
        found = series.get(figure.series)
        if found is None:
            continue
        met = figure.met(found.median)
        spread = f"{figure.shown(found.least)} … {figure.shown(found.most)}"
        earlier = () if before is None else (figure.shown(before.get(figure.number)),)
        table.add_row(
            figure.number, figure.name, *earlier, figure.shown(found.median), spread, figure.shown(figure.must),
            figure.shown(figure.goal), f"[{_COLOURS[met]}]{met}" if _COLOURS[met] else met,
            f"{found.marked} of {len(found.samples)}",
        )  # fmt: skip
    console.print(table)
    console.print(_parts(series))
    console.print(
        f"Marked: slices in which other processes used more than {FOREIGN_CORES_MAX} cores. They do not count "
        "unless all are marked.",
        style="dim",
    )


def _parts(series: Mapping[str, Series]) -> Table:
    table = Table(title="What they are made of")
    for name in ("slice", "median", "spread", "CPU-µs each"):
        table.add_column(name, justify="left" if name == "slice" else "right")
    for name, found in series.items():
        if found.unit == "÷":
            continue
        digits = 0 if found.median >= 100 else 1
        spread = f"{found.least:,.{digits}f} … {found.most:,.{digits}f}"
        used = ", ".join(f"{who} {cpu:,.0f}" for who, cpu in found.samples[-1].cpu_us.items() if cpu >= 1)
        table.add_row(f"{name}, {found.unit}", f"{found.median:,.{digits}f}", spread, used)
    return table


def write(series: Mapping[str, Series], settings: Mapping[str, Any], faults: list[str]) -> Path:
    """Keep everything that was measured."""
    OUT.mkdir(exist_ok=True)
    document = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"cores": os.cpu_count(), "python": platform.python_version(), "system": platform.platform()},
        "settings": settings,
        "faults": faults,
        "figures": rows(dict(series)),
        "series": {
            name: {
                "unit": found.unit,
                "values": [sample.value for sample in found.samples],
                "foreign_cores": [round(sample.foreign_cores, 3) for sample in found.samples],
                "cpu_us": [{who: round(cpu, 1) for who, cpu in sample.cpu_us.items()} for sample in found.samples],
            }
            for name, found in series.items()
        },
    }
    path = OUT / "bench.json"
    path.write_text(json.dumps(document, indent=2, ensure_ascii=False))
    return path


def draw(series: Mapping[str, Series]) -> Path | None:
    """A picture of throughput over the size of the ledger; None when growth was not measured."""
    measured = {size: series[name_of(size)] for size in MILLIONS if name_of(size) in series}
    if not measured:
        return None
    from matplotlib.figure import Figure

    sizes, rates = list(measured), list(measured.values())
    picture = Figure(figsize=(7, 6), layout="constrained")
    above, below = picture.subplots(2, sharex=True)
    rounds = len(rates[0].samples)
    above.set_title(f"Throughput over the size of the ledger: median and spread of {rounds} rounds", fontsize=11)
    _line(above, sizes, rates, "orders per second")
    _line(below, sizes, [ratio(rate, rates[0]) for rate in rates], "÷ smallest ledger, same round")
    must = next(figure.must for figure in FIGURES if figure.family == "growth")
    assert must is not None
    below.axhline(must, color="tab:red", linestyle="--")
    below.text(0.02, must + 0.02, f"must: {must}", color="tab:red", va="bottom", transform=below.get_yaxis_transform())
    below.set_xlabel("transfers in the ledger")
    path = OUT / "bench-growth.png"
    OUT.mkdir(exist_ok=True)
    picture.savefig(path, dpi=150)
    return path


def _line(axes: "Axes", sizes: Sequence[int], values: Sequence[Series], label: str) -> None:
    """One line with its spread as bars, from nothing up, so that no fall looks steeper than it is."""
    middle = [found.median for found in values]
    below = [found.median - found.least for found in values]
    above = [found.most - found.median for found in values]
    axes.errorbar(sizes, middle, yerr=[below, above], marker="o", capsize=4)
    axes.set_xscale("log")
    axes.set_xticks(sizes, labels=[MILLIONS[size] for size in sizes])
    axes.minorticks_off()
    axes.set_ylim(0, max(found.most for found in values) * 1.15)
    axes.set_ylabel(label)
    axes.yaxis.set_major_formatter("{x:,g}")
    axes.grid(axis="y", alpha=0.3)


def medians(path: Path) -> dict[str, float]:
    """The figures of an earlier run, by number. Raises OSError without the file, ValueError if no run wrote it."""
    try:
        return {row["number"]: float(row["median"]) for row in json.loads(path.read_text())["figures"]}
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is not what a run of the bench wrote") from error
