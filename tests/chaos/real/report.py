"""The table and the file that tell what the runs came to."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from .edges import HOOK_TROUBLE, MAIL_TROUBLE
from .faults import BY_PROXY, EVERYWHERE, ON_SMALL_DISK
from .run import Result

OUT = Path(".laurel/chaos-real.json")
KINDS = (*EVERYWHERE, *BY_PROXY, *ON_SMALL_DISK, *MAIL_TROUBLE, *HOOK_TROUBLE)


def tell(results: list[Result], console: Console) -> None:
    """Print everything."""
    runs = Table("Seed", "Faults", "Acknowledged", "Unknown", "Rejected", "Events", "Mails", "Lost", "Doubled",
                 "Other", "Unlike", "Drained s", "Took s", title="Real chaos")  # fmt: skip
    for one in results:
        told = one.verdicts
        cells = (
            one.seed, one.fired.total(), told["acknowledged"], told["unknown"], told["rejected"], one.events,
            one.mails, len(one.findings.lost), len(one.findings.doubled), len(one.findings.other),
            len(one.differences), f"{one.drain_seconds:.0f}", f"{one.seconds:.0f}",
        )  # fmt: skip
        runs.add_row(*map(str, cells))
    console.print(runs)
    console.print(_kinds(results))
    for kind, told in sorted(_away(results).items()):
        console.print(f"While {kind}, the edge answered {dict(told)}")
    took = sorted(ms for one in results for ms in one.edge_ms)
    if took:
        at = {share: took[min(int(len(took) * share / 100), len(took) - 1)] for share in (50, 99)}
        console.print(
            f"Without Kafka, half of the edge's {len(took)} answers took {at[50]:.0f} ms, 99 % {at[99]:.0f} ms"
        )
    console.print(f"All answers: {dict(sum((one.answers for one in results), Counter()))}")
    for kind, why in (results[0].not_run if results else {}).items():
        console.print(f"NOT RUN: {kind}: {why}", style="bold red")
    for one in results:
        for line in one.wrong[:20]:
            console.print(f"seed {one.seed}: {line}", style="red", markup=False)


def write(results: list[Result], commit: str) -> None:
    """The same for machines."""
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps({"commit": commit, "runs": [_plain(one) for one in results]}, indent=2))


def _kinds(results: list[Result]) -> Table:
    table = Table("Fault", "Fired", "Not seen", "Seconds", "Of", title="Faults by kind")
    fired: Counter[str] = sum((one.fired for one in results), Counter())
    missed: Counter[str] = sum((one.missed for one in results), Counter())
    whom: Counter[tuple[str, str]] = sum((one.by_service for one in results), Counter())
    for kind in KINDS:
        services = ", ".join(f"{name} {count}" for (of, name), count in sorted(whom.items()) if of == kind)
        took = sum(one.fault_seconds.get(kind, 0.0) for one in results)
        table.add_row(kind, str(fired[kind]), str(missed[kind] or ""), f"{took:.0f}" if took else "", services)
    return table


def _away(results: list[Result]) -> dict[str, Counter[str]]:
    found: dict[str, Counter[str]] = {}
    for one in results:
        for kind, told in one.away.items():
            found[kind] = found.get(kind, Counter()) + told
    return found


def _plain(one: Result) -> dict[str, Any]:
    return {
        "seed": one.seed,
        "faults": dict(one.fired),
        "not_seen": dict(one.missed),
        "fault_seconds": {kind: round(took, 1) for kind, took in one.fault_seconds.items()},
        "by_service": {f"{kind} {name}": count for (kind, name), count in one.by_service.items()},
        "not_run": one.not_run,
        "answers": dict(one.answers),
        "requests": dict(one.verdicts),
        "while_away": {kind: dict(told) for kind, told in one.away.items()},
        "edge_ms_without_kafka": [round(ms, 1) for ms in one.edge_ms],
        "events": one.events,
        "mails": one.mails,
        "lost": one.findings.lost,
        "doubled": one.findings.doubled,
        "other": one.findings.other,
        "unlike_undisturbed": one.differences,
        "drain_seconds": round(one.drain_seconds, 1),
        "seconds": round(one.seconds, 1),
    }
