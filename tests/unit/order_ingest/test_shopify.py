"""Shopify's payloads of many years become the right facts; what would make money wrong is refused in words."""

from datetime import UTC, datetime
from decimal import Decimal
from time import process_time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.commerce import MemberReport, OrderReport
from contracts.orders import Amount, OrderFacts, Refund
from order_ingest.domain import shopify
from order_ingest.domain.facts import PayloadError, RefundReport, Snapshot
from order_ingest.domain.merge import join, of_refund, of_snapshot, render
from order_ingest.webhooks import BODY_BYTES_MAX

from .payloads import body, both, dispute, genuine, line, order, refund


def read_order(**fields: Any) -> OrderReport:
    report = shopify.read(body(order(**fields)), "shop")
    assert isinstance(report, OrderReport)
    return report


def read_refund(document: dict[str, Any]) -> RefundReport:
    report = shopify.read(body(document), "shop")
    assert isinstance(report, RefundReport)
    return report


def usd(minor: int) -> Amount:
    return Amount(shop_minor=minor, presentment_minor=minor)


def refunded_minor(order_: OrderFacts, item: Refund) -> int:
    """The identity of refunded money, in the canonical order's terms."""
    lines = sum(part.subtotal.shop_minor for part in item.lines if part.subtotal is not None)
    taxes = 0 if order_.taxes_included else sum(part.tax.shop_minor for part in item.lines)
    return lines + taxes + item.shipping.shop_minor + item.adjustment.shop_minor


def settled(document: dict[str, Any], **fields: Any) -> tuple[OrderFacts, Refund]:
    """A refund told alone, merged with its order."""
    report = read_order(**fields)
    snapshot = Snapshot.model_validate({name: getattr(report, name) for name in OrderFacts.model_fields})
    facts = render(join(of_refund(read_refund(document).refund), of_snapshot(snapshot)))
    assert facts is not None
    return facts, facts.refunds[0]


def test_the_genuine_order() -> None:
    report = shopify.read(genuine("shopify-order.json"), "shop")
    assert isinstance(report, OrderReport)
    assert (report.order_id, report.order_name, report.payment) == ("450789469", "#1001", "authorized")
    assert [(item.quantity, item.gross, item.discount) for item in report.lines] == [(1, usd(19900), usd(0))] * 3
    assert (report.subtotal, report.tax, report.total) == (usd(39800), usd(1194), usd(40994))
    assert report.placed_at == datetime(2008, 1, 10, 16, tzinfo=UTC)
    assert (report.paid_at, report.fulfilled_at) == (None, None), "its only fulfilment failed"
    assert report.discount_codes == ("TENOFF",)
    assert report.attributes == {"custom engraving": "Happy Birthday", "colour": "green"}
    customer = report.customer
    assert (customer.customer_id, customer.email_verified, customer.account) == ("207119551", True, False)
    assert customer.email_consent is False
    assert report.shipping_address == "Chestnut Street 92, 40202, Louisville, KY, US"
    assert report.browser_ip == "0.0.0.0"


def test_the_genuine_refund_has_no_subtotals() -> None:
    report = shopify.read(genuine("shopify-refund.json"), "shop")
    assert isinstance(report, RefundReport)
    assert (report.order_id, report.refund.refund_id) == ("450789469", "509562969")
    assert [(item.line_id, item.quantity, item.subtotal) for item in report.refund.lines] == [
        ("703073504", 1, None),
        ("466157049", 1, None),
    ]
    assert (report.refund.paid, report.refund.paid_currency) == (Decimal("209.00"), "USD")


def test_allocations_count_not_total_discount() -> None:
    report = read_order(line_items=[line(price="100.00", quantity=2, discount="30.00")], subtotal_price="170.00")
    assert (report.lines[0].gross, report.lines[0].discount) == (usd(20000), usd(3000))


def test_an_old_order_has_its_discount_spread_and_nothing_lost() -> None:
    items = [line(number, "10.00") | {"discount_allocations": None} for number in (1, 2, 3)]
    report = read_order(line_items=items, subtotal_price="20.00", total_discounts="10.00", total_price="20.00")
    assert [item.discount.shop_minor for item in report.lines] == [334, 333, 333]


def test_a_discount_on_shipping_is_not_spread_over_lines() -> None:
    report = read_order(total_discounts="7.00", discount_codes=[{"code": "SHIPFREE", "amount": "7.00"}])
    assert report.lines[0].discount == usd(0)


def test_an_old_discount_spares_gift_cards() -> None:
    items = [line(1, "50.00", gift_card=True), line(2, "50.00")]
    report = read_order(line_items=items, subtotal_price="90.00", total_discounts="10.00")
    assert [(item.gift_card, item.discount.shop_minor) for item in report.lines] == [(True, 0), (False, 1000)]


def test_currencies_without_decimals_and_with_three() -> None:
    vnd = read_order(
        currency="VND", presentment_currency="VND", total_price="20", subtotal_price="20",
        line_items=[line(price="20", price_set=None)],
    )  # fmt: skip
    assert (vnd.total.shop_minor, vnd.lines[0].gross.shop_minor) == (20, 20)
    kwd = read_order(
        currency="KWD", presentment_currency="KWD", total_price="1.234", subtotal_price="1.234",
        line_items=[line(price="1.234", price_set=None)],
    )  # fmt: skip
    assert kwd.total.shop_minor == 1234


def test_two_currencies_keep_both_amounts_and_pin_the_rate() -> None:
    currencies = ("CAD", "JPY")
    report = read_order(
        currency="CAD",
        presentment_currency="JPY",
        total_price_set=both("50.00", "5000", currencies),
        subtotal_price_set=both("50.00", "5000", currencies),
        line_items=[line(price="50.00", price_set=both("50.00", "5000", currencies))],
        total_tip_received="1.00",
    )
    assert report.total == Amount(shop_minor=5000, presentment_minor=5000)
    assert report.tip == Amount(shop_minor=100, presentment_minor=100), "the plain field is shop money: rate 100"


def test_money_in_another_currency_than_the_order_is_refused() -> None:
    with pytest.raises(PayloadError, match=r"total_price_set\.shop_money is in EUR, but the order is in USD"):
        read_order(total_price_set=both("5.00", currencies=("EUR", "USD")))


def test_tips_are_no_goods() -> None:
    tip = line(12, "5.00", title="Tip", tip_payment_gateway="shopify_payments")
    report = read_order(line_items=[line(), tip], total_tip_received="5.00", total_price="105.00")
    assert [item.line_id for item in report.lines] == ["11"]
    assert report.tip == usd(500)


def test_shipping_is_what_it_cost_after_discounts() -> None:
    lines = [
        {"price": "9.00", "discounted_price": "4.00"},
        {"price": "3.00", "discount_allocations": [{"amount": "1.00"}]},
        {"price": "8.00", "is_removed": True},
    ]
    assert read_order(shipping_lines=lines).shipping == usd(600)


def test_when_things_happened() -> None:
    report = read_order(
        fulfillment_status="fulfilled",
        fulfillments=[
            {"status": "cancelled", "created_at": "2024-05-09T00:00:00Z"},
            {"status": "success", "created_at": "2024-05-04T00:00:00Z"},
        ],
    )
    assert report.placed_at == datetime(2024, 5, 1, 7, 59, 58, tzinfo=UTC)
    assert report.paid_at == datetime(2024, 5, 1, 8, 0, 5, tzinfo=UTC)
    assert report.fulfilled_at == datetime(2024, 5, 4, tzinfo=UTC)


def test_an_order_was_paid_before_its_first_refund() -> None:
    report = read_order(
        financial_status="refunded",
        updated_at="2024-06-01T00:00:00Z",
        refunds=[refund(lines=((11, 1, "100.00", "0"),))],
    )
    assert report.paid_at == report.refunds[0].occurred_at


def test_guests_are_known_by_their_address_alone() -> None:
    report = read_order(customer=None, billing_address={"first_name": "Eve", "last_name": None})
    customer = report.customer
    assert (customer.customer_id, customer.email, customer.email_verified) == (None, "ada@example.com", False)
    assert (customer.first_name, customer.account) == ("Eve", False)


def test_an_address_typed_at_the_checkout_is_not_verified() -> None:
    report = read_order(customer={"id": 77, "email": None, "verified_email": True, "state": "enabled"})
    assert (report.customer.email, report.customer.email_verified) == ("ada@example.com", False)


@pytest.mark.parametrize(
    ("shipping", "billing", "expected"),
    [
        ({"country_code": "de"}, {"country_code": "FR"}, "DE"),
        (None, {"country_code": " fr "}, "FR"),
        ({"country_code": None}, {"country_code": "FR"}, "FR"),
        ({"country_code": "DEU"}, {"country_code": "FR"}, "FR"),
        ({"country_code": "D1"}, None, None),
        ({"country_code": "\u00df"}, None, None),  # In capitals it would be SS.
        ({"country": "Germany"}, None, None),
        (None, None, None),
    ],
)
def test_where_an_order_goes(shipping: dict[str, Any] | None, billing: dict[str, Any] | None, expected: str) -> None:
    assert read_order(shipping_address=shipping, billing_address=billing).country == expected


def test_a_customer() -> None:
    report = shopify.read(
        body(
            {
                "id": 77,
                "email": "Ada@Example.com",
                "verified_email": True,
                "state": "enabled",
                "updated_at": "2024-05-01T10:00:00Z",
                "accepts_marketing": False,
                "email_marketing_consent": {"state": "subscribed"},
            }
        ),
        "shop",
    )
    assert isinstance(report, MemberReport)
    assert (report.customer.account, report.customer.email_consent) == (True, True)


def test_all_paid_by_gift_card() -> None:
    assert read_order(payment_gateway_names=["gift_card"]).gift_card_paid == usd(10000)
    assert read_order(payment_gateway_names=["gift_card", "paypal"]).gift_card_paid == usd(0)


@pytest.mark.parametrize(
    ("adjustments", "expected"),
    [
        pytest.param([("shipping_refund", "-20.00", "-1.50")], (10000, 2150, 0), id="shipping with its tax"),
        pytest.param([("refund_discrepancy", "-287.32", "0.00")], (10000, 0, 28732), id="more paid back"),
        pytest.param([("refund_discrepancy", "100.00", "0.00")], (10000, 0, -10000), id="cancelled, nothing paid"),
        pytest.param([(None, "100.00", "0.00")], (10000, 0, -10000), id="2024-10 has no kind"),
    ],
)
def test_the_money_of_a_refund(adjustments: list[tuple[str, str, str]], expected: tuple[int, int, int]) -> None:
    told = [{"kind": kind, "amount": amount, "tax_amount": tax} for kind, amount, tax in adjustments]
    facts, item = settled(refund(lines=((11, 1, "100.00", "0.00"),), order_adjustments=told))
    assert item.lines[0].subtotal is not None
    assert (item.lines[0].subtotal.shop_minor, item.shipping.shop_minor, item.adjustment.shop_minor) == expected
    assert refunded_minor(facts, item) == sum(expected)


def test_shipping_told_twice_counts_once() -> None:
    told = refund(
        refund_shipping_lines=[{"subtotal_amount_set": both("135.00")}],
        order_adjustments=[{"kind": "shipping_refund", "amount": "-135.00"}],
    )
    assert settled(told)[1].shipping == usd(13500)
    assert settled(told | {"order_adjustments": []})[1].shipping == usd(13500)


@pytest.mark.parametrize("subtotal", ["84.03", "100.00"])
def test_where_prices_hold_the_tax_so_does_the_refund(subtotal: str) -> None:
    """Some shops' refunds leave the tax out of the subtotal, some do not: both mean the same money."""
    facts, item = settled(refund(lines=((11, 1, subtotal, "15.97"),)), taxes_included=True)
    assert item.lines[0].subtotal == usd(10000)
    assert refunded_minor(facts, item) == 10000


@pytest.mark.parametrize("wrapped", [False, True])
def test_tips_and_duties_that_come_back_take_nothing(wrapped: bool) -> None:
    document = refund(
        lines=((11, 1, "40.00", "0.00"), (12, 1, "5.00", "0.00")),
        transactions=[{"kind": "refund", "status": "success", "amount": "48.00", "currency": "USD"}],
    )
    document["refund_line_items"][1]["line_item"] = {"id": 12, "title": "Tip", "tip_payment_gateway": "bogus"}
    duties = [{"duty_id": 1, "amount_set": both("3.00")}]
    document["duties"] = {"duties": duties} if wrapped else duties
    _, item = settled(document)
    assert ([part.line_id for part in item.lines], item.paid) == (["11"], usd(4000))


def test_a_refund_of_very_many_lines_is_read_at_once() -> None:
    """While one delivery is read, no other is."""
    tip, line_ = {"line_item": {"tip_payment_gateway": "x"}}, {"line_item_id": 1, "quantity": 1}
    raw = body(refund(refund_line_items=[tip, line_] * 7000))
    assert len(raw) < BODY_BYTES_MAX
    began = process_time()
    report = shopify.read(raw, "shop")
    assert isinstance(report, RefundReport)
    assert len(report.refund.lines) == 7000
    assert process_time() - began < 4


def test_a_pending_repayment_is_not_known_to_be_paid() -> None:
    told = [{"kind": "refund", "status": "pending", "amount": "5.00"}]
    assert settled(refund(transactions=told))[1].paid is None
    assert settled(refund(transactions=[told[0] | {"status": "success"}]))[1].paid == usd(500)


@given(
    lines=st.lists(st.tuples(st.integers(0, 10**8), st.integers(0, 10**7)), max_size=5),
    shipping=st.integers(0, 10**6),
    discrepancy=st.integers(-(10**8), 10**8),
)
@settings(max_examples=60, deadline=None)
def test_refunded_money_is_what_shopify_means(lines: list[tuple[int, int]], shipping: int, discrepancy: int) -> None:
    def text(minor: int) -> str:
        return str(Decimal(minor).scaleb(-2))

    facts, item = settled(
        refund(
            lines=tuple((11, 1, text(subtotal), text(tax)) for subtotal, tax in lines),
            order_adjustments=[
                {"kind": "shipping_refund", "amount": text(-shipping), "tax_amount": "0.00"},
                {"kind": "refund_discrepancy", "amount": text(discrepancy), "tax_amount": "0.00"},
            ],
        )
    )
    assert refunded_minor(facts, item) == sum(subtotal + tax for subtotal, tax in lines) + shipping - discrepancy


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe", "not UTF-8, at byte 0"),
        (b"[]", "not a JSON object"),
        (b'{"id": NaN}', "JSON that nobody writes"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "JSON that nobody writes"),
        (b'{"id":' + b"9" * 10_000 + b"}", "JSON that nobody writes"),
        (b"{}", "neither an order, nor a refund, nor a dispute, nor a customer"),
        (b'{"order": 5}', "neither an order"),
        (body({"id": 1, "order_id": 2, "line_items": [], "financial_status": "paid"}), "neither an order"),
        (body({"id": 1, "line_items": [], "invoice_url": "x"}), "neither an order"),
        (body(order(total_price=None)), "total_price is missing"),
        (body(order(total_price="NaN")), "total_price is not a number"),
        (body(order(total_price="1_0")), "total_price is not a number"),
        (body(order(total_price=True)), "total_price is not a number"),
        (body(order(total_price=10**30)), "total_price is not a number"),
        (body(order(total_price="1e3")), "total_price is not a number"),
        (body(order()).replace(b'"total_price": "100.00"', b'"total_price": 1e999999'), "total_price is out of range"),
        (body(order(financial_status="haggled")), "financial_status is 'haggled', which is not known"),
        (body(order(created_at="yesterday")), "created_at is not a time"),
        (body(order(created_at="2024-05-01T10:00:00")), "created_at is a time without an offset"),
        (body(order(created_at="0001-01-01T00:00:00+14:00")), "created_at is not a time"),
        (body(order(line_items=[line(quantity=-1)])), "quantity"),
        (body(order(line_items=[line() | {"quantity": "1.5"}])), r"line_items\[0\].quantity is not a whole number"),
        (body(order(line_items=[line(), line()])), "an id occurs twice"),
        (body(order(line_items={"x": 1})), "line_items is not a list of objects"),
        (body(order(line_items=[line() | {"id": None}])), r"line_items\[0\].id is missing"),
        (body(order(id={"a": 1})), "id is not a text"),
        (body(order(name="a\x00b")), "a text holds a zero character"),
        (body(order(name="\ud800")), "half of a surrogate pair"),
        (body(order(note_attributes=[{"name": "\ud800", "value": "x"}])), "half of a surrogate pair"),
        (body(order(currency="dollars")), "currency"),
        (body(refund() | {"created_at": None}), "created_at is missing"),
        (body(refund() | {"refund_line_items": [{"quantity": 1}]}), r"refund_line_items\[0\].line_item_id is missing"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_understood_is_refused_in_words(raw: bytes, says: str) -> None:
    with pytest.raises(PayloadError, match=says):
        shopify.read(raw, "shop")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=5,
)


@given(data=st.data())
@settings(max_examples=300, deadline=None)
def test_any_field_may_be_anything_and_nothing_crashes(data: st.DataObject) -> None:
    whole = order(refunds=[refund(lines=((11, 1, "1.00", "0"),))])
    document = data.draw(st.sampled_from([whole, refund(), dispute()]))
    target: Any = document
    key = data.draw(st.sampled_from(sorted(target)))
    while isinstance(target[key], (dict, list)) and target[key] and data.draw(st.booleans()):
        target = target[key]
        key = data.draw(st.sampled_from(sorted(target) if isinstance(target, dict) else list(range(len(target)))))
    target[key] = data.draw(JSON)
    try:
        report = shopify.read(body(document), "shop")
    except PayloadError:
        return
    assert report is None or report.model_dump_json()


def test_personal_data_is_not_in_the_reason() -> None:
    with pytest.raises(PayloadError) as caught:
        read_order(customer={"id": 77, "first_name": ["ada@example.com"]})
    assert "ada" not in str(caught.value)
