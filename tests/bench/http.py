"""A lean HTTP client: the machine is shared with what is measured, so that asking has to cost little.

Closed loop: each connection asks again when it was answered. Open loop: requests come when they come, as members do,
and each is late by as long as it had to wait for a connection, too.
"""

import asyncio
import random
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked. `name` tells requests apart for whoever looks at the answers."""

    method: str
    path: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    name: str = ""

    def wire(self, host: str) -> bytes:
        """As it is sent."""
        lines = [f"{self.method} {self.path} HTTP/1.1", f"Host: {host}", f"Content-Length: {len(self.body)}"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        return "\r\n".join([*lines, "", ""]).encode() + self.body


@dataclass(frozen=True, slots=True)
class Answer:
    """What was answered."""

    status: int
    body: bytes


class Client:
    """One connection that is kept open; one request at a time."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        self._host, self._port = parts.hostname, parts.port

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection(self._host, self._port)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()

    async def request(self, method: str, path: str, body: bytes = b"", **headers: str) -> Answer:
        """Ask; underscores in names of headers stand for dashes."""
        named = tuple((name.replace("_", "-"), value) for name, value in headers.items())
        return await self.send(Request(method, path, named, body))

    async def send(self, request: Request) -> Answer:
        """Ask. Raises OSError or EOFError when the connection is lost."""
        self._writer.write(request.wire(f"{self._host}:{self._port}"))
        head = (await self._reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
        length = next((line[15:] for line in head if line.lower().startswith(b"content-length:")), b"0")
        return Answer(int(head[0].split(b" ", 2)[1]), await self._reader.readexactly(int(length)))


@dataclass
class Asked:
    """What came of many requests."""

    seconds: float = 0.0
    statuses: dict[int, int] = field(default_factory=dict)
    latency_ms: list[float] = field(default_factory=list)
    """Of those that were answered 2xx."""
    accepted_at: dict[str, float] = field(default_factory=dict)
    """By name of the request, when 2xx was heard, as seconds since the epoch."""

    def note(self, request: Request, answer: Answer, since: float) -> None:
        """Keep one answer."""
        self.statuses[answer.status] = self.statuses.get(answer.status, 0) + 1
        if 200 <= answer.status < 300:
            self.latency_ms.append((time.perf_counter() - since) * 1000)
            self.accepted_at[request.name] = time.time()

    @property
    def accepted(self) -> int:
        """How many were answered 2xx."""
        return len(self.latency_ms)

    @property
    def others(self) -> dict[int, int]:
        """How many were answered otherwise, by status."""
        return {status: count for status, count in self.statuses.items() if not 200 <= status < 300}


async def closed_loop(url: str, requests: Iterable[Request], connections: int, seconds: float | None = None) -> Asked:
    """Ask all, or for so long, over so many connections."""
    asked, waiting = Asked(), iter(requests)
    started = time.perf_counter()

    async def connection() -> None:
        async with Client(url) as client:
            for request in waiting:
                since = time.perf_counter()
                if seconds is not None and since - started > seconds:
                    return
                asked.note(request, await client.send(request), since)

    await asyncio.gather(*(connection() for _ in range(connections)))
    asked.seconds = time.perf_counter() - started
    return asked


async def open_loop(url: str, requests: Iterable[Request], per_second: float, connections: int = 64) -> Asked:
    """Ask all at random moments, `per_second` on average (a Poisson process, the same in every run)."""
    asked, chance = Asked(), random.Random(0)
    free: asyncio.Queue[Client] = asyncio.Queue()
    clients = [Client(url) for _ in range(connections)]
    for client in clients:
        free.put_nowait(await client.__aenter__())
    started = time.perf_counter()

    async def ask(request: Request, due: float) -> None:
        client = await free.get()
        try:
            asked.note(request, await client.send(request), due)
        finally:
            free.put_nowait(client)

    try:
        async with asyncio.TaskGroup() as group:
            for request, moment in zip(requests, arrivals(chance, per_second), strict=False):
                await asyncio.sleep(max(0.0, started + moment - time.perf_counter()))
                group.create_task(ask(request, started + moment))
    finally:
        for client in clients:
            await client.__aexit__(None, None, None)
    asked.seconds = time.perf_counter() - started
    return asked


def arrivals(chance: random.Random, per_second: float) -> Iterator[float]:
    """Moments in seconds from now, in order."""
    moment = 0.0
    while True:
        moment += chance.expovariate(per_second)
        yield moment
