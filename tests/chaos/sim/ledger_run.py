"""points-accrual, its Kafka and its clients from the first fact to the last look."""

import json
import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from contracts.base import Event
from contracts.topics import POINTS
from tests.unit.points_accrual.samples import DAY, T0, Ledger, published

from . import checks
from .checks import Finding
from .clients import Call, Clients
from .databases import Database
from .kafka import Cluster
from .ledger_facts import Fact, program
from .life import Plot
from .node import Node, Site, Stuck

ROUNDS_MAX = 60
"""So many rounds of everything bring any story to its end."""
END = 20 * DAY
"""After the first fact: all points can be spent, none has expired."""


@dataclass
class LedgerRun:
    """One story. `faults` counts what was done to it."""

    database: Database
    keys: Path
    rng: random.Random
    settings: dict[str, Any] = field(default_factory=dict)
    end: timedelta = END
    faults: Counter[str] = field(default_factory=Counter)
    clients: Clients = field(default_factory=Clients)
    letters: dict[tuple[str, int, int], str] = field(default_factory=dict)
    """Where poison was put, and what has to become of it."""
    nodes: list[Node] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    """What was seen on the way."""
    events: int = 0
    plot: Plot | None = None
    in_order: bool = True
    """Topics are read in the order of what happened."""

    def __post_init__(self) -> None:
        self.cluster = Cluster(T0)
        self.cluster.faults = self.faults
        self.core = Ledger(program())
        self._swept: set[tuple[UUID, int]] = set()
        """Decisions of sweeps that were looked at."""
        self.site = Site(
            POINTS, self.database.dsn, self.cluster, self.keys, [published(program())], self.faults, self.settings,
            self.plot,
        )  # fmt: skip
        self.partitions = self.site.partitions()

    def publish(self, fact: Fact, *, again: bool = False) -> tuple[str, int, int]:
        """Put a fact on its topic, and let the core, which nothing disturbs, take it."""
        self.events += 1
        if not again:
            self.core.sweep(fact.at)
            self.core.send(fact.event)
        return fact.publish(self.cluster)

    async def start(self, *, without: frozenset[type[Event]] = frozenset()) -> Node:
        """A new process, which owns nothing yet."""
        node = self.site.start(self.cluster.now, without=without)
        self.nodes.append(node)
        await node.open()
        return node

    async def start_alone(self, **options: Any) -> Node:
        """A new process that has all partitions, after whoever was before it."""
        node = await self.start(**options)
        await node.take_over(self.partitions)
        return node

    async def consume_all(self, node: Node) -> None:
        """Everything that is there."""
        while await node.consume(dict.fromkeys(self.partitions, 1000)):
            pass

    async def sweep(self, node: Node) -> bool | None:
        """One round, and what it did that nobody could know yet."""
        try:
            return await node.sweep()
        finally:
            self.findings += await checks.swept_ahead(self.database, self.cluster, self.partitions, self._swept)

    async def settle(self, node: Node) -> None:
        """Undisturbed from now on, until nothing is left to be done."""
        self.calm()
        self.cluster.now = max(self.cluster.now, T0 + self.end)
        node.clock.at = self.cluster.now  # type: ignore[attr-defined]
        for _ in range(ROUNDS_MAX):
            if node.dead:
                raise Stuck(f"{node.site.name} died while nothing was done to it")
            await self.consume_all(node)
            while await self.sweep(node):
                pass
            await node.replay()
            await node.relay()
            if await self._done():
                return
        # The checks say what is missing.

    def calm(self) -> None:
        """No more faults."""
        self.cluster.refuse.clear()
        self.cluster.away = 0
        for node in self.nodes:
            node.life.calm()

    async def _done(self) -> bool:
        waiting = await self.database.connection.fetchval(
            """SELECT (SELECT count(*) FROM outbox) + (SELECT count(*) FROM lots WHERE due_at <= $1)
                    + (SELECT count(*) FROM dead_letters WHERE state = 'replaying')""",
            self.cluster.now,
        )
        found = await checks.quiet(self.database, self.cluster, self.partitions)
        return not waiting and not any("is at" in finding.text for finding in found)

    def end_all(self) -> None:
        """Every process is gone."""
        for node in self.nodes:
            node.end()

    async def look(self) -> list[Finding]:
        """What is wrong, now that all is quiet."""
        database, calls = self.database, self.clients.calls
        found = self.findings + await checks.quiet(database, self.cluster, self.partitions)
        found += await checks.letters(database, self.cluster, POINTS, self.letters)
        found += await checks.books(database)
        found += await checks.redemptions(database, calls)
        found += await checks.ledger_events(database, self.cluster)
        self.core.sweep(T0 + self.end)
        found += await same_end(database, self.core, {call.member_id for call in calls}, in_order=self.in_order)
        return found


async def same_end(
    database: Database, core: Ledger, spenders: Iterable[UUID], *, in_order: bool = True
) -> list[Finding]:
    """I4: what was granted is what the undisturbed core granted; so are balances and lots of who spent nothing.

    `in_order`: topics were read in the order of what happened.
    """
    claims = {
        (row["kind"], row["claim_id"]): (row["version"], _points(row["granted"]))
        for row in await database.rows("SELECT kind, claim_id, version, granted::text FROM claims")
    }
    wanted: dict[Any, Any] = {
        tuple(claim.key): (claim.version, {k: v for k, v in claim.granted.items() if v}) for claim in core.claims()
    }
    found = _compare("claim", claims, wanted)
    spent = set(spenders)
    rows = await database.rows("SELECT member_id, pending, active, held, deficit FROM accounts")
    balances = {row[0]: tuple(row)[1:] for row in rows if row[0] not in spent}
    accounts = {key: account for key, account in core.world.accounts.items() if key not in spent}
    found += _compare(
        "balance", balances, {key: (one.pending, one.active, one.held, one.deficit) for key, one in accounts.items()}
    )
    rows = await database.rows("SELECT member_id, claim_kind, claim_id, terms, state, remaining, expires_at FROM lots")
    lots = {tuple(row)[1:4]: tuple(row)[4:] for row in rows if row[0] not in spent}
    undisturbed = {
        (*lot.claim, lot.terms): (lot.state, lot.remaining, lot.expires_at)
        for account in accounts.values() for lot in account.lots.values()
    }  # fmt: skip
    found += _compare("lot", lots, undisturbed) if in_order else _compare("lot", _left(lots), _left(undisturbed))
    total = {key: one.pending + one.active + one.held - one.deficit for key, one in core.world.accounts.items()}
    gone = {
        row[0]: row[1]
        for row in await database.rows(
            """SELECT member_id, sum(CASE WHEN credit IN ('redeemed', 'expired') THEN points
                                          WHEN debit IN ('redeemed', 'expired') THEN -points ELSE 0 END)
               FROM transfers GROUP BY member_id"""
        )
    }
    rows = await database.rows("SELECT member_id, pending + active + held - deficit FROM accounts")
    lots_of_all = [lot for one in core.world.accounts.values() for lot in one.lots.values()]
    if all(lot.state != "ended" or not lot.expired for lot in lots_of_all):
        have = {row[0]: row[1] + int(gone.get(row[0], 0)) for row in rows}
        found += _compare("sum of what was left and spent", have, total)
    return found


def _left(lots: dict[Any, Any]) -> dict[Any, Any]:
    """What can be spent of them. What is learnt late has its dates from when it was learnt, and may pass at once."""
    return {key: (state, remaining) for key, (state, remaining, _) in lots.items() if remaining}


def _points(granted: str) -> dict[str, int]:
    return {rule: points for rule, points in json.loads(granted).items() if points}


def _compare(what: str, have: dict[Any, Any], wanted: dict[Any, Any]) -> list[Finding]:
    return [
        Finding("end state", f"{what} of {key} is {have.get(key)}; undisturbed it is {wanted.get(key)}")
        for key in sorted(have.keys() | wanted.keys(), key=str)
        if have.get(key) != wanted.get(key)
    ]


def asked(run: LedgerRun, member_id: UUID, *, hold: bool = False) -> Call:
    """A client's intention."""
    return run.clients.new(member_id, hold=hold)
