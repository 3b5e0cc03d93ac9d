"""`make bench`: every figure a ratio of slices that ran interleaved on the same servers, in one run."""

import argparse
import logging
import shutil
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import uvloop
from rich.console import Console

from laurel.embedded import EmbeddedKafka, EmbeddedPostgres
from laurel.keys import make_keys
from laurel.topics import wanted
from shared.admin import apply_topics

from . import backlog, growth, instances, latency, ledger, memory, path, reads, report, webhooks
from .arithmetic import Series
from .figures import FAMILIES
from .servers import Bench, postgres_settings

Family = Callable[[Bench, frozenset[str]], Awaitable[dict[str, Series]]]
MEASURED_BY: dict[Family, tuple[str, ...]] = {
    path.measure: ("path", "rules", "hot", "redelivery"),
    instances.measure: ("instances",),
    growth.measure: ("growth",),
    backlog.measure: ("backlog", "relay"),
    reads.measure: ("reads", "redemptions"),
    webhooks.measure: ("webhooks",),
    latency.measure: ("latency",),
    memory.measure: ("memory",),
}
"""Which figures each measures, in the order of the run."""


async def measure(bench: Bench, only: frozenset[str]) -> dict[str, Series]:
    """What is wanted, family by family; also how long each took."""
    await apply_topics(bench.kafka.bootstrap, wanted(), check=False)
    await ledger.prepare(bench)
    found: dict[str, Series] = {}
    for family, names in MEASURED_BY.items():
        asked = only & set(names)
        if not asked:
            continue
        started = time.perf_counter()
        try:
            found |= await family(bench, frozenset(asked))
        except Exception as error:
            bench.console.print_exception()
            bench.faults.append(f"{', '.join(sorted(asked))}: not measured: {error!r}")
        bench.say(f"{', '.join(sorted(asked))}: {time.perf_counter() - started:.0f} s")
    return found


def parse() -> argparse.Namespace:
    """What `ARGS` says."""
    parser = argparse.ArgumentParser(prog="make bench ARGS=…", description=__doc__)
    parser.add_argument("--only", default=",".join(FAMILIES), help=f"of {', '.join(FAMILIES)}; separated by commas")
    parser.add_argument("--quick", action="store_true", help="small counts and two rounds: a try, no measurement")
    parser.add_argument("--rounds", type=int, help="how often the slices are interleaved")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="keep what was measured under this name, too")
    parser.add_argument("--before", type=Path, metavar="FILE", help="show what an earlier run kept beside this one")
    arguments = parser.parse_args()
    arguments.only = frozenset(arguments.only.split(","))
    if unknown := arguments.only - set(FAMILIES):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    try:
        arguments.before = arguments.before and report.medians(arguments.before)
    except (OSError, ValueError) as error:
        parser.error(f"--before: {error}")
    return arguments


def _console() -> Console:
    """Wide enough for the table, also where the output is a file."""
    console = Console()
    return console if console.is_terminal else Console(width=150)


def main() -> int:
    """Run, show, and keep the figures. Returns 1 when an invariant did not hold; what is slow fails nothing."""
    arguments, console = parse(), _console()
    # Retries while topics are new are not news.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    folder = Path(tempfile.mkdtemp(prefix="laurel-bench-", dir="/var/tmp"))
    folder.chmod(0o711)
    settings = postgres_settings()
    console.print("PostgreSQL: " + ", ".join(f"{name}={value}" for name, value in settings.items()), style="dim")
    try:
        make_keys(folder / "keys")
        postgres = EmbeddedPostgres(folder / "postgres", settings=settings)
        with EmbeddedKafka(folder / "kafka") as kafka, postgres:
            rounds = arguments.rounds or (2 if arguments.quick else 5)
            bench = Bench(postgres, kafka, folder / "keys", folder, console, arguments.quick, rounds)
            series = uvloop.run(measure(bench, arguments.only))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    report.show(console, series, arguments.before)
    written = report.write(series, settings, bench.faults)
    if arguments.keep:
        arguments.keep.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(written, arguments.keep)
    for file in (written, arguments.keep, report.draw(series)):
        if file:
            console.print(f"written to {file}")
    for fault in bench.faults:
        console.print(fault, style="bold red")
    return 1 if bench.faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
