"""check(): every mistake is told with its line, its field and a way to mend it."""

from decimal import Decimal
from pathlib import Path

import pytest

from console.document import check

AURORA = (Path(__file__).parents[3] / "programs" / "aurora.yaml").read_text("utf-8")


def line_of(text: str, part: str) -> int:
    return text[: text.index(part)].count("\n") + 1


def test_the_preset_is_right() -> None:
    program, findings = check(AURORA)
    assert findings == []
    assert program is not None
    assert program.id == "aurora"
    assert program.enrolment.on == ("account", "first_order")  # `on` is no boolean here
    assert [level.multiplier for level in program.tiers.levels] == [1, Decimal("1.25"), Decimal("1.5")]
    assert [level.threshold for level in program.tiers.levels] == [0, 2000, 8000]


@pytest.mark.parametrize(
    ("old", "new", "field", "message", "hint"),
    [
        ("pending_days: 14", "pending_dys: 14", "earning.pending_dys", "not a field", "'pending_days'"),
        ("zone: Asia/Baku", "zone: Asia/Bakoo", "zone", "no IANA time zone", None),
        ("rounding: floor", "rounding: flor", "earning.rounding", "must be", "'floor'"),
        ("currency: USD", "currency: usd", "currency", "does not match", "such as USD"),
        ("window_days: 90", "window_days: many", "enrolment.window_days", "integer", "whole number"),
        ("cost: 500", "cost: 0", "rewards.0.cost", "greater than 0", None),
        ("2020-01-01T00:00:00Z", "2020-01-01T00:00:00", "effective_from", "timezone", "2026-12-01T00:00:00Z"),
        ("friend_points: 250", "friend_points: 250\n  friend_points: 9", "referral.friend_points", "twice", "keep one"),
    ],
)
def test_a_mistake_is_told_with_line_and_field(old: str, new: str, field: str, message: str, hint: str | None) -> None:
    text = AURORA.replace(old, new, 1)
    program, findings = check(text)
    assert program is None
    (finding,) = findings
    expected = line_of(AURORA, old) + new.count("\n")
    assert (finding.line, finding.field) == (expected, field)
    assert message in finding.message
    assert (hint is None) == (finding.hint is None)
    assert hint is None or hint in (finding.hint or "")
    assert str(finding).startswith(f"line {expected}, {field}: ")


def test_a_missing_field_is_told_at_what_should_hold_it() -> None:
    text = AURORA.replace("    cost: 500             # Points.\n", "")
    _, (finding,) = check(text)
    assert (finding.field, finding.message) == ("rewards.0.cost", "is missing")
    assert finding.line == line_of(text, "- type: money_off")


def test_all_mistakes_are_told_in_the_order_of_the_file() -> None:
    text = AURORA.replace("zone: Asia/Baku", "zone: Mars").replace("cost: 500", "cost: x")
    text = text.replace("currency: USD", "currency: usd")
    _, findings = check(text)
    assert [one.field for one in findings] == ["currency", "zone", "rewards.0.cost"]
    assert [one.line for one in findings] == sorted(one.line for one in findings)


def test_a_wrong_item_does_not_make_its_list_too_short() -> None:
    _, findings = check(AURORA.replace("points_per_unit: 10 ", "points_per_unit: ten "))
    assert [one.field for one in findings] == ["earning.rules.0.points_per_unit"]


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("id: aurora\nname: {en: [", 2, "not YAML"),
        ("", 1, "must hold fields"),
        ("- a\n- b", 1, "must hold fields"),
        ("a: 1\n---\nb: 2", 2, "not YAML"),
        ("a: &x 1\nb: *x", 1, "anchors"),
        ("a: 1\nb: *x", 2, "anchors"),
        ("a: !!python/object/apply:os.system ['true']", 1, "tag"),
        ("id: \x07", 1, "not YAML"),
        ("[" * 5000, 1, "nested"),
        ("a: " + "x" * (1024 * 1024), 1, "larger"),
        ("\tid: aurora", 1, "not YAML"),
        ("{[a]: b}", 1, "plain word"),
    ],
)
def test_what_is_no_program_is_told_in_one_sentence(text: str, line: int, message: str) -> None:
    program, findings = check(text)
    assert program is None
    assert findings[0].line == line
    assert message in findings[0].message


def test_decimals_stay_exact_and_numbers_may_be_quoted() -> None:
    text = AURORA.replace("points_per_unit: 10 ", "points_per_unit: 0.300001 ").replace("cost: 500", 'cost: "500"')
    program, _ = check(text)
    assert program is not None
    assert program.earning.rules[0].points_per_unit == Decimal("0.300001")
    assert program.rewards[0].cost == 500
