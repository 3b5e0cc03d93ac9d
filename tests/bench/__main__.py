"""`make bench`: the points path beside the floor and the one-by-one loop, interleaved on the same servers."""

import asyncio
import json
import logging
import statistics
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from contracts.topics import POINTS
from laurel.embedded import EmbeddedServers
from laurel.services import SERVICES
from laurel.topics import wanted
from shared.access import create_key
from shared.admin import apply_topics
from shared.db import MIGRATIONS, migrate

from . import floor, path

ROUNDS = 3
BACKLOG = 50_000
RULES_BACKLOG = 10_000
"""Orders of each program that differ in the number of their rules alone."""
SLICE_SECONDS = 5.0
OUT = Path(".laurel/bench.json")


async def measure(servers: EmbeddedServers, console: Console) -> dict[str, list[float]]:
    """All rounds; each figure by name."""
    entry = SERVICES[POINTS]
    dsn, bare = servers.postgres.create_database("bench_points"), servers.postgres.create_database("bench_floor")
    migrate(dsn, [MIGRATIONS, entry.migrations])
    await apply_topics(servers.kafka.bootstrap, wanted(), check=False)
    await path.publish_basis(servers.kafka.bootstrap)
    figures: dict[str, list[float]] = {"floor": [], "path": [], "loop": [], "cpu": []}
    figures |= {f"rules {rules}": [] for rules in path.RULES}
    with tempfile.TemporaryDirectory() as keys:
        create_key(Path(keys), "bench")
        environment = {
            "LAUREL_DATABASE_URL": dsn, "LAUREL_KAFKA": servers.kafka.bootstrap, "LAUREL_KEYS_DIR": keys,
            "LAUREL_HTTP_PORT": "18102", "LAUREL_LOG_LEVEL": "warning",
        }  # fmt: skip
        for number in range(ROUNDS):
            console.print(f"round {number + 1} of {ROUNDS}: backlog of {BACKLOG:,} orders")
            await path.publish_orders(servers.kafka.bootstrap, number * BACKLOG, BACKLOG)
            figures["floor"].append(await floor.copy_rows(bare, SLICE_SECONDS))
            drained = await path.drain(dsn, environment, BACKLOG)
            figures["path"].append(drained.orders_per_second)
            figures["cpu"].append(drained.cpu_us_per_order)
            figures["loop"].append(await floor.one_by_one(bare, SLICE_SECONDS))
            for rules, crowd in path.CROWDS.items():
                await path.publish_orders(servers.kafka.bootstrap, number * RULES_BACKLOG, RULES_BACKLOG, crowd)
                drained = await path.drain(dsn, environment, RULES_BACKLOG)
                figures[f"rules {rules}"].append(drained.orders_per_second)
    return figures


def show(figures: dict[str, list[float]], console: Console) -> None:
    """A table of medians and spread."""
    table = Table(title="Points path: topic → judged → committed → event acknowledged")
    for name in ("figure", "median", "least", "most"):
        table.add_column(name, justify="left" if name == "figure" else "right")
    rows = {
        "floor: COPY with indexes, orders/s": figures["floor"],
        "points path, orders/s": figures["path"],
        "loop: one order per transaction, 8 connections, orders/s": figures["loop"],
        "points path ÷ floor": [a / b for a, b in zip(figures["path"], figures["floor"], strict=True)],
        "points path ÷ loop": [a / b for a, b in zip(figures["path"], figures["loop"], strict=True)],
        "service's CPU, µs per order": figures["cpu"],
    }
    fewest = figures[f"rules {path.RULES[0]}"]
    for rules in path.RULES:
        speed = figures[f"rules {rules}"]
        rows[f"program with {rules} rules, orders/s"] = speed
        rows[f"{rules} rules ÷ {path.RULES[0]}"] = [a / b for a, b in zip(speed, fewest, strict=True)]
    for name, values in rows.items():
        digits = 2 if "÷" in name else 0
        table.add_row(
            name, *(f"{value:,.{digits}f}" for value in (statistics.median(values), min(values), max(values)))
        )
    console.print(table)


def main() -> None:
    """Run, show, and keep the figures."""
    console = Console()
    # Retries while topics are new are not news.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    with tempfile.TemporaryDirectory(prefix="laurel-bench-", dir="/var/tmp") as folder:
        Path(folder).chmod(0o711)
        with EmbeddedServers(Path(folder)) as servers:
            figures = asyncio.run(measure(servers, console))
    show(figures, console)
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps(figures, indent=2))
    console.print(f"written to {OUT}")


if __name__ == "__main__":
    main()
