"""`python -m tests.chaos.sim`: die at every moment of a story, then see that planted bugs are caught."""

import argparse
import asyncio
import logging
import sys
import tempfile
from collections import Counter
from pathlib import Path

import structlog
from rich.console import Console
from rich.table import Table

from laurel.embedded import EmbeddedPostgres
from shared.access import create_key

from .crashes import Crashes, Play, enumerate_crashes, ledger_play
from .databases import Database
from .plants import PLANTS

SECONDS_MAX = 6.0
"""A story takes about one; a bug can make it go on for ever."""


async def caught(play: Play) -> dict[str, Counter[str]]:
    """By planted bug, which checks cried and how often; nothing: it was not caught."""
    found = {}
    for plant in PLANTS:
        with plant.planted():
            try:
                played = await asyncio.wait_for(play(plant.plot()), SECONDS_MAX)
                found[plant.name] = Counter(finding.kind for finding in played.findings)
            except TimeoutError:
                found[plant.name] = Counter({"never done": 1})
    return found


async def run(folder: Path, each_max: int | None) -> tuple[Crashes, dict[str, Counter[str]]]:
    """Both, on a server of its own."""
    with EmbeddedPostgres(folder / "postgres", durable=False) as server:
        keys = folder / "keys"
        keys.mkdir()
        create_key(keys, "test")
        database = await Database.prepare("points-accrual", server.create_database("chaos"))
        play = ledger_play(database, keys)
        try:
            return await enumerate_crashes("points-accrual", play, each_max=each_max), await caught(play)
        finally:
            await database.close()


def show(crashes: Crashes, plants: dict[str, Counter[str]], console: Console) -> bool:
    """Two tables. Returns whether all is as it should be."""
    table = Table("Moment", "Deaths", title=f"Deaths of {crashes.flow}: {crashes.planned} in {crashes.seconds:.0f} s")
    for (_, moment), count in crashes.fired.items():
        table.add_row(moment, str(count))
    console.print(table)
    for plot in crashes.silent:
        console.print(f"never came: {plot.moment}, time {plot.count}", style="red")
    for plot_or_none, finding in crashes.findings:
        console.print(f"{plot_or_none}: {finding}", style="red")
    table = Table("Planted bug", "Caught by", title="Planted bugs")
    for name, checks in plants.items():
        table.add_row(name, ", ".join(f"{check} {count}" for check, count in checks.items()) or "[red]not caught")
    console.print(table)
    missed = [name for name, checks in plants.items() if not checks]
    console.print(
        f"{len(crashes.fired)} of {crashes.points} moments, {len(crashes.findings)} findings, "
        f"{len(plants) - len(missed)} of {len(plants)} planted bugs caught"
    )
    return not (crashes.silent or crashes.findings or missed)


def main() -> None:
    """Exit code 1 when something was lost, doubled, never reached, or not caught."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.sim", description=__doc__)
    parser.add_argument("--each", type=int, default=3, help="die at so many occurrences of each moment; 0: at all")
    each = parser.parse_args().each
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    with tempfile.TemporaryDirectory(prefix="laurel-chaos-", dir="/var/tmp") as folder:
        Path(folder).chmod(0o711)
        crashes, plants = asyncio.run(run(Path(folder), each or None))
    if not show(crashes, plants, Console()):
        sys.exit(1)


if __name__ == "__main__":
    main()
