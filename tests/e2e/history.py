"""What a client saw: every request, and whether it was acknowledged, refused, or ended without an answer."""

import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

import httpx


class Verdict(IntEnum):
    """What a client knows of a request. Of several attempts at one, the greatest counts."""

    REJECTED = 0
    """Refused by a 4xx, or never sent: no effect."""
    UNKNOWN = 1
    """Cut off, timed out or 5xx: one effect, or none."""
    ACKNOWLEDGED = 2
    """2xx: exactly one effect."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request on the wire. Moments are of `time.monotonic`."""

    key: str
    """The same for all attempts at one request."""
    port: int
    method: str
    started: float
    ended: float
    verdict: Verdict
    status: int | None
    """None without an answer."""
    why: str


class History:
    """All attempts of all clients, in the order of their ends."""

    def __init__(self) -> None:
        self.attempts: list[Attempt] = []

    def verdicts(self) -> dict[str, Verdict]:
        """By key."""
        found: dict[str, Verdict] = defaultdict(lambda: Verdict.REJECTED)
        for attempt in self.attempts:
            found[attempt.key] = max(found[attempt.key], attempt.verdict)
        return dict(found)

    def answers(self) -> Counter[str]:
        """How many attempts ended how."""
        return Counter(str(item.status) if item.status else item.why for item in self.attempts)


class Watched(httpx.AsyncBaseTransport):
    """httpx's transport, which writes down what became of each request.

    The key is `key` of the request's extensions, else the webhook's id, the idempotency key, or the path.
    """

    def __init__(self, history: History) -> None:
        self._history = history
        self._inner = httpx.AsyncHTTPTransport(limits=httpx.Limits(max_keepalive_connections=8))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        started = time.monotonic()
        told = _teller(self._history, request, started)
        try:
            response = await self._inner.handle_async_request(request)
            # The body belongs to the answer: who is cut off in the middle of it has none.
            await response.aread()
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            told(Verdict.REJECTED, None, type(error).__name__)
            raise
        except BaseException as error:
            told(Verdict.UNKNOWN, None, type(error).__name__)
            raise
        verdict = Verdict.ACKNOWLEDGED if response.is_success else Verdict.UNKNOWN
        told(Verdict.REJECTED if response.is_client_error else verdict, response.status_code, "")
        return response

    async def aclose(self) -> None:
        await self._inner.aclose()


def _teller(history: History, request: httpx.Request, started: float) -> Callable[[Verdict, int | None, str], None]:
    headers = request.headers
    known = headers.get("x-shopify-webhook-id") or headers.get("idempotency-key")
    key = str(request.extensions.get("key") or known or f"{request.method} {request.url.path}")

    def told(verdict: Verdict, status: int | None, why: str) -> None:
        ended = time.monotonic()
        history.attempts.append(
            Attempt(key, request.url.port or 80, request.method, started, ended, verdict, status, why)
        )

    return told
