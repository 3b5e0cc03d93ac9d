"""A server as a child process: started guarded, ended for certain, and its last words at hand when it fails."""

import atexit
import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import psutil

from laurel.installation import Failure

HOST = "127.0.0.1"
PATIENCE_S = 15.0
"""How long a server whose starter was killed may take to be stopped by its guard."""
GUARD = Path(__file__).with_name("guard.py")
_GIVEN = contextlib.ExitStack()
"""Servers take their ports seconds later, and leave them while they restart. Until this process ends, a UDP socket of
the same number, which no server of ours uses, says that the port is given.
"""
atexit.register(_GIVEN.close)


class EmbeddedError(Failure):
    """An embedded server cannot run; the message is one clear sentence that says what to do."""


class ServerProcess:
    """One running server and its guard; ports, folders and settings are the business of its own class."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        log: Path,
        stop_signal: signal.Signals,
        env: Mapping[str, str],
        user: tuple[int, int] | None = None,
    ) -> None:
        """Start `command`; its output is added to `log`. `user` is the uid and gid to run as, where it is not ours."""
        self.name = name
        self.log = log
        self._stop_signal = stop_signal
        with log.open("ab") as output:
            self._log_start = output.tell()
            # A session of its own: Ctrl-C in a terminal reaches the starter alone, who then stops things in order.
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=env,
                cwd="/",
                start_new_session=True,
                user=user[0] if user else None,
                group=user[1] if user else None,
                extra_groups=[] if user else None,
            )
        self._guard = subprocess.Popen(
            [sys.executable, "-I", "-S", str(GUARD), str(self.pid), str(int(stop_signal))],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        """The server's process id."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process is alive."""
        return self._process.poll() is None

    def stop(self, timeout_s: float) -> None:
        """Ask the server to end, and kill it when it has not after `timeout_s`."""
        if self.running:
            self._process.send_signal(self._stop_signal)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout_s)
        self.kill()

    def kill(self) -> None:
        """End the server and every process under it at once, as a power cut would."""
        below: list[psutil.Process] = []
        if self.running:
            with contextlib.suppress(psutil.NoSuchProcess):
                below = psutil.Process(self.pid).children(recursive=True)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
        # PostgreSQL's backends have sessions of their own, and its next start has to find their shared memory free.
        for process in below:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self._process.wait()
        deadline = time.monotonic() + 5
        while any(map(_alive, below)) and time.monotonic() < deadline:
            time.sleep(0.01)
        self._guard.kill()
        self._guard.communicate()

    def fail(self, what: str) -> EmbeddedError:
        """The error for a server that did not come up: what went wrong and the end of its log."""
        with self.log.open("rb") as log:
            log.seek(self._log_start)
            said = log.read().decode(errors="replace").strip().splitlines()
        tail = "\n".join(f"    {line}" for line in said[-15:])
        return EmbeddedError(f"{self.name} {what}; its log is {self.log}" + (f" and ends:\n{tail}" if tail else "."))


def _alive(process: psutil.Process) -> bool:
    """Whether it still runs: in a container, nobody may collect the dead."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def free_port() -> int:
    """A port that nobody listens on and that no process like this one was given, below those which the system hands to
    outgoing connections.
    """
    for _ in range(200):
        port = random.randint(20_000, 30_000)
        mark = socket.socket(type=socket.SOCK_DGRAM)
        try:
            mark.bind((HOST, port))
            if not port_taken(port):
                _GIVEN.enter_context(mark)
                return port
        except OSError:
            pass  # Given to another process.
        mark.close()
    raise EmbeddedError("No free port was found between 20000 and 30000; stop some programs that listen there.")


def port_taken(port: int) -> bool:
    """Whether a program on this machine listens on `port`."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return True
        return False


def require_port(port: int, name: str) -> None:
    """Raise the clear sentence when `port` is taken."""
    if port_taken(port):
        raise EmbeddedError(
            f"Port {port}, which {name} is to use, is taken; "
            "stop the program that listens there or choose another port."
        )


def require_alone(name: str, pid_file: Path, marker: str) -> None:
    """Make sure that no server runs on a folder: raise when one stays, remove a `pid_file` that was left behind.

    A pid alone proves nothing, since the system uses it again; the process must have `marker` in its command line.
    """
    deadline = time.monotonic() + PATIENCE_S
    while True:
        pid = 0
        try:
            pid = int(pid_file.read_text().split(maxsplit=1)[0])
            alive = any(marker in word for word in psutil.Process(pid).cmdline())
        except (FileNotFoundError, ValueError, IndexError, psutil.NoSuchProcess, psutil.AccessDenied):
            alive = False
        if not alive:
            pid_file.unlink(missing_ok=True)
            return
        if time.monotonic() > deadline:
            raise EmbeddedError(f"{name} already runs on {pid_file.parent} as process {pid}; stop that one first.")
        time.sleep(0.1)
