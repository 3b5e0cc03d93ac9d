"""Memory as the bench tells it: of one process, and which of all counts."""

import subprocess
import sys

from tests.bench import memory
from tests.bench.meter import resident_mb


def test_the_largest_service_gives_the_figure() -> None:
    found = memory.figures(80.0, 100.0, {"points-accrual": 90.0, "notification": 70.0})
    assert {name: series.median for name, series in found.items()} == {
        "memory of points-accrual": 100.0, "memory of notification": 70.0, "memory": 100.0, "memory earlier": 80.0,
        "memory later": 100.0, "memory later ÷ earlier": 1.25,
    }  # fmt: skip
    assert memory.figures(80.0, 100.0, {"tier": 110.0})["memory"].median == 110.0


def test_memory_is_what_a_process_has_in_ram() -> None:
    code = "print(flush=True)\ninput()\nkept = b'x' * 50_000_000\nprint(flush=True)\ninput()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        before = resident_mb(process.pid)
        process.stdin.write("\n")
        process.stdin.flush()
        process.stdout.readline()
        after = resident_mb(process.pid)
        process.communicate("\n")
    assert 49 <= after - before <= 60
