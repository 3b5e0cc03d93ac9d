"""The shop's story, told once to all services, and then again and again to one of them alone, which dies of it."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

import httpx
from aiokafka import TopicPartition

from contracts.topics import INGEST, NOTIFICATION, POINTS, REFERRAL, SERVICES
from notification.store.endpoints import set_endpoint
from order_ingest.store.connections import create_connection, create_source
from shared.learning import topics_of
from tests.integration.notification.parts import published

from . import checks
from .checks import Finding
from .crashes import Play, Played
from .databases import Database
from .edges import simulated
from .kafka import Cluster, Record
from .life import Plot
from .node import DEATHS_MAX, Node, Site, Stuck, Succession
from .shop_end import End, Outside, end_of, named, type_of
from .shop_story import ACTS, SECRET, SOURCE, START, Known, Request

ALONE = tuple(name for name in SERVICES if name != POINTS)
"""Who dies of this story; points-accrual has a richer one of its own."""
ROUNDS = 3
"""So often each works in each act: what one publishes is another's work, and so on."""
_CODES = "SELECT member_id, code FROM members WHERE code IS NOT NULL"


class Worker:
    """One service at its work."""

    def __init__(self, database: Database, site: Site) -> None:
        self.database, self.site = database, site
        self.nodes: list[Node] = []
        self.partitions = site.partitions()
        self._processes = Succession(site.cluster, self._start)

    async def _start(self) -> Node:
        node = self.site.start(self.site.cluster.now)
        self.nodes.append(node)
        await node.open()
        await node.take_over(self.partitions)
        return node

    async def work(self) -> None:
        """What the loops of a process do, each once."""
        everything = dict.fromkeys(self.partitions, 1000)
        await self._processes.step(lambda node: node.consume(everything))
        await self._processes.step(lambda node: node.loops())
        await self._processes.step(lambda node: node.sweep())
        await self._processes.step(lambda node: node.relay())

    async def ask(self, request: Request) -> None:
        """Until it is answered as wanted."""
        answer: httpx.Response | None = None

        async def send(node: Node) -> None:
            nonlocal answer
            answer = await node.do(lambda: node.client.request(**self._request(node, request)))

        for _ in range(DEATHS_MAX):
            await self._processes.step(send)
            if answer is not None and answer.status_code in request.wanted:
                return
        said = answer and f"{answer.status_code} {answer.text}"
        raise Stuck(f"{request.method} {request.path} was answered {said}")

    def _request(self, node: Node, request: Request) -> dict[str, Any]:
        headers = dict(request.headers)
        if request.scope is not None:
            token = node.context.tokens.mint(
                "aurora", request.scope, now=node.clock.now(), ttl=timedelta(minutes=10), subject="shop"
            )
            headers["Authorization"] = f"Bearer {token}"
        content = {"content" if isinstance(request.body, bytes) else "json": request.body}
        return {"method": request.method, "url": request.path, "headers": headers, **content}

    def end(self) -> None:
        """Every process is gone."""
        for node in self.nodes:
            node.end()


@dataclass
class Shop:
    """Everything that the story takes: databases, keys, and what was published when it was told to all."""

    databases: Mapping[str, Database]
    keys: Path
    outside: Outside
    acts: list[list[Record]] = field(default_factory=list)
    """What each act brought to topics."""
    known: Known = field(default_factory=lambda: Known(""))

    async def _worker(self, name: str, cluster: Cluster, plot: Plot | None = None) -> Worker:
        """A service that has nothing yet but what an operator gives it."""
        database = self.databases[name]
        await database.empty()
        if name == INGEST:
            await create_source(database.connection, "aurora", SOURCE, now=START)
            self.known.connection_id = await create_connection(
                database.connection, "aurora", SOURCE, "shopify", SECRET, now=START
            )
        if name == NOTIFICATION:
            await set_endpoint(database.connection, "aurora", self.outside.receiver.url, now=START)
        settings = {"smtp_port": self.outside.mailbox.port, "webhook_allow_hosts": "localhost"}
        site = Site(name, database.dsn, cluster, self.keys, [published()], cluster.faults, settings, plot)
        return Worker(database, site)

    async def record(self) -> Self:
        """Tell it to all."""
        cluster = Cluster(START)
        with simulated(cluster):
            workers = {name: await self._worker(name, cluster) for name in SERVICES}
            try:
                for act in ACTS:
                    cluster.now = act.at
                    before = dict(cluster.ends)
                    act.records(cluster)
                    for request in act.requests(self.known):
                        await workers[request.service].ask(request)
                    for _ in range(ROUNDS):
                        for worker in workers.values():
                            await worker.work()
                    self.acts.append(
                        [one for item, log in cluster.logs.items() for one in log if one.offset >= before.get(item, 0)]
                    )
                    await self._learn()
            finally:
                for worker in workers.values():
                    worker.end()
        return self

    async def _learn(self) -> None:
        rows = await self.databases[INGEST].rows("SELECT value, member_id FROM identities WHERE kind = 'email'")
        self.known.members = {row[0]: row[1] for row in rows}
        rows = await self.databases[REFERRAL].rows(_CODES)
        self.known.codes = {row[0]: row[1] for row in rows}

    async def _codes(self, worker: Worker) -> dict[str, str]:
        """Codes of then → those that were drawn this time, which friends carry now."""
        if worker.site.name != REFERRAL:
            return {}
        return {self.known.codes[row[0]]: row[1] for row in await worker.database.rows(_CODES)}

    def play(self, name: str) -> Play:
        """One service alone, which hears what the others published then. Its end is compared with the first one's."""
        ends: list[End] = []

        async def play(plot: Plot | None) -> Played:
            cluster, findings = Cluster(START), list[Finding]()
            self.outside.empty()
            worker = await self._worker(name, cluster, plot)
            with simulated(cluster):
                try:
                    await self._tell(worker, cluster)
                    end = await end_of(name, worker.database, cluster, self.outside)
                    ends.append(end)
                    findings += await checks.quiet(worker.database, cluster, worker.partitions)
                    findings += end.compared(ends[0], died=plot is not None and plot.fired)
                    findings += self._untold(name, cluster)
                except Stuck as stuck:
                    findings.append(Finding("stuck", str(stuck)))
                finally:
                    worker.end()
            moments = [(name, moment) for node in worker.nodes for moment in node.life.moments]
            return Played(moments, findings, cluster.faults)

        return play

    def _untold(self, name: str, cluster: Cluster) -> list[Finding]:
        """Kinds of events that it told when the story was told to all, and not now that it is alone."""
        own = {topic.name for topic in topics_of(name)}
        told = {type_of(record) for act in self.acts for record in act if record.topic in own}
        now = {type_of(record) for topic in own for record in cluster.records(topic)}
        return [Finding("lost", f"no {kind} was told at all") for kind in sorted(told - now)]

    async def _tell(self, worker: Worker, cluster: Cluster) -> None:
        mine = {item.topic for item in worker.partitions}
        for act, records in zip(ACTS, self.acts, strict=True):
            cluster.now = act.at
            codes = await self._codes(worker)
            for record in records:
                if record.topic in mine:
                    item = TopicPartition(record.topic, record.partition)
                    value = record.value and named(record.value.decode(), codes).encode()
                    cluster.write(item, record.key, value, record.headers)
            for request in act.requests(self.known):
                if request.service == worker.site.name:
                    await worker.ask(request)
            for _ in range(ROUNDS):
                await worker.work()


@asynccontextmanager
async def staged(create: Callable[[str], str], keys: Path) -> AsyncIterator[Shop]:
    """The story, told to all. `create` makes a service's empty database and returns its DSN."""
    databases = {name: await Database.prepare(name, create(name)) for name in SERVICES}
    try:
        async with Outside.open() as outside:
            yield await Shop(databases, keys, outside).record()
    finally:
        for database in databases.values():
            await database.close()
