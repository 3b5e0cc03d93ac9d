"""What counts as spent, and what it is worth: worked examples, and the properties of refunds."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from fractions import Fraction
from itertools import pairwise
from typing import Literal

from hypothesis import given
from hypothesis import strategies as st

from contracts.orders import Amount, OrderChangedV1, OrderLine, Refund, RefundLine
from contracts.points import BaseStep
from contracts.program import Basis, Program
from points_accrual.domain.amounts import Exact, apportion, rounded
from points_accrual.domain.claims import Claim, Member, order_key
from points_accrual.domain.judging import Verdict, judge_order
from points_accrual.domain.money import Part, counted
from points_accrual.domain.rulebook import rulebook
from tests.unit.points_accrual.samples import (
    ANN,
    DAY,
    T0,
    back,
    interval,
    line,
    money,
    order,
    program,
    spend,
)

GOLD = (interval("gold", T0 - DAY),)


def judged(bought: OrderChangedV1, document: Program | None = None, member: Member | None = None) -> Verdict:
    member = member or Member(ANN, "member", T0)
    claim = Claim(
        key=order_key(bought.source, bought.order_id), member_id=ANN, at=bought.placed_at,
        first_recorded_at=bought.recorded_at, parsed=bought,
    )  # fmt: skip
    return judge_order(member, claim, rulebook(document or program()))


def points(bought: OrderChangedV1, document: Program | None = None) -> int:
    return sum(judged(bought, document).wanted.values())


def basis_minor(bought: OrderChangedV1, basis: Basis, back: Sequence[Refund] = ()) -> Exact:
    return counted(bought, basis, back).total


def steps_of(bought: OrderChangedV1) -> tuple[BaseStep, ...]:
    return judged(bought).base


def test_rounding_modes() -> None:
    half = Fraction(5, 2)
    assert [rounded(half, mode) for mode in ("floor", "half_up", "ceiling")] == [2, 3, 3]
    assert [rounded(4, mode) for mode in ("floor", "half_up", "ceiling")] == [4, 4, 4]


@given(st.integers(0, 10**6), st.lists(st.integers(0, 10**6), min_size=1, max_size=8))
def test_apportioned_shares_add_up_and_are_fair(total: int, weights: list[int]) -> None:
    shares = apportion(total, weights)
    if sum(weights):
        assert sum(shares) == total
        assert all(
            abs(share - Fraction(total * weight, sum(weights))) < 1
            for share, weight in zip(shares, weights, strict=True)
        )
    else:
        assert not any(shares)


def test_tax_on_top_counts_only_when_told() -> None:
    taxed = order(line("1", 10000, tax=1900), tax=1900, total=11900)
    assert basis_minor(taxed, Basis()) == 10000
    assert basis_minor(taxed, Basis(tax=True)) == 11900


def test_money_back_for_no_line_holds_its_share_of_the_tax() -> None:
    """Half of what was paid is half of the goods, where tax comes on top; all of it is all."""
    taxed = order(line("1", 10000, tax=1900), shipping=1000, tax=1900, total=12900)
    half = back("r", T0 + DAY, paid=6450)
    assert basis_minor(taxed, Basis(), (half,)) == 10000 - 5500
    assert basis_minor(taxed, Basis(shipping=True), (half,)) == 5500
    assert basis_minor(taxed, Basis(shipping=True), (half, back("s", T0 + DAY, paid=6450))) == 0
    assert basis_minor(taxed.model_copy(update={"taxes_included": True}), Basis(tax=True), (half,)) == 10000 - 6450


def test_of_an_order_paid_partly_with_points_money_comes_back_first_or_in_proportion() -> None:
    """100.00, of which 40.00 in points: 60.00 count. 30.00 come back: 30.00 of money are left, or 60 % of 70.00."""
    paid = order(shipping=500, points_paid=4200, total=10500)  # 40 % of all, the shipping too
    back_of = {amount: (back("r", T0 + DAY, {"1": amount}),) for amount in (3000, 6000, 7000, 10000)}

    def left(amount: int, policy: Literal["pro_rata", "money_first"]) -> Fraction:
        return Fraction(counted(paid, Basis(), back_of[amount], policy).total)

    assert counted(paid, Basis()).total == 6000
    assert [left(amount, "money_first") for amount in back_of] == [3000, 0, 0, 0]
    assert [left(amount, "pro_rata") for amount in back_of] == [4200, 2400, 1800, 0]
    only_shipping = back("r", T0 + DAY, shipping=500)
    assert counted(paid, Basis(), (only_shipping,), "money_first").total == 6000


def test_tax_inside_prices_is_taken_out() -> None:
    taxed = order(line("1", 11900, tax=1900), tax=1900, taxes_included=True)
    assert basis_minor(taxed, Basis()) == 10000
    assert basis_minor(taxed, Basis(tax=True)) == 11900


def test_tax_told_for_the_order_alone_is_spread_over_lines() -> None:
    taxed = order(line("1", 5950), line("2", 5950), tax=1900, taxes_included=True)
    assert basis_minor(taxed, Basis()) == 10000


def test_discounts_shipping_and_tips() -> None:
    bought = order(line("1", 10000, discount=2000), shipping=500, tip=300, total=8800)
    assert basis_minor(bought, Basis()) == 8000
    assert basis_minor(bought, Basis(before_discounts=True)) == 10000
    assert basis_minor(bought, Basis(shipping=True, tip=True)) == 8800


def test_gift_cards() -> None:
    bought = order(line("1", 6000), line("2", 4000, gift_card=True), gift_card_paid=2500)
    assert basis_minor(bought, Basis()) == 6000
    assert basis_minor(bought, Basis(gift_cards_bought=True)) == 10000
    assert basis_minor(bought, Basis(gift_card_tender=False)) == 4500


def test_the_part_paid_with_points_earns_nothing() -> None:
    bought = order(line("1", 10000), shipping=2000, total=12000, points_paid=3000)
    assert basis_minor(bought, Basis()) == 7500
    assert basis_minor(bought, Basis(points_tender=True)) == 10000


def test_the_subtotal_bounds_the_lines_as_in_the_genuine_sample() -> None:
    lines = tuple(line(name, 19900) for name in ("466157049", "518995019", "703073504"))
    sample = order(*lines, subtotal=39800, tax=1194, total=40994)
    assert basis_minor(sample, Basis()) == 39800
    refund = back("509562969", T0 + DAY, {"703073504": None, "466157049": None}, paid=20900)
    assert basis_minor(sample, Basis(), (refund,)) == 39800 - 20900


def test_a_refund_by_quantity_and_by_money() -> None:
    bought = order(line("1", 9000, quantity=3), line("2", 1000))
    assert basis_minor(bought, Basis(), (back("r", T0, {"1": None}),)) == 7000
    assert basis_minor(bought, Basis(), (back("r", T0, {"1": 4000}),)) == 6000


def test_money_kept_by_the_shop_still_counts() -> None:
    """Loyalty gotcha 1: a line cancelled with nothing paid back; the adjustment cancels the line."""
    bought = order(line("1", 166780), line("2", 5000))
    refund = back("r", T0, {"1": 166780}, adjustment=-166780)
    assert basis_minor(bought, Basis(), (refund,)) == 171780


def test_more_money_than_the_lines_explain_is_spread_over_lines_that_count() -> None:
    bought = order(line("1", 6000), line("2", 4000), line("3", 5000, gift_card=True))
    assert basis_minor(bought, Basis(), (back("r", T0, adjustment=2500),)) == 7500
    assert basis_minor(bought, Basis(), (back("r", T0, {"1": 6000}, adjustment=1000),)) == 3000
    assert basis_minor(bought, Basis(), (back("r", T0, adjustment=99999),)) == 0


def test_more_than_a_line_cost_comes_off_the_others() -> None:
    lines = tuple(line(name, 19900) for name in ("1", "2", "3"))
    bounded = order(*lines, subtotal=39800)
    assert basis_minor(bounded, Basis(), (back("r", T0, {"1": 19900}),)) == 39800 - 19900


def test_a_free_line_takes_no_share_of_a_refund() -> None:
    bought = order(line("1", 10000), line("gift", 700, discount=700))
    assert basis_minor(bought, Basis(), (back("r", T0, adjustment=5000),)) == 5000
    assert basis_minor(bought, Basis(before_discounts=True), (back("r", T0, {"gift": None}),)) == 10000


def test_refunds_are_counted_in_the_money_of_the_buyer() -> None:
    """100.00 in the shop's money were 108.37; half of that came back, whatever the rate is now."""
    item = OrderLine(line_id="1", quantity=1, gross=money(10000, 10837))
    bought = order(item, subtotal=money(10000, 10837), total=money(10000, 10837))
    half = RefundLine(line_id="1", quantity=1, subtotal=Amount(shop_minor=4321, presentment_minor=5000))
    refund = back("r", T0).model_copy(update={"lines": (half,)})
    assert basis_minor(bought, Basis(), (refund,)) == Fraction(10000 * 5837, 10837)
    whole = half.model_copy(update={"subtotal": Amount(shop_minor=9000, presentment_minor=10837)})
    assert basis_minor(bought, Basis(), (back("r", T0).model_copy(update={"lines": (whole,)}),)) == 0


def test_points_are_rounded_once_over_all_rules_and_split() -> None:
    two = program(spend("a", "0.5"), spend("b", "0.25"))
    due = judged(order(line("1", 1990)), two, Member(ANN, "member", T0, intervals=GOLD)).wanted
    assert sum(due.values()) == 22  # 19.90 x 0.75 x 1.5 = 22.3875; rounded apart it would be 9 + 4 + 7
    assert due == {"a": 10, "b": 5, "tier": 7}  # 9.95, 4.975 and 7.4625: two are left, for the largest fractions


def test_currencies_without_decimals() -> None:
    yen = program(spend(rate="0.01"), currency="JPY")
    assert points(order(line("1", 12345), currency="JPY"), yen) == 123


def test_a_minimum_is_checked_again_after_refunds() -> None:
    rule = program(spend(minimum=8000))
    assert points(order(), rule) == 100
    assert points(order(refunds=(back("r", T0, {"1": 2000}),)), rule) == 80
    assert points(order(refunds=(back("r", T0, {"1": 2001}),)), rule) == 0


def test_fully_refunded_and_cancelled_orders_are_worth_nothing() -> None:
    assert points(order(payment="refunded")) == 0
    assert points(order(cancelled_at=T0 + DAY)) == 0


def test_base_steps_fall_at_each_refund() -> None:
    bought = order(refunds=(back("b", T0 + 9 * DAY, {"1": 1000}), back("a", T0 + 2 * DAY, {"1": 2500})))
    steps = [(step.acts_from - T0, step.base_points) for step in steps_of(bought)]
    assert steps == [(timedelta(0), 100), (2 * DAY, 75), (9 * DAY, 65)]
    gone = bought.model_copy(update={"cancelled_at": T0 + 5 * DAY})
    steps = [(step.acts_from - T0, step.base_points) for step in steps_of(gone)]
    assert steps == [(timedelta(0), 100), (2 * DAY, 75), (5 * DAY, 0)]


def test_a_refund_dated_before_the_order_acts_from_it() -> None:
    bought = order(refunds=(back("a", T0 - DAY, {"1": 2500}),))
    assert [(step.acts_from, step.base_points) for step in steps_of(bought)] == [(T0, 75)]


def test_a_refunded_payment_ends_the_base_at_the_last_refund() -> None:
    bought = order(payment="refunded", refunds=(back("a", T0 + DAY, {"1": 9000}),))
    assert [step.base_points for step in steps_of(bought)] == [100, 0]


def test_a_part_never_counts_more_than_it_was() -> None:
    part = Part(1000, 1000)
    assert replace(part, returned=5000).rest() == 0
    assert part.rest(extra=250) == 750


@st.composite
def carts(draw: st.DrawFn) -> tuple[OrderLine, ...]:
    amounts = draw(
        st.lists(st.tuples(st.integers(1, 50000), st.integers(1, 5), st.integers(0, 100)), min_size=1, max_size=4)
    )
    return tuple(
        line(str(place), gross, quantity=quantity, discount=gross * percent // 100)
        for place, (gross, quantity, percent) in enumerate(amounts)
    )


@given(carts(), st.lists(st.integers(1, 30000), max_size=6), st.data())
def test_any_split_of_a_full_refund_is_worth_nothing_and_never_less(
    lines: tuple[OrderLine, ...], amounts: list[int], data: st.DataObject
) -> None:
    bought = order(*lines)
    whole = sum(item.gross.shop_minor - item.discount.shop_minor for item in lines)
    basis = Basis(before_discounts=data.draw(st.booleans()))
    refunds = [back(str(place), T0, adjustment=amount) for place, amount in enumerate(amounts)]
    values = [basis_minor(bought, basis, refunds[:count]) for count in range(len(refunds) + 1)]
    assert all(high >= low >= 0 for high, low in pairwise(values))
    rest = max(0, whole - sum(amounts))
    if not basis.before_discounts:
        assert values[-1] == rest
    assert basis_minor(bought, basis, refunds) == basis_minor(bought, basis, data.draw(st.permutations(refunds)))
    done = [*refunds, back("rest", T0, adjustment=rest)] if rest else refunds
    assert basis_minor(bought, Basis(), done) == 0
