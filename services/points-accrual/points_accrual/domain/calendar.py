"""Days, weeks and months of the program's time zone; month ends, leap days and clock changes are decided here."""

from calendar import monthrange
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from contracts.base import LATEST
from contracts.program import Expiry, Span

LAST = LATEST - timedelta(seconds=1)
"""The last moment that events can tell."""
_FIRST_DAY, _LAST_DAY = date(1970, 1, 2), date(2199, 12, 31)
"""Days of a program beyond are as good as never and for ever, and would leave the calendar."""


def days_later(at: datetime, days: int, zone: ZoneInfo) -> datetime:
    """The same local time so many calendar days later, in UTC.

    A local time that clocks skip is read as if they had not been moved yet, one that occurs twice is the first.
    """
    if days == 0:
        return at
    local = at.astimezone(zone) + timedelta(days=days)
    return min(local.replace(fold=0).astimezone(UTC), LAST)


def day_start(day: date, zone: ZoneInfo) -> datetime:
    """The first moment of a local day, in UTC."""
    return _midnight(_within(day), zone)


@lru_cache(maxsize=4096)
def day_end(day: date, zone: ZoneInfo) -> datetime:
    """The first moment of the day that follows, in UTC."""
    return min(_midnight(_within(day) + timedelta(days=1), zone), LAST)


def _within(day: date) -> date:
    return min(max(day, _FIRST_DAY), _LAST_DAY)


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), zone).astimezone(UTC)


def months_later(day: date, months: int) -> date:
    """So many months later; a day that the month does not have is its last."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))


def on_day(year: int, month_day: str) -> date:
    """A day of the year such as `05-17`; 29 February is the 28th where there is none."""
    month, day = int(month_day[:2]), int(month_day[3:])
    return date(year, month, min(day, monthrange(year, month)[1]))


def expiry(
    active_at: datetime, rule: Expiry, zone: ZoneInfo, last_active_at: datetime | None = None
) -> datetime | None:
    """When points active since `active_at` run out, in UTC: the end of a local day. None: never.

    31 January and one month is 28 or 29 February. Grace days are in it.
    """
    day = active_at.astimezone(zone).date()
    if rule.inactive_months is not None:
        last = max(active_at, last_active_at or active_at).astimezone(zone).date()
        day = months_later(last, rule.inactive_months)
    elif rule.months is not None:
        day = months_later(day, rule.months)
    elif rule.days is not None:
        day += timedelta(days=rule.days)
    elif rule.on is not None:
        earliest = months_later(day, rule.on_after_months)
        day = on_day(earliest.year, rule.on)
        if day < earliest:
            day = on_day(earliest.year + 1, rule.on)
    else:
        return None
    return day_end(_rounded_up(day, rule.round_to) + timedelta(days=rule.grace_days), zone)


def _rounded_up(day: date, to: str) -> date:
    """The last day of its month, quarter or year."""
    if to == "day":
        return day
    month = {"month": day.month, "quarter": (day.month + 2) // 3 * 3, "year": 12}[to]
    return date(day.year, month, monthrange(day.year, month)[1])


def told_expiry(expires_at: datetime, grace_days: int, zone: ZoneInfo) -> datetime:
    """The expiry that members are told: without the days of grace."""
    return days_later(expires_at, -grace_days, zone)


def period(at: datetime, span: Span, zone: ZoneInfo) -> str:
    """The name of the period of a moment: `2026-03-01`, `2026-W09`, `2026-03`, `2026-Q1`, `2026`, `lifetime`."""
    if span == "lifetime":
        return span
    day = at.astimezone(zone).date()
    if span == "day":
        return day.isoformat()
    if span == "week":
        year, week, _ = day.isocalendar()
        return f"{year}-W{week:02}"
    if span == "month":
        return f"{day.year}-{day.month:02}"
    return f"{day.year}-Q{(day.month + 2) // 3}" if span == "quarter" else str(day.year)


def period_number(at: datetime, span: Span, zone: ZoneInfo) -> int:
    """Periods of one kind counted through: those that follow one another differ by one."""
    day = at.astimezone(zone).date()
    if span == "day":
        return day.toordinal()
    if span == "week":
        return (day.toordinal() - 1) // 7
    if span == "year":
        return day.year
    months = day.year * 12 + day.month - 1
    return months if span == "month" else months // 3
