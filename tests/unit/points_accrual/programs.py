"""Programs in which everything can happen that one program allows, and three members."""

from typing import Any
from uuid import UUID

from hypothesis import strategies as st

from contracts.program import Program
from tests.unit.points_accrual.samples import ANN, BOB, program
from tests.unit.points_accrual.test_rich_confluence import CHALLENGES, RULES

CAT = UUID("00000000-0000-8000-8000-00000000000c")
EVERYBODY = (ANN, BOB, CAT)
REWARDS = (
    {"type": "money_off", "id": "ten-off", "name": {"en": "10 off"}, "cost": 60, "value_minor": 1000, "valid_days": 30,
     "limits": [{"per": "month", "times": 4}]},
    {"type": "gift_card", "id": "pay", "name": {"en": "Pay"}, "points_per_unit": "10"},
    {"type": "percent_off", "id": "half", "name": {"en": "Half"}, "cost": 150, "percent": 50, "stock": 3},
    {"type": "free_shipping", "id": "ship", "name": {"en": "Free shipping"}, "cost": 0},
)  # fmt: skip

OF_PEOPLE: tuple[dict[str, Any], ...] = (
    {"type": "order", "id": "vip-only", "points": 17, "when": {"segments": ["vip"]}},
    {"type": "enrolment", "id": "welcome", "points": 12},
    {"type": "birthday", "id": "birthday", "points": 33, "days_before": 3},
)
"""Rules about who a member is."""


def rich(
    clawback: str, pending: dict[str, Any], expiry: dict[str, Any], coupon_refund: str, write_off_days: int | None
) -> Program:
    """A program in which everything can happen that one program allows."""
    every = {"ship": 3, "half": 2}
    given = [{"id": name, "counts": "orders", "every": count, "reward": name} for name, count in every.items()]
    return program(
        *RULES, *OF_PEOPLE, pending=pending, expiry=expiry, clawback=clawback, write_off_days=write_off_days,
        groups=[{"id": "base", "stacking": "best_of", "by": "line"}],
        caps=[{"id": "daily", "per": "day", "points": 400}, {"id": "all", "per": "program", "points": 5000}],
        campaigns=[{"id": "x2", "multiplier": 2, "when": {"weekdays": ["sun"]}, "budget": 300}],
        terms=[{"id": "bonus", "pending": {"days": 0}, "expiry": {}}],
        rest={
            "challenges": (*CHALLENGES, *given), "rewards": REWARDS, "transfers": {}, "households": {},
            "memberships": [{"id": "plus", "name": {"en": "Plus"}}],
            "redemption": {"coupon_refund": coupon_refund, "expired_coupon": "give_back", "hold_minutes": 600},
        },
    )  # fmt: skip


programs = st.builds(
    rich,
    clawback=st.sampled_from(["unlimited", "unlimited", "within_balance", "only_pending"]),
    pending=st.sampled_from([{"days": 14}, {"days": 0}, {"fulfilled": True, "days": 3, "cancel_after_days": 20}]),
    expiry=st.sampled_from([{"months": 1}, {"months": 2, "warn_days": [10]}, {"inactive_months": 1}, {}]),
    coupon_refund=st.sampled_from(["full_refund", "pro_rata", "never"]),
    write_off_days=st.sampled_from([None, 30]),
)
