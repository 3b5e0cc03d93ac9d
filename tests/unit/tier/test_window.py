"""An order counts for whole months in the program's own time zone."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from tier.domain.window import leaves_at

BERLIN, BAKU = ZoneInfo("Europe/Berlin"), ZoneInfo("Asia/Baku")


@pytest.mark.parametrize(
    ("placed", "months", "zone", "expected"),
    [
        ("2025-01-15T10:00+04:00", 12, BAKU, "2026-01-15T10:00+04:00"),
        # Months shorter than the day: their last day.
        ("2025-08-31T10:00+04:00", 6, BAKU, "2026-02-28T10:00+04:00"),
        ("2027-08-31T10:00+04:00", 6, BAKU, "2028-02-29T10:00+04:00"),
        ("2024-02-29T10:00+04:00", 12, BAKU, "2025-02-28T10:00+04:00"),
        # The local day decides: late on 31 January in UTC is 1 February in Baku.
        ("2025-01-31T21:00+00:00", 1, BAKU, "2025-03-01T01:00+04:00"),
        # The same wall time on the other side of a clock change.
        ("2025-01-30T12:00+01:00", 6, BERLIN, "2025-07-30T12:00+02:00"),
        # A wall time that the clocks skip is read with the winter's offset; one that occurs twice is the first.
        ("2025-01-30T02:30+01:00", 2, BERLIN, "2025-03-30T02:30+01:00"),
        ("2025-08-26T02:30+02:00", 2, BERLIN, "2025-10-26T02:30+02:00"),
        ("2025-10-26T02:30+01:00", 12, BERLIN, "2026-10-26T02:30+01:00"),
    ],
)
def test_leaves_at(placed: str, months: int, zone: ZoneInfo, expected: str) -> None:
    result = leaves_at(datetime.fromisoformat(placed).astimezone(UTC), months, zone)
    assert result == datetime.fromisoformat(expected)
    assert result.tzinfo is UTC
