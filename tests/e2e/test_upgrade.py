"""The version before and this one side by side, on the same tables and partitions, under traffic."""

import asyncio
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import httpx
import pytest

from laurel.demo.story import Author
from laurel.embedded.process import ServerProcess, free_port
from laurel.services import SERVICES
from laurel.stack import Stack
from tests.e2e.history import History, Watched

from .outcome import read_outcome
from .quiet import wait_until_quiet
from .shop import Shop

pytestmark = [pytest.mark.e2e, pytest.mark.integration, pytest.mark.long, pytest.mark.timeout(300)]
ROOT = Path(__file__).parents[2]
READY_SECONDS_MAX = 60


def unpack_before(folder: Path) -> None:
    """The commit before this one. A checkout without it fails here: fetch its history (`git fetch --unshallow`)."""
    done = subprocess.run(["git", "-C", str(ROOT), "archive", "HEAD~1"], capture_output=True, check=False)
    assert done.returncode == 0, f"no upgrade was tried, since the commit before is not here: {done.stderr.decode()}"
    with tarfile.open(fileobj=BytesIO(done.stdout)) as archive:
        archive.extractall(folder, filter="data")


@contextmanager
def old_services(stack: Stack, tree: Path) -> Iterator[None]:
    """One process more of each service, by the code of `tree`."""
    path = os.pathsep.join([str(tree), *(str(tree / "services" / name) for name in SERVICES)])
    ports = {name: free_port() for name in SERVICES}
    running = [
        ServerProcess(
            f"old {name}", [sys.executable, "-P", "-m", "laurel", "run", name],
            log=stack.state.logs / f"old-{name}.log", stop_signal=signal.SIGTERM,
            env={**os.environ, **stack.envs()[name], "PYTHONPATH": path, "LAUREL_HTTP_PORT": str(ports[name])},
        )
        for name in SERVICES
    ]  # fmt: skip
    try:
        transport = httpx.HTTPTransport(retries=8)
        with httpx.Client(timeout=10.0, trust_env=False, transport=transport) as client:
            for name, port in ports.items():
                _wait_ready(client, name, port)
        yield
        assert all(process.running for process in running), "an old service died beside the new ones"
    finally:
        for process in running:
            process.stop(25.0)


def _wait_ready(client: httpx.Client, name: str, port: int) -> None:
    deadline = time.monotonic() + READY_SECONDS_MAX
    while not client.get(f"http://127.0.0.1:{port}/readyz").is_success:
        assert time.monotonic() < deadline, f"the old {name} did not become ready"
        time.sleep(0.2)


def test_old_and_new_share_the_work(server_dir: Path) -> None:
    home = server_dir / "upgrade"
    home.mkdir(mode=0o711)
    unpack_before(home / "before")
    now = datetime.now(UTC)
    with Stack(home / "home", durable=False) as stack:
        history = History()
        shop = Shop(stack.state, Author(1, now), now, pace_seconds=0.2, transport=Watched(history))
        with old_services(stack, home / "before"):
            asyncio.run(shop.play())
        stack.wait_ready()
        wait_until_quiet(stack.state, seconds_max=120.0)
        outcome = read_outcome(stack.state, stack.sink)
    assert not outcome.faults, "\n".join(outcome.faults[:20])
    assert all(outcome.facts.values())
    failed = {answer: times for answer, times in history.answers().items() if not answer.startswith(("2", "4"))}
    assert not failed, f"an upgrade is not to be noticed: {failed}"
