"""`python -m tests.chaos.sim`: die at every moment of a story, draw stories and faults from seeds, plant bugs."""

import argparse
import asyncio
import json
import logging
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog
from rich.console import Console
from rich.table import Table

from contracts.topics import POINTS
from laurel.embedded import EmbeddedPostgres
from laurel.services import SERVICES
from shared.access import create_key

from .crashes import Crashes, enumerate_crashes, ledger_play
from .plants import PLANTS, Plant
from .schedules import Told, play_seeds
from .shop_run import ALONE, Shop, staged

SECONDS_MAX = 30.0
"""A story takes about one; a bug can make it go on for ever."""
SEEDS = 250
TIMES_MIN = 20
"""So often each kind of fault comes in a full run."""
PLANT_SEEDS_MAX = 60


@dataclass
class Outcome:
    """What came of a run."""

    crashes: list[Crashes]
    """Of each service."""
    told: Told
    plants: dict[str, Counter[str]]
    """By planted bug, which checks cried and how often; nothing: it was not caught."""


async def caught(shop: Shop, plants: Sequence[Plant] = PLANTS) -> dict[str, Counter[str]]:
    """Plant one bug after another."""
    return {plant.name: await _cries(shop, plant) for plant in plants}


async def _cries(shop: Shop, plant: Plant) -> Counter[str]:
    """The checks that see it: in the story or, where it takes what schedules bring, in the first seed that does."""
    database, keys = shop.databases[POINTS], shop.keys
    play = ledger_play(database, keys)
    if plant.service != POINTS:
        play = shop.play(plant.service)
        right = await play(None)  # What it is compared with.
        assert not right.findings, right.findings
    with plant.planted():
        try:
            if not plant.seeded:
                played = await asyncio.wait_for(play(plant.plot()), SECONDS_MAX)
                return Counter(finding.kind for finding in played.findings)
            for seed in range(PLANT_SEEDS_MAX):
                told = Told()
                await asyncio.wait_for(play_seeds(database, keys, range(seed, seed + 1), told), SECONDS_MAX)
                if told.findings:
                    return Counter(finding.kind for _, finding in told.findings)
        except TimeoutError:
            # Any other is slow because the machine is.
            return Counter({"never done": 1}) if plant.hangs else Counter()
    return Counter()


async def run(folder: Path, each_max: int | None, seeds: range) -> Outcome:
    """Everything, on a server of its own."""
    keys = folder / "keys"
    keys.mkdir()
    create_key(keys, "test")
    with EmbeddedPostgres(folder / "postgres", durable=False) as server:
        async with staged(lambda name: server.create_database(f"chaos_{SERVICES[name].package}"), keys) as shop:
            database, told = shop.databases[POINTS], Told()
            crashes = [await enumerate_crashes(POINTS, ledger_play(database, keys), each_max=each_max)]
            for name in ALONE:
                crashes.append(await enumerate_crashes(name, shop.play(name), each_max=each_max))
            await play_seeds(database, keys, seeds, told)
            return Outcome(crashes, told, await caught(shop))


def show(outcome: Outcome, console: Console) -> bool:
    """Three tables. Returns whether all is as it should be."""
    told, plants = outcome.told, outcome.plants
    for crashes in outcome.crashes:
        _show_crashes(crashes, console)
    rare = _show_seeds(told, console)
    table = Table("Planted bug", "Caught by", title="Planted bugs")
    for name, checks in plants.items():
        table.add_row(name, ", ".join(f"{check} {count}" for check, count in checks.items()) or "[red]not caught")
    console.print(table)
    missed = [name for name, checks in plants.items() if not checks]
    fired = sum(len(one.fired) for one in outcome.crashes)
    points = sum(one.points for one in outcome.crashes)
    wrong = sum(one.wrong for one in outcome.crashes)
    console.print(
        f"{fired} of {points} moments of {len(outcome.crashes)} services, {wrong} wrong, "
        f"{len(plants) - len(missed)} of {len(plants)} planted bugs caught"
    )
    return not (wrong or told.findings or rare or missed)


def _show_crashes(crashes: Crashes, console: Console) -> None:
    table = Table("Moment", "Deaths", title=f"Deaths of {crashes.flow}: {crashes.planned} in {crashes.seconds:.0f} s")
    for (_, moment), count in crashes.fired.items():
        table.add_row(moment, str(count))
    console.print(table)
    for plot in crashes.silent:
        console.print(f"never came: {plot.moment}, time {plot.count}", style="red")
    for plot_or_none, finding in crashes.findings:
        console.print(f"{plot_or_none}: {finding}", style="red")


def _show_seeds(told: Told, console: Console) -> list[str]:
    """Returns the kinds of faults that a full run did not bring often enough."""
    table = Table("Fault", "Times", title=f"{len(told.seeds)} seeds from {told.seeds[0]} in {told.seconds:.0f} s")
    for kind, times in told.faults.most_common():
        table.add_row(kind, str(times))
    console.print(table)
    for seed, finding in told.findings:
        console.print(f"seed {seed}: {finding}", style="red")
    rare = [kind for kind, times in told.faults.items() if times < TIMES_MIN] if len(told.seeds) >= SEEDS else []
    for kind in rare:
        console.print(f"{kind} came fewer than {TIMES_MIN} times", style="red")
    by_kind = Counter(finding.kind for _, finding in told.findings)
    console.print(
        f"{told.events} events; requests: {', '.join(f'{count} {word}' for word, count in told.answers.items())}; "
        f"{by_kind['lost']} lost, {by_kind['doubled']} doubled, {len(told.findings)} findings; "
        f"quiet after {told.drain_seconds:.1f} s at most"
    )
    return rare


def write(outcome: Outcome) -> Path:
    """Keep it for machines."""
    path = Path(".laurel/chaos-sim.json")
    path.parent.mkdir(exist_ok=True)
    told = outcome.told
    document = {
        "deaths": {one.flow: {moment: count for (_, moment), count in one.fired.items()} for one in outcome.crashes},
        "silent": [f"{plot.service}: {plot.moment}" for one in outcome.crashes for plot in one.silent],
        "seeds": told.seeds, "faults": told.faults, "answers": told.answers, "events": told.events,
        "seconds": round(told.seconds, 1), "drain_seconds": round(told.drain_seconds, 2),
        "findings": [f"{one.flow}: {finding}" for one in outcome.crashes for _, finding in one.findings]
        + [f"seed {seed}: {finding}" for seed, finding in told.findings],
        "planted": outcome.plants,
    }  # fmt: skip
    path.write_text(json.dumps(document, indent=2))
    return path


def main() -> None:
    """Exit code 1 when something was lost, doubled, never reached, or not caught."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.sim", description=__doc__)
    parser.add_argument("--each", type=int, default=2, help="die at so many occurrences of each moment; 0: at all")
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="so many")
    arguments = parser.parse_args()
    seeds = range(arguments.seed, arguments.seed + max(1, arguments.seeds))
    # Tasks that die with their process are what this is about.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    with tempfile.TemporaryDirectory(prefix="laurel-chaos-", dir="/var/tmp") as folder:
        Path(folder).chmod(0o711)
        outcome = asyncio.run(run(Path(folder), arguments.each or None, seeds))
    good = show(outcome, Console())
    print(f"written to {write(outcome)}")
    if not good:
        sys.exit(1)


if __name__ == "__main__":
    main()
