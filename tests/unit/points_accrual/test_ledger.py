"""Worked examples: pending, activation, expiry, clawback by every policy, undoing, standings, referrals."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from contracts.base import EARLIEST, LATEST
from contracts.points import (
    Cause,
    PointsActivatedV1,
    PointsClawedBackV1,
    PointsEvent,
    PointsExpiredV1,
    PointsGrantedV1,
)
from contracts.program import Program
from points_accrual.domain.account import begin, debit_active
from points_accrual.domain.catalogue import RefusedError, check_covered, find_reward
from points_accrual.domain.deciding import WrongProgramError, take_order
from points_accrual.domain.lots import ClaimKey, Lot
from points_accrual.domain.world import SKEW_MAX, Trace
from tests.unit.points_accrual.samples import (
    ANN,
    BOB,
    DAY,
    T0,
    Ledger,
    back,
    confirmed,
    enrolled,
    interval,
    line,
    order,
    program,
    published,
    reversed_,
    spend,
    standing,
)

ACTIVE = T0 + 14 * DAY


def spend_points(ledger: Ledger, points: int, at: datetime) -> None:
    """Spend so many points, whatever on."""
    account = ledger.account()
    cause = Cause(kind="command", id=f"spend {points}")
    begin(account, "redeem", f"command:{at}", cause, occurred_at=at, recorded_at=at, input="")
    check_covered(account, points)
    debit_active(account, points, credit="redeemed", at=at, program_version=1)


def reason(ledger: Ledger) -> str | None:
    return next(iter(ledger.world.claims.values())).reason


def test_points_wait_then_are_spendable_then_run_out() -> None:
    ledger = Ledger().send(enrolled(), order())
    assert ledger.buckets() == (100, 0, 0)
    assert ledger.sweep(ACTIVE - DAY).buckets() == (100, 0, 0)
    assert ledger.sweep(ACTIVE).buckets() == (0, 100, 0)
    assert ledger.sweep(datetime(2027, 3, 15, 23, 59, tzinfo=UTC)).buckets() == (0, 100, 0)
    assert ledger.sweep(datetime(2027, 3, 16, tzinfo=UTC)).buckets() == (0, 0, 0)
    kinds = [type(event) for event in ledger.events()]
    assert kinds == [PointsGrantedV1, PointsActivatedV1, PointsExpiredV1]
    granted, activated, expired = ledger.events()
    assert isinstance(granted, PointsGrantedV1)
    assert granted.activates_at == ACTIVE
    assert granted.base is not None
    assert [step.base_points for step in granted.base.steps] == [100]
    assert isinstance(activated, PointsActivatedV1)
    assert (activated.effective_at, activated.cause.kind) == (ACTIVE, "sweep")
    assert isinstance(expired, PointsExpiredV1)
    assert expired.effective_at == datetime(2027, 3, 16, tzinfo=UTC)


def test_time_passes_by_the_next_event_as_by_the_sweeper() -> None:
    swept = Ledger().send(enrolled(), order()).sweep(ACTIVE)
    late = order(order_id="2", placed_at=ACTIVE + DAY)
    unswept = Ledger().send(enrolled(), order())
    assert swept.send(late).buckets() == unswept.send(late).buckets() == (100, 100, 0)
    assert [posting.effective_at for posting in unswept.account().decisions[-1].postings] == [ACTIVE, ACTIVE + DAY]


def test_a_lot_first_posted_late_is_never_born_expired() -> None:
    recorded = T0 + 360 * DAY
    ledger = Ledger(program(validity_months=1)).send(enrolled(), order(recorded_at=recorded))
    assert ledger.buckets() == (0, 100, 0)
    assert next(iter(ledger.account().lots.values())).expires_at == datetime(2027, 3, 25, tzinfo=UTC)


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"payment": "pending"}, "not_paid"),
        ({"payment": "voided"}, "not_paid"),
        ({"test": True}, "test_order"),
        ({"currency": "USD"}, "other_currency"),
        ({"recorded_at": T0 + 366 * DAY}, "too_old"),
        ({"placed_at": T0 - 91 * DAY}, "outside_enrolment_window"),
        ({"placed_at": datetime(2019, 1, 1, tzinfo=UTC)}, "no_program_in_force"),
        ({"cancelled_at": T0 + DAY}, "cancelled"),
        ({"payment": "refunded"}, "refunded"),
        ({"subtotal": 0}, "nothing_counts"),
    ],
)
def test_why_an_order_earns_nothing(values: dict[str, object], why: str) -> None:
    ledger = Ledger().send(enrolled(), order(**values))
    assert ledger.buckets() == (0, 0, 0)
    assert reason(ledger) == why


def test_an_order_below_the_minimum() -> None:
    ledger = Ledger(program(spend(minimum=20000))).send(enrolled(), order())
    assert reason(ledger) == "below_minimum"
    assert not ledger.events()


def test_points_of_a_shopper_wait_for_the_enrolment() -> None:
    ledger = Ledger().send(enrolled(status="shopper"), order())
    assert (ledger.buckets(), reason(ledger)) == ((0, 0, 0), "not_a_member")
    assert not ledger.events()
    ledger.send(enrolled(T0 + 20 * DAY, version=2))
    assert (ledger.buckets(), reason(ledger)) == ((0, 100, 0), None)
    event = ledger.events()[-1]
    assert isinstance(event, PointsGrantedV1)
    assert event.cause.kind == "enrolment"


def test_a_refund_takes_from_pending_before_activation() -> None:
    ledger = Ledger().send(enrolled(), order())
    ledger.send(order(revision=2, refunds=(back("r", T0 + DAY, {"1": 4000}),), recorded_at=T0 + DAY))
    assert ledger.buckets() == (60, 0, 0)
    event = ledger.events()[-1]
    assert isinstance(event, PointsClawedBackV1)
    assert (event.points, event.balances.pending, event.cause.reason) == (40, 60, "refunded")
    assert event.base is not None
    assert [step.base_points for step in event.base.steps] == [100, 60]


REFUND = order(revision=2, refunds=(back("r", ACTIVE + 5 * DAY, {"1": 10000}),), recorded_at=ACTIVE + 6 * DAY)


@pytest.mark.parametrize(
    ("policy", "buckets"),
    [("unlimited", (0, 0, 40)), ("within_balance", (0, 0, 0)), ("only_pending", (0, 60, 0))],
)
def test_what_a_refund_may_take_of_spent_points(policy: str, buckets: tuple[int, int, int]) -> None:
    document = program(clawback=policy)
    ledger = Ledger(document).send(enrolled(), order(), order(lines=(line("1", 5000),), order_id="2")).sweep(ACTIVE)
    spend_points(ledger, 90, ACTIVE + DAY)
    assert ledger.buckets() == (0, 60, 0)
    ledger.send(REFUND)
    assert ledger.buckets() == buckets
    assert ledger.granted()["shop:1"] == {}
    ledger.send(REFUND.model_copy(update={"revision": 3, "refunds": (), "recorded_at": ACTIVE + 7 * DAY}))
    assert ledger.buckets() == (0, 60, 0)


def test_only_pending_takes_points_whose_refund_happened_in_time() -> None:
    early = REFUND.model_copy(update={"refunds": (back("r", ACTIVE - DAY, {"1": 3000}), *REFUND.refunds)})
    ledger = Ledger(program(clawback="only_pending")).send(enrolled(), order()).sweep(ACTIVE).send(early)
    assert ledger.buckets() == (0, 70, 0)
    assert ledger.granted()["shop:1"] == {}


def test_never_from_another_orders_pending() -> None:
    ledger = Ledger().send(enrolled(), order()).sweep(ACTIVE)
    spend_points(ledger, 100, ACTIVE)
    ledger.send(order(order_id="2", placed_at=ACTIVE + DAY), REFUND)
    assert ledger.buckets() == (100, 0, 100)
    assert ledger.sweep(ACTIVE + 15 * DAY).buckets() == (0, 0, 0)
    activated = ledger.events()[-1]
    assert isinstance(activated, PointsActivatedV1)
    assert [(item.debit, item.credit) for item in activated.transfers] == [("pending", "deficit")]


def test_expired_points_are_taken_without_effect_on_the_member() -> None:
    document = program(validity_months=1)
    ledger = Ledger(document).send(enrolled(), order()).sweep(T0 + 60 * DAY)
    ledger.send(order(order_id="2", placed_at=T0 + 60 * DAY)).sweep(T0 + 75 * DAY)
    assert ledger.buckets() == (0, 100, 0)
    late = REFUND.model_copy(update={"recorded_at": T0 + 76 * DAY})
    assert ledger.send(late).buckets() == (0, 100, 0)
    event = ledger.events()[-1]
    assert isinstance(event, PointsClawedBackV1)
    assert [(item.debit, item.credit, item.points) for item in event.transfers] == [("expired", "clawed_back", 100)]


def test_other_lots_get_their_points_back() -> None:
    ledger = Ledger().send(enrolled(), order(), order(order_id="2", placed_at=T0 + DAY)).sweep(ACTIVE + DAY)
    spend_points(ledger, 50, ACTIVE + 2 * DAY)
    ledger.send(REFUND)
    lots = {lot.claim.id: lot.remaining for lot in ledger.account().lots.values()}
    assert lots == {"shop:1": 0, "shop:2": 50}
    ledger.send(order(revision=3, recorded_at=ACTIVE + 8 * DAY))
    assert {lot.claim.id: lot.remaining for lot in ledger.account().lots.values()} == {"shop:1": 50, "shop:2": 100}
    event = ledger.events()[-1]
    assert isinstance(event, PointsGrantedV1)
    assert {(item.debit, item.credit) for item in event.transfers} == {("clawed_back", "active")}


def test_debits_use_the_soonest_expiring_lot_and_remember_it() -> None:
    ledger = Ledger().send(enrolled(), order(order_id="2", placed_at=T0 + DAY), order()).sweep(ACTIVE + DAY)
    spend_points(ledger, 130, ACTIVE + 2 * DAY)
    posting = ledger.account().decisions[-1].postings[-1]
    origins = [(ledger.account().lots[lot_id].claim.id, points) for lot_id, points in posting.uses]
    assert origins == [("shop:1", 100), ("shop:2", 30)]


def test_lots_that_never_expire_are_used_last_then_the_oldest_then_by_id() -> None:
    def lot(number: int, opened: datetime, expires: datetime | None) -> Lot:
        return Lot(UUID(int=number), ClaimKey("order", str(number)), 1, opened, opened, expires, "", "active", 1)

    lots = [
        lot(5, T0, None),
        lot(4, T0, ACTIVE),
        lot(3, T0 + DAY, T0 + 2 * DAY),
        lot(2, T0, T0 + 2 * DAY),
        lot(1, T0, None),
    ]
    assert [item.lot_id.int for item in sorted(lots, key=Lot.consumed_before)] == [2, 3, 4, 1, 5]


def test_a_standing_that_arrives_late_has_its_orders_judged_again() -> None:
    ledger = Ledger().send(enrolled(), order(), order(order_id="2", placed_at=T0 + 2 * DAY))
    ledger.send(standing(interval("silver", T0 + DAY, order="shop:0")))
    assert ledger.buckets() == (225, 0, 0)
    event = ledger.events()[-1]
    assert isinstance(event, PointsGrantedV1)
    assert (event.points, event.cause.kind, event.cause.order and event.cause.order.order_id) == (25, "standing", "2")
    assert event.base is not None
    assert event.base.steps[-1].base_points == 100
    ledger.send(standing(version=2))
    assert ledger.buckets() == (200, 0, 0)


def test_an_order_never_benefits_from_itself() -> None:
    ledger = Ledger().send(enrolled(), standing(interval("gold", T0, order="shop:1")), order(), order(order_id="2"))
    assert ledger.granted() == {"shop:1": {"spend": 100}, "shop:2": {"spend": 100, "tier": 50}}


def test_a_standing_ends_with_valid_until() -> None:
    until = standing(interval("gold", T0 - DAY, until=T0), interval("silver", T0))
    ledger = Ledger().send(enrolled(), until, order(), order(order_id="2", placed_at=T0 + DAY))
    assert ledger.granted() == {"shop:1": {"spend": 100, "tier": 50}, "shop:2": {"spend": 100, "tier": 25}}


def test_old_revisions_and_versions_change_nothing() -> None:
    ledger = Ledger().send(enrolled(), REFUND, standing(version=3))
    before = (ledger.buckets(), ledger.account().sequence)
    ledger.send(order(recorded_at=REFUND.recorded_at), enrolled(), standing(interval("gold", T0 - DAY), version=2))
    assert (ledger.buckets(), ledger.account().sequence) == before


def test_the_age_of_an_order_is_that_of_its_first_delivery() -> None:
    """A refund a year later does not make an order too old, whichever arrives first."""
    late = order(revision=2, refunds=(back("r", T0 + 400 * DAY, {"1": 1000}),), recorded_at=T0 + 400 * DAY)
    ledger = Ledger().send(enrolled(), late)
    assert reason(ledger) == "too_old"
    ledger.send(order())
    assert (reason(ledger), ledger.granted()) == (None, {"shop:1": {"spend": 90}})


def test_an_order_waits_for_a_program() -> None:
    ledger = Ledger(program(effective_from=T0 + DAY)).send(enrolled(), order())
    assert reason(ledger) == "no_program_in_force"
    ledger.send(published(program(version=2, effective_from=T0 - DAY))).sweep(T0 + DAY)
    assert ledger.buckets() == (100, 0, 0)
    event = ledger.events()[-1]
    assert isinstance(event, PointsEvent)
    assert (event.cause.kind, event.program_version) == ("program", 2)


def test_a_judged_order_keeps_its_version() -> None:
    double: Program = program(spend(rate="2"), version=2, effective_from=T0 - DAY)
    ledger = Ledger().send(enrolled(), order(), published(double))
    ledger.send(order(revision=2, recorded_at=T0 + DAY), order(order_id="2"))
    assert ledger.granted() == {"shop:1": {"spend": 100}, "shop:2": {"spend": 200}}


def test_pending_points_follow_the_payment() -> None:
    ledger = Ledger().send(enrolled(), order(paid_at=T0 + 5 * DAY, recorded_at=T0 + 5 * DAY))
    ledger.send(order(paid_at=T0 + DAY, revision=2, recorded_at=T0 + 5 * DAY))
    assert ledger.sweep(ACTIVE + DAY).buckets() == (0, 100, 0)


def test_the_furthest_dates_of_the_wire_stop_nothing_else() -> None:
    far = order(paid_at=LATEST - timedelta(seconds=1))
    ledger = Ledger(program(validity_months=120)).send(far, enrolled(), order(order_id="2"))
    assert ledger.buckets() == (200, 0, 0)
    ancient = enrolled(EARLIEST, version=2, recorded=T0)
    assert ledger.send(ancient).buckets() == (200, 0, 0)


def test_a_referral_is_rewarded_at_once_and_taken_back() -> None:
    ledger = Ledger().send(enrolled(), confirmed())
    assert ledger.buckets() == (0, 500, 0)
    ledger.send(confirmed(), reversed_())
    assert ledger.buckets() == (0, 0, 0)
    ledger.send(confirmed(version=3))
    assert ledger.buckets() == (0, 500, 0)
    assert [type(event) for event in ledger.events()] == [PointsGrantedV1, PointsClawedBackV1, PointsGrantedV1]


def test_a_referral_of_who_has_not_enrolled_waits() -> None:
    ledger = Ledger().send(confirmed(role="friend", member_id=BOB))
    assert ledger.buckets(BOB) == (0, 0, 0)
    assert ledger.send(enrolled(member_id=BOB)).buckets(BOB) == (0, 250, 0)


def test_a_reversal_that_comes_first_grants_nothing() -> None:
    ledger = Ledger().send(enrolled(), reversed_(), confirmed())
    assert ledger.buckets() == (0, 0, 0)


def test_redemptions_are_refused_by_name() -> None:
    with pytest.raises(RefusedError, match="no reward 'nothing'"):
        find_reward(program(), "nothing")
    ledger = Ledger().send(enrolled(), order())
    with pytest.raises(RefusedError, match="130 points are needed, 130 are missing"):
        spend_points(ledger, 130, T0)


def test_events_that_can_never_be_applied() -> None:
    ledger = Ledger().send(enrolled(), order())
    with pytest.raises(WrongProgramError, match="never published"):
        ledger.send(order(program_id="other"))
    with pytest.raises(WrongProgramError, match=f"belongs to member {ANN}"):
        ledger.send(order(member_id=BOB, revision=2))


def test_a_recorded_time_far_ahead_is_not_believed() -> None:
    ledger = Ledger()
    ledger.send(enrolled())
    ledger.world.now = T0
    event = order(recorded_at=T0 + 300 * DAY)
    take_order(ledger.world, event, "event", Trace("test"))
    assert ledger.account().clock == T0 + SKEW_MAX


def test_rules_change_by_their_own_difference() -> None:
    """A correction moves money from one rule's basis to the other's."""
    document = program(spend("cards", gift_cards_bought=True), spend("goods", "1"))
    first = order(line("1", 5000), line("2", 5000, gift_card=True))
    second = order(line("1", 8000), line("2", 1000, gift_card=True), revision=2)
    ledger = Ledger(document).send(enrolled(), first)
    assert ledger.granted() == {"shop:1": {"cards": 100, "goods": 50}}
    ledger.send(second)
    assert ledger.granted() == {"shop:1": {"cards": 90, "goods": 80}}
    assert ledger.buckets() == (170, 0, 0)
