"""What a run leaves: one table for people, JSON for machines, a picture of growth."""

import json
import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from .arithmetic import FOREIGN_CORES_MAX, Series
from .figures import FIGURES, rows

OUT = Path(".laurel")
_COLOURS = {"goal": "green", "must": "yellow", "not yet": "red", "said": ""}


def show(console: Console, series: Mapping[str, Series]) -> None:
    """The figures, and below them what they are made of."""
    table = Table(title="Figures: medians over slices of one run")
    for name in ("#", "figure", "value", "spread", "must", "goal", "met", "marked"):
        table.add_column(name, justify="left" if name in ("figure", "met") else "right")
    for figure in FIGURES:
        found = series.get(figure.series)
        if found is None:
            continue
        met = figure.met(found.median)
        spread = f"{figure.shown(found.least)} … {figure.shown(found.most)}"
        table.add_row(
            figure.number, figure.name, figure.shown(found.median), spread, figure.shown(figure.must),
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
