"""What members bring along: into an account that takes over theirs, into a hold, into the lots of others."""

from typing import Any
from uuid import UUID

import pytest

from contracts.orders import OrderChangedV1
from contracts.program import Program
from points_accrual.domain import adjusting, sharing, spending
from points_accrual.domain.commands import Freeze, Join, Redeem, Release, Send
from tests.unit.points_accrual.programs import CAT
from tests.unit.points_accrual.samples import (
    ANN,
    BOB,
    CREDIT,
    DAY,
    QUIET,
    T0,
    Ledger,
    back,
    enrolled,
    line,
    merge,
    order,
    program,
    spend,
)
from tests.unit.points_accrual.test_replaying import same

HOME = UUID(int=7)


def test_what_is_true_of_the_one_is_true_of_both() -> None:
    ledger = Ledger(program(expiry={"inactive_months": 6}, pending_days=0)).send(enrolled(), enrolled(member_id=CAT))
    ledger.do(sharing.join, CAT, Join(household_id=HOME), T0 + DAY)
    ledger.do(adjusting.freeze, CAT, Freeze(actor="x", reason="fraud"), T0 + DAY)
    ledger.send(order(member_id=CAT, placed_at=T0 + 100 * DAY, recorded_at=T0 + 100 * DAY))
    ledger.send(merge(CAT, ANN, T0 + 101 * DAY))
    account, other = ledger.account(), ledger.world.accounts[CAT]
    assert (account.active_at, account.frozen, account.household_id) == (T0 + 100 * DAY, True, HOME)
    assert other.household_id is None


def test_who_has_a_household_stays_in_it() -> None:
    ledger = Ledger().send(enrolled(), enrolled(member_id=CAT))
    for member_id, household_id in ((ANN, HOME), (CAT, UUID(int=8))):
        ledger.do(sharing.join, member_id, Join(household_id=household_id), T0 + DAY)
    ledger.send(merge(CAT, ANN, T0 + 2 * DAY))
    assert ledger.account().household_id == HOME


@pytest.mark.parametrize("released", [False, True])
def test_what_should_never_have_been_active_is_not_kept_by_a_hold(released: bool) -> None:
    """Points that were held when their order turned out to be void are taken from others, as if it had been known."""
    ledger = Ledger(program(spend(), clawback="only_pending")).send(enrolled())
    ledger.send(order(order_id="1"), order(order_id="2", placed_at=T0 + DAY)).sweep(T0 + 20 * DAY)
    held = ledger.do(spending.redeem, ANN, Redeem(reward_id="ten-off", hold=True), T0 + 20 * DAY)
    ledger.send(order(order_id="1", revision=2, payment="voided", recorded_at=T0 + 20 * DAY))
    assert ledger.buckets() == (0, 0, 0)
    if released:
        ledger.do(spending.release, ANN, Release(coupon_id=held["coupon_id"]), T0 + 20 * DAY)
        assert ledger.buckets() == (0, 100, 0)


def test_what_a_hold_reserves_is_taken_once_however_an_order_comes_back() -> None:
    """Spent and held, both out of the order that came back: the hold stands for its own points alone."""
    ends = []
    for parts in ((20000,), (10000, 10000)):
        ledger = Ledger(program(spend(), clawback="only_pending")).send(enrolled())
        ledger.send(order(line("1", 20000), order_id="1"), order(line("1", 20000), order_id="2", placed_at=T0 + DAY))
        ledger.sweep(T0 + 20 * DAY)
        for hold in (False, True):
            ledger.do(spending.redeem, ANN, Redeem(reward_id="ten-off", hold=hold), T0 + 20 * DAY)
        refunds = tuple(back(str(place), T0 + 5 * DAY, {"1": part}) for place, part in enumerate(parts))
        for count in range(1, len(parts) + 1):
            known = {"revision": 1 + count, "refunds": refunds[:count], "recorded_at": T0 + 21 * DAY}
            ledger.send(order(line("1", 20000), order_id="1", **known))
        ends.append((ledger.buckets(), ledger.account().held))
    assert ends == [((0, 100, 0), 100)] * 2


def test_points_of_another_keep_their_expiry_when_an_older_order_is_judged_again() -> None:
    document = program(pending_days=0, expiry={"inactive_months": 6}, rest={"transfers": {}})
    ledger = Ledger(document).send(enrolled(), enrolled(member_id=BOB), order(order_id="1"))
    older = order(member_id=BOB, order_id="2", placed_at=T0 + 10 * DAY)
    ledger.send(older)
    ledger.give(ANN, Send(to_member_id=BOB, points=50), T0 + 170 * DAY)
    (gift,) = (lot for lot in ledger.account(BOB).lots.values() if lot.claim.kind == "transfer")
    before, at = gift.expires_at, T0 + 175 * DAY
    refunds = (back("r", at, {"1": 100}),)
    ledger.send(
        order(
            member_id=BOB, order_id="2", placed_at=T0 + 10 * DAY, revision=2, updated_at=at, recorded_at=at,
            refunds=refunds,
        )
    )  # fmt: skip
    assert gift.expires_at == before


def test_a_lot_that_another_version_judges_is_written() -> None:
    ledger = Ledger(program(pending_days=0), program(pending_days=0, version=2, effective_from=T0 + 2 * DAY))
    ledger.send(enrolled(), order(placed_at=T0 + DAY))
    account = ledger.account()
    (lot,) = account.lots.values()
    account.touched.clear()
    ledger.send(order(placed_at=T0 + 3 * DAY, paid_at=T0 + DAY, revision=2))
    assert (lot.program_version, account.touched) == (2, {lot.lot_id})


def _bought(number: int, day: float, recorded: float | None = None, **values: Any) -> OrderChangedV1:
    recorded_at = T0 + (day if recorded is None else recorded) * DAY
    return order(order_id=str(number), placed_at=T0 + day * DAY, recorded_at=recorded_at, **values)


def test_points_live_on_by_what_was_done_last_whichever_is_learnt_first() -> None:
    """The order of day 25 keeps alive what was earned on day 0, and that of day 50 does so then."""
    document = program(pending_days=0, expiry={"inactive_months": 1})
    late = _bought(2, 25, 60), _bought(3, 50, 60)
    for facts in (late, late[::-1]):
        ledger = Ledger(document).send(enrolled(), _bought(1, 0)).sweep(T0 + 60 * DAY)
        assert ledger.send(*facts).sweep(T0 + 62 * DAY).buckets() == (0, 300, 0)


@pytest.mark.parametrize("merged_on", [19, 21, 35])
def test_who_is_merged_shares_what_was_done(merged_on: int) -> None:
    document = program(pending_days=0, expiry={"inactive_months": 1})
    ledger = Ledger(document).send(enrolled(), enrolled(member_id=BOB), _bought(1, 0, member_id=BOB))
    facts: list[Any] = [_bought(2, 20), merge(BOB, ANN, T0 + merged_on * DAY)]
    for fact in sorted(facts, key=lambda item: item.recorded_at):
        ledger.sweep(fact.recorded_at).send(fact)
    assert ledger.sweep(T0 + 45 * DAY).buckets() == (0, 200, 0)


def _counting() -> Ledger:
    """Every order brings 50 points, from the tenth day on 70, and nothing else does."""

    def document(points: int, version: int, day: int) -> Program:
        every = [{"id": "every", "counts": "orders", "every": 1, "points": points}]
        return program(
            QUIET, pending_days=0, version=version, effective_from=T0 + day * DAY,
            rest={"challenges": every, "rewards": [CREDIT]},
        )  # fmt: skip

    return Ledger(document(50, 1, -9), document(70, 2, 10)).send(enrolled(), enrolled(member_id=BOB))


def _given(ledger: Ledger) -> int:
    """All points that ever came to anybody."""
    decisions = [item for account in ledger.world.accounts.values() for item in account.decisions]
    return sum(posting.points for item in decisions for posting in item.postings if posting.debit == "source")


@pytest.mark.parametrize("first", [ANN, BOB])
def test_what_two_who_are_one_reach_keeps_its_place(first: UUID) -> None:
    """Else the times of one version change places with those of another, and what was spent is given twice."""
    ledger, second = _counting(), BOB if first == ANN else ANN
    ledger.send(_bought(1, 1, member_id=first), _bought(2, 2, member_id=second), merge(BOB, ANN, T0 + 3 * DAY))
    ledger.send(_bought(3, 11))
    ledger.do(spending.redeem, ANN, Redeem(reward_id="credit", amount_minor=17000), T0 + 12 * DAY)
    ledger.send(_bought(4, 13))
    assert (_given(ledger), ledger.buckets()) == (240, (0, 70, 0))
    same(ledger)
