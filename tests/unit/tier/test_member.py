"""What is announced of a member, and what repeats and reordering change: nothing."""

from datetime import datetime
from uuid import UUID
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.points import OrderBase, OrderRef
from contracts.tiers import StandingChangedV1
from tests.unit.tier.samples import DAY, T0, book, fact, program
from tier.domain.member import Member
from tier.domain.standing import Fact, intervals

MEMBER = UUID(int=1)
BOOK = book(program())
FIRST = program()


def base(one: Fact) -> OrderBase:
    ref = OrderRef(source=one.source, order_id=one.order_id, revision=one.revision, placed_at=one.placed_at)
    return OrderBase(order=ref, steps=one.steps)


def new_member() -> Member:
    return Member(MEMBER, "aurora", partition=3)


def learn(member: Member, one: Fact, now: datetime) -> StandingChangedV1 | None:
    if not member.learn(base(one), one.sequence):
        return None
    return member.reassess(BOOK, FIRST, now, one.placed_at)


def test_an_upgrade_is_announced_with_all_that_is_to_come() -> None:
    event = learn(new_member(), fact("1", T0, 120), T0)
    assert event is not None
    assert (event.version, event.change, event.from_tier_id, event.to_tier_id) == (1, "upgraded", "basic", "silver")
    assert event.tier_points == 120
    assert [item.tier_id for item in event.intervals] == ["silver", "basic"]
    assert event.occurred_at == T0


def test_the_lowest_tier_is_not_announced() -> None:
    member = new_member()
    assert learn(member, fact("1", T0, 99), T0) is None
    assert (member.version, member.tier_id, member.program_version, member.next_change_at) == (0, None, 1, None)


def test_facts_that_change_no_interval_are_not_announced() -> None:
    member = new_member()
    learn(member, fact("1", T0, 120), T0)
    assert learn(member, fact("2", T0 + DAY, 1), T0 + DAY) is None
    assert member.version == 1


def test_a_longer_standing_is_announced_as_unchanged() -> None:
    member = new_member()
    learn(member, fact("1", T0, 120), T0)
    event = learn(member, fact("2", T0 + DAY, 100), T0 + DAY)
    assert event is not None
    assert (event.version, event.change, event.from_tier_id, event.to_tier_id) == (2, "unchanged", "silver", "silver")


def test_a_standing_of_the_past_is_announced_without_an_upgrade() -> None:
    event = learn(new_member(), fact("1", T0, 120), T0 + 800 * DAY)
    assert event is not None
    assert (event.change, event.to_tier_id, event.tier_points) == ("unchanged", "basic", 0)


def test_time_alone_downgrades_once() -> None:
    member = new_member()
    learn(member, fact("1", T0, 120), T0)
    due = member.next_change_at
    assert due is not None
    assert member.reassess(BOOK, FIRST, due - DAY, due) is None
    event = member.reassess(BOOK, FIRST, due, due)
    assert event is not None
    assert (event.version, event.change, event.to_tier_id, event.tier_points) == (2, "downgraded", "basic", 0)
    assert member.next_change_at is None
    assert member.reassess(BOOK, FIRST, due, due) is None


def test_what_came_true_stays_true_when_the_clock_is_behind() -> None:
    member = new_member()
    learn(member, fact("1", T0, 120), T0)
    due = member.next_change_at
    assert due is not None
    member.reassess(BOOK, FIRST, due, due)
    assert member.reassess(BOOK, FIRST, T0, T0) is None
    assert member.tier_id == "basic"


def test_a_refund_of_everything_takes_the_tier_back() -> None:
    member = new_member()
    learn(member, fact("1", T0, 120), T0)
    event = learn(member, fact("1", T0, 120, (T0, 0), revision=2), T0 + DAY)
    assert event is not None
    assert (event.change, event.intervals, event.to_tier_id) == ("downgraded", (), "basic")


def test_another_ladder_is_compared_by_height() -> None:
    member = new_member()
    learn(member, fact("1", T0, 120), T0)
    steeper = program({"basic": 0, "bronze": 110, "silver": 200}, version=2)
    event = member.reassess(book(FIRST, steeper), steeper, T0 + DAY, T0 + DAY)
    assert event is not None
    assert (event.change, event.from_tier_id, event.to_tier_id) == ("downgraded", "silver", "bronze")


def test_a_tier_that_is_gone_is_as_high_as_it_was() -> None:
    member = new_member()
    learn(member, fact("1", T0, 320), T0)
    renamed = program({"basic": 0, "silver": 100, "platinum": 310}, version=2)
    event = member.reassess(book(FIRST, renamed), renamed, T0 + DAY, T0 + DAY)
    assert event is not None
    assert (event.change, event.from_tier_id, event.to_tier_id) == ("upgraded", "gold", "platinum")


def test_of_one_revision_the_later_judgement_wins() -> None:
    member = new_member()
    assert member.learn(base(fact("1", T0, 120, sequence=5)), 5)
    assert not member.learn(base(fact("1", T0, 10)), 4)
    assert not member.learn(base(fact("1", T0, 120)), 5)
    assert member.learn(base(fact("1", T0, 130)), 6)
    assert not member.learn(base(fact("1", T0, 10)), 6)
    assert member.learn(base(fact("1", T0, 90, revision=2)), 1)
    assert member.facts["shop:1"].steps[0].base_points == 90


def told(ladders: list[dict[str, int]], points: int, at: datetime) -> list[tuple[str, datetime, datetime | None]]:
    """What a member holds by programs whose levels change every ten days, the first of them before all."""
    programs = [
        program(levels, version=place + 1, effective_from=T0 + (place * 10 - 5) * DAY)
        for place, levels in enumerate(ladders)
    ]
    member = new_member()
    member.learn(base(fact("1", T0, points)), 1)
    member.reassess(book(*programs), programs[-1], at, T0)
    return [(item.tier_id, item.starts_at, item.valid_until) for item in member.intervals if item.starts_at <= at]


def test_what_was_held_under_other_levels_stays() -> None:
    """Or the ledger would judge old orders by levels that nobody could have reached then, and take points back."""
    second, third, late = T0 + 5 * DAY, T0 + 15 * DAY, T0 + 30 * DAY
    first = {"basic": 0, "gold": 300}
    ((tier, start, _),) = told([first, first], 300, late)
    assert (tier, start) == ("gold", T0), "nothing changed"
    assert told([first, {"basic": 0, "platinum": 300}], 300, late)[:1] == [("gold", T0, second)]
    assert [item[0] for item in told([first, {"basic": 0, "platinum": 300}], 300, late)] == ["gold", "platinum"]
    assert told([first, {"basic": 0, "gold": 500}], 300, late) == [("gold", T0, second), ("basic", second, None)]
    assert [item[:2] for item in told([{"basic": 0, "gold": 500}, first], 300, late)] == [("gold", second)]
    there_and_back = told([first, {"basic": 0, "gold": 500}, first], 300, late)
    assert [item[:2] for item in there_and_back] == [("gold", T0), ("basic", second), ("gold", third)]
    assert told([first, {"start": 0, "gold": 500}], 100, late) == [], "the lowest, never left, is not told"


versions = st.lists(
    st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3), st.sampled_from([0, 60, 100, 250, 300])),
    min_size=1, max_size=8, unique_by=lambda item: item[:3],
).map(
    lambda drawn: [
        fact(str(order), T0 + order * DAY, points, revision=revision, sequence=sequence)
        for order, revision, sequence, points in drawn
    ]
)  # fmt: skip


@settings(deadline=None)
@given(versions, st.randoms(use_true_random=False))
def test_any_permutation_and_duplication_ends_the_same(facts: list[Fact], chance: object) -> None:
    latest = {one.key: one for one in sorted(facts, key=lambda one: (one.revision, one.sequence))}
    expected = intervals(latest.values(), FIRST.tiers, ZoneInfo("UTC"))
    mixed = facts * 2
    chance.shuffle(mixed)  # type: ignore[attr-defined]
    member = new_member()
    events = [event for one in mixed if (event := learn(member, one, T0 + 10 * DAY)) is not None]
    assert member.intervals == expected
    assert [event.version for event in events] == list(range(1, len(events) + 1))
    if events:
        assert events[-1].intervals == expected
    else:
        assert expected == ()
