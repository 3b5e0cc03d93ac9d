"""Golden replays: every transfer that a story makes, kept in a file beside it."""

from pathlib import Path

from .playing import Outcome
from .transfers import HEADER


def text_of(outcome: Outcome) -> str:
    """All transfers, a line each."""
    return "\n".join([HEADER, *outcome.transfers]) + "\n"


def path_of(story: Path) -> Path:
    """The file with the transfers of a story."""
    return story.parent / "transfers.txt"


def write(outcome: Outcome) -> Path:
    """Keep what a story makes now. Returns the file."""
    path = path_of(outcome.story.path)
    path.write_text(text_of(outcome), encoding="utf-8")
    return path
