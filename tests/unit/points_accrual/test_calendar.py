"""Month ends, leap days and clock changes, in the zone of the program."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.base import EARLIEST, LATEST
from contracts.program import Expiry
from points_accrual.domain.calendar import day_end, day_start, days_later, expiry

BERLIN, CAIRO, NEW_YORK = ZoneInfo("Europe/Berlin"), ZoneInfo("Africa/Cairo"), ZoneInfo("America/New_York")


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc,arg-type]


def test_activation_keeps_the_local_time_over_a_clock_change() -> None:
    assert days_later(utc(2026, 3, 20, 9), 14, BERLIN) == utc(2026, 4, 3, 8)
    assert days_later(utc(2026, 10, 20, 8), 14, BERLIN) == utc(2026, 11, 3, 9)


def test_activation_in_the_hour_that_clocks_skip_or_repeat() -> None:
    assert days_later(utc(2026, 3, 28, 1, 30), 1, BERLIN) == utc(2026, 3, 29, 1, 30)  # 02:30 is 03:30 then
    assert days_later(utc(2026, 10, 24, 0, 30), 1, BERLIN) == utc(2026, 10, 25, 0, 30)  # the first 02:30
    assert days_later(utc(2026, 10, 25, 1, 30), 0, BERLIN) == utc(2026, 10, 25, 1, 30)


@given(st.dates(), st.sampled_from([BERLIN, ZoneInfo("Pacific/Kiritimati"), ZoneInfo("Pacific/Pago_Pago")]))
def test_any_day_of_a_program_is_a_moment_that_events_can_tell(day: date, zone: ZoneInfo) -> None:
    start, end = day_start(day, zone), day_end(day, zone)
    assert EARLIEST <= start <= end < LATEST
    if EARLIEST.date() < day < LATEST.date() - timedelta(days=1):
        assert start < end
        assert start.astimezone(zone).date() == day


def test_an_activation_that_no_event_could_tell() -> None:
    assert days_later(utc(2199, 12, 31), 14, BERLIN) == LATEST - timedelta(seconds=1)


@pytest.mark.parametrize(
    ("active", "months", "end"),
    [
        (utc(2026, 1, 31, 12), 1, utc(2026, 2, 28, 23)),  # the end of 28 February in Berlin
        (utc(2028, 1, 31, 12), 1, utc(2028, 2, 29, 23)),
        (utc(2028, 2, 29, 12), 12, utc(2029, 2, 28, 23)),
        (utc(2026, 12, 31, 23, 30), 12, utc(2028, 1, 1, 23)),  # already 1 January there
        (utc(2026, 3, 28, 12), 12, utc(2027, 3, 28, 22)),  # the day on which clocks change has 23 hours
        (utc(2026, 5, 15, 12), 120, utc(2036, 5, 15, 22)),
    ],
)
def test_expiry_is_the_end_of_the_local_day(active: datetime, months: int, end: datetime) -> None:
    assert expiry(active, Expiry(months=months), BERLIN) == end


def test_expiry_where_the_day_begins_at_one_o_clock() -> None:
    """Cairo's clocks go from 24 April 2026 00:00 to 01:00: the 23rd ends when they do."""
    assert expiry(utc(2026, 3, 23, 12), Expiry(months=1), CAIRO) == utc(2026, 4, 23, 22)


def test_expiry_in_other_zones() -> None:
    assert expiry(utc(2026, 1, 1, 3), Expiry(months=1), NEW_YORK) == utc(2026, 2, 1, 5)  # 31 December there
    assert expiry(utc(2026, 1, 1), Expiry(months=None), BERLIN) is None
