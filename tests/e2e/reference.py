"""The undisturbed run, which all seeds are compared with."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from .kills import play
from .outcome import Outcome

TRAFFIC_SEED = 1


@dataclass(frozen=True)
class Reference:
    """The run without kills, and the moment that its story is told from."""

    folder: Path
    now: datetime
    outcome: Outcome

    def play(self, kill_seed: int) -> Outcome:
        """The same story, while services are killed."""
        return play(self.folder / f"killed-{kill_seed}", TRAFFIC_SEED, self.now, kill_seed)


@pytest.fixture(scope="session")
def undisturbed(server_dir: Path) -> Reference:
    """Played once; the moment is shared, so that all dates of all runs are the same."""
    folder = server_dir / "e2e"
    folder.mkdir(mode=0o711)
    now = datetime.now(UTC)
    outcome = play(folder / "undisturbed", TRAFFIC_SEED, now, None)
    assert not outcome.faults, "\n".join(outcome.faults[:20])
    assert all(outcome.facts.values()), "a run in which nothing happens proves nothing"
    return Reference(folder, now, outcome)
