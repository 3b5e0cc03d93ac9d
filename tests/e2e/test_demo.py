"""The demo from nothing to checked books, as `make demo ONCE=1` runs it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]


def test_a_shop_is_played_and_the_books_are_right(server_dir: Path) -> None:
    home = server_dir / "demo-home"
    home.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-m", "laurel", "demo", "--once"],
        env={**os.environ, "LAUREL_HOME": str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    output, _ = process.communicate(timeout=840)
    assert process.returncode == 0, output
    result = json.loads((home / "demo.json").read_text())
    assert result["ok"], output
    assert result["counts"]["webhooks"] > 1800
    assert all(check["ok"] and check["looked_at"] for check in result["checks"])
    assert left_behind(home) == [], "nothing of it runs on"


def left_behind(home: Path) -> list[str]:
    """Processes that still name the demo's folder."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if any(str(home) in word for word in words):
            found.append(" ".join(words)[:200])
    return found
