"""Who is brought by whom: the table of self-referrals, firsts, and whatever order facts arrive in."""

from collections.abc import Iterable
from dataclasses import replace
from random import Random
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.members import MemberChangedV1
from contracts.orders import Dispute, OrderChangedV1
from contracts.program import ProgramBook
from contracts.referrals import (
    ReferralCodeAssignedV1,
    ReferralConfirmedV1,
    ReferralEvent,
    ReferralRejectedV1,
    ReferralReversedV1,
)
from referral.domain.judging import GONE, judge
from referral.domain.members import Member, ReferralKey
from referral.domain.world import World
from tests.unit.referral.samples import (
    ADVOCATE,
    CODES,
    FRIEND,
    HOUR,
    MINIMUM,
    OTHER,
    T0,
    book,
    order,
    profile,
    program,
    published,
    refund,
)

MEMBERS = (ADVOCATE, OTHER, FRIEND)
Fact = MemberChangedV1 | OrderChangedV1


def new_world(programs: ProgramBook | None = None) -> World:
    members = {member_id: Member(member_id, "aurora") for member_id in MEMBERS}
    return World(programs or book(program()), T0, members, frozenset(MEMBERS), {}, CODES)


def tell(world: World, *facts: Fact) -> list[tuple[str, str, str | None]]:
    """What is announced: the kind, the role, and the reason or order."""
    for fact in facts:
        if isinstance(fact, MemberChangedV1):
            world.change_member(fact)
        else:
            world.change_order(fact)
    told = [_short(event) for event in world.announced if isinstance(event, ReferralEvent)]
    world.announced.clear()
    return told


def _short(event: ReferralEvent) -> tuple[str, str, str | None]:
    if isinstance(event, ReferralConfirmedV1):
        return "confirmed", event.role, event.order_id
    assert isinstance(event, ReferralRejectedV1 | ReferralReversedV1)
    return "rejected" if isinstance(event, ReferralRejectedV1) else "reversed", event.role, event.reason


def both(kind: str, what: str) -> list[tuple[str, str, str | None]]:
    return [(kind, "advocate", what), (kind, "friend", what)]


def with_advocate(**values: str) -> World:
    world = new_world()
    world.change_member(profile(ADVOCATE, email=values.get("email")))
    world.announced.clear()
    return world


CODE = CODES[ADVOCATE]


def test_a_member_gets_one_code() -> None:
    world = new_world()
    world.change_member(profile(ADVOCATE, status="shopper"))
    assert world.announced == []
    world.change_member(profile(ADVOCATE, version=2))
    world.change_member(profile(ADVOCATE, version=3))
    assert world.announced == [
        ReferralCodeAssignedV1(program_id="aurora", member_id=ADVOCATE, code=CODE, assigned_at=T0)
    ]


def test_a_program_without_referrals_gives_no_codes() -> None:
    world = new_world(book(program(referral=False)))
    world.change_member(profile(ADVOCATE))
    assert world.announced == []


def test_the_first_order_with_the_code_brings_both() -> None:
    world = with_advocate()
    assert tell(world, order(FRIEND, "1", code=CODE.lower())) == both("confirmed", "1")
    assert tell(world, order(FRIEND, "1", code=CODE.lower())) == []


def test_both_parties_are_told_the_same_under_their_own_key() -> None:
    world = with_advocate()
    world.change_order(order(FRIEND, "1", attribute=CODE))
    advocate, friend = world.announced
    assert isinstance(advocate, ReferralConfirmedV1)
    assert isinstance(friend, ReferralConfirmedV1)
    assert (advocate.key(), friend.key()) == (str(ADVOCATE), str(FRIEND))
    assert advocate.model_copy(update={"role": "friend", "member_id": FRIEND}) == friend
    assert (friend.version, friend.order_minor, friend.advocate_id) == (1, 8000, ADVOCATE)


@pytest.mark.parametrize(
    ("advocate_email", "advocate_order", "friend_order", "reason"),
    [
        ("e1", {}, {"email": "e1"}, "self_email"),
        (None, {"email": "e1"}, {"email": "e1"}, "self_email"),
        ("e1", {"address": "a1"}, {"email": "e2", "address": "a1"}, "self_fingerprint"),
        ("e1", {"payment": "p1"}, {"email": "e2", "payment": "p1"}, "self_fingerprint"),
        ("e1", {"email": "e1", "address": "a1", "payment": "p1"}, {"email": "e1", "address": "a1"}, "self_email"),
        # An equal ip alone says nothing, nor does the same hash of something else, nor nothing on both sides.
        ("e1", {"ip": "i1"}, {"email": "e2", "ip": "i1"}, None),
        ("e1", {"address": "x"}, {"payment": "x"}, None),
        (None, {}, {}, None),
    ],
)
def test_self_referrals(
    advocate_email: str | None, advocate_order: dict[str, str], friend_order: dict[str, str], reason: str | None
) -> None:
    facts: list[Fact] = [
        profile(ADVOCATE, email=advocate_email),
        order(ADVOCATE, "own", prints=advocate_order),
        order(FRIEND, "1", code=CODE, prints=friend_order),
    ]
    expected = [("rejected", "friend", reason)] if reason else both("confirmed", "1")
    assert tell(new_world(), *facts) == expected


def test_a_fingerprint_that_becomes_known_later_reverses() -> None:
    world = with_advocate()
    tell(world, order(FRIEND, "1", code=CODE, prints={"address": "a1"}))
    assert tell(world, order(ADVOCATE, "own", prints={"address": "a1"})) == both("reversed", "self_fingerprint")


def test_own_code_and_own_other_address() -> None:
    world = with_advocate()
    assert tell(world, order(ADVOCATE, "1", code=CODE)) == [("rejected", "friend", "self_email")]
    tell(world, profile(FRIEND, email="e1"))
    assert tell(world, order(FRIEND, "1", code=CODE)) == both("confirmed", "1")
    assert tell(world, profile(ADVOCATE, version=2, email="e1")) == both("reversed", "self_email")


def test_who_bought_before_there_were_referrals_was_not_brought() -> None:
    began = program(version=2, effective_from=T0 - HOUR)
    world = new_world(book(program(referral=False), began))
    tell(world, profile(ADVOCATE), order(FRIEND, "1", at=-3), order(OTHER, "1", at=-3, payment="refunded"))
    told = tell(world, order(FRIEND, "2", at=2, code=CODE), order(OTHER, "2", at=2, code=CODE))
    assert told == [("rejected", "friend", "not_first_order"), *both("confirmed", "2")]


def test_a_referral_whose_order_is_unknown_stays_as_it_was_told() -> None:
    """After a restore, where the order's topic does not reach back so far."""
    world = with_advocate()
    tell(world, order(FRIEND, "1", code=CODE))
    friend = world.members[FRIEND]
    friend.orders.clear()
    friend.adopted_at = T0
    world.revisit(friend)
    assert tell(world, order(FRIEND, "2", at=1)) == []
    assert [referral.verdict.state for referral in friend.referrals.values()] == ["confirmed"]


def test_a_backdated_version_leaves_judged_orders_alone() -> None:
    programs = book(program())
    world = new_world(programs)
    tell(world, profile(ADVOCATE), order(FRIEND, "1", code=CODE))
    programs.add(published(program(version=2, referral=False, effective_from=T0 - 100 * HOUR)))
    world.revisit(world.members[FRIEND])
    assert tell(world, order(FRIEND, "1", revision=2, code=CODE)) == []
    assert tell(world, order(OTHER, "1", code=CODE)) == []


def test_news_of_a_profile_judge_what_waited_for_a_version() -> None:
    programs = ProgramBook()
    world = new_world(programs)
    tell(world, profile(ADVOCATE), order(FRIEND, "1", code=CODE))
    programs.add(published(program()))
    assert tell(world, profile(ADVOCATE, version=2), profile(FRIEND, status="shopper")) == both("confirmed", "1")


def test_what_waits_for_a_version_is_judged_as_if_it_had_come_after_it() -> None:
    contested = order(FRIEND, "1", attribute=CODE).model_copy(
        update={
            "attributes": {"gift": CODES[OTHER], "referral_code": CODE},
            "disputes": (Dispute(dispute_id="1", opened_at=T0),),
        }
    )
    document = program()
    document = document.model_copy(update={"earning": document.earning.model_copy(update={"disputes": "when_lost"})})
    late, programs = ProgramBook(), ProgramBook()
    late.add(published(document))
    told = tell(new_world(late), profile(ADVOCATE), profile(OTHER), contested)
    assert told == both("confirmed", "1")

    world = new_world(programs)
    assert tell(world, profile(ADVOCATE), profile(OTHER), contested) == []
    programs.add(published(document))
    assert tell(world, profile(ADVOCATE, version=2), profile(OTHER, version=2)) == told


def test_what_a_process_of_before_kept_since_is_not_gone_back_on() -> None:
    programs = ProgramBook()
    world = new_world(programs)
    tell(world, profile(ADVOCATE), order(FRIEND, "1", attribute=CODE))
    member = world.members[FRIEND]
    (kept,) = member.orders.values()
    member.orders[kept.key] = replace(kept, revision=2, cancelled=True)
    programs.add(published(program()))
    tell(world, profile(ADVOCATE, version=2))
    assert member.orders[kept.key].cancelled


def test_who_bought_before_was_not_brought() -> None:
    world = with_advocate()
    tell(world, order(FRIEND, "1"))
    assert tell(world, order(FRIEND, "2", at=1, code=CODE)) == [("rejected", "friend", "not_first_order")]


def test_an_order_that_does_not_count_is_no_first() -> None:
    world = with_advocate()
    tell(world, order(FRIEND, "1", minor=MINIMUM - 1), order(FRIEND, "2", at=1, test=True))
    assert tell(world, order(FRIEND, "3", at=2, code=CODE)) == both("confirmed", "3")


def test_a_friend_is_brought_once() -> None:
    world = with_advocate()
    tell(world, profile(OTHER), order(FRIEND, "1", code=CODE))
    assert tell(world, order(FRIEND, "2", at=1, code=CODES[OTHER])) == [("rejected", "friend", "already_referred")]


def test_orders_of_one_moment_go_by_their_id() -> None:
    world = with_advocate()
    tell(world, order(FRIEND, "2", code=CODE))
    assert tell(world, order(FRIEND, "1")) == both("reversed", "superseded")


def test_an_earlier_order_that_arrives_late_supersedes() -> None:
    world = with_advocate()
    tell(world, profile(OTHER), order(FRIEND, "2", at=2, code=CODE))
    told = tell(world, order(FRIEND, "1", at=1, code=CODES[OTHER]))
    assert told == both("reversed", "superseded") + both("confirmed", "1")


def test_refunds_below_the_minimum_reverse_and_more_money_confirms_again() -> None:
    world = with_advocate()
    tell(world, order(FRIEND, "1", code=CODE))
    partly = order(FRIEND, "1", revision=2, code=CODE, payment="partially_refunded", refunds=(refund("a", 3001),))
    assert tell(world, partly) == both("reversed", "below_minimum")
    assert tell(world, order(FRIEND, "1", revision=3, minor=9000, code=CODE)) == both("confirmed", "1")
    (referral,) = world.members[FRIEND].referrals.values()
    assert (referral.verdict.state, referral.version, referral.order_minor) == ("confirmed", 3, 9000)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"cancelled": True}, "cancelled"),
        ({"payment": "voided"}, "cancelled"),
        ({"payment": "refunded"}, "refunded"),
        ({"minor": 1}, "below_minimum"),
        ({"test": True}, "superseded"),
    ],
)
def test_reversals(change: dict[str, Any], reason: str) -> None:
    world = with_advocate()
    tell(world, order(FRIEND, "1", code=CODE))
    assert tell(world, order(FRIEND, "1", revision=2, code=CODE, **change)) == both("reversed", reason)


def test_an_order_that_loses_its_code_is_superseded() -> None:
    world = with_advocate()
    tell(world, order(FRIEND, "1", code=CODE))
    assert tell(world, order(FRIEND, "1", revision=2)) == both("reversed", "superseded")


def test_a_rejection_that_says_no_more_than_what_was_told_is_not_told() -> None:
    world = with_advocate()
    tell(world, profile(OTHER), order(FRIEND, "2", at=2, code=CODE))
    assert tell(world, order(FRIEND, "2", at=2, revision=2)) == both("reversed", "superseded")
    tell(world, order(FRIEND, "1", at=1, code=CODES[OTHER]))
    assert tell(world, order(FRIEND, "2", at=2, revision=3, code=CODE)) == []
    assert world.members[FRIEND].referrals[ReferralKey(("shop", "2"), ADVOCATE)].verdict.reason == "already_referred"


def test_a_rejection_for_another_reason_than_was_told_is_told() -> None:
    world = with_advocate()
    tell(world, order(FRIEND, "1", code=CODE))
    assert tell(world, order(FRIEND, "1", revision=2, code=CODE, payment="refunded")) == both("reversed", "refunded")
    again = order(FRIEND, "1", revision=3, code=CODE, prints={"address": "a"})
    assert tell(world, order(ADVOCATE, "9", prints={"address": "a"}), again) == [
        ("rejected", "friend", "self_fingerprint")
    ]


def test_when_the_first_order_falls_the_next_may_qualify() -> None:
    world = with_advocate()
    tell(world, order(FRIEND, "1"), order(FRIEND, "2", at=1, code=CODE))
    assert tell(world, order(FRIEND, "1", revision=2, cancelled=True)) == both("confirmed", "2")


def test_unpaid_orders_wait() -> None:
    world = with_advocate()
    assert tell(world, order(FRIEND, "1", code=CODE, payment="pending")) == []
    assert tell(world, order(FRIEND, "1", revision=2, code=CODE)) == both("confirmed", "1")


def test_a_code_that_becomes_somebodys_later() -> None:
    world = new_world()
    assert tell(world, order(FRIEND, "1", code=CODE)) == []
    assert tell(world, profile(ADVOCATE)) == both("confirmed", "1")


def test_a_code_that_is_nobodys_says_nothing() -> None:
    assert tell(with_advocate(), order(FRIEND, "1", code="ZZZZZZZZ")) == []


prints = st.fixed_dictionaries(
    {}, optional={"email": st.sampled_from(["e1", "e2"]), "address": st.sampled_from(["a1", "a2", "a3"])}
)
some_orders = st.builds(
    lambda member, number, at, revision, code, minor, payment, cancelled, marks: order(
        member,
        str(number),
        at=at,
        revision=revision,
        code=code,
        minor=minor,
        payment=payment,
        cancelled=cancelled,
        prints=marks,
    ),
    st.sampled_from([FRIEND, FRIEND, OTHER, ADVOCATE]),
    st.integers(1, 3),
    st.integers(0, 3),
    st.integers(1, 3),
    st.sampled_from([None, CODES[ADVOCATE], CODES[ADVOCATE], CODES[OTHER], "ZZZZZZZZ"]),
    st.sampled_from([MINIMUM - 1, MINIMUM, 8000]),
    st.sampled_from(["paid", "paid", "paid", "pending", "refunded"]),
    st.sampled_from([False, False, False, True]),
    prints,
)
some_profiles = st.builds(
    lambda member, version, email: profile(
        member, version=version, status="member" if version > 1 else "shopper", email=email
    ),
    st.sampled_from(MEMBERS),
    st.integers(1, 3),
    st.sampled_from([None, "e1", "e2", "e3"]),
)


def _identity(fact: Fact) -> tuple[UUID, str, int]:
    if isinstance(fact, OrderChangedV1):
        return fact.member_id, fact.order_id, fact.revision
    return fact.member_id, "", fact.version


histories = st.lists(st.one_of(some_orders, some_profiles), max_size=12, unique_by=_identity)


def outcome(world: World) -> dict[UUID, set[tuple[str, UUID]]]:
    return {
        member.member_id: {
            (key.order[1], key.advocate_id)
            for key, item in member.referrals.items()
            if item.verdict.state == "confirmed"
        }
        for member in world.members.values()
    }


def defined(facts: Iterable[Fact]) -> dict[UUID, set[tuple[str, UUID]]]:
    """Who is brought by which order and advocate, looking at the latest facts once."""
    latest = {_identity(fact)[:2]: fact for fact in sorted(facts, key=lambda fact: _identity(fact)[2])}
    profiles = {fact.member_id: fact for fact in latest.values() if isinstance(fact, MemberChangedV1)}
    placed = [fact for fact in latest.values() if isinstance(fact, OrderChangedV1)]
    owner = {CODES[member]: member for member, known in profiles.items() if known.status == "member"}
    result: dict[UUID, set[tuple[str, UUID]]] = {member: set() for member in MEMBERS}
    for friend in MEMBERS:
        counting = [
            one for one in placed
            if one.member_id == friend and one.payment == "paid" and not one.cancelled_at
            and one.subtotal.shop_minor >= MINIMUM
        ]  # fmt: skip
        if not counting:
            continue
        # An order that looks like the advocate's own does not count for it, but comes first all the same.
        first = min(counting, key=lambda one: (one.placed_at, one.order_id))
        advocate = owner.get(first.discount_codes[0]) if first.discount_codes else None
        if advocate is None or advocate == friend:
            continue
        own = [one for one in placed if one.member_id == advocate]
        known = profiles.get(friend)
        mails = {first.fingerprints.email, known.email_fingerprint if known else None} - {None}
        theirs = {profiles[advocate].email_fingerprint, *(one.fingerprints.email for one in own)}
        addresses = {one.fingerprints.address for one in own} - {None}
        if not mails & theirs and first.fingerprints.address not in addresses:
            result[friend].add((first.order_id, advocate))
    return result


@settings(deadline=None)
@given(histories, st.randoms(use_true_random=False))
def test_any_order_and_number_of_deliveries_ends_the_same(facts: list[Fact], chance: Random) -> None:
    mixed = facts * 2
    chance.shuffle(mixed)
    world = new_world()
    tell(world, *mixed)
    assert outcome(world) == defined(facts)
    for member in world.members.values():
        verdicts = judge(
            member, lambda code: world.members.get(world.owners.get(("aurora", code), UUID(int=0))), world.programs
        )
        known = {key: referral.verdict for key, referral in member.referrals.items()}
        assert known.keys() >= verdicts.keys()
        assert known == {key: verdicts.get(key, GONE) for key in known}


@settings(deadline=None)
@given(histories)
def test_a_friend_is_never_brought_twice_and_both_hear_the_same(facts: list[Fact]) -> None:
    world = new_world()
    confirmed: dict[UUID, set[UUID]] = {member: set() for member in MEMBERS}
    versions: dict[tuple[UUID, str], int] = {}
    for fact in facts:
        for event in _announced(world, fact):
            key = (event.referral_id, event.role)
            assert event.version > versions.get(key, 0)
            versions[key] = event.version
            state = confirmed[event.friend_id]
            if event.role == "friend" and isinstance(event, ReferralConfirmedV1):
                state.add(event.referral_id)
            elif event.role == "friend":
                state.discard(event.referral_id)
            assert len(state) <= 1
    for friend, ids in confirmed.items():
        known = {
            item.referral_id for item in world.members[friend].referrals.values() if item.verdict.state == "confirmed"
        }
        assert ids == known


def _announced(world: World, fact: Fact) -> list[ReferralEvent]:
    world.announced.clear()
    if isinstance(fact, MemberChangedV1):
        world.change_member(fact)
    else:
        world.change_order(fact)
    return [event for event in world.announced if isinstance(event, ReferralEvent)]
