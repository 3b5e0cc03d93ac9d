"""`make test-compose`: one signed order over the proxy becomes points, and survives the restart of every container.

Everything that it starts has a name of its own and is removed again, volumes and all.
"""

import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from .checks import CHECKS
from .stack import CheckFailed, Stack


@contextmanager
def told(number: int, name: str) -> Iterator[None]:
    """Say what is checked, and how it went."""
    print(f"[{number}/{len(CHECKS)}] {name} ...", flush=True)
    began = time.monotonic()
    try:
        yield
    except Exception as error:
        print(f"      FAILED after {time.monotonic() - began:.0f} s: {error}", flush=True)
        raise
    print(f"      passed in {time.monotonic() - began:.0f} s", flush=True)


def main() -> int:
    """Run the checks in order; each builds on those before, so the first that fails ends it."""
    # An interrupted run is cleaned up too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    passed = 0
    with tempfile.TemporaryDirectory(prefix="laurel-compose-") as folder:
        try:
            with Stack(Path(folder)) as stack:
                try:
                    for number, (name, check) in enumerate(CHECKS.items(), 1):
                        with told(number, name):
                            check(stack)
                        passed += 1
                except (CheckFailed, httpx.HTTPError, OSError, subprocess.SubprocessError):
                    print(last_words(stack), flush=True)
        except CheckFailed as error:
            print(f"Cleaning up failed: {error}", flush=True)
            passed = min(passed, len(CHECKS) - 1)
    left = len(CHECKS) - passed
    print(f"{passed} passed, {min(left, 1)} failed" + (f", {left - 1} not reached" if left > 1 else ""), flush=True)
    return 1 if left else 0


def last_words(stack: Stack) -> str:
    """What the containers said last, for whoever looks into a failure."""
    try:
        return stack.compose("ps", "--all") + stack.compose("logs", "--tail", "15", "--no-color")
    except CheckFailed as error:
        return str(error)


if __name__ == "__main__":
    sys.exit(main())
