"""`python -m tests.chaos.real`: several runs of real chaos, a table, and a file for machines."""

import argparse
import logging
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from . import report
from .profiles import FULL, SHORT
from .run import Result, not_run, run


def main() -> int:
    """0 when nothing is wrong and everything that was demanded was run."""
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.real", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="How many runs, each with a seed of its own.")
    parser.add_argument("--seed", type=int, help="Of the first run; the others follow. Drawn by chance otherwise.")
    parser.add_argument("--short", action="store_true", help="Each kind once; what cannot be run here may be missing.")
    parser.add_argument("--keep", type=Path, help="Keep logs and data below this folder.")
    wanted = parser.parse_args()
    console = Console(width=160)
    if not wanted.short and (missing := not_run()):
        console.print(f"A full run needs everything; missing: {missing}", style="bold red")
        return 2
    first = wanted.seed if wanted.seed is not None else random.SystemRandom().randrange(1_000_000)
    home = wanted.keep or Path(tempfile.mkdtemp(prefix="laurel-chaos-"))
    home.mkdir(mode=0o711, parents=True, exist_ok=True)
    home.chmod(0o711)
    results: list[Result] = []
    try:
        for seed in range(first, first + wanted.rounds):
            console.print(f"Run with seed {seed}")
            results.append(run(home / str(seed), seed, SHORT if wanted.short else FULL))
            report.write(results, _commit())
    finally:
        report.tell(results, console)
        if wanted.keep is None:
            shutil.rmtree(home, ignore_errors=True)
    return 1 if any(one.wrong for one in results) else 0


def _commit() -> str:
    done = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    return done.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
