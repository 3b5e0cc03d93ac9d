"""The world beyond: a mail server and a webhook target that misbehave now and then, by a seed."""

import asyncio
import random
import re
import threading
import time
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from aiosmtpd.smtp import SMTP, Envelope, Session

from laurel.embedded import SmtpSink
from laurel.embedded.process import HOST, free_port

SILENT_SECONDS = 12.0
"""Longer than either sender waits for an answer."""
MAIL_TROUBLE = {"smtp_silent": 0.03, "smtp_4xx": 0.08, "smtp_5xx": 0.02, "smtp_closed": 0.04}
"""The share of mails that meet it."""
HOOK_TROUBLE = {
    "hook_silent": 0.1, "hook_429": 0.1, "hook_500": 0.1, "hook_400": 0.05, "hook_redirect": 0.05, "hook_cut": 0.1,
    "hook_drip": 0.05,
}  # fmt: skip
SILENT_MAX = 8
"""So often in a run at most: each takes its time."""
_MESSAGE_ID = re.compile(rb"^Message-ID: *(<[^>]+>)", re.MULTILINE | re.IGNORECASE)


class Chance:
    """Draws which trouble comes, and counts it; from several threads."""

    def __init__(self, seed: int, shares: dict[str, float]) -> None:
        self.fired = Counter[str]()
        self.quiet = False
        """No more trouble."""
        self._rng, self._shares = random.Random(seed), shares
        self._lock = threading.Lock()

    def draw(self) -> str | None:
        """The trouble of this time, if any; each kind comes once before any comes by its share."""
        with self._lock:
            if self.quiet:
                return None
            missing = [kind for kind in self._shares if not self.fired[kind]]
            if missing and self._rng.random() < 0.2:
                return self._count(missing[0])
            at = self._rng.random()
            for kind, share in self._shares.items():
                at -= share
                if at < 0:
                    return self._count(kind)
            return None

    def _count(self, kind: str) -> str | None:
        if kind.endswith("_silent") and self.fired[kind] >= SILENT_MAX:
            return None
        self.fired[kind] += 1
        return kind


class ShakyMailServer(SmtpSink):
    """Takes mails, most of the time. What it says of a mail for good, it says again."""

    chance: Chance

    def __init__(self, *args: object, **options: object) -> None:
        super().__init__(*args, **options)  # type: ignore[arg-type]
        self.refused: set[str] = set()
        """Message-IDs that got a 5xx."""
        self.taken: set[str] = set()

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        found = _MESSAGE_ID.search(envelope.original_content or b"")
        message_id = found[1].decode() if found else ""
        if message_id in self.refused:
            return "550 No such person"
        trouble = self.chance.draw()
        if trouble == "smtp_4xx":
            return "451 Try again later"
        if trouble == "smtp_closed":
            # Before it was taken: the sender cannot tell this from the silence below.
            assert server.transport is not None
            server.transport.abort()  # type: ignore[attr-defined]
            return "421 Closing"
        if trouble == "smtp_5xx" and message_id not in self.taken:
            self.refused.add(message_id)
            return "550 No such person"
        self.taken.add(message_id)
        answer = await super().handle_DATA(server, session, envelope)
        if trouble == "smtp_silent":
            await asyncio.sleep(SILENT_SECONDS)
        return answer


class HookTarget:
    """The merchant's system: keeps what it took, by webhook id, and answers as it likes."""

    def __init__(self, chance: Chance) -> None:
        self.chance = chance
        self.port = free_port()
        self.taken = Counter[str]()
        """How often each id came and was taken, whatever was answered."""
        self._server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://{HOST}:{self.port}/laurel"

    def start(self) -> None:
        """Listen from now on."""
        self._server = ThreadingHTTPServer((HOST, self.port), _handler(self))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, name="hook-target", daemon=True).start()

    def stop(self) -> None:
        """Listen no more."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


def _handler(target: HookTarget) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", "0")))
            trouble = target.chance.draw()
            if trouble in (None, "hook_silent", "hook_drip"):
                target.taken[self.headers["webhook-id"]] += 1
            _ANSWERS[trouble](self)

        def log_message(self, *_: object) -> None:
            """Nothing: the counters tell it."""

    return Handler


def _status(code: int, **headers: str) -> Callable[[BaseHTTPRequestHandler], None]:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(code)
        for name, value in {"content-length": "0", "connection": "close", **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()

    return answer


def _silent(_: BaseHTTPRequestHandler) -> None:
    time.sleep(SILENT_SECONDS)


def _cut(handler: BaseHTTPRequestHandler) -> None:
    handler.connection.close()


def _drip(handler: BaseHTTPRequestHandler) -> None:
    """Taken, and then a body without an end, a byte at a time."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\nConnection: close\r\n\r\n")
    try:
        for _ in range(int(SILENT_SECONDS)):
            handler.wfile.write(b".")
            handler.wfile.flush()
            time.sleep(1.0)
    except OSError:
        return


_ANSWERS: dict[str | None, Callable[[BaseHTTPRequestHandler], None]] = {
    None: _status(204),
    "hook_silent": _silent,
    "hook_drip": _drip,
    "hook_429": _status(429, retry_after="2"),
    "hook_500": _status(500),
    "hook_400": _status(400),
    "hook_redirect": _status(302, location="http://127.0.0.1:1/elsewhere"),
    "hook_cut": _cut,
}
