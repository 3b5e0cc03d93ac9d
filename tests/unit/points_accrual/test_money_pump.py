"""No mix of orders, refunds, redemptions, gifts and referrals brings members more than what they paid for grants.

The bound is computed here, apart from the core: 3 points for 2 of money that the shop kept, 40 points for every third
order that was ever valid at once, 500 and 250 for a referral that stands.
"""

from collections.abc import Iterable
from datetime import timedelta
from fractions import Fraction
from typing import Any
from uuid import UUID

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts.orders import OrderChangedV1
from points_accrual.domain import commands, sharing, spending
from points_accrual.domain.catalogue import RefusedError
from tests.unit.points_accrual.samples import (
    ANN,
    BOB,
    DAY,
    T0,
    Ledger,
    back,
    confirmed,
    enrolled,
    line,
    order,
    program,
    reversed_,
    spend,
)

REWARDS = (
    {"type": "money_off", "id": "off", "name": {"en": "Off"}, "cost": 30, "value_minor": 1000, "valid_days": 5},
    {"type": "gift_card", "id": "pay", "name": {"en": "Pay"}, "points_per_unit": "10"},
)
BOTH = (ANN, BOB)


def shop(pending_days: int, coupon_refund: str, points_refund: str, expired_coupon: str) -> Ledger:
    redemption = {"coupon_refund": coupon_refund, "points_refund": points_refund, "expired_coupon": expired_coupon}
    document = program(
        spend(rate="1.5"), pending_days=pending_days,
        rest={
            "rewards": REWARDS, "redemption": redemption, "transfers": {}, "households": {},
            "challenges": [{"id": "third", "counts": "orders", "every": 3, "points": 40}],
        },
    )  # fmt: skip
    book = Ledger(document).send(enrolled(), enrolled(member_id=BOB))
    if points_refund == "pro_rata":
        for member_id in BOTH:
            book.do(sharing.join, member_id, commands.Join(household_id=UUID(int=1)), T0)
    return book


class Trial:
    """What the members do, and what they may have for it."""

    def __init__(self, book: Ledger, money_first: bool) -> None:
        self.book, self.money_first, self.at = book, money_first, T0
        self.orders: dict[str, OrderChangedV1] = {}
        self.referral = self.referrals = 0
        self.reached: dict[UUID, int] = dict.fromkeys(BOTH, 0)

    def tell(self, event: OrderChangedV1) -> None:
        self.orders[event.order_id] = event
        self.book.send(event)
        for member_id in BOTH:
            valid = sum(self.kept(item) > 0 for item in self.orders.values() if item.member_id == member_id)
            self.reached[member_id] = max(self.reached[member_id], valid // 3)

    def kept(self, item: OrderChangedV1) -> Fraction:
        """Money that the shop keeps of an order, points apart, in cents."""
        if item.cancelled_at is not None:
            return Fraction(0)
        total, points = item.total.shop_minor, item.points_paid.shop_minor
        returned = sum(part.subtotal.shop_minor for refund in item.refunds for part in refund.lines if part.subtotal)
        rest = max(0, total - returned)
        return max(
            Fraction(0), Fraction(rest - points) if self.money_first else Fraction(rest * (total - points), total)
        )

    def bound(self) -> int:
        earned = sum(int(self.kept(item) * 3 / 200) for item in self.orders.values())
        return earned + 40 * sum(self.reached.values()) + (750 if self.referral % 2 else 0)

    def value(self) -> int:
        """All points that members have, will have, or got something for."""
        names = {"pending", "active", "held", "deficit", "redeemed"}
        total = 0
        for posting in _postings(self.book):
            total += ((posting.credit in names) - (posting.debit in names)) * posting.points
        return total


def _postings(book: Ledger) -> Iterable[Any]:
    for account in book.world.accounts.values():
        for decision in account.decisions:
            yield from decision.postings


def take_part(trial: Trial, data: st.DataObject) -> None:
    """One thing that somebody does."""
    whose, book = data.draw(st.sampled_from(BOTH)), trial.book
    what = data.draw(st.sampled_from(["buy", "buy", "refund", "refund", "cancel", "redeem", "pay", "reverse", "give",
                                      "hold", "release", "wait", "refer"]))  # fmt: skip
    mine = sorted(number for number, item in trial.orders.items() if item.member_id == whose)
    coupons = sorted(book.world.coupons.values(), key=lambda item: item.coupon_id)
    if what == "buy":
        _buy(trial, data, whose, coupons)
    elif what in ("refund", "cancel") and mine:
        last = trial.orders[data.draw(st.sampled_from(mine))]
        change: dict[str, Any] = {"revision": last.revision + 1, "recorded_at": trial.at, "updated_at": trial.at}
        amount = data.draw(st.one_of(st.just(last.total.shop_minor), st.integers(1, last.total.shop_minor)))
        refund = back(str(last.revision), trial.at, {"1": amount})
        change |= {"refunds": (*last.refunds, refund)} if what == "refund" else {"cancelled_at": trial.at}
        trial.tell(last.model_copy(update=change))
    elif what in ("redeem", "hold", "pay"):
        amount_minor = data.draw(st.integers(1, 3000)) if what == "pay" else None
        command = commands.Redeem(
            reward_id="pay" if what == "pay" else "off", amount_minor=amount_minor, hold=what == "hold"
        )  # fmt: skip
        book.do(spending.redeem, whose, command, trial.at)
    elif what in ("reverse", "release") and coupons:
        coupon = data.draw(st.sampled_from(coupons))
        if what == "reverse":
            book.do(spending.reverse, coupon.member_id, commands.Reverse(coupon_id=coupon.coupon_id), trial.at)
        else:
            book.do(spending.release, coupon.member_id, commands.Release(coupon_id=coupon.coupon_id), trial.at)
    elif what == "give":
        book.give(
            whose,
            commands.Send(to_member_id=BOB if whose == ANN else ANN, points=data.draw(st.integers(1, 90))),
            trial.at,
        )
    elif what == "wait":
        trial.at += data.draw(st.sampled_from([1, 8, 20])) * DAY
        book.sweep(trial.at)
    elif what == "refer":
        _refer(trial)


def _buy(trial: Trial, data: st.DataObject, whose: UUID, coupons: list[Any]) -> None:
    """An order; it may use any code that there is, or be paid in part with points that were just spent for it."""
    gross, number = data.draw(st.integers(1000, 20000)), str(len(trial.orders))
    codes = data.draw(st.lists(st.sampled_from([item.code for item in coupons if item.code] or ["NONE"]), max_size=2))
    paid = data.draw(st.sampled_from([0, 0, 700]))
    if paid:
        command = commands.Redeem(reward_id="pay", amount_minor=paid, order=f"shop:{number}")
        trial.book.do(spending.redeem, whose, command, trial.at)
    trial.tell(
        order(line("1", gross), order_id=number, member_id=whose, placed_at=trial.at, discount_codes=tuple(codes),
              points_paid=paid)
    )  # fmt: skip


def _refer(trial: Trial) -> None:
    """The friend's order is confirmed, or it is undone: both sides are told."""
    trial.referral += 1
    make = confirmed if trial.referral % 2 else reversed_
    for role, member_id in (("advocate", ANN), ("friend", BOB)):
        trial.book.send(make(trial.referral, role=role, member_id=member_id, at=trial.at))


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.data())
def test_nobody_gets_points_out_of_nothing(data: st.DataObject) -> None:
    points_refund = data.draw(st.sampled_from(["pro_rata", "money_first"]))
    book = shop(
        data.draw(st.sampled_from([0, 14])), data.draw(st.sampled_from(["full_refund", "pro_rata", "never"])),
        points_refund, data.draw(st.sampled_from(["keep", "give_back"])),
    )  # fmt: skip
    trial = Trial(book, points_refund == "money_first")
    for step in range(data.draw(st.integers(1, 25))):
        trial.at += timedelta(seconds=step)
        try:
            take_part(trial, data)
        except RefusedError:
            continue
        trial.book.check()
        assert trial.value() <= trial.bound()
