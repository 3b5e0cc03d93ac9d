"""Pauses grow, are bounded, and mails have no last try."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from notification.domain.backoff import WEBHOOK_SECONDS, mail_delay, webhook_delay

jitters = st.floats(min_value=0, max_value=1)


@given(st.integers(min_value=1, max_value=10**6), jitters)
def test_mails_are_tried_for_ever_at_bounded_pauses(attempts: int, jitter: float) -> None:
    assert timedelta(seconds=1) <= mail_delay(attempts, jitter) <= timedelta(seconds=300)
    assert mail_delay(attempts + 1, jitter) >= mail_delay(attempts, jitter)


@given(jitters)
def test_webhooks_are_tried_ten_times_over_three_days(jitter: float) -> None:
    delays = [webhook_delay(attempts, jitter) for attempts in range(1, 11)]
    assert delays[9] is None
    total = sum((delay for delay in delays[:9] if delay), timedelta())
    assert timedelta(hours=75) <= total <= timedelta(hours=84)


@given(st.integers(min_value=1, max_value=9), st.floats(min_value=-10, max_value=1e9), jitters)
def test_the_receiver_may_ask_for_up_to_a_day(attempts: int, retry_after: float, jitter: float) -> None:
    delay = webhook_delay(attempts, jitter, retry_after)
    assert delay is not None
    assert delay.total_seconds() >= max(WEBHOOK_SECONDS[attempts - 1], min(retry_after, 86400)) - 1e-3
    assert delay <= timedelta(hours=24) * 1.1
