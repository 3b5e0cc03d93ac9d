"""Payloads made ready as `laurel send` does."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from laurel import shopify
from laurel.installation import Failure
from order_ingest.webhooks import is_signed

SAMPLES = Path(__file__).parents[2] / "fixtures" / "shopify"
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def test_the_last_of_the_orders_own_dates_is_now_and_nothing_lies_after() -> None:
    order = shopify.read_payload(SAMPLES / "shopify-order.json")
    assert "order" not in order, "what REST exports wrap is unwrapped"
    moved = shopify.move_to(order, NOW)
    assert datetime.fromisoformat(moved["created_at"]) == datetime.fromisoformat(moved["updated_at"]) == NOW
    assert datetime.fromisoformat(moved["customer"]["updated_at"]) == NOW, "it is years younger than the order"
    assert moved["total_price"] == "409.94"


@given(st.lists(st.integers(0, 10**8), min_size=1, max_size=6))
def test_distances_stay(seconds: list[int]) -> None:
    start = datetime(2001, 1, 1, tzinfo=UTC)
    before = {f"field_{n}": (start + timedelta(seconds=second)).isoformat() for n, second in enumerate(seconds)}
    after = shopify.move_to(dict(before), NOW)
    moments = [datetime.fromisoformat(after[key]) for key in before]
    assert max(moments) == NOW
    assert [moment - moments[0] for moment in moments] == [timedelta(seconds=s - seconds[0]) for s in seconds]


def test_fields_are_set_where_the_path_leads() -> None:
    payload = {"a": 1, "lines": [{"price": "1.00"}, {"price": "2.00"}]}
    shopify.set_field(payload, "a=paid")
    shopify.set_field(payload, "lines.1.price=3.50")
    shopify.set_field(payload, "customer=null")
    assert payload == {"a": "paid", "lines": [{"price": "1.00"}, {"price": 3.5}], "customer": None}
    for wrong in ("lines.7.price=1", "a.b.c=1", "nothing", "=1", "lines.x=1"):
        with pytest.raises(Failure):
            shopify.set_field(payload, wrong)


def test_the_edge_accepts_the_signature_and_no_other() -> None:
    body = json.dumps({"id": 1}).encode()
    signature = shopify.headers("secret", body, "orders/paid")["X-Shopify-Hmac-Sha256"].encode()
    assert is_signed(signature, body, (b"older", b"secret"))
    assert not is_signed(signature, body + b" ", (b"secret",))
    assert not is_signed(signature, body, (b"another",))


def test_a_dispute_is_unwrapped_too(tmp_path: Path) -> None:
    file = tmp_path / "dispute.json"
    file.write_text(json.dumps({"dispute": {"id": 1, "order_id": 2}}))
    assert shopify.read_payload(file) == {"id": 1, "order_id": 2}


@pytest.mark.parametrize(("content", "why"), [("{", "not JSON"), ("[1]", "no JSON object")])
def test_a_file_that_is_no_payload_is_told(tmp_path: Path, content: str, why: str) -> None:
    file = tmp_path / "payload.json"
    file.write_text(content)
    with pytest.raises(Failure, match=why):
        shopify.read_payload(file)
    with pytest.raises(Failure, match="no file"):
        shopify.read_payload(tmp_path / "missing.json")
