"""Runs the services as processes of their own and starts those again that die."""

import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from .embedded.process import ServerProcess
from .services import SERVICES, Entry

_LOOK_SECONDS = 0.2
_PAUSE_SECONDS_MAX = 20.0
_STEADY_SECONDS = 30.0
"""Who ran so long is not in a loop of failures any more."""
STOP_TIMEOUT_SECONDS = 25.0


class Child:
    """One service's process, and how often it died in a row."""

    def __init__(self, entry: Entry, env: Mapping[str, str], log: Path) -> None:
        self.entry, self.log = entry, log
        self.starts = 0
        self._env = env
        self._process: ServerProcess | None = None
        self._failures = 0
        self._start_at = 0.0
        self._started_at = 0.0

    @property
    def pid(self) -> int | None:
        """The process, while it runs."""
        return self._process.pid if self._process is not None and self._process.running else None

    def look(self) -> None:
        """Start it if it does not run and its pause is over."""
        now = time.monotonic()
        if self.pid is not None:
            return
        if self._process is not None:
            self._process.kill()  # It is dead already; this ends its guard.
            self._process = None
            steady = now - self._started_at > _STEADY_SECONDS
            self._failures = 1 if steady else self._failures + 1
            self._start_at = now + min(0.25 * 2**self._failures, _PAUSE_SECONDS_MAX)
        if now >= self._start_at:
            # -P: nothing from the current folder takes the place of a module.
            self._process = ServerProcess(
                self.entry.name,
                [sys.executable, "-P", "-m", "laurel", "run", self.entry.name],
                log=self.log,
                stop_signal=signal.SIGTERM,
                env=self._env,
            )
            self._started_at = now
            self.starts += 1

    def kill(self) -> None:
        """End it as a power cut would; the supervisor starts it again."""
        if self._process is not None:
            self._process.kill()

    def stop(self) -> None:
        """Ask it to end, and wait."""
        if self._process is not None:
            self._process.stop(STOP_TIMEOUT_SECONDS)
            self._process = None


class Supervisor:
    """Keeps one process for each service running between `start` and `stop`."""

    def __init__(self, envs: Mapping[str, Mapping[str, str]], logs: Path) -> None:
        """`envs`: by service, the settings that it gets; other settings of this process are not handed on."""
        logs.mkdir(parents=True, exist_ok=True)
        clean = {name: value for name, value in os.environ.items() if not name.startswith("LAUREL_")}
        self.children = {
            name: Child(SERVICES[name], {**clean, **env}, logs / f"{name}.log") for name, env in envs.items()
        }
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._paused: set[str] = set()
        self._thread = threading.Thread(target=self._watch, name="supervisor", daemon=True)

    def start(self) -> None:
        """Start all, and watch them from now on."""
        self._look()
        self._thread.start()

    def kill(self, name: str) -> None:
        """End one service with SIGKILL; it comes back by itself."""
        with self._lock:
            self.children[name].kill()

    def pause(self, name: str) -> None:
        """Stop one service until `resume`."""
        with self._lock:
            self._paused.add(name)
            self.children[name].stop()

    def resume(self, name: str) -> None:
        """Start it again."""
        with self._lock:
            self._paused.discard(name)
            self.children[name].look()

    def stop(self) -> None:
        """Stop all, together."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        stops = [threading.Thread(target=child.stop) for child in self.children.values()]
        for stop in stops:
            stop.start()
        for stop in stops:
            stop.join()

    def _watch(self) -> None:
        while not self._stopping.wait(_LOOK_SECONDS):
            self._look()

    def _look(self) -> None:
        with self._lock:
            for name in self.children.keys() - self._paused:
                self.children[name].look()
