"""What an operator sees of a dead letter."""

import json

from laurel.masking import masked, masked_text


def test_people_and_codes_are_hidden_and_the_rest_stays() -> None:
    event = {
        "member_id": "m", "total_minor": 100, "email": "a@b.example", "first_name": "Ada", "code": "SECRET",
        "discount_codes": ["X1"], "attributes": {"referral_code": "Y2", "gift": "to Mrs Smith"}, "birthday": "12-31",
        "email_verified": True, "lines": [{"title": "Shirt", "name": "Shirt"}], "shipping_address": {"city": "Baku"},
    }  # fmt: skip
    text = masked(json.dumps(event).encode())
    for hidden in ("a@b.example", "Smith", "Ada", "SECRET", "X1", "Y2", "12-31", "Baku"):
        assert hidden not in text
    shown = json.loads(text)
    assert shown["member_id"] == "m"
    assert shown["total_minor"] == 100
    assert shown["email_verified"] is True
    assert shown["lines"][0]["title"] == "Shirt"


def test_what_is_no_json_is_told_by_its_size_alone() -> None:
    assert masked(b"\xff\xfe a@b.example") == "14 bytes that are not JSON"
    assert "tombstone" in masked(None)


def test_an_error_is_told_without_addresses() -> None:
    assert masked_text("email: 'a@b.example' is odd") == "email: '***@***' is odd"
