"""How long an order counts: whole months in the program's own time zone."""

from calendar import monthrange
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from contracts.base import LATEST

LAST = LATEST - timedelta(microseconds=1)
"""No time on the wire is later: what would end after it ends then."""


def leaves_at(placed_at: datetime, months: int, zone: ZoneInfo) -> datetime:
    """The last moment at which an order counts, in UTC: the same local day and time `months` later.

    A day that the month does not have is its last: 31 August and six months is 28 or 29 February. A local time that
    clocks skip is read as if they had not been moved yet, one that occurs twice is the first.
    """
    local = placed_at.astimezone(zone)
    year, month = divmod(local.year * 12 + local.month - 1 + months, 12)
    day = min(local.day, monthrange(year, month + 1)[1])
    return min(LAST, local.replace(year=year, month=month + 1, day=day, fold=0).astimezone(UTC))
