"""What is legal but unwise: each advice is given where it should be, and not where it should not."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from console.document import advice_of, read
from console.domain.advice import advise
from contracts.program import Program
from tests.unit.points_accrual.samples import program

SPEND: dict[str, Any] = {"type": "spend", "id": "spend", "points_per_unit": "1"}
START = "2026-03-01T00:00:00Z"


def told(**changes: Any) -> set[str]:
    """Where advice is given for a program, as dotted fields."""
    rest = changes.pop("rest", {})
    rules = changes.pop("rules", (SPEND,))
    document = program(*rules, rest={"effective_from": START, "referral": None, **rest}, **changes)
    return {".".join(str(part) for part in item.path) for item in advise(document)}


def when(**conditions: Any) -> dict[str, Any]:
    return SPEND | {"when": conditions}


MONTH = {"first_day": "2026-04-01", "last_day": "2026-04-30"}
MONEY = {"type": "money_off", "id": "off", "name": {"en": "Off"}}
CASES: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "over before it begins": (
        {"rules": (when(last_day="2026-02-01"),)}, {"rules": (when(last_day="2026-04-01"),)},
        "earning.rules.0.when.last_day",
    ),
    "no such weekday in a few days": (
        {"rules": (when(first_day="2026-04-06", last_day="2026-04-08", weekdays=["sun"]),)},
        {"rules": (when(first_day="2026-04-06", last_day="2026-04-12", weekdays=["sun"]),)},
        "earning.rules.0.when.weekdays",
    ),
    "unless takes all": (
        {"rules": (when(tiers=["gold"], unless={"tiers": ["gold", "silver"]}),)},
        {"rules": (when(tiers=["gold", "silver"], unless={"tiers": ["gold"]}),)}, "earning.rules.0.when.unless",
    ),
    "points worth more than money": (
        {"rules": (SPEND | {"points_per_unit": "100"},)}, {"rules": (SPEND | {"points_per_unit": "10"},)},
        "earning.rules.0.points_per_unit",
    ),
    "campaigns make it worth more than money": (
        {"rules": (SPEND | {"points_per_unit": "10"},), "campaigns": [{"id": "x", "multiplier": 7, "when": MONTH}]},
        {"rules": (SPEND | {"points_per_unit": "10"},), "campaigns": [{"id": "x", "multiplier": 2, "when": MONTH}],
         "rest": {"tiers": {"levels": [{"id": "basic", "threshold": 0, "name": {"en": "B"}}]}}},
        "earning.rules.0.points_per_unit",
    ),
    "a campaign without end": (
        {"campaigns": [{"id": "x", "multiplier": 2}]}, {"campaigns": [{"id": "x", "multiplier": 2, "when": MONTH}]},
        "earning.campaigns.0",
    ),
    "a campaign while no rule applies": (
        {"rules": (when(first_day="2026-05-01"),), "campaigns": [{"id": "x", "multiplier": 2, "when": MONTH}]},
        {"rules": (when(first_day="2026-04-15"),), "campaigns": [{"id": "x", "multiplier": 2, "when": MONTH}]},
        "earning.campaigns.0.multiplier",
    ),
    "a cap below what is given": (
        {"rules": ({"type": "order", "id": "o", "points": 50},), "caps": [{"id": "c", "per": "claim", "points": 40}]},
        {"rules": ({"type": "order", "id": "o", "points": 50},), "caps": [{"id": "c", "per": "claim", "points": 60}]},
        "earning.rules.0.points",
    ),
    "the first of a group takes all": (
        {"rules": (SPEND | {"group": "g"}, SPEND | {"id": "two", "group": "g"}),
         "groups": [{"id": "g", "stacking": "first_match"}]},
        {"rules": (SPEND | {"group": "g", "when": {"tiers": ["gold"]}}, SPEND | {"id": "two", "group": "g"}),
         "groups": [{"id": "g", "stacking": "first_match"}]},
        "earning.rules.1.group",
    ),
    "an activity again and again": (
        {"rules": (SPEND, {"type": "activity", "id": "a", "activity": "visit", "points": 5})},
        {"rules": (SPEND, {"type": "activity", "id": "a", "activity": "visit", "points": 5,
                           "limits": [{"per": "day", "times": 1}]})},
        "earning.rules.1",
    ),
    "a reward worth many times its points": (
        {"rest": {"rewards": [MONEY | {"cost": 100, "value_minor": 1000}]}},
        {"rest": {"rewards": [MONEY | {"cost": 1000, "value_minor": 1000}]}}, "rewards.0.cost",
    ),
    "a free reward without limits": (
        {"rest": {"rewards": [{"type": "free_shipping", "id": "s", "name": {"en": "S"}, "cost": 0}]}},
        {"rest": {"rewards": [{"type": "free_shipping", "id": "s", "name": {"en": "S"}, "cost": 0,
                               "limits": [{"per": "month", "times": 1}]}]}},
        "rewards.0.cost",
    ),
    "a goal that cannot be reached": (
        {"rest": {"challenges": [{"id": "c", "counts": "categories", "match": {"categories": ["a", "b"]}, "at": [3],
                                  "points": 5}]}},
        {"rest": {"challenges": [{"id": "c", "counts": "categories", "match": {"categories": ["a", "b"]}, "at": [2],
                                  "points": 5}]}},
        "challenges.0.at",
    ),
    "points spent before goods can come back": (
        {"clawback": "only_pending", "pending_days": 1}, {"clawback": "only_pending", "pending_days": 30},
        "earning.pending.days",
    ),
    "no second person is ever asked": (
        {"rest": {"adjustments": {"points_max": 100, "approval_above": 100}}},
        {"rest": {"adjustments": {"points_max": 100, "approval_above": 50}}}, "adjustments.approval_above",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_it_is_told_where_it_is_unwise_and_only_there(name: str) -> None:
    unwise, wise, where = CASES[name]
    assert where in told(**unwise)
    assert where not in told(**wise)


def test_a_plain_program_is_wise() -> None:
    reward = MONEY | {"cost": 1000, "value_minor": 1000, "valid_days": 30}
    assert told(rest={"rewards": [reward]}) == set()


def test_the_line_is_that_of_the_file() -> None:
    text = (Path(__file__).parents[3] / "programs" / "aurora.yaml").read_text("utf-8")
    reading = read(text.replace("points_per_unit: 10 ", "points_per_unit: 200 "))
    assert isinstance(reading.program, Program)
    (finding,) = advice_of(reading)
    assert "points_per_unit" in text.splitlines()[finding.line - 1]
    assert "the points are worth more than what earns them" in finding.message
    assert yaml.safe_load(text)["id"] == "aurora"
