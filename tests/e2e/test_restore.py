"""A database put back to an hour ago ends as if it had not been; so does everything when Kafka's data is gone."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from contracts.topics import CONSOLE, INGEST, NOTIFICATION, POINTS, REFERRAL, TIER, TOPICS
from laurel.demo.story import Author
from laurel.services import SERVICES
from laurel.stack import Stack

from .drill import ByHand, Drill
from .outcome import Outcome, Tables, read_outcome, read_records
from .shop import Shop

pytestmark = [pytest.mark.e2e, pytest.mark.integration, pytest.mark.timeout(600)]

EXACT = {
    POINTS: (
        "SELECT member_id, pending, active, held, deficit, sequence, clock, frozen, active_at FROM accounts",
        "SELECT transfer_id, member_id, sequence, ordinal, points, debit, credit, effective_at, lot_id FROM transfers",
        "SELECT member_id, sequence, kind, decision_key, cause, occurred_at, effective_at, input FROM decisions",
        "SELECT member_id, sequence, pinned::text FROM decisions",
        "SELECT lot_id, member_id, state, remaining, expired, activates_at, expires_at FROM lots",
        "SELECT coupon_id, member_id, state, code, points, returned, issued_at, expires_at FROM coupons",
        "SELECT member_id, idempotency_key, kind, body::text, answer::text, done_at FROM commands",
        "SELECT program_id, kind, claim_id, member_id, version, granted, lots, pins, base, counts, detail FROM claims",
        "SELECT program_id, member_id, name, time_window, used FROM uses WHERE used <> 0",
    ),
    INGEST: (
        "SELECT kind, source, value, member_id FROM identities WHERE kind = 'customer'",
        "SELECT member_id, version, contact_version, status, enrolled_at, email FROM members",
        "SELECT program_id, source, order_id, member_id, revision, recorded_at FROM orders",
    ),
    TIER: (
        "SELECT member_id, version, status, tier_id, intervals::text, memberships::text, adopted_at FROM members",
        "SELECT member_id, version, change, from_tier_id, to_tier_id, tier_points, occurred_at FROM standing_changes",
        "SELECT member_id, source, order_id, revision, sequence, steps::text FROM order_bases",
    ),
    REFERRAL: (
        "SELECT member_id, partition, version, status, email, code, code_assigned_at, adopted_at FROM members",
        "SELECT referral_id, friend_id, advocate_id, state, reason, version, changed_at FROM referrals",
    ),
    NOTIFICATION: (
        "SELECT member_id, version, status, contact_version, email, referral_code FROM members",
        "SELECT message_id, member_id, event_id, channel, template, state, reason FROM messages",
    ),
    CONSOLE: (
        "SELECT program_id, version, hash FROM program_versions",
        "SELECT member_id, status, segments, segments_version FROM members",
    ),
}
"""What must be the same to the last id."""


class Remembered:
    """How all was before."""

    def __init__(self, drill: Drill, now: datetime) -> None:
        self.drill, self.now = drill, now
        self.by_hand = ByHand(drill.state)
        self.by_hand.act()
        drill.quiet()
        self.answer = self.by_hand.repeat()
        self.persons = Tables(drill.state).persons
        self.outcome = self._outcome()
        self.rows = {name: self._rows(name) for name in EXACT}
        self.transfers = drill.rows(POINTS, "SELECT transfer_id FROM transfers")
        self.events = self._events()

    def _outcome(self) -> Outcome:
        return read_outcome(
            self.drill.state, self.drill.stack.sink, persons={**Tables(self.drill.state).persons, **self.persons}
        )

    def _rows(self, name: str) -> list[list[str]]:
        return [sorted(map(repr, self.drill.rows(name, question))) for question in EXACT[name]]

    def _events(self) -> dict[str, set[bytes]]:
        topics = [topic for topic in TOPICS if topic.partitions is None]
        found: dict[str, set[bytes]] = {}
        for record in asyncio.run(read_records(self.drill.state.kafka, topics)):
            found.setdefault(record.topic, set()).add(dict(record.headers)["ce_id"])
        return found

    def require_complete(self) -> None:
        """What nobody had read before it was lost has come to all; what was before is as it was."""
        outcome = self._outcome()
        # What was told between is not told again, and who joined long ago is not welcomed now.
        known = ("has a message and does not call for any", "is suppressed: too_old")
        faults = [fault for fault in outcome.faults if not fault.endswith(known)]
        assert not faults, "\n".join(faults[:20])
        before, now = self.outcome.facts, outcome.facts
        assert all(now["order"][name] == document for name, document in before["order"].items())
        assert len(now["order"]) == len(now["grant"]) > len(before["order"])
        transfers = "SELECT transfer_id FROM transfers"
        assert set(self.transfers) <= set(self.drill.rows(POINTS, transfers))

    def require_same(self) -> None:
        """Nothing is otherwise: no fact, no id, no message; and nothing was told under a new id."""
        outcome = self._outcome()
        assert not self.outcome.differences(outcome), "\n".join(self.outcome.differences(outcome)[:20])
        assert not outcome.faults, "\n".join(outcome.faults[:20])
        assert (outcome.messages, outcome.mails) == (self.outcome.messages, self.outcome.mails)
        for name, before in self.rows.items():
            for question, old, new in zip(EXACT[name], before, self._rows(name), strict=True):
                assert old == new, f"{question}: {sorted(set(old) ^ set(new))[:6]}"
        for topic, ids in self._events().items():
            assert ids <= self.events[topic], f"{topic}: {len(ids - self.events[topic])} new ids"
        assert self.by_hand.repeat() == self.answer


@pytest.fixture(scope="module")
def before(server_dir: Path) -> Iterator[Remembered]:
    """A Laurel with a backup of an hour ago, and what has happened since."""
    home = server_dir / "restore"
    home.mkdir(mode=0o711)
    now = datetime.now(UTC)
    with Stack(home, durable=False) as stack:
        drill = Drill(stack, home / "backups")
        asyncio.run(Shop(stack.state, Author(1, now), now, pace_seconds=0.0).play(drill.back_up))
        drill.quiet()
        yield Remembered(drill, now)


def test_a_restored_ledger_ends_equal(before: Remembered) -> None:
    put_back(before, POINTS)


@pytest.mark.long
@pytest.mark.parametrize("name", [name for name in SERVICES if name != POINTS])
def test_a_restored_database_ends_equal(before: Remembered, name: str) -> None:
    put_back(before, name)


def put_back(before: Remembered, name: str) -> None:
    """As an operator would: stop, restore, ask the doctor, start."""
    drill = before.drill
    drill.stop(name)
    drill.restore(name)
    told = drill.laurel("doctor", wanted=1)
    assert "was restored from a backup" in told, told
    assert ("Raw deliveries" in told) is (name == INGEST)
    drill.start(name)
    drill.quiet()
    before.require_same()


def test_a_new_kafka_is_told_everything_again(before: Remembered) -> None:
    drill = before.drill
    readers = [name for name in SERVICES if name != INGEST]
    drill.stop(*readers)
    asyncio.run(Shop(drill.state, Author(2, before.now), before.now, pace_seconds=0.0).sell_more(60))
    drill.wait_sent(INGEST)
    drill.stop(INGEST)
    drill.lose_kafka()
    assert "topics made" in drill.laurel("topics", "apply")
    drill.start(*SERVICES)
    drill.wait_stopped(list(SERVICES))
    told = drill.laurel("doctor", wanted=1)
    assert "laurel republish" in told, told
    drill.laurel("republish", "--yes")
    drill.each("offsets", "accept", "--all", "--yes")
    drill.quiet()
    drill.laurel("doctor")
    drill.laurel("rebuild", "points", "--check")
    before.require_complete()
