"""Paid memberships as a function of their coupons: one after the other, in any order of deliveries."""

from datetime import datetime, timedelta
from itertools import pairwise
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.rewards import RewardIssuedV1, RewardReturnedV1
from contracts.tiers import MembershipInterval
from tests.unit.tier.samples import DAY, T0, book, fact, issued, program, returned
from tests.unit.tier.test_member import learn
from tier.domain.member import Member
from tier.domain.membership import Coupon, memberships_of

Told = RewardIssuedV1 | RewardReturnedV1
BOOK, FIRST = book(program()), program()


def coupons(*events: Told) -> dict[UUID, Coupon]:
    known: dict[UUID, Coupon] = {}
    for event in events:
        coupon = known.get(event.coupon_id, Coupon(event.coupon_id))
        known[event.coupon_id] = (
            coupon.with_issue(event) if isinstance(event, RewardIssuedV1) else coupon.with_return(event)
        )
    return known


def spans(*events: Told) -> list[tuple[str, datetime, datetime]]:
    return [(item.membership_id, item.starts_at, item.ends_at) for item in memberships_of(coupons(*events).values())]


def test_a_membership_begins_when_it_is_issued_and_ends_after_its_days() -> None:
    assert spans() == []
    assert spans(issued(1, T0, 90)) == [("plus", T0, T0 + 90 * DAY)]


def test_another_begins_at_the_end_of_the_running_one() -> None:
    assert spans(issued(1, T0), issued(2, T0 + 10 * DAY), issued(3, T0 + 11 * DAY, 5)) == [
        ("plus", T0, T0 + 30 * DAY),
        ("plus", T0 + 30 * DAY, T0 + 60 * DAY),
        ("plus", T0 + 60 * DAY, T0 + 65 * DAY),
    ]


def test_after_a_pause_it_begins_at_once_and_at_the_very_end_without_one() -> None:
    assert spans(issued(1, T0), issued(2, T0 + 40 * DAY))[1] == ("plus", T0 + 40 * DAY, T0 + 70 * DAY)
    assert spans(issued(1, T0), issued(2, T0 + 30 * DAY))[1] == ("plus", T0 + 30 * DAY, T0 + 60 * DAY)


def test_different_memberships_run_side_by_side() -> None:
    assert spans(issued(1, T0), issued(2, T0 + DAY, membership="club")) == [
        ("plus", T0, T0 + 30 * DAY),
        ("club", T0 + DAY, T0 + 31 * DAY),
    ]


def test_what_is_taken_back_ends_then_and_the_next_begins() -> None:
    assert spans(issued(1, T0), returned(1, T0)) == []
    assert spans(issued(1, T0), issued(2, T0 + 10 * DAY), returned(1, T0 + 20 * DAY)) == [
        ("plus", T0, T0 + 20 * DAY),
        ("plus", T0 + 20 * DAY, T0 + 50 * DAY),
    ]


def test_what_is_taken_back_before_it_begins_never_was() -> None:
    assert spans(issued(1, T0), issued(2, T0 + DAY), issued(3, T0 + 2 * DAY), returned(2, T0 + 20 * DAY)) == [
        ("plus", T0, T0 + 30 * DAY),
        ("plus", T0 + 30 * DAY, T0 + 60 * DAY),
    ]


def test_what_comes_back_in_part_or_after_its_end_changes_nothing() -> None:
    whole = [("plus", T0, T0 + 30 * DAY)]
    assert spans(issued(1, T0), returned(1, T0 + DAY, void=False, points=100)) == whole
    assert spans(issued(1, T0), returned(1, T0 + 31 * DAY)) == whole


def test_the_latest_of_what_is_told_counts() -> None:
    stands_again = returned(1, T0 + 2 * DAY, void=False, points=0)
    assert spans(issued(1, T0), returned(1, T0 + DAY), stands_again) == [("plus", T0, T0 + 30 * DAY)]
    assert spans(stands_again, returned(1, T0 + DAY), issued(1, T0)) == [("plus", T0, T0 + 30 * DAY)]


def test_memberships_end_before_time_does() -> None:
    events = [issued(number, T0, 3650) for number in range(1, 40)]
    assert max(item.ends_at for item in memberships_of(coupons(*events).values())).year == 2199


def test_a_coupon_that_names_no_membership_is_an_error() -> None:
    with pytest.raises(ValueError, match="names none"):
        Coupon(UUID(int=1)).with_issue(issued(1, T0).model_copy(update={"membership_id": None}))


moments = st.integers(0, 60).map(lambda days: T0 + days * DAY)
stories = st.lists(
    st.tuples(moments, st.integers(1, 40), st.sampled_from(["plus", "club"]), st.none() | moments), max_size=6
).map(
    lambda drawn: [
        event
        for number, (at, days, membership, back) in enumerate(drawn, 1)
        for event in (issued(number, at, days, membership), *([returned(number, max(at, back))] if back else []))
    ]
)


@settings(deadline=None)
@given(stories, st.randoms(use_true_random=False))
def test_any_order_and_number_of_deliveries_ends_the_same(events: list[Told], chance: object) -> None:
    mixed = events * 2
    chance.shuffle(mixed)  # type: ignore[attr-defined]
    assert spans(*mixed) == spans(*events)


@settings(deadline=None)
@given(stories)
def test_no_bought_day_is_lost_or_given_twice(events: list[Told]) -> None:
    """Those of one kind never overlap; what was not taken back has all of its days."""
    found = memberships_of(coupons(*events).values())
    for membership_id in ("plus", "club"):
        own = [item for item in found if item.membership_id == membership_id]
        assert all(one.ends_at <= following.starts_at for one, following in pairwise(own))
        bought = [event for event in events if isinstance(event, RewardIssuedV1) and event.reward_id == membership_id]
        void = {event.coupon_id for event in events if isinstance(event, RewardReturnedV1)}
        days = sum(event.membership_days or 0 for event in bought if event.coupon_id not in void)
        held = sum((item.ends_at - item.starts_at for item in own), timedelta())
        assert held >= days * DAY
        if not void:
            assert held == days * DAY


def test_a_membership_is_announced_without_a_change_of_the_tier() -> None:
    member = Member(UUID(int=1), "aurora", partition=3)
    learn(member, fact("1", T0, 120), T0)
    bought = issued(1, T0 + DAY, 90)
    assert member.learn_coupon(bought.coupon_id, lambda coupon: coupon.with_issue(bought))
    event = member.reassess(BOOK, FIRST, T0 + DAY, T0 + DAY)
    assert event is not None
    assert (event.version, event.change, event.to_tier_id) == (2, "unchanged", "silver")
    expected = MembershipInterval(membership_id="plus", starts_at=T0 + DAY, ends_at=T0 + 91 * DAY)
    assert event.memberships == (expected,)
    assert not member.learn_coupon(bought.coupon_id, lambda coupon: coupon.with_issue(bought))
    assert member.reassess(BOOK, FIRST, T0 + DAY, T0 + DAY) is None
    # What is announced later says all of it, memberships too.
    later = learn(member, fact("2", T0 + 2 * DAY, 200), T0 + 2 * DAY)
    assert later is not None
    assert (later.change, later.memberships) == ("upgraded", (expected,))
