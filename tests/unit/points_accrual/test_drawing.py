"""Draws: the same for everybody who computes them, and no change goes unseen."""

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from contracts.program import ProgramPublishedV1
from points_accrual.domain.challenges import surprise
from points_accrual.domain.drawing import Entry, announced, commitment, digest, draw, faults, tickets
from tests.unit.points_accrual.samples import DAY, T0, program, published

SEED = bytes(range(32))
TICKETS = [Entry(UUID(int=n), UUID(int=1000 + n % 7)) for n in range(1, 30)]


def test_a_known_draw() -> None:
    """Worked out apart: HMAC-SHA256(seed, "bike" + 0x1f + coupon id), the lowest first."""
    assert commitment(SEED) == "630dcd2966c4336691125448bbb25b4ff412a49c732db2c8abc1b8581bd710dd"
    winners = draw(SEED, "bike", TICKETS, 3)
    assert winners == draw(SEED, "bike", reversed(TICKETS), 3)
    assert len({item.member_id for item in winners}) == 3
    assert len(draw(SEED, "bike", TICKETS, 50)) == 7


@given(st.integers(0, len(TICKETS) - 1), st.sampled_from(["seed", "entry", "owner", "winner", "owner of a winner"]))
def test_every_change_is_noticed(place: int, what: str) -> None:
    winners = draw(SEED, "bike", TICKETS, 3)
    told = {"committed": commitment(SEED), "told_digest": digest(TICKETS), "told_winners": winners}
    assert faults(SEED, "bike", TICKETS, 3, **told) == []  # type: ignore[arg-type]
    seed, tickets = SEED, list(TICKETS)
    if what == "seed":
        seed = bytes([*SEED[:-1], 99])
    elif what == "entry":
        del tickets[place]
    elif what == "owner":
        tickets[place] = replace(tickets[place], member_id=UUID(int=5))
    elif what == "winner":
        told["told_winners"] = winners[::-1]
    else:
        told["told_winners"] = [replace(winners[0], member_id=UUID(int=5)), *winners[1:]]
    assert faults(seed, "bike", tickets, 3, **told)  # type: ignore[arg-type]


def test_a_surprise_is_one_place_of_each_block() -> None:
    places = [surprise(SEED, "luck", UUID(int=1), block, 10) for block in range(200)]
    assert set(places) == set(range(1, 11))


def test_a_draw_is_as_it_was_announced_when_it_closed() -> None:
    """Version 2 adds a prize in time; version 3 comes when the entries are known, and changes nothing."""

    def version(number: int, at_days: int, winners: int, seed: bytes) -> ProgramPublishedV1:
        item = {"id": "bike", "name": {"en": "Bike"}, "closes_at": T0, "winners": winners}
        document = program(version=number, rest={"draws": [item | {"commitment": commitment(seed)}]})
        return published(document).model_copy(update={"published_at": T0 + at_days * DAY})

    versions = [version(1, -9, 1, SEED), version(2, -3, 2, SEED), version(3, 0, 5, SEED[::-1])]
    found = announced(versions, "bike")
    assert found is not None
    assert (found[0].version, found[1].winners, found[1].commitment) == (2, 2, commitment(SEED))
    assert announced(versions, "boat") is None
    assert announced(versions[2:], "bike") is None


@pytest.mark.parametrize(("published_on", "holds"), [(-1, 2), (0, 1), (5, 1)])
def test_a_closing_is_put_off_only_before_it_has_passed(published_on: int, holds: int) -> None:
    versions = []
    for number, (at, closes) in enumerate(((-9, 0), (published_on, 9)), start=1):
        item = {"id": "bike", "name": {"en": "Bike"}, "closes_at": T0 + closes * DAY, "commitment": commitment(SEED)}
        document = program(version=number, rest={"draws": [item | {"winners": 1}]})
        versions.append(published(document).model_copy(update={"published_at": T0 + at * DAY}))
    found = announced(versions, "bike")
    assert found is not None
    assert found[0].version == holds


def test_tickets_belong_to_the_draw_for_which_they_were_bought() -> None:
    """The same reward is for the draw of March in version 1, and for that of April in version 2."""

    def version(number: int, name: str) -> ProgramPublishedV1:
        item = {"id": name, "name": {"en": name}, "closes_at": T0 + timedelta(days=99), "winners": 1}
        ticket = {"type": "draw_entry", "id": "ticket", "name": {"en": "Ticket"}, "cost": 10, "draw": name}
        rest = {"draws": [item | {"commitment": commitment(SEED)}], "rewards": [ticket]}
        return published(program(version=number, rest=rest))

    versions = [version(1, "march"), version(2, "april")]
    assert tickets(versions, "march") == [(1, "ticket")]
    assert tickets(versions, "april") == [(2, "ticket")]


def test_one_seed_decides_one_thing() -> None:
    item = {"name": {"en": "x"}, "closes_at": T0, "winners": 1, "commitment": commitment(SEED)}
    with pytest.raises(ValidationError, match=r"draws\.1\.commitment: is that of draws\.0 already"):
        program(rest={"draws": [item | {"id": "bike"}, item | {"id": "boat"}]})
