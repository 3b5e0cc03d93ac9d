"""The promise with every kind of rule: any order and number of deliveries ends with the same grants and balances.

First come, first served are caps, budgets, stock, segments, commands, and bounded clawback: see `test_limits.py`.
"""

from datetime import timedelta
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts.activities import ActivityRecordedV1
from contracts.base import Event
from contracts.orders import Dispute, OrderChangedV1, Refund
from contracts.program import Program
from contracts.tiers import MembershipInterval, StandingChangedV1
from tests.unit.points_accrual.samples import (
    ANN,
    DAY,
    T0,
    Ledger,
    activity,
    back,
    confirmed,
    enrolled,
    interval,
    line,
    order,
    program,
    reversed_,
    standing,
)

FAR = T0 + 900 * DAY
RULES: tuple[dict[str, Any], ...] = (
    {"type": "spend", "id": "spend", "points_per_unit": "1.3", "group": "base"},
    {"type": "spend", "id": "wine", "points_per_unit": "2.7", "group": "base", "match": {"categories": ["wine"]}},
    {"type": "item", "id": "books", "points": 7, "match": {"categories": ["book"]}, "terms": "bonus"},
    {"type": "order", "id": "large", "points": 40, "minimum_minor": 9000, "cliff": "recheck"},
    {"type": "order", "id": "kept", "points": 30, "minimum_minor": 7000, "cliff": "keep"},
    {"type": "order", "id": "shrinking", "points": 25, "minimum_products": 2, "cliff": "pro_rata"},
    {"type": "order", "id": "silver-only", "points": 11, "when": {"tiers": ["silver"]}},
    {"type": "order", "id": "plus-only", "points": 13, "when": {"memberships": ["plus"]}},
    {"type": "activity", "id": "review", "activity": "review", "points": 20},
)
CHALLENGES: tuple[dict[str, Any], ...] = (
    {"id": "second", "counts": "orders", "every": 2, "points": 50},
    {"id": "third", "counts": "orders", "at": [3], "points": 90, "terms": "bonus"},
    {"id": "monthly", "counts": "spend", "period": "month", "at": [12000], "points": 60},
    {"id": "close", "counts": "orders", "within_days": 10, "at": [2], "points": 45},
    {"id": "streak", "counts": "orders", "streak": "week", "at": [2, 3], "points": 35},
    {"id": "kinds", "counts": "categories", "at": [2], "points": 55},
    {"id": "reviewer", "counts": "objects", "activity": "review", "at": [2], "points": 65},
)
RICH: Program = program(
    *RULES,
    groups=[{"id": "base", "stacking": "best_of", "by": "line"}, {"id": "promo", "stacking": "best_of"}],
    campaigns=[
        {"id": "weekend", "multiplier": 2, "when": {"weekdays": ["sat", "sun"]}, "group": "promo"},
        {"id": "books-x3", "multiplier": 3, "match": {"categories": ["book"]}, "rules": ["books"], "group": "promo"},
        {"id": "march", "points": 15, "when": {"first_day": "2026-03-10", "last_day": "2026-03-20"}},
    ],
    terms=[{"id": "bonus", "pending": {"days": 0}, "expiry": {}}],
    validity_months=None,
    rounding="half_up",
    rest={"challenges": CHALLENGES, "memberships": [{"id": "plus", "name": {"en": "Plus"}}]},
)
moments = st.integers(0, 45).map(lambda days: T0 + days * DAY)


@st.composite
def orders_of(draw: st.DrawFn, order_id: str) -> list[OrderChangedV1]:
    """One order as its facts become known: payment, refunds, disputes, perhaps a cancellation."""
    placed_at = draw(moments)
    kinds = draw(st.lists(st.sampled_from(["wine", "book", "toy"]), min_size=1, max_size=3))
    lines = tuple(
        line(str(place), draw(st.integers(100, 12000)), quantity=draw(st.integers(1, 3)), categories=(kind,))
        for place, kind in enumerate(kinds)
    )
    refunds: list[Refund] = []
    disputes: tuple[Dispute, ...] = ()
    found, payment, at, cancelled = [], draw(st.sampled_from(["pending", "paid"])), placed_at, None
    for revision in range(1, draw(st.integers(1, 4)) + 1):
        facts = {
            "order_id": order_id, "placed_at": placed_at, "revision": revision, "payment": payment,
            "recorded_at": at, "updated_at": at, "refunds": tuple(refunds), "disputes": disputes,
            "cancelled_at": cancelled,
        }  # fmt: skip
        found.append(order(*lines, **facts))
        at += draw(st.integers(0, 20)) * DAY + timedelta(seconds=1)
        payment = draw(st.sampled_from(["paid", "paid", "paid", "partially_refunded", "voided"]))
        if draw(st.booleans()):
            place = str(draw(st.integers(0, len(lines) - 1)))
            refunds.append(back(str(revision), at, {place: draw(st.one_of(st.none(), st.integers(0, 5000)))}))
        if draw(st.integers(0, 4)) == 0:
            disputes = (Dispute(dispute_id="d", opened_at=at, outcome=draw(st.sampled_from(["open", "won", "lost"]))),)
        cancelled = at if draw(st.integers(0, 9)) == 0 else cancelled
    return found


@st.composite
def activities_of(draw: st.DrawFn) -> list[ActivityRecordedV1]:
    found = []
    for number in range(draw(st.integers(0, 3))):
        at = draw(moments)
        first = activity("review", str(number), at=at, object_id=draw(st.sampled_from(["a", "b"])))
        found.append(first)
        if draw(st.booleans()):
            gone = at + draw(st.integers(0, 20)) * DAY
            found.append(first.model_copy(update={"revision": 2, "revoked_at": gone, "recorded_at": gone}))
    return found


@st.composite
def standings_of(draw: st.DrawFn) -> list[StandingChangedV1]:
    found = []
    for version in range(1, draw(st.integers(0, 2)) + 1):
        start = draw(moments)
        plus = MembershipInterval(membership_id="plus", starts_at=start, ends_at=start + 20 * DAY)
        tier = interval(draw(st.sampled_from(["silver", "gold"])), draw(moments))
        event = standing(tier, version=version, at=draw(moments))
        found.append(event.model_copy(update={"memberships": (plus,) if draw(st.booleans()) else ()}))
    return found


@st.composite
def histories(draw: st.DrawFn) -> list[Event]:
    events: list[Event] = []
    for order_id in ("1", "2", "3", "4")[: draw(st.integers(1, 4))]:
        events += draw(orders_of(order_id))
    events += draw(activities_of())
    events += draw(standings_of())
    for version, status in enumerate(draw(st.sampled_from([["member"], ["shopper", "member"]])), start=1):
        events.append(enrolled(T0, version=version, status=status))
    return events + [confirmed(1), reversed_(2)][: draw(st.integers(0, 2))]


def outcome(ledger: Ledger) -> object:
    """What must not depend on the order of deliveries."""
    granted = {
        str(claim.key): {rule: points for rule, points in claim.granted.items() if points} for claim in ledger.claims()
    }
    bases = {str(claim.key): claim.base for claim in ledger.claims() if claim.base}
    return {key: rules for key, rules in granted.items() if rules}, bases, ledger.buckets()


def natural(event: Event) -> tuple[Any, ...]:
    at = event.recorded_at  # type: ignore[attr-defined]
    return at, getattr(event, "revision", 0), getattr(event, "version", None) or 0


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(histories(), st.data())
def test_any_order_of_deliveries_ends_the_same(events: list[Event], data: st.DataObject) -> None:
    straight = Ledger(RICH).send(*sorted(events, key=natural)).sweep(FAR)
    repeats = data.draw(st.lists(st.sampled_from(events), max_size=3))
    shuffled = Ledger(RICH)
    for event in data.draw(st.permutations([*events, *repeats])):
        shuffled.send(event)
        if data.draw(st.booleans()):
            shuffled.sweep(data.draw(moments))
        shuffled.check()
    assert outcome(shuffled.sweep(FAR)) == outcome(straight)
    assert ANN in straight.world.accounts


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(histories())
def test_a_refund_never_earns(events: list[Event]) -> None:
    """What an order and the challenges of its member have never rises when money comes back."""
    ledger = Ledger(RICH)
    for event in sorted(events, key=natural):
        before = sum(claim.total for claim in ledger.claims())
        known = ledger.world.claims.get(("aurora", key)) if (key := order_key_of(event)) else None
        earlier = known.facts if known is not None else None
        ledger.send(event)
        if earlier is not None and isinstance(event, OrderChangedV1) and only_lost(earlier, event):
            assert sum(claim.total for claim in ledger.claims()) <= before


def order_key_of(event: Event) -> Any:
    from points_accrual.domain.claims import order_key

    return order_key(event.source, event.order_id) if isinstance(event, OrderChangedV1) else None


def only_lost(old: OrderChangedV1, new: OrderChangedV1) -> bool:
    """All that is new is money that came back."""
    lost = {refund.refund_id for refund in old.refunds} <= {refund.refund_id for refund in new.refunds}
    paid = {"paid", "partially_refunded"}
    return lost and old.payment in paid and new.payment in paid and old.disputes == new.disputes
