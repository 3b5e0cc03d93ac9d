"""When a message that did not go through is tried again. `jitter` is between 0 and 1, drawn by the caller."""

from datetime import timedelta

MAIL_SECONDS_FIRST = 2.0
MAIL_SECONDS_MAX = 300.0
_MINUTE, _HOUR = 60.0, 3600.0
WEBHOOK_SECONDS = (5.0, 5 * _MINUTE, 30 * _MINUTE, 2 * _HOUR, 5 * _HOUR, 10 * _HOUR, 14 * _HOUR, 20 * _HOUR, 24 * _HOUR)
"""Pauses after the first, second, … failure: those of the Standard Webhooks specification."""


def mail_delay(attempts: int, jitter: float) -> timedelta:
    """The pause after the `attempts`-th failure: doubling, capped, half of it by chance. There is no last one."""
    seconds = min(MAIL_SECONDS_FIRST * 2 ** min(attempts - 1, 16), MAIL_SECONDS_MAX)
    return timedelta(seconds=seconds * (0.5 + 0.5 * jitter))


def webhook_delay(attempts: int, jitter: float, retry_after: float | None = None) -> timedelta | None:
    """The pause after the `attempts`-th failure, None when that was the last try.

    Up to a tenth more by chance; `retry_after` seconds, asked for by the receiver, are kept to up to a day.
    """
    if attempts > len(WEBHOOK_SECONDS):
        return None
    seconds = max(WEBHOOK_SECONDS[attempts - 1], min(retry_after or 0.0, WEBHOOK_SECONDS[-1]))
    return timedelta(seconds=seconds * (1 + 0.1 * jitter))
