"""Looks when all is quiet: what was acknowledged has one effect, what is unknown none or one, and all adds up."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from aiokafka import TopicPartition

from contracts.topics import POINTS_TOPIC, REWARDS
from points_accrual.store.audit import imbalances

from .clients import Call
from .databases import Database
from .kafka import Cluster, Record


@dataclass(frozen=True)
class Finding:
    """Something that is wrong. `kind`: the check that saw it."""

    kind: str
    text: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.text}"


async def quiet(database: Database, cluster: Cluster, partitions: Iterable[TopicPartition]) -> list[Finding]:
    """I9: nothing waits, all is read, and no offset ever went back."""
    found = []
    if waiting := await database.connection.fetchval("SELECT count(*) FROM outbox"):
        found.append(Finding("lost", f"{waiting} events are still in the outbox"))
    stored = {
        TopicPartition(row[0], row[1]): row[2]
        for row in await database.rows("SELECT topic, partition, position FROM consumer_offsets")
    }
    for item in partitions:
        if stored.get(item, 0) != cluster.ends[item]:
            found.append(
                Finding("offsets", f"{item.topic}-{item.partition} is at {stored.get(item)} of {cluster.ends[item]}")
            )
    for row in await database.rows("SELECT * FROM went_back"):
        found.append(Finding("offsets", f"{row[0]}-{row[1]} went back from {row[2]} to {row[3]}"))
    return found


async def swept_ahead(
    database: Database, cluster: Cluster, partitions: Iterable[TopicPartition], seen: set[tuple[UUID, int]]
) -> list[Finding]:
    """Whether a sweep judged what lies behind an event that is on its topic and was not read. `seen`: looked at before.

    To be asked right after a sweep.
    """
    stored = {
        TopicPartition(row[0], row[1]): row[2]
        for row in await database.rows("SELECT topic, partition, position FROM consumer_offsets")
    }
    unread: dict[int, datetime] = {}
    for item in partitions:
        for record in cluster.logs[item]:
            if record.offset >= stored.get(item, 0):
                at = datetime.fromtimestamp(record.timestamp / 1000, UTC)
                unread[item.partition] = min(at, unread.get(item.partition, at))
    rows = await database.rows(
        "SELECT d.member_id, d.sequence, a.partition, d.effective_at FROM decisions d JOIN accounts a USING (member_id)"
        " WHERE d.cause ->> 'kind' = 'sweep'"
    )
    new = [row for row in rows if (row[0], row[1]) not in seen]
    seen.update((row[0], row[1]) for row in new)
    return [
        Finding("swept ahead", f"{row[0]} was swept to {row[3]}, with an event of {unread[row[2]]} unread")
        for row in new
        if row[2] in unread and row[3] > unread[row[2]]
    ]


async def letters(
    database: Database, cluster: Cluster, service: str, expected: dict[tuple[str, int, int], str]
) -> list[Finding]:
    """I9: what was set aside is the poison, each piece once, with a copy on its topic. `expected`: place → state."""
    rows = await database.rows('SELECT topic, partition, "offset", state, error FROM dead_letters')
    found = []
    for row in rows:
        state = expected.get((row[0], row[1], row[2]))
        if state is None:
            found.append(Finding("dead letters", f"{row[0]}-{row[1]} at {row[2]} was set aside: {row[4]}"))
        elif state != row[3]:
            found.append(Finding("dead letters", f"{row[0]}-{row[1]} at {row[2]} is {row[3]}, not {state}"))
    missing = expected.keys() - {(row[0], row[1], row[2]) for row in rows}
    found += [Finding("dead letters", f"poison {place} is nowhere") for place in sorted(missing)]
    for topic in {place[0] for place in expected}:
        copies = {dict(record.headers).get("laurel_origin") for record in cluster.records(f"{topic}.{service}.dlq")}
        for place in (place for place in expected if place[0] == topic):
            if "/".join(map(str, place)).encode() not in copies:
                found.append(Finding("lost", f"dead letter {place} has no copy on its topic"))
    return found


async def books(database: Database) -> list[Finding]:
    """I1, I2, I6: all buckets are zero together, balances are what transfers and lots say, nothing was below zero."""
    found = [Finding("books", text) for text in await imbalances(database.connection)]
    rows = await database.rows(
        """SELECT member_id, bucket, min(running) FROM (
             SELECT member_id, bucket, sum(change) OVER (PARTITION BY member_id, bucket ORDER BY sequence, ordinal)
                    AS running
             FROM transfers CROSS JOIN LATERAL (VALUES (credit, points), (debit, -points)) AS b (bucket, change)
             WHERE bucket IN ('pending', 'active', 'held')) r
           GROUP BY 1, 2 HAVING min(running) < 0"""
    )
    return found + [Finding("books", f"{row[1]} of {row[0]} was {row[2]}") for row in rows]


async def redemptions(database: Database, calls: Iterable[Call]) -> list[Finding]:
    """I3 for commands: acknowledged is one effect, unknown none or one, refused none; each spends its points once."""
    rows = await database.rows("SELECT decision_key, member_id FROM decisions WHERE kind = 'redeem'")
    effects = Counter(str(row[0]).removeprefix("command:") for row in rows)
    coupons = {row[0]: row for row in await database.rows("SELECT coupon_id, member_id, points, state FROM coupons")}
    found = []
    if len(coupons) != len(rows):
        found.append(Finding("doubled", f"{len(coupons)} coupons came of {len(rows)} redemptions"))
    known = {call.key for call in calls}
    found += [Finding("doubled", f"redemption {key} was never asked for") for key in effects.keys() - known]
    for call in calls:
        count = effects[call.key]
        for status, body in call.answers:
            if status is not None and status not in (201, 404, 409, 503):
                found.append(Finding("answers", f"{call.key} was answered {status}: {body}"))
        if count > 1:
            found.append(Finding("doubled", f"{call.key} had {count} effects"))
        if call.outcome == "acknowledged" and count == 0:
            found.append(Finding("lost", f"{call.key} was acknowledged and had no effect"))
        if call.outcome == "refused" and count:
            found.append(Finding("doubled", f"{call.key} was refused and had an effect"))
        told = {body["coupon_id"] for status, body in call.answers if status == 201}
        if len(told) > 1:
            found.append(Finding("doubled", f"{call.key} was told {len(told)} coupons"))
        found += [Finding("lost", f"coupon {one} of {call.key} is gone") for one in told if UUID(one) not in coupons]
    return found


async def ledger_events(database: Database, cluster: Cluster) -> list[Finding]:
    """Every transfer and every coupon was told at least once, none that is not there, in the order of the account."""
    found: list[Finding] = []
    made = {str(row[0]) for row in await database.rows("SELECT transfer_id FROM transfers")}
    told: dict[str, set[str]] = defaultdict(set)
    for record in cluster.records(POINTS_TOPIC.name):
        for transfer in json.loads(record.value or b"{}").get("transfers", ()):
            told[transfer["transfer_id"]].add(_id(record))
    found += [Finding("lost", f"transfer {one} was told to nobody") for one in made - told.keys()]
    found += [Finding("phantom", f"transfer {one} was told and is not there") for one in told.keys() - made]
    twice = [one for one, ids in told.items() if len(ids) > 1]
    found += [Finding("doubled", f"transfer {one} was told by {len(told[one])} events") for one in twice]
    issued = {str(row[0]) for row in await database.rows("SELECT coupon_id FROM coupons WHERE issued_at IS NOT NULL")}
    announced = {
        json.loads(record.value or b"{}")["coupon_id"]
        for record in cluster.records(REWARDS.name)
        if dict(record.headers)["ce_type"] == b"loyalty.reward.issued.v1"
    }
    found += [Finding("lost", f"coupon {one} was announced to nobody") for one in issued - announced]
    found += [Finding("phantom", f"coupon {one} was announced and is not there") for one in announced - issued]
    for topic in (POINTS_TOPIC.name, REWARDS.name):
        found += in_order(cluster.records(topic))
    return found


def in_order(records: Iterable[Record]) -> list[Finding]:
    """Per key, repeats are whole: who sends again begins where it was not sure, and goes on to the end."""
    found = []
    by_key: dict[bytes, list[Record]] = defaultdict(list)
    for record in records:
        by_key[record.key or b""].append(record)
    for key, sent in by_key.items():
        ranks: dict[str, int] = {}
        values: dict[str, bytes | None] = {}
        sequences: list[int] = []
        last = -1
        for record in sent:
            name = _id(record)
            if values.setdefault(name, record.value) != record.value:
                found.append(Finding("doubled", f"event {name} of {key!r} was sent with two contents"))
            if name not in ranks:
                ranks[name] = len(ranks)
                sequences.append(json.loads(record.value or b"{}").get("sequence", 0))
            if ranks[name] > last + 1:
                found.append(Finding("order", f"{record.topic} of {key!r}: a repeat left something out"))
            last = ranks[name]
        if last != len(ranks) - 1:
            found.append(Finding("order", f"{sent[0].topic} of {key!r}: a repeat ended early"))
        if sequences != sorted(sequences):
            found.append(Finding("order", f"{sent[0].topic} of {key!r}: decisions were told as {sequences}"))
    return found


def _id(record: Record) -> str:
    return str(dict(record.headers)["ce_id"].decode())


def repeats(records: Iterable[Record]) -> int:
    """How many records were sent again."""
    counts = Counter(_id(record) for record in records if "ce_id" in dict(record.headers))
    return sum(count - 1 for count in counts.values())
