"""Services die at random while a shop sends; in the end everything is as if they had not."""

from collections import Counter

import pytest
from rich.console import Console
from rich.table import Table

from laurel.services import SERVICES

from .outcome import Outcome
from .reference import Reference

pytestmark = [pytest.mark.e2e, pytest.mark.integration]
SEEDS = (1, 2, 3, 4, 5)


def require_same(undisturbed: Outcome, killed: Outcome) -> None:
    differences = undisturbed.differences(killed)
    more = f"\n… and {len(differences) - 20} more" if len(differences) > 20 else ""
    assert not differences, "undisturbed, then killed:\n" + "\n".join(differences[:20]) + more
    assert not killed.faults, "\n".join(killed.faults[:20])


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_a_run_with_kills_ends_like_an_undisturbed_one(undisturbed: Reference, told: Console) -> None:
    runs = {seed: undisturbed.play(seed) for seed in SEEDS}
    told.print(table(undisturbed.outcome, runs))
    for run in runs.values():
        assert run.kills.keys() == SERVICES.keys()
        require_same(undisturbed.outcome, run)


def table(undisturbed: Outcome, runs: dict[int, Outcome]) -> Table:
    """A row for each run: who was killed how often, and what was different in the end."""
    found = Table("Seed", *SERVICES, "Messages", "Mails", "Faults", "Differences", title="Random kills")
    found.add_row("none", *_row(undisturbed, undisturbed))
    for seed, run in runs.items():
        found.add_row(str(seed), *_row(undisturbed, run))
    return found


def _row(undisturbed: Outcome, run: Outcome) -> list[str]:
    kills: Counter[str] = run.kills
    counts = (run.messages, run.mails, len(run.faults), len(undisturbed.differences(run)))
    return [*(str(kills[name]) for name in SERVICES), *map(str, counts)]
