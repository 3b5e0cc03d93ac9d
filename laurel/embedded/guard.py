"""Stops a server when the process that started it is gone, however it went.

Usage: guard.py PID SIGNAL. The starter holds the other end of standard input; when that closes, the server PID gets
SIGNAL, and ten seconds later SIGKILL. A pipe, and not the kernel's parent-death signal, because that one fires when a
thread ends, and only on Linux. Imports nothing of ours: it has to start at once.
"""

import os
import signal
import sys
import time


def main() -> None:
    """Wait for the end of standard input, then end the server."""
    pid, stop_signal = int(sys.argv[1]), int(sys.argv[2])
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    while os.read(0, 4096):
        pass
    try:
        os.kill(pid, stop_signal)
        for _ in range(100):
            time.sleep(0.1)
            os.kill(pid, 0)
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


if __name__ == "__main__":
    main()
