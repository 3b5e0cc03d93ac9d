"""What an order counts for, and which codes it carried."""

from typing import Literal

import pytest

from contracts.orders import Dispute, OrderChangedV1, Refund, RefundLine
from contracts.program import Referral
from referral.domain.codes import candidates, normalised
from referral.domain.orders import flaw, net_minor, read_order
from tests.unit.referral.samples import FRIEND, MINIMUM, T0, amount, order, program, refund


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("7KQ2M9XA", "7KQ2M9XA"),
        ("  7kq2m9xa ", "7KQ2M9XA"),
        ("7kq2-m9xa", "7KQ2M9XA"),
        ("oil0OIL1", "01100111"),
        ("7KQ2M9X", None),
        ("7KQ2M9XAB", None),
        ("7KQ2M9XU", None),
        ("WELCOME-10%", None),
        ("", None),
        ("ÀÈÌÒÙÄÖÜ", None),
    ],
)
def test_normalised(text: str, code: str | None) -> None:
    assert normalised(text) == code


def test_candidates_keep_their_order_and_come_once() -> None:
    assert candidates(["SAVE10", "7kq2m9xa", "00000000", "7KQ2-M9XA"]) == ("7KQ2M9XA", "00000000")


def test_a_code_is_a_discount_code_or_the_attribute_of_the_program() -> None:
    event = order(FRIEND, "1", code="7kq2m9xa", attribute=" 00000000 ")
    assert read_order(event, program()).codes == ("7KQ2M9XA", "00000000")
    other = Referral(minimum_minor=MINIMUM, advocate_points=500, friend_points=200, attribute="other")
    assert read_order(event, program().model_copy(update={"referral": other})).codes == ("7KQ2M9XA",)
    assert read_order(event, program(referral=False)).codes == ("7KQ2M9XA",)
    assert read_order(event, None).codes == ("7KQ2M9XA", "00000000"), "any attribute may be the code until one judges"


def refunded(*refunds: Refund) -> int:
    return net_minor(order(FRIEND, "1", minor=8000, refunds=refunds))


def test_net_minor() -> None:
    line = RefundLine(line_id="1", quantity=1)
    assert refunded() == 8000
    assert refunded(refund("a", 1000), refund("b", 500)) == 6500
    assert refunded(refund("a", 9000)) == 0
    assert refunded(Refund(refund_id="a", occurred_at=T0, lines=(line,))) == 6000
    assert refunded(Refund(refund_id="a", occurred_at=T0, lines=(RefundLine(line_id="?", quantity=1),))) == 8000
    assert refunded(Refund(refund_id="a", occurred_at=T0, shipping=amount(700))) == 8000
    # Money given back beyond lines, and a line taken off without giving money back.
    assert refunded(Refund(refund_id="a", occurred_at=T0, adjustment=amount(300))) == 7700
    assert refunded(Refund(refund_id="a", occurred_at=T0, lines=(line,), adjustment=amount(-2000))) == 8000


def test_what_was_paid_back_is_the_last_word() -> None:
    line = RefundLine(line_id="1", quantity=1)
    assert refunded(Refund(refund_id="a", occurred_at=T0, paid=amount(8000))) == 0
    assert refunded(Refund(refund_id="a", occurred_at=T0, lines=(line,), paid=amount(1000))) == 7000
    assert refunded(Refund(refund_id="a", occurred_at=T0, shipping=amount(700), paid=amount(700))) == 8000
    assert refunded(Refund(refund_id="a", occurred_at=T0, paid=amount(4000), goodwill=True)) == 8000


@pytest.mark.parametrize(
    ("outcome", "policy", "left"),
    [
        ("open", "when_opened", 3000),
        ("open", "when_lost", 8000),
        ("lost", "when_lost", 3000),
        ("won", "when_opened", 8000),
    ],
)
def test_what_a_buyer_contested_came_back(
    outcome: Literal["open", "lost", "won"], policy: Literal["when_opened", "when_lost"], left: int
) -> None:
    dispute = Dispute(dispute_id="d", opened_at=T0, amount=amount(5000), outcome=outcome)
    event = order(FRIEND, "1", minor=8000).model_copy(update={"disputes": (dispute,)})
    assert net_minor(event, policy) == left
    whole = event.model_copy(update={"disputes": (dispute.model_copy(update={"amount": None}),)})
    assert net_minor(whole, policy) == (0 if left == 3000 else left)


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (order(FRIEND, "1"), None),
        (order(FRIEND, "1", minor=MINIMUM), None),
        (order(FRIEND, "1", minor=MINIMUM - 1), "below_minimum"),
        (order(FRIEND, "1", payment="partially_refunded", refunds=(refund("a", 3000),)), None),
        (order(FRIEND, "1", payment="partially_refunded", refunds=(refund("a", 3001),)), "below_minimum"),
        (order(FRIEND, "1", refunds=(refund("a", 8000),)), "refunded"),
        (order(FRIEND, "1", payment="refunded"), "refunded"),
        (order(FRIEND, "1", payment="authorized"), "unpaid"),
        (order(FRIEND, "1", payment="voided"), "cancelled"),
        (order(FRIEND, "1", cancelled=True), "cancelled"),
        (order(FRIEND, "1", test=True), "not_counted"),
        (order(FRIEND, "1", currency="USD"), "not_counted"),
    ],
)
def test_flaw(event: OrderChangedV1, expected: str | None) -> None:
    assert flaw(read_order(event, None), program()) == expected


def test_without_a_program_or_its_section_nothing_counts() -> None:
    placed = read_order(order(FRIEND, "1"), None)
    assert flaw(placed, None) == "not_counted"
    assert flaw(placed, program(referral=False)) == "not_counted"
