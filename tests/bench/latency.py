"""How long members wait: from an order's acceptance over HTTP to its points, and to the e-mail that tells of them.

All services run as they do in operation. Orders come at random moments at 40 % of what the whole path can do, whether
or not earlier ones are through. Each customer places one order in a slice, so that a mail's recipient tells its order.
"""

import secrets
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from itertools import islice

import asyncpg
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from contracts.topics import INGEST, NOTIFICATION, POINTS, REFERRAL, TIER
from laurel.embedded.process import HOST, free_port

from .arithmetic import Sample, Series, percentile
from .http import Asked, Request, closed_loop, open_loop
from .ledger import connected, faults, fresh, migrated, until
from .servers import Bench, Running
from .webhooks import CONNECTIONS, address, connect_shop, webhooks

SERVICES = (INGEST, POINTS, TIER, REFERRAL, NOTIFICATION)
SHARE = 0.4
"""Of what the whole path can do, up to the mail."""
COMMITTED, MAILED, WHOLE = "points committed p99", "e-mail p99", "accepted to e-mail, saturation"
SECONDS_MAX = 180.0
"""A slice whose orders are not all through by then is broken."""


class Sink:
    """A mail server that only remembers when it took mails for whom."""

    def __init__(self) -> None:
        self.taken_at: dict[str, list[float]] = defaultdict(list)

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """aiosmtpd calls this with each mail."""
        for recipient in envelope.rcpt_tos:
            self.taken_at[recipient].append(time.time())
        return "250 OK"


@dataclass
class Path:
    """The services, and where to look."""

    services: Sequence[Running]
    look: Mapping[str, asyncpg.Connection]
    """A connection to the database of each."""
    place: str
    secret: str
    sink: Sink
    customers: int
    _slices: int = 0

    def requests(self) -> list[Request]:
        """The next order of each customer."""
        first = 1 + self._slices * self.customers
        self._slices += 1
        self.sink.taken_at.clear()
        return list(islice(webhooks(self.place, self.secret, first, self.customers), self.customers))

    @property
    def orders(self) -> int:
        """How many were asked for until now."""
        return self._slices * self.customers

    @property
    def url(self) -> str:
        return self.services[0].url

    async def through(self) -> None:
        """Return when all orders until now were told of by mail. Raises TimeoutError."""

        async def done() -> bool:
            for service in self.services:
                service.check()
            return await self.look[NOTIFICATION].fetchval(_ALL_SENT, self.orders) is True

        await until(done, SECONDS_MAX)

    async def committed_at(self) -> dict[str, float]:
        """By order, when its points were committed, as PostgreSQL noted it."""
        return {row["order_id"]: float(row["at"]) for row in await self.look[POINTS].fetch(_COMMITTED_AT)}


_ALL_SENT = """
    SELECT count(*) FILTER (WHERE state = 'sent' AND template = 'points_earned') >= $1
           AND count(*) FILTER (WHERE state = 'due') = 0
    FROM messages WHERE channel = 'email'"""
_COMMITTED_AT = """
    SELECT cause->'order'->>'order_id' AS order_id, extract(epoch FROM min(pg_xact_commit_timestamp(xmin))) AS at
    FROM decisions WHERE kind = 'order' GROUP BY 1"""


async def measure(bench: Bench, _wanted: frozenset[str]) -> dict[str, Series]:
    """Figures 5 and 6."""
    async with whole_path(bench, bench.count(1500, 300)) as path:
        return await _measured(bench, path)


@asynccontextmanager
async def whole_path(bench: Bench, customers: int, services: Sequence[str] = SERVICES) -> AsyncIterator[Path]:
    """These services on fresh databases, a shop that order-ingest knows, and a mail server. order-ingest is first."""
    for service in services:
        migrated(bench, _basis(service), service)
    sink, port = Sink(), free_port()
    controller = Controller(sink, hostname=HOST, port=port)
    controller.start()
    try:
        async with AsyncExitStack() as stack:
            dsns = {name: await stack.enter_async_context(fresh(bench, _basis(name), name)) for name in services}
            look = {name: await stack.enter_async_context(connected(dsns[name])) for name in services}
            secret = secrets.token_hex(32)
            place = await connect_shop(look[INGEST], secret)
            settings: dict[str, Mapping[str, str]] = {NOTIFICATION: {"smtp_host": HOST, "smtp_port": str(port)}}
            running: list[Running] = []
            for name in services:
                said = settings.get(name, {})
                running += await stack.enter_async_context(bench.service(name, dsns[name], settings=said))
            yield Path(running, look, place, secret, sink, customers)
    finally:
        controller.stop()


def _basis(service: str) -> str:
    return f"basis_latency_{service.replace('-', '_')}"


async def _measured(bench: Bench, path: Path) -> dict[str, Series]:
    bench.say("latency: customers order for the first time")
    await all_at_once(bench, path)
    saturation = await all_at_once(bench, path)
    committed: list[Sample] = []
    mailed: list[Sample] = []
    for number in range(min(bench.rounds, 3)):
        bench.say(f"latency, round {number + 1}; {saturation.value * SHARE:,.0f} orders/s")
        points, mail = await _slice(bench, path, saturation.value * SHARE)
        committed.append(points)
        mailed.append(mail)
    return {
        WHOLE: Series([saturation], "orders/s"), COMMITTED: Series(committed, "ms"), MAILED: Series(mailed, "ms"),
    }  # fmt: skip


async def all_at_once(bench: Bench, path: Path) -> Sample:
    """Orders a second, from the first request to the last mail."""
    requests = path.requests()
    meter = bench.meter(path.services)
    meter.begin()
    _only_accepted(bench, await closed_loop(path.url, requests, CONNECTIONS))
    await path.through()
    return meter.end(len(requests))


async def _slice(bench: Bench, path: Path, per_second: float) -> tuple[Sample, Sample]:
    requests = path.requests()
    meter = bench.meter(path.services)
    meter.begin()
    asked = await open_loop(path.url, requests, per_second)
    _only_accepted(bench, asked)
    await path.through()
    used = meter.end(len(requests))
    bench.faults += [f"latency: {fault}" for fault in await faults(path.look[POINTS], path.orders)]
    return (
        _p99(bench, COMMITTED, asked, await path.committed_at(), used),
        _p99(bench, MAILED, asked, _mailed_at(bench, path, requests), used),
    )


def _mailed_at(bench: Bench, path: Path, requests: Sequence[Request]) -> dict[str, float]:
    """By order, when the mail about it was taken. There must be exactly one."""
    found: dict[str, float] = {}
    for request in requests:
        taken = path.sink.taken_at[address(int(request.name) % path.customers)]
        if len(taken) != 1:
            bench.faults.append(f"{MAILED}: {len(taken)} mails tell of order {request.name}")
        if taken:
            found[request.name] = taken[0]
    return found


def _p99(bench: Bench, what: str, asked: Asked, then: Mapping[str, float], used: Sample) -> Sample:
    """Of all orders that were accepted. One that is not found is a fault, never left out silently."""
    if missing := asked.accepted_at.keys() - then.keys():
        bench.faults.append(f"{what}: nothing came of {len(missing)} accepted orders")
    # The server commits before it answers, so that points may even be there before the client has heard.
    waits = [max(0.0, then[name] - at) * 1000 for name, at in asked.accepted_at.items() if name in then]
    return replace(used, value=percentile(waits, 99))


def _only_accepted(bench: Bench, asked: Asked) -> None:
    if asked.others:
        bench.faults.append(f"whole path: answers other than 2xx: {asked.others}")
