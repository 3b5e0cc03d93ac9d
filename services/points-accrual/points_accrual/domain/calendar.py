"""Days and months are those of the program's time zone; month ends, leap days and clock changes are decided here."""

from calendar import monthrange
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from contracts.base import LATEST


def activation(paid_at: datetime, pending_days: int, zone: ZoneInfo) -> datetime:
    """The same local time `pending_days` calendar days later, in UTC.

    A local time that clocks skip is read as if they had not been moved yet, one that occurs twice is the first.
    What would be later than events can tell is the last moment that they can.
    """
    if pending_days == 0:
        return paid_at
    local = paid_at.astimezone(zone) + timedelta(days=pending_days)
    return min(local.replace(fold=0).astimezone(UTC), LATEST - timedelta(seconds=1))


def expiry(active_at: datetime, months: int | None, zone: ZoneInfo) -> datetime | None:
    """The end of the local day `months` after, in UTC: the first moment of the day that follows. None: never.

    A day that the month does not have is its last: 31 January and one month is 28 or 29 February.
    """
    if months is None:
        return None
    local = active_at.astimezone(zone).date()
    year, month = divmod(local.year * 12 + local.month - 1 + months, 12)
    day = min(local.day, monthrange(year, month + 1)[1])
    next_day = date(year, month + 1, day) + timedelta(days=1)
    return datetime.combine(next_day, time(), zone).astimezone(UTC)
