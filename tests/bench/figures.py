"""The seventeen figures: what each is, where it is measured, and what it should be."""

from dataclasses import dataclass
from typing import Literal

from .arithmetic import Series


@dataclass(frozen=True)
class Figure:
    """One line of the table."""

    number: str
    name: str
    family: str
    """What `--only` calls it."""
    series: str
    unit: Literal["÷", "ms", "MB", "/s", ""]
    must: float | None
    """The least; None: only to be said."""
    goal: float | None
    better: Literal["more", "less"] = "more"

    def met(self, value: float) -> str:
        """Which of the two it reaches."""
        if self.must is None or self.goal is None:
            return "said"
        sign = 1 if self.better == "more" else -1
        if sign * value >= sign * self.goal:
            return "goal"
        return "must" if sign * value >= sign * self.must else "not yet"

    def shown(self, value: float | None) -> str:
        """As people read it."""
        if value is None:
            return "–"
        digits = 0 if abs(value) >= 100 else 2 if self.unit == "÷" else 1
        text = f"{value:,.{digits}f}"
        return text if self.unit in ("÷", "") else f"{text} {self.unit}"


FIGURES = (
    Figure("1", "points path, 10 rules ÷ COPY floor", "path", "points path ÷ floor", "÷", 0.15, 0.35),
    Figure("2", "… ÷ one order per transaction, 8 connections", "path", "points path ÷ one by one", "÷", 2.5, 6),
    Figure("3", "… ÷ ordinary FastStream subscriber", "path", "points path ÷ ordinary subscriber", "÷", 8, 20),
    Figure(
        "4", "CPU of service and PostgreSQL ÷ the floor's", "path", "CPU of the points path ÷ floor", "÷", 8, 3, "less"
    ),
    Figure(
        "5", "order accepted → points committed, p99 at 40 %", "latency", "points committed p99", "ms", 250, 50, "less"
    ),
    Figure("6", "order accepted → e-mail handed over, p99", "latency", "e-mail p99", "ms", 1000, 200, "less"),
    Figure("7", "signed webhooks ÷ bare ASGI app", "webhooks", "webhooks ÷ bare app", "÷", 0.35, 0.6),
    Figure("8", "two instances ÷ one", "instances", "two instances ÷ one", "÷", 1.3, 1.6),
    Figure("9", "10⁷ ÷ 10⁵ transfers in the ledger", "growth", "large ÷ small ledger", "÷", 0.65, 0.85),
    Figure("10", "200 ÷ 10 rules", "rules", "200 rules ÷ points path", "÷", 0.7, 0.9),
    Figure(
        "11", "half of all orders from one member ÷ uniform", "hot", "half from one member ÷ points path", "÷", 0.9, 1
    ),
    Figure("12", "backlog under 20 % live traffic ÷ saturation", "backlog", "backlog ÷ saturation", "÷", 0.85, 0.95),
    Figure("13", "redelivery ÷ first time", "redelivery", "redelivered ÷ points path", "÷", 2, 4),
    Figure("14", "relay ÷ points path", "relay", "relay ÷ points path", "÷", 1.3, 2),
    Figure(
        "15a", "balance reads: p99 under 50 % writes ÷ idle", "reads", "reads under writes ÷ idle", "÷", 4, 2.5, "less"
    ),
    Figure("15b", "balance reads ÷ bare asyncpg select", "reads", "reads ÷ bare select", "÷", 0.15, 0.3),
    Figure("16a", "redemptions over HTTP, 16 clients", "redemptions", "redemptions", "/s", None, None),
    Figure("16b", "… p99", "redemptions", "redemptions p99", "ms", None, None, "less"),
    Figure("17a", "memory of the largest service under load", "memory", "memory", "MB", 150, 100, "less"),
    Figure("17b", "memory after 10⁶ ÷ after 10⁵ events", "memory", "memory later ÷ earlier", "÷", 1.1, 1.03, "less"),
)
FAMILIES = tuple(dict.fromkeys(figure.family for figure in FIGURES))


def rows(series: dict[str, Series]) -> list[dict[str, object]]:
    """The figures that were measured, as plain values."""
    found: list[dict[str, object]] = []
    for figure in FIGURES:
        measured = series.get(figure.series)
        if measured is not None:
            found.append(
                {
                    "number": figure.number, "name": figure.name, "unit": figure.unit, "median": measured.median,
                    "least": measured.least, "most": measured.most, "slices": len(measured.samples),
                    "marked": measured.marked, "must": figure.must, "goal": figure.goal,
                    "met": figure.met(measured.median),
                }
            )  # fmt: skip
    return found
