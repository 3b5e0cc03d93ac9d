"""What a transaction decided goes out in records that the broker takes, whole and in order."""

import asyncio
import json
from typing import cast
from uuid import UUID

import asyncpg
import pytest

from contracts.base import EARLIEST
from contracts.decisions import CommandDone, DecisionsMadeV1
from contracts.points import Cause
from contracts.program import ProgramBook
from contracts.topics import RECORD_BYTES_MAX
from points_accrual.domain.account import Account
from points_accrual.domain.claims import Member
from points_accrual.domain.world import World
from points_accrual.store.journal import RECORD_BYTES, Row, publish_decisions
from shared.transaction import Transaction

from .samples import T0

CAUSE = Cause(kind="standing", id="é" * 200).model_dump_json()


def member(number: int) -> UUID:
    return UUID(f"00000000-0000-8000-8000-{number:012x}")


def row(member_id: UUID, sequence: int, given: str = '{"kind":"order"}') -> Row:
    return (member_id, sequence, "judge", f"judge:{sequence}", CAUSE, T0, T0, given, "{}")


def published(rows: dict[UUID, list[Row]], moved: int = 0, commands: int = 0) -> list[DecisionsMadeV1]:
    """What goes out of these decisions, and of members whose judging only moved on."""
    world = World(ProgramBook(), EARLIEST)
    for member_id in [*rows, *(member(10_000 + number) for number in range(moved))]:
        account = world.accounts[member_id] = Account(member_id, "aurora", EARLIEST)
        world.members[member_id] = Member(member_id)
        account.decisions = [None] * len(rows.get(member_id, ()))  # type: ignore[list-item]
        if member_id not in rows:
            world.moved.add(member_id)
    world.commands = [
        CommandDone(
            member_id=member(0), idempotency_key=f"k{n}", kind="redeem", body="{}", answer="x" * 1000, done_at=T0
        )
        for n in range(commands)
    ]
    tx = Transaction(cast("asyncpg.Connection", None), T0, "points-accrual")
    asyncio.run(publish_decisions(tx, world, rows))
    assert len({dict(item.headers)["ce_id"] for item in tx._rows}) == len(tx._rows)
    for item in tx._rows:
        assert len(item.value or b"") < RECORD_BYTES + 10_000
    return [DecisionsMadeV1.model_validate_json(item.value or b"") for item in tx._rows]


@pytest.mark.parametrize("each", [1, 3, 12])
def test_many_short_decisions_fit_whatever_surrounds_them(each: int) -> None:
    rows = {member(n): [row(member(n), 1 + place) for place in range(each)] for n in range(1000)}
    events = published(rows, commands=3)
    told = [(item.member_id, item.sequence) for event in events for item in event.decisions]
    assert told == [(key, place) for key in sorted(rows) for place in range(1, each + 1)]
    assert len(events) > 1
    for event in events:
        assert {item.member_id for item in event.accounts} == {item.member_id for item in event.decisions}
    assert [len(event.commands) for event in events] == [3] + [0] * (len(events) - 1)


def test_a_history_that_is_longer_than_a_record_goes_on_in_the_next() -> None:
    who = member(7)
    events = published({who: [row(who, place, json.dumps({"note": "ü" * 300})) for place in range(1, 2001)]})
    assert [item.sequence for event in events for item in event.decisions] == list(range(1, 2001))
    assert all([account.member_id for account in event.accounts] == [who] for event in events)


def test_a_decision_that_nearly_fills_a_record_is_packed() -> None:
    first, large = member(1), member(2)
    given = json.dumps({"text": "a" * (RECORD_BYTES_MAX - 10_000)})
    events = published({first: [row(first, 1)], large: [row(large, 1, given), row(large, 2)]})
    assert [item.packed for event in events for item in event.decisions] == [False, True, False]
    assert sum(len(event.model_dump_json()) for event in events) < RECORD_BYTES


def test_who_has_only_moved_on_is_told_too() -> None:
    events = published({}, moved=20_000)
    assert sum(len(event.accounts) for event in events) == 20_000
    assert len(events) > 1
