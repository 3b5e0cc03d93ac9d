"""How the shop's story ends for a service: what is in its database, on its topics, and in the hands of others."""

import json
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from contracts.topics import INGEST, NOTIFICATION, REFERRAL
from shared.learning import topics_of
from tests.integration.notification.parts import Mailbox, Receiver, receiver

from . import checks
from .checks import Finding
from .databases import Database
from .kafka import Cluster, Record

HANDED_MAX = 2
"""A mail or webhook whose sender died before it could write that down goes once more, under the same id."""
DIFFERENT = (
    "traceparent", "correlation_id", "id", "delivery_id", "secret_id", "answer", "state", "headers", "secret", "url",
    "dead_letters.created_at", "messages.attempts", "messages.finished_at",
    "messages.number", "messages.refused_at", "endpoints.accepted_at",
)  # fmt: skip
"""Columns that differ between two undisturbed runs; what is in them is in the events, too."""
NAMES = {
    INGEST: """SELECT member_id::text, min(kind || ' ' || value) FROM identities WHERE member_id IS NOT NULL GROUP BY 1
               UNION ALL SELECT connection_id, 'the connection' FROM connections""",
    REFERRAL: "SELECT code, 'code of ' || member_id FROM members WHERE code IS NOT NULL",
}
"""What is drawn at random, and what to call it in two runs that are compared."""


@dataclass
class Outside:
    """Where mails and webhooks go."""

    mailbox: Mailbox
    receiver: Receiver

    @classmethod
    @asynccontextmanager
    async def open(cls) -> AsyncIterator["Outside"]:
        """Both, on loopback."""
        mailbox = Mailbox()
        await mailbox.start()
        async with receiver() as made:
            try:
                yield cls(mailbox, made)
            finally:
                await mailbox.stop()

    def empty(self) -> None:
        """Forget what came."""
        self.mailbox.mails.clear()
        self.receiver.requests.clear()

    def taken(self) -> dict[str, list[str]]:
        """What came, by its id."""
        found: dict[str, list[str]] = defaultdict(list)
        for mail in self.mailbox.mails:
            found[str(mail["Message-ID"])].append(f"{mail['Subject']} to {mail['To']}")
        for _, headers, body in self.receiver.requests:
            found[headers["webhook-id"]].append(body.decode())
        return found


@dataclass
class End:
    """What there is in the end: rows, distinct events, mails and webhooks by their id."""

    rows: Counter[str]
    events: Counter[str]
    taken: dict[str, list[str]]
    findings: list[Finding]

    def compared(self, first: "End", *, died: bool) -> list[Finding]:
        """What is not as in the first end, and what nobody may see twice unless a sender died."""
        found = list(self.findings)
        for what, mine, wanted in (("row", self.rows, first.rows), ("event", self.events, first.events)):
            found += [Finding("lost", f"{what} {text}") for text in (wanted - mine)]
            found += [Finding("doubled", f"{what} {text}") for text in (mine - wanted)]
        found += [Finding("lost", f"{one} was handed over to nobody") for one in first.taken.keys() - self.taken.keys()]
        found += [Finding("doubled", f"{one} is a new one") for one in self.taken.keys() - first.taken.keys()]
        for one, contents in self.taken.items():
            if len(set(contents)) > 1 or len(contents) > (HANDED_MAX if died else 1):
                found.append(Finding("doubled", f"{one} was handed over as {contents}"))
        return found


def _text(row: Mapping[str, Any]) -> str:
    return json.dumps(row, sort_keys=True)


def type_of(record: Record) -> str:
    """Of an event."""
    return str(dict(record.headers)["ce_type"].decode())


def named(text: str, names: Mapping[str, str]) -> str:
    """With what was drawn called by its name."""
    for drawn, name in names.items():
        text = text.replace(drawn, name)
    return text


async def end_of(name: str, database: Database, cluster: Cluster, outside: Outside) -> End:
    """How it ended for a service."""
    drawn = await database.rows(NAMES[name]) if name in NAMES else []
    names = {str(row[0]): str(row[1]) for row in drawn}
    rows = Counter(named(f"{table} {_text(row)}", names) for table, row in await database.dump(DIFFERENT))
    events: dict[str, str] = {}
    findings = []
    for topic in topics_of(name):
        records = cluster.records(topic.name)
        findings += checks.in_order(records)
        events |= {dict(record.headers)["ce_id"].decode(): named(_told(name, record), names) for record in records}
    return End(rows, Counter(events.values()), outside.taken(), findings)


def _told(name: str, record: Record) -> str:
    """An event as it is compared: whatever its own id, and when a mail that is late is sent."""
    data = json.loads(record.value or b"{}")
    if name == NOTIFICATION:
        del data["occurred_at"]
    return f"{type_of(record)} of {(record.key or b'').decode()}: {_text(data)}"
