"""What came of it all, told so that runs can be compared: by persons and orders, without what chance or time drew."""

import asyncio
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import psycopg
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from psycopg.rows import dict_row

from contracts.base import Event
from contracts.envelope import from_headers
from contracts.members import MemberChangedV1
from contracts.points import PointsGrantedV1
from contracts.rewards import RewardIssuedV1
from contracts.tiers import StandingChangedV1
from contracts.topics import (
    EVENTS,
    INGEST,
    MEMBERS,
    NOTIFICATION,
    PARTITIONS_DEFAULT,
    POINTS,
    POINTS_TOPIC,
    REFERRAL,
    REWARDS,
    TIER,
    TIERS,
    Topic,
)
from laurel.embedded import SmtpSink
from laurel.installation import State
from order_ingest.domain.merge import OrderState, render

Facts = dict[str, Any]


@dataclass
class Outcome:
    """`facts`: by subject and name, what must be the same in every run. `faults`: what is wrong within this one."""

    facts: dict[str, Facts]
    faults: list[str]
    messages: int
    mails: int
    kills: Counter[str] = field(default_factory=Counter)

    def differences(self, other: "Outcome") -> list[str]:
        """One line for each fact that the other run has otherwise."""
        found = []
        for subject in sorted(self.facts.keys() | other.facts.keys()):
            mine, theirs = self.facts.get(subject, {}), other.facts.get(subject, {})
            for name in sorted(mine.keys() | theirs.keys()):
                if mine.get(name) != theirs.get(name):
                    found.append(f"{subject} of {name}:\n    {mine.get(name)}\n    {theirs.get(name)}")
        return found


def read_outcome(
    state: State,
    sink: SmtpSink,
    refused: frozenset[str] = frozenset(),
    persons: Mapping[UUID, str] | None = None,
) -> Outcome:
    """Read it from the databases, the topics and the mails; all must be quiet.

    `refused`: the Message-IDs that the mail server refused for good. `persons`: who is who, where it is known already.
    """
    tables = Tables(state, persons)
    events = asyncio.run(read_events(state.kafka, (MEMBERS, POINTS_TOPIC, TIERS, REWARDS)))
    messages = tables.rows(NOTIFICATION, "SELECT * FROM messages")
    mails = [str(mail["Message-ID"]) for mail in sink.mails()]
    return Outcome(
        facts=_facts(tables),
        faults=[*_wrong_books(tables), *_wrong_messages(events, messages, mails, refused)],
        messages=len(messages),
        mails=len(set(mails)),
    )


class Tables:
    """The services' databases; members are told by what leads to them, since their ids are drawn."""

    def __init__(self, state: State, persons: Mapping[UUID, str] | None = None) -> None:
        self._state = state
        names: dict[UUID, list[str]] = defaultdict(list)
        for row in self.rows(INGEST, "SELECT kind, value, member_id FROM identities ORDER BY kind DESC, value"):
            if row["member_id"]:
                names[row["member_id"]].append(row["value"])
        self.persons = persons or {member_id: " ".join(values) for member_id, values in names.items()}
        rows = self.rows(REFERRAL, "SELECT member_id, code FROM members WHERE code IS NOT NULL")
        self.codes = {row["code"]: f"code of {self.persons[row['member_id']]}" for row in rows}

    def rows(self, service: str, question: str) -> list[Facts]:
        with psycopg.connect(self._state.databases[service], row_factory=dict_row) as connection:
            return connection.execute(question.encode()).fetchall()

    def by_person(self, service: str, question: str) -> Facts:
        return {self.persons[row.pop("member_id")]: row for row in self.rows(service, question)}


def _facts(tables: Tables) -> dict[str, Facts]:
    grants = tables.rows(
        POINTS,
        # A rule that gave something for a moment, before a refund was read, is left with nothing.
        """SELECT split_part(claim_id, ':', 2) AS order_id, member_id, program_version, reason, base,
               (SELECT jsonb_object_agg(key, value) FROM jsonb_each(granted) WHERE value <> '0') AS granted
           FROM claims WHERE kind = 'order'""",
    )
    return {
        "order": {row["order_id"]: _order(row, tables) for row in tables.rows(INGEST, "SELECT * FROM orders")},
        "grant": {row.pop("order_id"): row | {"member_id": tables.persons[row["member_id"]]} for row in grants},
        "member": tables.by_person(
            POINTS, "SELECT member_id, status, enrolled_at FROM members JOIN accounts USING (member_id)"
        ),
        "balance": tables.by_person(POINTS, "SELECT member_id, pending, active, held, deficit FROM accounts"),
        "tier": tables.by_person(TIER, "SELECT member_id, status, tier_id, intervals FROM members"),
        "standing as points-accrual knows it": tables.by_person(POINTS, "SELECT member_id, intervals FROM members"),
        "referral": _referrals(tables),
        "referral's grant": _referral_grants(tables),
        "coupons": tables.by_person(
            POINTS, "SELECT member_id, array_agg(reward_id ORDER BY reward_id) AS rewards FROM coupons GROUP BY 1"
        ),
        "code": dict.fromkeys(tables.codes.values(), True),
    }


def _order(row: Facts, tables: Tables) -> Any:
    """The canonical order. Fingerprints are salted anew in each run and codes are drawn, so they are told by whose."""
    facts = render(OrderState.model_validate_json(bytes(row["state"])))
    text = json.dumps(facts.model_dump(mode="json", exclude={"fingerprints"}) if facts else None)
    for code, name in tables.codes.items():
        text = text.replace(code, name)
    return {"of": tables.persons[row["member_id"]], "document": json.loads(text)}


def _referrals(tables: Tables) -> Facts:
    rows = tables.rows(REFERRAL, "SELECT * FROM referrals")
    return {
        f"{tables.persons[row['friend_id']]} by {tables.persons[row['advocate_id']]} with {row['order_id']}": {
            name: row[name] for name in ("state", "reason", "placed_at")
        }
        for row in rows
    }


def _referral_grants(tables: Tables) -> Facts:
    who = {row["referral_id"]: row for row in tables.rows(REFERRAL, "SELECT * FROM referrals")}
    rows = tables.rows(
        POINTS,
        """SELECT member_id, split_part(claim_id, ':', 1)::uuid AS referral_id, split_part(claim_id, ':', 2) AS role,
               reason, granted, program_version, (detail ->> 'confirmed')::bool AS confirmed
           FROM claims WHERE kind = 'referral'""",
    )
    return {
        f"{tables.persons[row['member_id']]} as {row['role']} with {who[row['referral_id']]['order_id']}": {
            name: row[name] for name in ("reason", "granted", "program_version")
        }
        for row in rows
        if row["confirmed"]  # One that was confirmed for a moment, before a refund was read, leaves a row of nothing.
    }


def _wrong_books(tables: Tables) -> list[str]:
    """What no run may end with: things set aside, books that do not add up, services that know different orders."""
    faults = []
    for service in tables._state.databases:
        for row in tables.rows(service, "SELECT topic, event_type, error FROM dead_letters"):
            faults.append(f"{service} set aside {row['event_type']} of {row['topic']}: {row['error']}")
    for row in tables.rows(INGEST, "SELECT topic, reason FROM deliveries WHERE status = 'quarantined'"):
        faults.append(f"quarantined {row['topic']}: {row['reason']}")
    for row in tables.rows(POINTS, UNBALANCED):
        faults.append(
            f"{tables.persons[row['member_id']]}: {row['bucket']} is {row['balance']}, transfers say {row['sum']}"
        )
    orders = "SELECT order_id, revision FROM orders"
    claims = "SELECT split_part(claim_id, ':', 2) AS order_id, version AS revision FROM claims WHERE kind = 'order'"
    revisions = {
        service: {row["order_id"]: row["revision"] for row in tables.rows(service, question)}
        for service, question in ((INGEST, orders), (POINTS, claims), (REFERRAL, orders))
    }
    for service in (POINTS, REFERRAL):
        if revisions[service] != revisions[INGEST]:
            unlike = revisions[service].items() ^ revisions[INGEST].items()
            faults.append(f"{service} does not know the last revision of orders {sorted({key for key, _ in unlike})}")
    return faults


UNBALANCED = """
    SELECT a.member_id, b.bucket, b.balance, coalesce(t.sum, 0) AS sum
    FROM accounts a
    CROSS JOIN LATERAL (VALUES ('pending', pending), ('active', active), ('held', held), ('deficit', deficit))
        AS b (bucket, balance)
    LEFT JOIN LATERAL (
        SELECT sum(CASE WHEN credit = b.bucket THEN points ELSE -points END) FROM transfers
        WHERE member_id = a.member_id AND b.bucket IN (debit, credit)) AS t ON true
    WHERE abs(coalesce(t.sum, 0)) <> b.balance"""
"""A deficit is what the member owes: transfers tell it as less than nothing."""


async def read_events(kafka: str, topics: Iterable[Topic]) -> list[tuple[UUID, Event]]:
    """Everything on the topics, from the beginning; an event sent twice comes twice."""
    found = []
    for record in await read_records(kafka, topics):
        envelope = from_headers(record.headers)
        found.append((envelope.id, EVENTS[envelope.type].model_validate_json(record.value)))
    return found


async def read_records(kafka: str, topics: Iterable[Topic]) -> list[ConsumerRecord]:
    """The same as it lies there."""
    partitions = [TopicPartition(topic.name, number) for topic in topics for number in range(PARTITIONS_DEFAULT)]
    found: list[ConsumerRecord] = []
    async with AIOKafkaConsumer(bootstrap_servers=kafka, group_id=None, enable_auto_commit=False) as consumer:
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        ends = await consumer.end_offsets(partitions)
        while any([await consumer.position(item) < ends[item] for item in partitions]):
            for records in (await consumer.getmany(timeout_ms=500)).values():
                found += records
    return found


def _wrong_messages(
    events: Iterable[tuple[UUID, Event]], messages: list[Facts], mails: list[str], refused: frozenset[str]
) -> list[str]:
    """Every event that calls for a message has exactly one, and every message sent is a mail of its own."""
    messages = [row for row in messages if row["channel"] == "email"]
    not_taken = {_message_id(mail) for mail in refused}
    faults = [
        f"the {row['template']} {row['message_id']} is {row['state']}: {row['reason']}"
        for row in messages
        if row["state"] != ("failed" if str(row["message_id"]) in not_taken else "sent")
    ]
    joined = {event.member_id for _, event in events if isinstance(event, MemberChangedV1) and event.status == "member"}
    welcomed = Counter(row["member_id"] for row in messages if row["template"] == "welcome")
    faults += [f"member {one} was welcomed {welcomed[one]} times" for one in joined if welcomed[one] != 1]
    faults += [f"shopper {one} was welcomed" for one in welcomed.keys() - joined]
    calling = {event_id for event_id, event in events if _calls(event)}
    told = Counter(row["event_id"] for row in messages if row["template"] != "welcome")
    faults += [f"event {one} has {told[one]} messages" for one in calling if told[one] != 1]
    faults += [f"event {one} has a message and does not call for any" for one in told.keys() - calling]
    # Towards the mail server it is at least once, always under the same Message-ID.
    arrived = {_message_id(mail) for mail in mails}
    sent = {str(row["message_id"]) for row in messages if row["state"] == "sent"}
    faults += [f"message {one} was sent and did not arrive" for one in sent - arrived]
    faults += [f"mail {one} belongs to no message" for one in arrived - sent]
    return faults


def _message_id(mail: str) -> str:
    return mail.strip("<>").partition("@")[0]


def _calls(event: Event) -> bool:
    match event:
        case PointsGrantedV1():
            return event.points > 0
        case StandingChangedV1():
            return event.change == "upgraded"
        case _:
            return isinstance(event, RewardIssuedV1)
