"""The arithmetic of the bench: what it says must be right before anybody compares anything."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.bench.arithmetic import Sample, Series, foreign_cores, percentile, ratio
from tests.bench.figures import FAMILIES, FIGURES, Figure, rows
from tests.bench.meter import CLIENT, Meter, tree_seconds


def test_percentiles_are_values_that_were_measured() -> None:
    values = [float(n) for n in range(100, 0, -1)]
    assert [percentile(values, at) for at in (0, 1, 50, 99, 99.5, 100)] == [1, 1, 50, 99, 100, 100]
    assert percentile([7.0], 99) == 7


@pytest.mark.parametrize(("values", "at"), [([], 50), ([1.0], 101), ([1.0], -1)])
def test_there_is_no_percentile_of_nothing_or_outside(values: list[float], at: float) -> None:
    with pytest.raises(ValueError, match="percentile of"):
        percentile(values, at)


@given(st.lists(st.floats(0, 1e9), min_size=1), st.floats(0, 100))
def test_at_least_so_many_values_are_not_above_a_percentile(values: list[float], at: float) -> None:
    found = percentile(values, at)
    assert found in values
    assert sum(value <= found for value in values) >= at / 100 * len(values) - 1e-6


def test_ratios_compare_only_slices_of_the_same_round() -> None:
    ours, floor = Series([Sample(10.0), Sample(40.0)]), Series([Sample(20.0), Sample(160.0)])
    found = ratio(ours, floor)
    assert [sample.value for sample in found.samples] == [0.5, 0.25]
    assert found.median == 0.375  # 25 ÷ 90 would be another number
    with pytest.raises(ValueError):
        ratio(ours, Series([Sample(1.0)]))


def test_a_ratio_is_marked_when_either_slice_is() -> None:
    calm, busy = Sample(1.0, 0.15), Sample(2.0, 0.16)
    assert not calm.marked
    assert busy.marked
    assert ratio(Series([calm, busy]), Series([busy, calm])).marked == 2
    assert ratio(Series([calm]), Series([calm])).marked == 0


def test_marked_slices_count_only_when_there_are_no_others() -> None:
    mixed = Series([Sample(1.0), Sample(100.0, 1.0), Sample(3.0)])
    assert (mixed.median, mixed.least, mixed.most, mixed.marked) == (2.0, 1.0, 3.0, 1)
    assert Series([Sample(5.0, 1.0), Sample(7.0, 1.0)]).median == 6.0


def test_foreign_load_is_what_nobody_of_ours_used() -> None:
    assert foreign_cores(15.0, {"service": 6.0, "PostgreSQL": 4.0}, 10.0) == 0.5
    assert foreign_cores(9.99, {"service": 10.0}, 10.0) == 0.0


def test_cpu_of_several_processes_is_their_sum() -> None:
    sample = Sample(100.0, 0.2, {"service": 30.0, "PostgreSQL": 12.0, "Kafka": 7.0})
    assert sample.cpu_of("service", "PostgreSQL") == Sample(42.0, 0.2)


def _burn(seconds: float) -> str:
    """A program that starts another one, waits for its end, and then waits to be ended."""
    burn = f"import time; e = time.process_time() + {seconds}\nwhile time.process_time() < e: pass"
    return (
        f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {burn!r}])\nprint('done', flush=True)\ninput()"
    )


def test_the_meter_counts_children_also_those_that_ended() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _burn(0.5)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        meter = Meter({"other": process.pid})
        meter.begin()
        process.stdout.readline()
        sample = meter.end(1000)
        assert 0.45 <= tree_seconds(process.pid) <= 2.0
        process.communicate("\n")
    assert 300 <= sample.cpu_us["other"] <= 2000  # 0.5 s over 1,000 units are 500 µs each
    assert CLIENT in sample.cpu_us
    with pytest.raises(ProcessLookupError):
        tree_seconds(process.pid)


def test_what_others_burn_is_foreign_and_what_we_burn_is_not() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _burn(0.5)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        knowing, unknowing = Meter({"ours": process.pid}), Meter({})
        knowing.begin()
        unknowing.begin()
        process.stdout.readline()
        known, unknown = knowing.end(1), unknowing.end(1)
        process.communicate("\n")
    # One unit: its rate is one through the time that passed.
    foreign = [sample.foreign_cores / sample.value for sample in (known, unknown)]
    assert foreign[1] - foreign[0] >= 0.4


def test_every_figure_says_when_it_is_met() -> None:
    more = Figure("0", "a", "path", "a", "÷", 2.0, 4.0)
    less = Figure("0", "a", "path", "a", "ms", 250, 50, "less")
    assert [more.met(value) for value in (1.9, 2.0, 4.0)] == ["not yet", "must", "goal"]
    assert [less.met(value) for value in (251, 250, 50)] == ["not yet", "must", "goal"]
    assert Figure("0", "a", "path", "a", "/s", None, None).met(1) == "said"
    assert {figure.number.rstrip("ab") for figure in FIGURES} == {str(number) for number in range(1, 18)}
    assert {figure.family for figure in FIGURES} == set(FAMILIES)


def test_rows_hold_only_what_was_measured() -> None:
    found = rows({"points path ÷ floor": Series([Sample(0.2), Sample(0.4, 1.0)])})
    assert [(row["number"], row["median"], row["marked"], row["met"]) for row in found] == [("1", 0.2, 1, "must")]
