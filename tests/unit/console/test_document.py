"""check(): every mistake is told with its line, its field and a way to mend it."""

import json
import re
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from console.document import check
from console.findings import _PATTERNS
from contracts.program import Program

AURORA = (Path(__file__).parents[3] / "programs" / "aurora.yaml").read_text("utf-8")
EVERYTHING = (Path(__file__).parent / "everything.yaml").read_text("utf-8")


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
        ("window_days: 90", "window_dys: 90", "enrolment.window_dys", "not a field", "'window_days'"),
        ("minimum_minor: 0 ", "minimum_mino: 0 ", "earning.rules.0.minimum_mino", "not a field", "'minimum_minor'"),
        ("valid_days: 90", "percent: 9", "rewards.0.percent", "not a field", "type 'percent_off' has it"),
        ("zone: Asia/Baku", "zone: Asia/Bakoo", "zone", "no IANA time zone", "'Asia/Baku'"),
        ("rounding: floor", "rounding: flor", "earning.rounding", "must be", "'floor'"),
        ("currency: USD", "currency: usd", "currency", "'usd' is no currency", "such as USD"),
        ("window_days: 90", "window_days: many", "enrolment.window_days", "'many' is no whole number", "such as 2000"),
        ("multiplier: 1.25", "multiplier: 1,25", "tiers.levels.1.25", "not a field", "with a point, such as 1.25"),
        ("cost: 500", "cost: -1", "rewards.0.cost", "greater than or equal to 0", None),
        ("codes: generated", "codes: pol", "rewards.0.codes", "must be 'generated' or 'pool'", "'pool'"),
        ("codes: generated", "codes:", "rewards.0.codes", "is empty", "leave the field out"),
        ("tax: false", "tax: nope", "earning.rules.0.basis.tax", "must be true or false, but it is 'nope'", None),
        ("valid_days: 90", "limits: 3", "rewards.0.limits", "must be a list", "beginning with -"),
        ("valid_days: 90", "when: today", "rewards.0.when", "must hold fields", "first_day"),
        ("pending: {days: 14}", "pending: {until: 2026-02-30}", "earning.pending.until", "no day of the", "2026-12-31"),
        (
            "pending: {days: 14}",
            "pending: {until: 20260301}",
            "earning.pending.until",
            "no day or moment",
            "2026-12-31",
        ),
        ("2020-01-01T00:00:00Z", "2020", "effective_from", "no day or moment", "2026-12-01T00:00:00Z"),
        ("2020-01-01T00:00:00Z", "soon", "effective_from", "'soon' is no moment", "2026-12-01T00:00:00Z"),
        ("expiry: {months: 12}", "expiry: {on: 31-12}", "earning.expiry.on", "no day of the year", "as in 12-31"),
        ("expiry: {months: 12}", "expiry: {months: 1, days: 3}", "earning.expiry", "months and days are given", None),
        ("valid_days: 90", "when: {hours: 18-22}", "rewards.0.when.hours", "no hours of a day", "18:00-22:00"),
        ("valid_days: 90", "when: {countries: [az]}", "rewards.0.when.countries.0", "no country", "such as AZ"),
        ("valid_days: 90", "when: {weekdays: [Tuesday]}", "rewards.0.when.weekdays.0", "must be 'mon'", "'tue'"),
        (
            "valid_days: 90",
            "when: {unless: {attributes: {a: []}}}",
            "rewards.0.when.unless.attributes.a",
            "at least 1",
            None,
        ),
        ("valid_days: 90", "when: {tiers: [goold]}", "rewards.0.when.tiers.0", "tiers.levels has no 'goold'", None),
        (
            "valid_days: 90",
            "cost_by_tier: {Gold: 1}",
            "rewards.0.cost_by_tier.Gold",
            "'Gold' is no id",
            "small letters",
        ),
        ("valid_days: 90", "cost_by_tier: {goold: 1}", "rewards.0.cost_by_tier.goold", "has no 'goold'", None),
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
    _, (finding,) = check(AURORA.replace("      points_per_unit: 10 ", "      # "))
    assert (finding.field, finding.message) == ("earning.rules.0.points_per_unit", "is missing")
    assert finding.line == line_of(AURORA, "- type: spend")
    _, (finding,) = check(AURORA.replace("    cost: 500 ", "    # "))
    assert (finding.field, finding.message) == ("rewards.0", "cost is missing")
    assert finding.line == line_of(AURORA, "- type: money_off")


@pytest.mark.parametrize(
    ("old", "new", "message", "guess"),
    [
        ("- type: spend", "- type: spnd", "there is no type 'spnd'", "did you mean 'spend'? known types: spend, item"),
        ("- type: spend", "- type: Spend", "there is no type 'Spend'", "did you mean 'spend'?"),
        ("- type: spend", "- type: money", "there is no type 'money'", "did you mean 'spend'?"),  # by its fields
        ("- type: spend", "- typ: spend", "is missing", "did you mean it by 'typ'? known types: spend, item, order"),
        ("- type: spend\n      id: spend", "- id: spend", "is missing", "did you mean 'spend'? known types: spend"),
        ("- type: money_off", "- type: money-off", "there is no type 'money-off'", "did you mean 'money_off'?"),
    ],
)
def test_a_type_that_is_missing_or_unknown_names_all_and_the_nearest(
    old: str, new: str, message: str, guess: str
) -> None:
    _, (finding,) = check(AURORA.replace(old, new))
    assert finding.line == line_of(AURORA, old)
    assert finding.field in ("earning.rules.0.type", "rewards.0.type")
    assert finding.message == message
    assert (finding.hint or "").startswith(guess)


@pytest.mark.parametrize(
    ("old", "more", "field", "message"),
    [
        ("value_minor: 100, cause: trees", "valid_days: 9", "rewards.9.valid_days", "only coupons run out"),
        ("id: welcome, points: 50", "days_before: 3", "earning.rules.", "only birthdays and anniversaries have it"),
    ],
)
def test_days_that_would_be_ignored_are_told(old: str, more: str, field: str, message: str) -> None:
    program, (finding,) = check(EVERYTHING.replace(old, f"{old}, {more}"))
    assert program is None
    assert finding.line == line_of(EVERYTHING, old)
    assert finding.field.startswith(field)
    assert finding.message.startswith(message)


def test_words_of_two_lists_are_told_together() -> None:
    _, (finding,) = check(EVERYTHING.replace("per: claim", "per: hour"))
    assert finding.message == (
        "must be 'claim', 'program', 'day', 'week', 'month', 'quarter', 'year' or 'lifetime', not 'hour'"
    )


def test_what_does_not_fit_together_is_told_each_at_its_own_line() -> None:
    text = EVERYTHING.replace("rewards: [five-off], cost_factor", "rewards: [five-of], cost_factor")
    text = text.replace("terms: slow\n    visible", "terms: slo\n    visible").replace("draw: car", "draw: boat")
    text = text.replace("silver: 950", "silber: 950")
    program, findings = check(text)
    assert program is None
    expected = [
        ("challenges.0.terms", "terms: slo\n"), ("rewards.0.cost_by_tier.silber", "silber"),
        ("rewards.8.draw", "draw: boat"), ("offers.0.rewards.0", "[five-of]"),
    ]  # fmt: skip
    assert [(one.field, one.line) for one in findings] == [(field, line_of(text, part)) for field, part in expected]
    assert "(known: ticket)" not in str(findings[2])
    assert "draws has no 'boat' (known: car)" in str(findings[2])


def test_a_zone_that_is_another_on_each_machine_is_none() -> None:
    _, (finding,) = check(AURORA.replace("zone: Asia/Baku", "zone: localtime"))
    assert finding.field == "zone"


REVIEWS = """
    - type: activity
      id: review
      activity: review
      points: 10
      limits: [{per: day, times: 1}]
"""
CHALLENGES = """
challenges:
  - {id: five, counts: orders, attributes: {photo: [a]}, at: [5], points: 9}
  - {id: six, counts: activities, activity: review, minimum_minor: 5, at: [5], points: 9}
"""


def test_what_would_be_ignored_is_told() -> None:
    text = AURORA.replace("  rules:\n", "  rules:" + REVIEWS, 1) + CHALLENGES
    campaign = "{id: x2, multiplier: 2, rules: [review], minimum_minor: 500}"
    _, findings = check(text.replace("earning:\n", f"earning:\n  campaigns: [{campaign}]\n", 1))
    assert [finding.field for finding in findings] == [
        "earning.campaigns.0.minimum_minor", "challenges.0.attributes", "challenges.1.minimum_minor",
    ]  # fmt: skip
    twice = "[{per: day, times: 1}, {per: day, times: 2}]"
    _, (finding,) = check(
        AURORA.replace("  rules:\n", "  rules:" + REVIEWS.replace("[{per: day, times: 1}]", twice), 1)
    )
    assert finding.field == "earning.rules.0.limits"


def test_everything_can_be_written_without_quotation_marks() -> None:
    assert '"' not in EVERYTHING
    assert "'" not in EVERYTHING
    program, findings = check(EVERYTHING)
    assert findings == []
    assert program is not None
    when = program.earning.rules[0].when
    assert (when.first_day, when.weekdays, when.hours) == (date(2026, 2, 1), ("mon", "tue", "sat"), "08:00-22:00")
    assert when.attributes == {"size": ("s", "m"), "vip": ("yes",)}
    assert when.countries == ("AZ", "NO")  # no boolean
    assert when.birthday_month is True
    assert when.unless is not None
    assert when.unless.hours == "22:00-02:00"
    assert program.earning.expiry.on == "02-29"
    assert program.earning.rules[0].match.products == ("1", "2", "007")  # type: ignore[union-attr]


def test_every_pattern_of_the_models_is_told_in_words() -> None:
    schema = json.dumps(Program.model_json_schema())
    found = re.findall(r'"pattern": ("[^"]+")|"patternProperties": {("[^"]+")', schema)
    patterns = {json.loads(one or other) for one, other in found}
    assert len(patterns) > 5
    assert patterns == set(_PATTERNS)


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
    assert program.earning.rules[0].points_per_unit == Decimal("0.300001")  # type: ignore[union-attr]
    assert program.rewards[0].cost == 500
