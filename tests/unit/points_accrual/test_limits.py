"""Caps, limits and budgets: never exceeded, whoever comes first; wanted and granted are both told."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.points import PointsGrantedV1
from contracts.program import Program
from tests.unit.points_accrual.samples import (
    ANN,
    BOB,
    DAY,
    T0,
    Ledger,
    activity,
    back,
    enrolled,
    line,
    order,
    program,
)

BASE = {"type": "spend", "id": "spend", "points_per_unit": "1"}
BONUS = {"type": "order", "id": "bonus", "points": 50}


def bought(number: int, gross: int = 10000, *, day: float = 0, member_id: UUID = ANN, **values: Any) -> Any:
    return order(
        line("1", gross), order_id=str(number), placed_at=T0 + timedelta(days=day), member_id=member_id, **values
    )


def capped(*caps: dict[str, Any], **values: Any) -> Ledger:
    return Ledger(program(BASE, BONUS, caps=caps, **values)).send(enrolled(), enrolled(member_id=BOB))


def test_a_cap_per_order_cuts_rules_in_proportion() -> None:
    book = capped({"id": "most", "per": "claim", "points": 90})
    book.send(bought(1))
    assert book.granted() == {"shop:1": {"spend": 60, "bonus": 30}}
    event = book.events()[-1]
    assert isinstance(event, PointsGrantedV1)
    assert [(item.rule_id, item.wanted, item.granted, item.cut_by) for item in event.rules] == [
        ("spend", 100, 60, ("most",)), ("bonus", 50, 30, ("most",)),
    ]  # fmt: skip
    refund = bought(1, revision=2, refunds=(back("r", T0 + DAY, {"1": 7000}),), recorded_at=T0 + DAY)
    assert sum(book.send(refund).granted()["shop:1"].values()) == 80


def test_a_cap_per_day_is_one_of_the_zone_and_of_the_member() -> None:
    book = capped({"id": "daily", "per": "day", "points": 200})
    book.send(bought(1), bought(2), bought(3), bought(4, day=0.6), bought(5, member_id=BOB))
    assert [sum(points.values()) for points in book.granted().values()] == [150, 50, 0, 150, 150]
    reasons = {claim.key.id: claim.reason for claim in book.claims()}
    assert (reasons["shop:1"], reasons["shop:3"]) == (None, "limit_reached")


def test_what_a_refund_sets_free_is_for_those_who_come_after() -> None:
    book = capped({"id": "ever", "per": "lifetime", "points": 200, "rules": ["spend"]})
    book.send(bought(1, 15000), bought(2, 15000))
    assert [points.get("spend", 0) for points in book.granted().values()] == [150, 50]
    gone = bought(1, 15000, revision=2, cancelled_at=T0 + DAY, recorded_at=T0 + DAY)
    some = bought(2, 15000, revision=2, refunds=(back("r", T0 + DAY, {"1": 2000}),), recorded_at=T0 + DAY)
    book.send(gone, some)
    assert [points.get("spend", 0) for points in book.granted().values()] == [0, 50]  # a refund never earns
    book.send(bought(3, 30000))
    assert [points.get("spend", 0) for points in book.granted().values()] == [0, 50, 150]


def test_an_order_that_grows_gets_the_room_that_is_left() -> None:
    book = capped({"id": "ever", "per": "lifetime", "points": 120, "rules": ["spend"]})
    book.send(bought(1, 5000), bought(2, 4000), bought(1, 11000, revision=2, recorded_at=T0 + DAY))
    assert [points.get("spend", 0) for points in book.granted().values()] == [80, 40]


def test_room_that_others_took_meanwhile_does_not_come_back() -> None:
    book = capped({"id": "ever", "per": "lifetime", "points": 150, "rules": ["spend"]})
    refund = bought(1, 15000, revision=2, refunds=(back("r", T0 + DAY, {"1": 10000}),), recorded_at=T0 + DAY)
    book.send(bought(1, 15000), refund, bought(2, 6000))
    assert [points.get("spend", 0) for points in book.granted().values()] == [50, 60]
    book.send(bought(1, 15000, revision=3, recorded_at=T0 + 2 * DAY))  # the refund was a mistake
    assert [points.get("spend", 0) for points in book.granted().values()] == [90, 60]


def test_a_budget_is_never_overspent_by_all_together() -> None:
    campaign = {"id": "x3", "multiplier": 3, "budget": 250}
    book = Ledger(program(BASE, campaigns=[campaign])).send(enrolled(), enrolled(member_id=BOB))
    book.send(bought(1), bought(2, member_id=BOB), bought(3))
    assert [points.get("x3", 0) for points in book.granted().values()] == [200, 50, 0]
    book.send(bought(1, revision=2, cancelled_at=T0 + DAY, recorded_at=T0 + DAY), bought(4, member_id=BOB))
    assert [points.get("x3", 0) for points in book.granted().values()] == [0, 50, 0, 200]


def test_limits_of_activities() -> None:
    rule = {
        "type": "activity", "id": "review", "activity": "review", "points": 10,
        "limits": [{"per": "object", "times": 1}, {"per": "day", "times": 2}, {"per": "month", "points": 35}],
    }  # fmt: skip
    book = Ledger(program(rule)).send(enrolled(T0 - DAY))
    book.send(activity("review", "1", object_id="a"), activity("review", "2", object_id="a"))
    assert book.buckets() == (0, 10, 0)
    book.send(activity("review", "3", object_id="b"), activity("review", "4", object_id="c"))
    assert book.buckets() == (0, 20, 0)
    later = T0 + DAY
    book.send(activity("review", "5", object_id="d", at=later), activity("review", "6", object_id="e", at=later))
    assert book.buckets() == (0, 35, 0)
    undone = activity("review", "1", object_id="a", revision=2, revoked_at=later, recorded_at=later)
    assert book.send(undone).buckets() == (0, 25, 0)
    book.send(activity("review", "7", object_id="a"))  # the product, the day and the month have room again
    assert book.buckets() == (0, 35, 0)


def test_what_was_counted_counts_on_when_a_new_version_lists_limits_otherwise() -> None:
    def version(number: int, *limits: dict[str, Any]) -> Program:
        rule = {"type": "activity", "id": "review", "activity": "review", "points": 10, "limits": limits}
        return program(rule, version=number, effective_from=T0 + (number - 2) * DAY)

    ever = {"per": "lifetime", "points": 20}
    book = Ledger(version(1, {"per": "day", "times": 9}, ever), version(2, ever), version(3, ever | {"per": "year"}))
    book.send(enrolled(T0 - DAY), *(activity("review", str(n), at=T0 - timedelta(hours=1)) for n in range(3)))
    assert book.buckets() == (0, 20, 0)
    assert book.send(activity("review", "4", at=T0)).buckets() == (0, 20, 0)
    assert book.send(activity("review", "5", at=T0 + DAY)).buckets() == (0, 30, 0)  # Another kind counts anew.


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_nothing_is_ever_exceeded(data: st.DataObject) -> None:
    """Orders, growth, refunds and cancellations of two members in any mix."""
    caps = [
        {"id": "claim", "per": "claim", "points": 130}, {"id": "day", "per": "day", "points": 220},
        {"id": "ever", "per": "lifetime", "points": 500}, {"id": "all", "per": "program", "points": 700},
    ]  # fmt: skip
    document = program(BASE, BONUS, caps=caps, campaigns=[{"id": "x2", "multiplier": 2, "budget": 150}])
    book = Ledger(document).send(enrolled(), enrolled(member_id=BOB))
    known: dict[int, Any] = {}
    for step in range(data.draw(st.integers(1, 14))):
        number = data.draw(st.integers(1, 6))
        at = T0 + timedelta(days=3, seconds=step)
        if number not in known:
            whose = data.draw(st.sampled_from([ANN, BOB]))
            day = data.draw(st.integers(0, 2))
            known[number] = bought(number, data.draw(st.integers(100, 20000)), day=day, member_id=whose)
        else:
            last = known[number]
            change: dict[str, Any] = {"revision": last.revision + 1, "recorded_at": at}
            kind = data.draw(st.sampled_from(["refund", "refund", "grow", "cancel"]))
            if kind == "refund":
                change["refunds"] = (*last.refunds, back(str(step), at, {"1": data.draw(st.integers(1, 9000))}))
            elif kind == "grow":
                more = line(str(step), data.draw(st.integers(100, 9000)))
                total = sum(item.gross.shop_minor for item in (*last.lines, more))
                change |= {"lines": (*last.lines, more), "subtotal": last.subtotal.model_copy(
                    update={"shop_minor": total, "presentment_minor": total})}  # fmt: skip
            else:
                change["cancelled_at"] = at
            known[number] = last.model_copy(update=change)
        book.send(known[number])
        _check(book)


def _check(book: Ledger) -> None:
    book.check()
    granted = [(claim.member_id, claim.at.date(), claim.granted) for claim in book.claims()]
    assert all(sum(points.values()) <= 130 for _, _, points in granted)
    assert sum(points.get("x2", 0) for _, _, points in granted) <= 150
    assert sum(sum(points.values()) for _, _, points in granted) <= 700
    for member_id in (ANN, BOB):
        own = [(day, sum(points.values())) for whose, day, points in granted if whose == member_id]
        assert sum(points for _, points in own) <= 500
        assert all(sum(points for day, points in own if day == one) <= 220 for one, _ in own)
