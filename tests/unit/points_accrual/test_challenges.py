"""Challenges: first orders, every n-th, streaks, periods, things, surprises; and what refunds make of them."""

import hashlib
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pytest

from contracts.challenges import ChallengeCompletedV1, ChallengeProgressedV1
from contracts.rewards import RewardEvent, RewardIssuedV1, RewardReturnedV1, RewardUsedV1
from points_accrual.domain.challenges import surprise
from points_accrual.domain.commands import Redeem
from points_accrual.domain.spending import redeem
from tests.unit.points_accrual.samples import (
    ANN,
    BOB,
    CREDIT,
    DAY,
    QUIET,
    T0,
    Ledger,
    activity,
    back,
    enrolled,
    line,
    merge,
    order,
    program,
    published,
)

REWARD = {"type": "free_product", "id": "cup", "name": {"en": "Cup"}, "cost": 100, "product": "cup"}


def ledger(*challenges: dict[str, Any], **rest: Any) -> Ledger:
    document = program(
        QUIET, pending_days=0, validity_months=None,
        rest={"challenges": challenges, "rewards": [REWARD, CREDIT], **rest},
    )  # fmt: skip
    return Ledger(document).send(enrolled(T0 - 50 * DAY))


def bought(number: int, day: float = 0.0, *, gross: int = 10000, **values: Any) -> Any:
    return order(
        line("1", gross, **values.pop("line", {})),
        order_id=f"{number:02}", placed_at=T0 + timedelta(days=day or number), **values,
    )  # fmt: skip


def reached(book: Ledger, challenge: str) -> dict[int, int]:
    """Points by the how-manieth time."""
    claims = [claim for claim in book.claims() if claim.key.kind == "challenge"]
    return {
        claim.detail["number"]: claim.total
        for claim in sorted(claims, key=lambda item: item.detail["number"])
        if claim.detail["challenge"] == challenge and claim.detail["reached"]
    }


def gone(number: int, at: float = 30.0) -> Any:
    """The same order, cancelled."""
    moment = T0 + timedelta(days=at)
    return bought(number, revision=2, cancelled_at=moment, recorded_at=moment)


def test_the_first_order_and_every_third() -> None:
    book = ledger(
        {"id": "first", "counts": "orders", "at": [1], "points": 100},
        {"id": "third", "counts": "orders", "every": 3, "points": 30},
        {"id": "gift", "counts": "orders", "at": [4, 10], "points": 7},
    )
    book.send(*(bought(number) for number in range(1, 11)))
    assert reached(book, "first") == {1: 100}
    assert reached(book, "third") == {1: 30, 2: 30, 3: 30}
    assert reached(book, "gift") == {1: 7, 2: 7}
    assert book.buckets() == (0, 204, 0)


def test_a_late_order_moves_who_reached_it_but_gives_nothing_twice() -> None:
    book = ledger({"id": "second", "counts": "orders", "every": 2, "points": 50})
    book.send(bought(5), bought(9))
    before = len(book.account().decisions[-1].postings)
    assert reached(book, "second") == {1: 50}
    book.send(bought(7))
    assert reached(book, "second") == {1: 50}
    assert before == 1
    assert not book.account().decisions[-1].postings
    assert book.send(bought(1)).buckets() == (0, 100, 0)


def test_what_is_not_reached_any_more_is_taken_back_and_can_be_reached_again() -> None:
    book = ledger({"id": "second", "counts": "orders", "at": [2], "points": 50})
    book.send(bought(1), bought(2))
    assert book.buckets() == (0, 50, 0)
    assert book.send(gone(2)).buckets() == (0, 0, 0)
    assert book.send(bought(3)).buckets() == (0, 50, 0)
    completed = [event for event in book.events() if isinstance(event, ChallengeCompletedV1)]
    assert [(event.number, event.generation) for event in completed] == [(1, 1), (1, 2)]
    assert [(event.progress, event.target, event.completed) for event in told(book)] == [
        (1, 2, 0), (2, None, 1), (1, 2, 0), (2, None, 1),
    ]  # fmt: skip


def told(book: Ledger) -> list[ChallengeProgressedV1]:
    return [event for event in book.events() if isinstance(event, ChallengeProgressedV1)]


def test_where_nothing_counts_any_more_the_way_starts_anew_by_the_version_that_counted() -> None:
    """Whichever version is in force, or is published later for the same time."""
    challenge = {"id": "monthly", "counts": "orders", "period": "month", "at": [2, 5], "points": 10}
    book = ledger(challenge)
    later = program(
        QUIET, version=2, effective_from=T0 + 3 * DAY, pending_days=0, rest={"challenges": [challenge | {"at": [4]}]}
    )
    book.send(bought(1), published(later), gone(1))
    first, last = told(book)
    assert (last.progress, last.target, last.completed) == (0, 2, 0)
    assert (last.window, last.program_version) == (first.window, 1)
    assert (first.progress, first.window) == (1, T0.strftime("%Y-%m"))


def test_an_order_that_turns_out_to_be_older_counts_in_its_own_period() -> None:
    challenge = {"id": "monthly", "counts": "orders", "period": "month", "at": [2], "points": 60}
    first, second = bought(1), bought(2, 40)
    earlier = bought(2, 9, revision=2, recorded_at=T0 + 41 * DAY)
    assert reached(ledger(challenge).send(first, second), "monthly") == {}
    assert reached(ledger(challenge).send(first, second, earlier), "monthly") == {1: 60}
    assert reached(ledger(challenge).send(first, earlier), "monthly") == {1: 60}


def test_a_gift_goes_when_points_take_its_place() -> None:
    """A late order moved the second to the old version, which gives a coupon; it is cancelled."""
    gift = {"id": "c", "counts": "orders", "every": 2, "reward": "cup"}
    points = program(
        QUIET, version=2, effective_from=T0 + 10 * DAY, pending_days=0,
        rest={"challenges": [{"id": "c", "counts": "orders", "every": 2, "points": 70}], "rewards": [REWARD]},
    )  # fmt: skip
    book = ledger(gift).send(published(points), bought(1), bought(3, 11), bought(2))
    assert [item.state for item in book.world.coupons.values()] == ["issued"]
    book.send(gone(2))
    assert ([item.state for item in book.world.coupons.values()], book.buckets()) == (["returned"], (0, 70, 0))


def test_a_merge_tells_how_far_both_are_together() -> None:
    book = ledger({"id": "gift", "counts": "orders", "at": [4], "points": 10}).send(enrolled(T0, member_id=BOB))
    book.send(bought(1), bought(2, member_id=BOB), bought(3, member_id=BOB))
    book.send(merge(BOB, ANN, T0 + 5 * DAY))
    assert [(event.member_id, event.progress, event.target) for event in told(book)] == [
        (ANN, 1, 4), (BOB, 1, 4), (BOB, 2, 4), (ANN, 3, 4),
    ]  # fmt: skip


def test_what_was_used_is_owed_by_the_next_time() -> None:
    """No debt arises: what was spent is waived, and the next time brings no more than what was taken back."""
    book = ledger({"id": "every", "counts": "orders", "every": 2, "points": 50})
    book.send(bought(1), bought(2))
    book.do(redeem, ANN, Redeem(reward_id="credit", amount_minor=3000), T0 + 5 * DAY)
    assert book.buckets() == (0, 20, 0)
    assert book.send(gone(2)).buckets() == (0, 0, 0)
    assert book.send(bought(6)).buckets() == (0, 20, 0)
    assert book.send(bought(7), bought(8)).buckets() == (0, 70, 0)


def test_a_gift_is_voided_if_unused_and_stays_if_used() -> None:
    book = ledger({"id": "fourth", "counts": "orders", "every": 2, "reward": "cup"})
    book.send(bought(1), bought(2), bought(3), bought(4))
    first, second = sorted(book.world.coupons.values(), key=lambda item: item.challenge or ("", 0))
    assert (first.state, second.state, first.points) == ("issued", "issued", 0)
    assert first.code is not None
    book.send(bought(9, discount_codes=(first.code,)))
    assert first.state == "used"
    book.send(gone(4, 35), gone(3, 35), gone(9, 35))
    assert (first.state, second.state) == ("used", "returned")
    book.send(gone(2, 36))
    assert first.state == "used"  # owed by the next
    book.send(bought(10))
    assert [item.state for item in book.world.coupons.values()].count("issued") == 0
    book.send(bought(11), bought(12))
    fresh = [item for item in book.world.coupons.values() if item.state == "issued"]
    assert [item.challenge for item in fresh] == [("fourth", 2)]
    kinds = [type(event) for event in book.events() if isinstance(event, RewardIssuedV1 | RewardReturnedV1)]
    assert kinds == [RewardIssuedV1, RewardIssuedV1, RewardReturnedV1, RewardIssuedV1]


def test_every_step_of_a_coupon_says_when_it_was_issued() -> None:
    book = ledger({"id": "fourth", "counts": "orders", "every": 2, "reward": "cup"})
    book.send(bought(1), bought(2), bought(3), bought(4))
    code = next(item.code for item in book.world.coupons.values() if item.challenge == ("fourth", 1))
    book.send(bought(9, discount_codes=(code,)), gone(4, 35), gone(3, 35), gone(9, 35))
    steps = [event for event in book.events() if isinstance(event, RewardEvent)]
    issued = {event.coupon_id: event.issued_at for event in steps if isinstance(event, RewardIssuedV1)}
    later = [event for event in steps if not isinstance(event, RewardIssuedV1)]
    assert {type(event) for event in later} == {RewardUsedV1, RewardReturnedV1}
    assert [event.issued_at for event in later] == [issued[event.coupon_id] for event in later]


def test_orders_within_days_count_once() -> None:
    book = ledger({"id": "close", "counts": "orders", "within_days": 5, "at": [2], "points": 9})
    book.send(bought(1, 1), bought(2, 7), bought(3, 12))
    assert reached(book, "close") == {1: 9}
    book.send(bought(4, 13), bought(5, 14))
    assert reached(book, "close") == {1: 9, 2: 9}
    book.send(bought(6, 5))  # now 1 and 6 are together, then 2 and 3, then 4 and 5
    assert reached(book, "close") == {1: 9, 2: 9, 3: 9}


def test_a_streak_of_weeks_and_one_of_months() -> None:
    book = ledger(
        {"id": "weeks", "counts": "orders", "streak": "week", "at": [3], "points": 30},
        {"id": "months", "counts": "orders", "streak": "month", "every": 2, "points": 20},
    )
    book.send(bought(1, 2), bought(2, 9), bought(3, 10), bought(4, 23))
    assert reached(book, "weeks") == {}
    book.send(bought(5, 16))
    assert reached(book, "weeks") == {1: 30}
    book.send(bought(6, 35), bought(7, 65), bought(8, 95))
    assert reached(book, "months") == {1: 20, 2: 20}


def test_weeks_over_the_end_of_a_year_follow_one_another() -> None:
    book = ledger({"id": "weeks", "counts": "orders", "streak": "week", "at": [3], "points": 30})
    for number, day in enumerate((date(2026, 12, 24), date(2026, 12, 31), date(2027, 1, 7))):
        book.send(order(order_id=str(number), placed_at=datetime.combine(day, time(12), UTC)))
    assert reached(book, "weeks") == {1: 30}


def test_money_within_a_month_of_the_zone() -> None:
    book = ledger({"id": "march", "counts": "spend", "period": "month", "at": [20000], "points": 40}, zone="Asia/Baku")
    book.send(bought(1, 5), bought(2, 20))
    assert reached(book, "march") == {1: 40}
    evening = T0.replace(month=3, day=31, hour=21)  # 1 April in Baku
    book.send(order(order_id="x", placed_at=evening), order(order_id="y", placed_at=T0.replace(month=4, day=20)))
    assert reached(book, "march") == {1: 40, 2: 40}
    half = back("r", T0 + 60 * DAY, {"1": 5000})
    book.send(bought(1, 5, revision=2, refunds=(half,), recorded_at=T0 + 60 * DAY))
    assert sum(reached(book, "march").values()) == 40


def test_different_things() -> None:
    book = ledger(
        {"id": "kinds", "counts": "categories", "at": [3], "points": 10},
        {"id": "each", "counts": "categories", "every": 1, "points": 2, "match": {"categories": ["wine", "book"]}},
        {"id": "pieces", "counts": "pieces", "at": [5], "points": 4},
        {"id": "reviewer", "counts": "objects", "activity": "review", "at": [2], "points": 8},
        {"id": "visitor", "counts": "activities", "activity": "visit", "every": 2, "points": 1},
    )
    for number, name in enumerate(("wine", "wine", "book"), start=1):
        book.send(bought(number, line={"categories": (name,), "quantity": 2}))
    assert reached(book, "kinds") == {}
    assert reached(book, "each") == {1: 2, 2: 2}
    assert reached(book, "pieces") == {1: 4}
    book.send(bought(4, line={"categories": ("toy", "book")}))
    assert reached(book, "kinds") == {1: 10}
    book.send(activity("review", "1", object_id="a"), activity("review", "2", object_id="a"))
    assert reached(book, "reviewer") == {}
    book.send(activity("review", "3", object_id="b", at=T0 + DAY), activity("visit", "4"), activity("visit", "5"))
    assert reached(book, "reviewer") == {1: 8}
    assert reached(book, "visitor") == {1: 1}
    undone = activity("review", "3", object_id="b", at=T0 + DAY, revision=2, revoked_at=T0 + 2 * DAY)
    assert reached(book.send(undone), "reviewer") == {}


def test_only_so_often() -> None:
    book = ledger({"id": "twice", "counts": "orders", "every": 1, "times": 2, "points": 5})
    book.send(*(bought(number) for number in range(1, 6)))
    assert reached(book, "twice") == {1: 5, 2: 5}


def test_small_orders_and_unpaid_ones_do_not_count() -> None:
    book = ledger({"id": "two", "counts": "orders", "at": [2], "points": 5, "minimum_minor": 5000})
    book.send(bought(1), bought(2, gross=4000), bought(3, payment="pending"), bought(4, test=True))
    assert reached(book, "two") == {}
    refund = back("r", T0 + 9 * DAY, {"1": 6000})
    book.send(bought(5))
    assert reached(book, "two") == {1: 5}
    book.send(bought(5, revision=2, refunds=(refund,), recorded_at=T0 + 9 * DAY))
    assert reached(book, "two") == {}


def test_counts_go_on_over_versions_each_by_its_own() -> None:
    challenge = {"id": "n", "counts": "orders", "every": 2, "points": 10}
    book = ledger(challenge)
    later = program(
        QUIET, version=2, effective_from=T0 + 3 * DAY, pending_days=0, validity_months=None,
        rest={"challenges": [challenge | {"points": 25}]},
    )  # fmt: skip
    book.send(published(later), *(bought(number) for number in range(1, 5)))
    assert reached(book, "n") == {1: 10, 2: 25}


def test_surprises_come_once_in_so_many_and_can_be_checked() -> None:
    seed = b"a sample seed that was made public"
    commitment = hashlib.sha256(seed).hexdigest()
    book = ledger({"id": "luck", "counts": "orders", "surprise_in": 5, "commitment": commitment, "points": 33})
    book.send(*(bought(number) for number in range(1, 4)))
    assert reached(book, "luck") == {}
    fresh = ledger({"id": "luck", "counts": "orders", "surprise_in": 5, "commitment": commitment, "points": 33})
    fresh.world.seeds[commitment] = seed
    places = [surprise(seed, "luck", ANN, block, 5) + 5 * block for block in range(4)]
    for number in range(1, 21):
        fresh.send(bought(number))
        assert len(reached(fresh, "luck")) == sum(place <= number for place in places)
    assert fresh.buckets() == (0, 132, 0)
    assert {surprise(seed, "luck", ANN, block, 5) for block in range(60)} == {1, 2, 3, 4, 5}


@pytest.mark.parametrize("pending", [0, 10])
def test_points_of_challenges_wait_as_orders_do(pending: int) -> None:
    document = program(
        QUIET, pending_days=pending, validity_months=None,
        rest={"challenges": [{"id": "first", "counts": "orders", "at": [1], "points": 10}]},
    )  # fmt: skip
    book = Ledger(document).send(enrolled(), order())
    assert book.buckets() == ((10, 0, 0) if pending else (0, 10, 0))
    assert book.sweep(T0 + 10 * DAY).buckets() == (0, 10, 0)
