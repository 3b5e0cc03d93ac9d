"""Toxiproxy, between the services and their servers: slow, cut and silent connections. A Go program, built once."""

import os
import shutil
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from laurel.embedded.process import HOST, ServerProcess, free_port

MODULE = "github.com/Shopify/toxiproxy/v2/cmd/server@v2.5.0"
TOOLS = Path(".laurel/tools").absolute()
BUILD_SECONDS_MAX = 240.0
START_SECONDS_MAX = 10.0
_GO = ("go", "/usr/local/go/bin/go")


def program() -> tuple[Path | None, str]:
    """The program, built the first time; None with the reason where it cannot be had."""
    target = TOOLS / "toxiproxy-server"
    if target.exists():
        return target, ""
    go = next((found for name in _GO if (found := shutil.which(name))), None)
    if go is None:
        return None, "Go is not on this machine, and toxiproxy is a Go module"
    TOOLS.mkdir(parents=True, exist_ok=True)
    env = {**os.environ, "GOBIN": str(TOOLS)}
    try:
        done = subprocess.run(
            [go, "install", MODULE], env=env, capture_output=True, text=True, timeout=BUILD_SECONDS_MAX, check=False
        )
    except subprocess.TimeoutExpired:
        return None, f"building toxiproxy took more than {BUILD_SECONDS_MAX:.0f} s"
    if done.returncode:
        return None, f"toxiproxy was not built: {done.stderr.strip()[-300:]}"
    (TOOLS / "server").rename(target)
    return target, ""


class Toxiproxy:
    """The running program, with one proxy each for PostgreSQL and Kafka."""

    def __init__(self, path: Path, log: Path) -> None:
        self._path, self._log = path, log
        self._port = free_port()
        self._process: ServerProcess | None = None
        self._http = httpx.Client(base_url=f"http://{HOST}:{self._port}", timeout=5.0, trust_env=False)

    def start(self, proxies: dict[str, tuple[int, int]]) -> None:
        """`proxies`: by name, the port to listen at and the port that it leads to."""
        self._process = ServerProcess(
            "toxiproxy", [str(self._path), "-host", HOST, "-port", str(self._port)],
            log=self._log, stop_signal=signal.SIGTERM, env={"LOG_LEVEL": "warn"},
        )  # fmt: skip
        deadline = time.monotonic() + START_SECONDS_MAX
        while True:
            try:
                self._http.get("/version").raise_for_status()
                break
            except httpx.TransportError:
                if time.monotonic() > deadline:
                    raise self._process.fail("did not answer") from None
                time.sleep(0.05)
        for name, (listen, upstream) in proxies.items():
            told = {"name": name, "listen": f"{HOST}:{listen}", "upstream": f"{HOST}:{upstream}", "enabled": True}
            self._http.post("/proxies", json=told).raise_for_status()

    def stop(self) -> None:
        """End it."""
        self._http.close()
        if self._process is not None:
            self._process.stop(5.0)
            self._process = None

    @contextmanager
    def toxic(self, proxy: str, kind: str, **attributes: Any) -> Iterator[None]:
        """A toxic in both directions for the length of the block."""
        names = []
        for stream in ("upstream", "downstream"):
            names.append(f"{kind}-{stream}")
            told = {"name": names[-1], "type": kind, "stream": stream, "toxicity": 1.0, "attributes": attributes}
            self._http.post(f"/proxies/{proxy}/toxics", json=told).raise_for_status()
        try:
            yield
        finally:
            for name in names:
                self._http.delete(f"/proxies/{proxy}/toxics/{name}").raise_for_status()


SSL_REQUEST = struct.pack(">ii", 8, 80877103)
"""PostgreSQL answers it with one byte before anybody logs in."""
API_VERSIONS = struct.pack(">ihhih5s", 15, 18, 0, 1, 5, b"chaos")
"""Kafka answers it to anybody."""


def round_trip(port: int, question: bytes, seconds_max: float) -> float | None:
    """How long a question and its answer take by this port; None when there is no answer."""
    started = time.monotonic()
    try:
        with socket.create_connection((HOST, port), timeout=seconds_max) as connection:
            connection.sendall(question)
            return time.monotonic() - started if connection.recv(1) else None
    except OSError:
        return None
