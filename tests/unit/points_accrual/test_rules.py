"""Every kind of rule, condition, group and campaign: worked examples in whole points."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from contracts.program import Program
from tests.unit.points_accrual.samples import (
    DAY,
    T0,
    Ledger,
    activity,
    back,
    enrolled,
    interval,
    line,
    order,
    program,
    published,
    standing,
)

BASE = {"type": "spend", "id": "spend", "points_per_unit": "1"}


def granted(document: Program, *events: Any, key: str = "shop:1") -> dict[str, int]:
    """What an order has by rule, of a member enrolled long ago."""
    return Ledger(document).send(enrolled(T0 - 80 * DAY), *events).granted()[key]


def cart() -> tuple[Any, ...]:
    return (
        line("w", 6000, quantity=2, product_id="w", categories=("wine",), vendor="Aro", tags=("new",)),
        line("b", 3000, quantity=3, product_id="b", categories=("book",), collections=("spring",), sku="B-1"),
        line("t", 1000, product_id="t"),
    )


@pytest.mark.parametrize(
    ("match", "points"),
    [
        ({"categories": ["wine"]}, 120),
        ({"vendors": ["Aro"]}, 120),
        ({"tags": ["new"]}, 120),
        ({"collections": ["spring"]}, 60),
        ({"skus": ["B-1"]}, 60),
        ({"products": ["t", "b"]}, 80),
        ({"products": ["t", "b"], "skus": ["B-1"]}, 60),
        ({"but_not": {"categories": ["wine"]}}, 80),
        ({"categories": ["wine", "book"], "but_not": {"products": ["b"]}}, 120),
        ({"categories": ["toys"]}, None),
    ],
)
def test_which_lines_a_rule_counts(match: dict[str, Any], points: int | None) -> None:
    document = program({"type": "spend", "id": "some", "points_per_unit": 2, "match": match})
    assert granted(document, order(*cart())) == ({"some": points} if points else {})


def test_points_for_pieces_and_for_an_order() -> None:
    document = program(
        {"type": "item", "id": "piece", "points": 5, "match": {"categories": ["book"]}},
        {"type": "order", "id": "thanks", "points": 20, "minimum_minor": 10000},
        {"type": "order", "id": "three", "points": 9, "minimum_products": 3},
        {"type": "order", "id": "four", "points": 9, "minimum_products": 4},
    )
    assert granted(document, order(*cart())) == {"piece": 15, "thanks": 20, "three": 9}


@pytest.mark.parametrize(("cliff", "left"), [("recheck", 0), ("keep", 30), ("pro_rata", 24)])
def test_cliffs_of_a_fixed_gift(cliff: str, left: int) -> None:
    document = program({"type": "order", "id": "gift", "points": 30, "minimum_minor": 9000, "cliff": cliff})
    refund = back("r", T0 + DAY, {"1": 2000})
    later = order(revision=2, refunds=(refund,), recorded_at=T0 + DAY)
    assert sum(granted(document, order(), later).values()) == left
    whole = order(revision=3, refunds=(refund, back("s", T0 + DAY, {"1": 8000})), recorded_at=T0 + DAY)
    assert sum(granted(document, order(), later, whole).values()) == 0


@pytest.mark.parametrize(("cliff", "left"), [("recheck", 0), ("keep", 80), ("pro_rata", 80)])
def test_cliffs_of_points_for_money(cliff: str, left: int) -> None:
    document = program(BASE | {"minimum_minor": 9000, "cliff": cliff})
    later = order(revision=2, refunds=(back("r", T0 + DAY, {"1": 2000}),), recorded_at=T0 + DAY)
    assert sum(granted(document, order(), later).values()) == left


@pytest.mark.parametrize(
    ("when", "holds"),
    [
        ({"weekdays": ["sun"]}, True),  # 1 March 2026 is a Sunday
        ({"weekdays": ["mon", "sat"]}, False),
        ({"hours": "12:00-13:00"}, True),
        ({"hours": "11:00-12:00"}, False),
        ({"hours": "22:00-12:01"}, True),
        ({"first_day": "2026-03-01", "last_day": "2026-03-01"}, True),
        ({"first_day": "2026-03-02"}, False),
        ({"last_day": "2026-02-28"}, False),
        ({"tiers": ["silver"]}, True),
        ({"tiers": ["gold"]}, False),
        ({"unless": {"tiers": ["silver"], "weekdays": ["sun"]}}, False),
        ({"unless": {"tiers": ["silver"], "weekdays": ["mon"]}}, True),
        ({"countries": ["AZ", "TR"]}, True),
        ({"countries": ["DE"]}, False),
        ({"currencies": ["EUR"]}, True),
        ({"currencies": ["USD"]}, False),
        ({"channels": ["app"]}, True),
        ({"sources": ["other"]}, False),
        ({"attributes": {"student": ["yes"]}}, True),
        ({"attributes": {"student": ["no"]}}, False),
        ({"birthday_month": True}, True),
    ],
)
def test_conditions(when: dict[str, Any], holds: bool) -> None:
    document = program(BASE | {"when": when})
    person = enrolled(T0 - 80 * DAY, version=2).model_copy(
        update={"attributes": {"student": "yes"}, "birthday": "03-31"}
    )
    events = (person, standing(interval("silver", T0 - DAY)), order(country="AZ", channel="app"))
    assert (granted(document, *events).get("spend", 0) > 0) is holds


def test_days_and_hours_are_those_of_the_zone() -> None:
    """Half past eleven on Saturday evening in London is Sunday in Baku already, three hours later."""
    saturday = datetime(2026, 2, 28, 23, 30, tzinfo=UTC)
    for zone, points in (("Europe/London", 0), ("Asia/Baku", 100)):
        document = program(BASE | {"when": {"weekdays": ["sun"]}}, zone=zone)
        assert sum(granted(document, order(placed_at=saturday)).values()) == points


STACK = (
    {"type": "spend", "id": "all", "points_per_unit": 1, "group": "g"},
    {"type": "spend", "id": "wine", "points_per_unit": 3, "group": "g", "match": {"categories": ["wine"]}},
    {"type": "order", "id": "flat", "points": 150, "group": "g"},
)


@pytest.mark.parametrize(
    ("stacking", "by", "expected"),
    [
        ("sum", "order", {"all": 100, "wine": 180, "flat": 150}),
        ("best_of", "order", {"wine": 180}),
        ("first_match", "order", {"all": 100}),
        ("best_of", "line", {"all": 40, "wine": 180, "flat": 150}),
        ("first_match", "line", {"all": 100}),
    ],
)
def test_stacking(stacking: str, by: str, expected: dict[str, int]) -> None:
    document = program(*STACK, groups=[{"id": "g", "stacking": stacking, "by": by}])
    assert granted(document, order(*cart())) == expected


def test_the_first_match_is_that_of_the_order_as_placed() -> None:
    """A refund that brings the first rule below its minimum must not make the second one apply."""
    rules = (
        {"type": "order", "id": "large", "points": 5, "minimum_minor": 9000, "group": "g"},
        {"type": "order", "id": "any", "points": 100, "group": "g"},
    )
    document = program(*rules, groups=[{"id": "g", "stacking": "first_match"}])
    later = order(revision=2, refunds=(back("r", T0 + DAY, {"1": 5000}),), recorded_at=T0 + DAY)
    assert granted(document, order()) == {"large": 5}
    assert sum(granted(document, order(), later).values()) == 0


def test_campaigns_multiply_one_another_after_the_tier_or_add_up() -> None:
    campaigns = [
        {"id": "x2", "multiplier": 2},
        {"id": "x15", "multiplier": "1.5", "match": {"categories": ["wine"]}},
        {"id": "plus", "points": 7, "minimum_minor": 5000},
        {"id": "later", "multiplier": 5, "when": {"first_day": "2026-04-01"}},
    ]
    silver = standing(interval("silver", T0 - DAY))
    multiplied = program(BASE, campaigns=campaigns)
    # 100 · 1.25 = 125 (+25), · 2 = 250 (+125), wine's 150 of them · 1.5 (+75), and 7.
    assert granted(multiplied, silver, order(*cart())) == {"spend": 100, "tier": 25, "x2": 125, "x15": 75, "plus": 7}
    added = program(BASE, campaigns=campaigns, multipliers="add")
    assert granted(added, silver, order(*cart())) == {"spend": 100, "tier": 25, "x2": 100, "x15": 30, "plus": 7}


def test_a_campaign_falls_with_its_order() -> None:
    document = program(BASE, campaigns=[{"id": "x3", "multiplier": 3, "minimum_minor": 8000}])
    part = order(revision=2, refunds=(back("r", T0 + DAY, {"1": 1000}),), recorded_at=T0 + DAY)
    assert granted(document, order(), part) == {"spend": 90, "x3": 180}
    below = order(revision=2, refunds=(back("r", T0 + DAY, {"1": 3000}),), recorded_at=T0 + DAY)
    assert granted(document, order(), below) == {"spend": 70}


def test_campaigns_of_one_group() -> None:
    campaigns = [{"id": "x2", "multiplier": 2, "group": "g"}, {"id": "x4", "multiplier": 4, "group": "g"}]
    best = program(BASE, campaigns=campaigns, groups=[{"id": "g", "stacking": "best_of"}])
    first = program(BASE, campaigns=campaigns, groups=[{"id": "g", "stacking": "first_match"}])
    assert granted(best, order()) == {"spend": 100, "x4": 300}
    assert granted(first, order()) == {"spend": 100, "x2": 100}


def test_a_tier_that_earns_less() -> None:
    levels = [
        {"id": "basic", "name": {"en": "b"}, "threshold": 0, "multiplier": "0.5"},
        {"id": "silver", "name": {"en": "s"}, "threshold": 10},
    ]
    ledger = Ledger(program(BASE, rest={"tiers": {"levels": levels}})).send(enrolled(), order())
    assert ledger.granted() == {"shop:1": {"spend": 50}}
    (claim,) = ledger.claims()
    assert [step.base_points for step in claim.base] == [100]


def test_base_points_know_no_tier_segment_or_campaign() -> None:
    document = program(
        BASE,
        {"type": "order", "id": "vip", "points": 40, "when": {"tiers": ["gold"]}},
        {"type": "order", "id": "club", "points": 30, "when": {"unless": {"segments": ["staff"]}}},
        {"type": "order", "id": "thanks", "points": 10},
        campaigns=[{"id": "x2", "multiplier": 2}],
    )
    ledger = Ledger(document).send(enrolled(T0 - 50 * DAY), standing(interval("gold", T0 - DAY)), order())
    (claim,) = ledger.claims()
    assert claim.granted == {"spend": 100, "vip": 40, "club": 30, "thanks": 10, "tier": 90, "x2": 270}
    assert [step.base_points for step in claim.base] == [110]


def test_activities_are_rewarded_and_taken_back() -> None:
    document = program(
        {"type": "activity", "id": "review", "activity": "review", "points": 20},
        {"type": "activity", "id": "photo", "activity": "review", "points": 15, "attributes": {"photo": ["yes"]}},
        {"type": "activity", "id": "visit", "activity": "visit", "points": 3, "verified": False},
        campaigns=[{"id": "x2", "multiplier": 2, "rules": ["review"]}],
    )
    ledger = Ledger(document).send(enrolled(), activity("review", attributes={"photo": "yes"}))
    assert ledger.buckets() == (0, 55, 0)
    assert ledger.send(activity("review", "2", verified=False), activity("visit", "3", verified=False)).buckets() == (
        0, 58, 0,
    )  # fmt: skip
    gone = activity("review", attributes={"photo": "yes"}, revision=2, revoked_at=T0 + DAY, recorded_at=T0 + DAY)
    assert ledger.send(gone, gone).buckets() == (0, 3, 0)


def test_an_activity_waits_for_the_enrolment() -> None:
    document = program({"type": "activity", "id": "newsletter", "activity": "newsletter", "points": 25})
    ledger = Ledger(document).send(activity("newsletter"))
    assert ledger.buckets() == (0, 0, 0)
    assert ledger.send(enrolled(T0 + DAY)).buckets() == (0, 25, 0)


DATES = (
    {"type": "enrolment", "id": "welcome", "points": 10},
    {"type": "birthday", "id": "birthday", "points": 50, "enrolled_days": 30},
    {"type": "anniversary", "id": "year", "points": 5, "days_before": 1},
)


def test_days_of_a_member() -> None:
    person = enrolled(datetime(2026, 3, 1, 12, tzinfo=UTC)).model_copy(update={"birthday": "03-15"})
    ledger = Ledger(program(*DATES, validity_months=None)).send(person)
    assert ledger.buckets() == (0, 10, 0)
    assert ledger.sweep(datetime(2027, 2, 27, tzinfo=UTC)).buckets() == (0, 10, 0)  # not 30 days a member in 2026
    assert ledger.sweep(datetime(2027, 2, 28, tzinfo=UTC)).buckets() == (0, 15, 0)
    assert ledger.sweep(datetime(2027, 3, 14, 23, tzinfo=UTC)).buckets() == (0, 15, 0)
    assert ledger.sweep(datetime(2027, 3, 15, tzinfo=UTC)).buckets() == (0, 65, 0)
    assert ledger.sweep(datetime(2028, 4, 1, tzinfo=UTC)).buckets() == (0, 120, 0)
    other = person.model_copy(update={"birthday": "06-01", "version": 2})
    assert ledger.send(other).sweep(datetime(2028, 12, 1, tzinfo=UTC)).buckets() == (0, 120, 0)


@pytest.mark.parametrize("late", [timedelta(), timedelta(seconds=5), timedelta(days=2)])
def test_a_birthday_at_the_first_moment_of_a_new_version(late: timedelta) -> None:
    person = enrolled(datetime(2026, 1, 1, tzinfo=UTC)).model_copy(update={"birthday": "04-01"})
    midnight = datetime(2026, 4, 1, tzinfo=UTC)
    birthday = {"type": "birthday", "id": "birthday", "points": 33}
    book = Ledger(program(BASE)).send(person).sweep(midnight - timedelta(hours=1))
    book.send(published(program(BASE, birthday, version=2, effective_from=midnight, pending_days=0)))
    assert book.sweep(midnight + late).sweep(midnight + timedelta(days=9)).buckets() == (0, 33, 0)


def test_a_birthday_that_is_told_later_changes_no_order_that_was_judged() -> None:
    """Else a refund of a cent would bring the points of the month."""
    person = enrolled(datetime(2026, 1, 1, tzinfo=UTC))
    told = person.model_copy(update={"birthday": "03-20", "version": 2})
    book = Ledger(program(BASE | {"when": {"birthday_month": True}}, pending_days=0)).send(person, order(), told)
    refund = back("r", T0 + DAY, {"1": 1})
    assert book.send(order(revision=2, refunds=(refund,), recorded_at=T0 + DAY)).buckets() == (0, 0, 0)


def test_a_birthday_on_a_leap_day() -> None:
    person = enrolled(datetime(2026, 1, 1, tzinfo=UTC)).model_copy(update={"birthday": "02-29"})
    ledger = Ledger(program(DATES[1], validity_months=None)).send(person)
    assert ledger.sweep(datetime(2026, 2, 27, 23, tzinfo=UTC)).buckets() == (0, 0, 0)
    assert ledger.sweep(datetime(2026, 2, 28, tzinfo=UTC)).buckets() == (0, 50, 0)
    assert ledger.sweep(datetime(2028, 2, 28, tzinfo=UTC)).buckets() == (0, 100, 0)
    assert ledger.sweep(datetime(2028, 2, 29, tzinfo=UTC)).buckets() == (0, 150, 0)


def test_what_is_not_paid_for_by_money_can_be_excluded() -> None:
    document = program(BASE | {"basis": {"tax": True, "shipping": True}})
    bought = order(line("1", 10000, tax=2000), tax=2000, shipping=500, total=12500, points_paid=2500)
    assert granted(document, bought) == {"spend": 100}  # (120.00 + 5.00) · 4/5


def test_currencies_of_none_and_three_decimals() -> None:
    yen = program(BASE | {"points_per_unit": "0.01"}, currency="JPY")
    dinar = program(BASE | {"points_per_unit": "2"}, currency="KWD")
    assert granted(yen, order(line("1", 12345), currency="JPY", presentment_currency="JPY")) == {"spend": 123}
    assert granted(dinar, order(line("1", 12345), currency="KWD", presentment_currency="KWD")) == {"spend": 24}


def test_many_rules_on_single_products_are_found_by_their_product() -> None:
    rules = [
        {"type": "item", "id": f"p{number}", "points": number, "match": {"products": [f"p{number}"]}}
        for number in range(1, 200)
    ]
    bought = order(line("1", 100, product_id="p7"), line("2", 100, product_id="p150", quantity=2))
    assert granted(program(BASE, *rules), bought) == {"spend": 2, "p7": 7, "p150": 300}
