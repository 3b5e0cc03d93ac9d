"""Shopify's disputes: what is no chargeback says nothing, and the same money never counts twice."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from contracts.orders import Amount, Dispute
from order_ingest.domain import shopify
from order_ingest.domain.facts import DisputeReport, LooseDispute, PayloadError, Scale, contested

from .payloads import body, dispute

OPENED = datetime(2024, 5, 10, tzinfo=UTC)


def read(**fields: Any) -> LooseDispute:
    report = shopify.read(body(dispute(**fields)), "shop")
    assert isinstance(report, DisputeReport)
    assert (report.source, report.order_id) == ("shop", "4001")
    return report.dispute


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_chargeback(wrapped: bool) -> None:
    document = {"dispute": dispute()} if wrapped else dispute()
    report = shopify.read(body(document), "shop")
    assert isinstance(report, DisputeReport)
    assert report.dispute == LooseDispute(
        dispute_id="7001", opened_at=OPENED, amount=Decimal("100.00"), currency="USD", outcome="open"
    )


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        ("needs_response", "open"),
        ("under_review", "open"),
        ("won", "won"),
        ("lost", "lost"),
        ("accepted", "lost"),
        # The shop paid back by a refund, which is told as one; or the bank never took anything.
        ("charge_refunded", "won"),
        ("prevented", "won"),
    ],
)
def test_how_it_ended(status: str, outcome: str) -> None:
    assert read(status=status).outcome == outcome


@pytest.mark.parametrize(
    ("finalized_on", "closed_at"),
    [
        (None, None),
        ("2024-06-01T02:00:00+02:00", datetime(2024, 6, 1, tzinfo=UTC)),
        ("2024-06-01", datetime(2024, 6, 1, tzinfo=UTC)),
        ("2024-05-09", OPENED),
    ],
    ids=["not said", "a time", "a day", "never before it began"],
)
def test_when_it_ended(finalized_on: str | None, closed_at: datetime | None) -> None:
    assert read(status="lost", finalized_on=finalized_on).closed_at == closed_at


def test_what_is_still_open_has_not_ended() -> None:
    assert read(status="under_review", finalized_on="2024-06-01").closed_at is None


@pytest.mark.parametrize(
    "fields", [{"type": "inquiry"}, {"type": "inquiry", "status": "lost"}, {"order_id": None}], ids=str
)
def test_what_takes_no_money_of_an_order_says_nothing(fields: dict[str, Any]) -> None:
    assert shopify.read(body(dispute(**fields)), "shop") is None


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"type": None}, "type is None, which is not known"),
        ({"type": "quarrel"}, "type is 'quarrel', which is not known"),
        ({"status": "haggled"}, "status is 'haggled', which is not known"),
        ({"initiated_at": None}, "initiated_at is missing"),
        ({"id": None}, "id is missing"),
        ({"amount": "-1.00"}, "amount"),
        ({"amount": "much"}, "amount is not a number"),
        ({"status": "lost", "finalized_on": "soon"}, "finalized_on is not a time"),
        ({"status": "lost", "finalized_on": "2024-02-31"}, "finalized_on is not a time"),
    ],
    ids=str,
)
def test_what_cannot_be_understood_is_refused_in_words(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(PayloadError, match=says):
        shopify.read(body(dispute(**fields)), "shop")


@pytest.mark.parametrize(
    ("amount", "currency", "expected"),
    [
        (None, "USD", None),
        ("50.00", "USD", Amount(shop_minor=5000, presentment_minor=7_500)),
        ("50.00", None, Amount(shop_minor=5000, presentment_minor=7_500)),
        ("7500", "JPY", Amount(shop_minor=5000, presentment_minor=7_500)),
        ("50.00", "EUR", None),
    ],
    ids=["the whole order", "shop's", "not said", "buyer's", "of neither side: the whole order"],
)
def test_the_money_in_question(amount: str | None, currency: str | None, expected: Amount | None) -> None:
    scale = Scale(currency="USD", presentment_currency="JPY", rate=Decimal(150))
    told = contested(read(amount=amount, currency=currency), scale)
    assert told == Dispute(dispute_id="7001", opened_at=OPENED, amount=expected)
