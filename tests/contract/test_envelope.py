"""The envelope survives Kafka's headers, and whatever else they hold gives a clear error."""

from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.envelope import HEADER_NAMES, Envelope, EnvelopeError, from_headers, to_headers

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=255)
ENVELOPES = st.builds(
    Envelope,
    id=st.uuids(),
    type=TEXTS,
    source=TEXTS,
    subject=TEXTS,
    time=st.datetimes(
        min_value=datetime(1970, 1, 2), max_value=datetime(2199, 12, 31),  # noqa: DTZ001 - the zone comes from the strategy
        timezones=st.integers(-14, 14).map(lambda hours: timezone(timedelta(hours=hours))),
    ),
    correlation_id=TEXTS,
    causation_id=st.none() | TEXTS,
    traceparent=st.none() | st.text(st.characters(codec="ascii"), max_size=64),
)  # fmt: skip
GOOD = to_headers(
    Envelope(
        id=UUID(int=7), type="loyalty.points.granted.v1", source="points-accrual", subject="s",
        time=datetime(2026, 1, 12, tzinfo=UTC), correlation_id="c", causation_id="e", traceparent="t",
    )
)  # fmt: skip


@given(ENVELOPES)
def test_it_survives_the_headers(envelope: Envelope) -> None:
    headers = to_headers(envelope)
    assert from_headers(headers) == envelope
    assert from_headers([*headers, ("x-other", None), ("x-bytes", b"\xff")]) == envelope
    assert len(headers) == len({name for name, _ in headers})


@pytest.mark.parametrize(
    ("sent", "read"),
    [("Bestellung-Müller", "Bestellung-M%C3%BCller"), ("a\r\nb", "a%0D%0Ab"), ("ü" * 255, "%C3%BC" * 42 + "%C3")],
)
def test_a_correlation_id_can_be_passed_on_in_any_header(sent: str, read: str) -> None:
    headers = [(key, sent.encode() if key == "ce_correlationid" else value) for key, value in GOOD]
    assert from_headers(headers).correlation_id == read


@pytest.mark.parametrize("sent", ["00-" + "a" * 62, "00-ü", "a\nb"])
def test_a_trace_that_cannot_be_passed_on_is_left_out(sent: str) -> None:
    headers = [(key, sent.encode() if key == "traceparent" else value) for key, value in GOOD]
    assert from_headers(headers).traceparent is None


def test_all_names_are_known() -> None:
    assert tuple(name for name, _ in GOOD) == HEADER_NAMES


@pytest.mark.parametrize("name", [name for name in HEADER_NAMES if name != "content-type"])
@pytest.mark.parametrize(("raw", "why"), [(None, "is null"), (b"\xff\xfe", "is not UTF-8")])
def test_a_bad_header_is_named(name: str, raw: bytes | None, why: str) -> None:
    with pytest.raises(EnvelopeError, match=f"{name} {why}"):
        from_headers([(key, raw if key == name else value) for key, value in GOOD])


@pytest.mark.parametrize("name", ["ce_specversion", "ce_id", "ce_type", "ce_source", "ce_subject", "ce_time"])
def test_a_missing_header_is_an_error(name: str) -> None:
    with pytest.raises(EnvelopeError, match=name.removeprefix("ce_")):
        from_headers([(key, value) for key, value in GOOD if key != name])


@pytest.mark.parametrize(
    ("name", "raw"),
    [("ce_specversion", b"0.3"), ("ce_id", b"no uuid"), ("ce_time", b"2026-01-12T00:00:00"), ("ce_type", b"x" * 256)],
)
def test_a_wrong_value_is_an_error(name: str, raw: bytes) -> None:
    with pytest.raises(EnvelopeError, match=name.removeprefix("ce_")):
        from_headers([(key, raw if key == name else value) for key, value in GOOD])


def test_an_error_does_not_repeat_what_the_header_said() -> None:
    with pytest.raises(EnvelopeError) as caught:
        from_headers([(key, b"secret" if key == "ce_id" else value) for key, value in GOOD])
    assert "secret" not in str(caught.value)
