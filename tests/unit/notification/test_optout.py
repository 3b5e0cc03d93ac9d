"""The token of an opt-out link."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from notification.domain.optout import sign, verify

KEY = b"k" * 32


@given(st.uuids())
def test_a_token_names_its_member_and_fits_a_url(member_id: UUID) -> None:
    token = sign(KEY, member_id)
    assert verify(KEY, token) == member_id
    assert set(token) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


@given(st.uuids(), st.integers(min_value=0, max_value=39), st.integers(min_value=1, max_value=255))
def test_no_changed_token_is_taken(member_id: UUID, position: int, flip: int) -> None:
    import base64

    raw = bytearray(base64.urlsafe_b64decode(sign(KEY, member_id) + "=="))
    raw[position] ^= flip
    assert verify(KEY, base64.urlsafe_b64encode(bytes(raw)).decode().rstrip("=")) is None


@given(st.text(max_size=80))
def test_rubbish_is_refused_quietly(token: str) -> None:
    assert verify(KEY, token) is None


def test_another_key_signs_something_else() -> None:
    assert verify(b"x" * 32, sign(KEY, UUID(int=1))) is None
