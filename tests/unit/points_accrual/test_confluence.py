"""The promise: any order and number of deliveries ends with the same grants, base points and balances."""

from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from math import floor
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts.base import Event
from contracts.orders import OrderChangedV1, Refund
from contracts.points import Cause, PointsEvent
from contracts.tiers import StandingChangedV1, StandingInterval
from points_accrual.domain.account import begin, debit_active
from tests.unit.points_accrual.samples import (
    DAY,
    T0,
    Ledger,
    back,
    confirmed,
    enrolled,
    interval,
    line,
    order,
    outcome,
    program,
    published,
    reversed_,
    spend,
    standing,
)

FAR = T0 + 700 * DAY
DOCUMENT = program(spend("goods", "1.1"), spend("all", "0.37", shipping=True, minimum=3000), validity_months=None)
MULTIPLIERS = {"basic": Decimal(1), "silver": Decimal("1.25"), "gold": Decimal("1.5")}
moments = st.integers(0, 60).map(lambda days: T0 + days * DAY)


@st.composite
def revisions(draw: st.DrawFn, order_id: str) -> list[OrderChangedV1]:
    """One order as its facts become known: payment, refunds in parts, perhaps a cancellation."""
    placed_at = draw(moments)
    grosses = draw(st.lists(st.integers(100, 20000), min_size=1, max_size=3))
    lines = tuple(line(str(place), gross) for place, gross in enumerate(grosses))
    facts: dict[str, Any] = {"order_id": order_id, "placed_at": placed_at, "shipping": draw(st.integers(0, 900))}
    facts["total"] = sum(grosses) + facts["shipping"]
    payment = draw(st.sampled_from(["pending", "paid"]))
    refunds: list[Refund] = []
    found: list[OrderChangedV1] = []
    recorded_at = placed_at
    for revision in range(1, draw(st.integers(1, 4)) + 1):
        cancelled = recorded_at if draw(st.integers(0, 9)) == 0 else None
        values = facts | {
            "revision": revision,
            "payment": payment,
            "recorded_at": recorded_at,
            "updated_at": recorded_at,
        }
        found.append(order(*lines, **values, refunds=tuple(refunds), cancelled_at=cancelled))
        recorded_at += draw(st.integers(0, 30)) * DAY + timedelta(seconds=1)
        payment = draw(st.sampled_from(["paid", "paid", "partially_refunded", "voided", "refunded"]))
        if draw(st.booleans()):
            refunds.append(draw(_refunds(str(revision), recorded_at, grosses)))
    return found


@st.composite
def _refunds(draw: st.DrawFn, refund_id: str, at: Any, grosses: list[int]) -> Refund:
    place = draw(st.integers(0, len(grosses) - 1))
    amount = draw(st.one_of(st.none(), st.integers(0, grosses[place])))
    return back(refund_id, at, {str(place): amount}, adjustment=draw(st.integers(-500, 500)))


@st.composite
def standings(draw: st.DrawFn) -> list[StandingChangedV1]:
    found = []
    for version in range(1, draw(st.integers(0, 3)) + 1):
        starts = sorted(draw(st.lists(moments, max_size=3, unique=True)))
        intervals: list[StandingInterval] = []
        for place, start in enumerate(starts):
            until = starts[place + 1] if place + 1 < len(starts) else draw(st.sampled_from([None, T0 + 90 * DAY]))
            tier = draw(st.sampled_from(["basic", "silver", "gold"]))
            intervals.append(interval(tier, start, order=draw(st.sampled_from([None, "shop:1"])), until=until))
        found.append(standing(*intervals, version=version, at=draw(moments)))
    return found


@st.composite
def histories(draw: st.DrawFn) -> list[Event]:
    """All facts of one member."""
    events: list[Event] = []
    for order_id in ("1", "2", "3")[: draw(st.integers(1, 3))]:
        events += draw(revisions(order_id))
    events += draw(standings())
    statuses = draw(st.sampled_from([["member"], ["shopper", "member"], ["shopper"], ["member", "member"]]))
    for version, status in enumerate(statuses, start=2):
        events.append(enrolled(draw(moments), version=version, status=status))
    events += [confirmed(1), reversed_(2), confirmed(3)][: draw(st.integers(0, 3))]
    return events


def run(events: list[Event], horizons: list[Any], *, late_program: bool = False) -> Ledger:
    """A member who had earned 50 points and spent them, whom these facts reach in this order, with sweeps between."""
    ledger = Ledger(program(version=1, effective_from=FAR, program_id="aurora")) if late_program else Ledger(DOCUMENT)
    if not late_program:
        ledger.send(enrolled(T0 - 50 * DAY))
        _spend_all(ledger)
    for place, event in enumerate(events):
        ledger.send(event)
        if place < len(horizons) and horizons[place]:
            ledger.sweep(min(horizons[place], FAR))
        ledger.check()
    return ledger


def _spend_all(ledger: Ledger) -> None:
    first = order(order_id="0", placed_at=T0 - 40 * DAY, lines=(line("1", 4000),))
    ledger.send(first).sweep(T0 - 20 * DAY)
    account = ledger.account()
    cause = Cause(kind="command", id="all")
    at = T0 - 19 * DAY
    begin(account, "redeem", "command:all", cause, occurred_at=at, recorded_at=at, input="")
    debit_active(account, account.active, credit="redeemed", at=at, program_version=1)
    later = first.model_copy(update={"revision": 2, "cancelled_at": T0, "recorded_at": T0 + DAY})
    ledger.send(later)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(histories(), st.data())
def test_any_order_of_deliveries_ends_the_same(events: list[Event], data: st.DataObject) -> None:
    straight = run(sorted(events, key=_natural), []).sweep(FAR)
    repeats = data.draw(st.lists(st.sampled_from(events), max_size=4))
    shuffled = data.draw(st.permutations([*events, *repeats]))
    horizons = data.draw(st.lists(st.one_of(st.none(), moments), max_size=len(shuffled)))
    assert outcome(run(shuffled, horizons).sweep(FAR)) == outcome(straight)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(histories(), st.data())
def test_a_program_that_comes_late_ends_the_same(events: list[Event], data: st.DataObject) -> None:
    straight = Ledger(DOCUMENT).send(*sorted(events, key=_natural)).sweep(FAR)
    shuffled: list[Event] = data.draw(st.permutations(events))
    early = run(shuffled, [], late_program=True)
    assert not any(early.buckets())
    late = DOCUMENT.model_copy(update={"version": 2})
    early.send(published(late)).sweep(FAR)
    assert outcome(early) == outcome(straight)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(histories())
def test_grants_are_those_of_a_model_written_down_again(events: list[Event]) -> None:
    """An oracle: the newest facts alone, in plain arithmetic, say what every order has."""
    ledger = run(sorted(events, key=_natural), []).sweep(FAR)
    for key, points in _expected(events).items():
        assert sum(ledger.granted()[f"shop:{key}"].values()) == points


def _expected(events: list[Event]) -> dict[str, int]:
    orders = {event.order_id: event for event in sorted(events, key=_natural) if isinstance(event, OrderChangedV1)}
    tiers = [event for event in events if isinstance(event, StandingChangedV1)]
    intervals = max(tiers, key=lambda event: event.version).intervals if tiers else ()
    people = [event for event in events if event.TYPE == "loyalty.member.changed.v1"]
    person: Any = max(people, key=lambda event: event.version)  # type: ignore[attr-defined]
    found = {}
    for key, facts in orders.items():
        paid = facts.payment in ("paid", "partially_refunded") and facts.cancelled_at is None
        early = person.status != "member" or facts.placed_at < person.enrolled_at - 90 * DAY
        if not paid or early:
            found[key] = 0
            continue
        goods, shipping = _money(facts)
        whole = Fraction(11, 10) * goods / 100
        if goods + shipping >= 3000:
            whole += Fraction(37, 100) * (goods + shipping) / 100
        found[key] = floor(whole * Fraction(_multiplier(intervals, facts)))
    return found


def _multiplier(intervals: tuple[StandingInterval, ...], facts: OrderChangedV1) -> Decimal:
    rate = Decimal(1)
    for item in intervals:
        begun = facts.placed_at > item.starts_at
        tie = (
            facts.placed_at == item.starts_at
            and bool(item.starts_with)
            and f"shop:{facts.order_id}" > str(item.starts_with)
        )
        if (begun or tie) and (item.valid_until is None or facts.placed_at <= item.valid_until):
            rate = MULTIPLIERS[item.tier_id]
    return rate


def _money(facts: OrderChangedV1) -> tuple[Fraction, Fraction]:
    """What is left of lines and shipping after each refund's money was taken off lines first."""
    left = [Fraction(item.gross.shop_minor) for item in facts.lines]
    beyond = Fraction(0)
    for refund in facts.refunds:
        item = refund.lines[0]
        place = int(item.line_id)
        told = item.subtotal.shop_minor if item.subtotal else facts.lines[place].gross.shop_minor
        money = max(0, told + refund.adjustment.shop_minor)
        left[place] -= min(told, money)
        beyond += max(0, money - told)
    beyond += sum(-value for value in left if value < 0)
    goods = sum((value for value in left if value > 0), Fraction(0)) - beyond
    shipping = Fraction(facts.shipping.shop_minor)
    if goods < 0:
        goods, shipping = Fraction(0), max(Fraction(0), shipping + goods)
    return goods, shipping


def _natural(event: Event) -> tuple[Any, ...]:
    at = event.recorded_at  # type: ignore[attr-defined]
    return at, getattr(event, "revision", 0), getattr(event, "version", None) or 0


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(histories(), st.sampled_from(["only_pending", "within_balance"]), st.data())
def test_bounded_policies_never_owe_and_never_take_twice(events: list[Event], policy: str, data: st.DataObject) -> None:
    document = DOCUMENT.model_copy(update={"earning": DOCUMENT.earning.model_copy(update={"clawback": policy})})
    ledger = Ledger(document).send(enrolled(T0 - 50 * DAY))
    for event in data.draw(st.permutations(events)):
        ledger.send(event).sweep(data.draw(moments))
        pending, active, owed = ledger.buckets()
        assert owed == 0
        assert pending >= 0
        assert active >= 0


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(histories(), st.data())
def test_a_replay_publishes_the_same_events_with_the_same_ids(events: list[Event], data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(events))
    one, two = run(shuffled, []), run(shuffled, [])
    assert one.world.outbox == two.world.outbox
    ids = [announcement[1] for announcement, _ in one.world.outbox]
    assert len(set(ids)) == len(ids)
    transfers = [
        item.transfer_id for event in one.events() if isinstance(event, PointsEvent) for item in event.transfers
    ]
    assert len(set(transfers)) == len(transfers)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1, 10000), min_size=1, max_size=6), st.booleans(), st.integers(0, 100))
def test_any_split_of_a_refund_ends_as_one_full_refund(parts: list[int], swept: bool, spent: int) -> None:
    """Whether pending, active or spent, in however many parts it comes back."""
    ledger = Ledger(program(validity_months=None)).send(enrolled(), order())
    at = T0 + 20 * DAY if swept else T0
    ledger.sweep(at)
    if swept and spent:
        account = ledger.account()
        cause = Cause(kind="command", id="1")
        begin(account, "redeem", "command", cause, occurred_at=at, recorded_at=at, input="")
        debit_active(account, spent, credit="redeemed", at=at, program_version=1)
    refunds: list[Refund] = []
    for part in [*parts, 10000]:
        refunds.append(back(str(len(refunds)), at + DAY, {"1": part}))
        ledger.send(order(revision=len(refunds) + 1, refunds=tuple(refunds), recorded_at=at + DAY))
        ledger.check()
    assert ledger.buckets() == (0, 0, spent if swept else 0)
