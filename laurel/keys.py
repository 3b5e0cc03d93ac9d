"""The files of a keys folder. All of them are to be kept: links in mails and fingerprints hang on them for ever."""

from datetime import UTC, datetime
from pathlib import Path

from shared.access import create_key


def make_keys(folder: Path) -> bool:
    """Make what is missing of a folder of keys. Returns False if there was a key to sign tokens with."""
    if list(folder.glob("*.key.pem")):
        return False
    add_signing_key(folder)
    return True


def add_signing_key(folder: Path) -> None:
    """A signing key; the one with the newest name signs, all others verify."""
    create_key(folder, datetime.now(UTC).strftime("%Y%m%dT%H%M%S%fZ"))
