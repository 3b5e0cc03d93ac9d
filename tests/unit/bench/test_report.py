"""What a run leaves: figures beside those of an earlier run, and the picture of growth."""

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from tests.bench import report
from tests.bench.arithmetic import Sample, Series
from tests.bench.growth import MILLIONS, name_of

FLOOR = "points path ÷ floor"


@pytest.fixture(autouse=True)
def _out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "OUT", tmp_path / "out")


def _series(*values: float, unit: str = "÷") -> Series:
    return Series([Sample(value) for value in values], unit)


def _shown(series: dict[str, Series], before: dict[str, float] | None = None) -> str:
    out = io.StringIO()
    report.show(Console(file=out, width=150), series, before)
    return out.getvalue()


def test_an_earlier_run_stands_beside_this_one() -> None:
    path = report.write({FLOOR: _series(0.1, 0.2, 0.9), "redemptions": _series(321.0)}, {}, [])
    before = report.medians(path)
    assert before == {"1": 0.2, "16a": 321.0}
    now = {FLOOR: _series(0.4), "redelivered ÷ points path": _series(3.0)}
    cells = [[cell.strip() for cell in line.split("│")] for line in _shown(now, before).splitlines()]
    shown = {row[1]: row[3:5] for row in cells if len(row) > 5 and row[1]}
    assert shown == {"1": ["0.20", "0.40"], "13": ["–", "3.00"]}
    assert "before" not in _shown(now)


@pytest.mark.parametrize("text", ["no JSON", "[]", "{}", json.dumps({"figures": [{"number": "1"}]})])
def test_another_file_is_no_earlier_run(tmp_path: Path, text: str) -> None:
    path = tmp_path / "other.json"
    path.write_text(text)
    with pytest.raises(ValueError, match="is not what a run"):
        report.medians(path)


def test_growth_is_drawn_when_it_was_measured() -> None:
    assert report.draw({FLOOR: _series(0.4)}) is None
    rates = {name_of(size): _series(2000.0 / place, 1800.0 / place) for place, size in enumerate(MILLIONS, 1)}
    path = report.draw(rates)
    assert path is not None
    assert path.read_bytes().startswith(b"\x89PNG")
