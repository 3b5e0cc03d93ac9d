"""What the routes take and answer."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from contracts.points import Balances

PROBLEM = {
    "application/problem+json": {
        "schema": {
            "type": "object",
            "properties": {
                "type": {"type": "string"},
                "title": {"type": "string"},
                "status": {"type": "integer"},
                "detail": {"type": "string"},
            },
            "required": ["type", "title", "status", "detail"],
        }
    }
}


def problems(**examples: str) -> dict[int | str, dict[str, Any]]:
    """The error answers of a route: what `status_404="…"` says is its description."""
    found: dict[int | str, dict[str, Any]] = {
        401: {"description": "No valid token.", "content": PROBLEM},
        403: {"description": "The token is for somebody else.", "content": PROBLEM},
        422: {"description": "A field is wrong; `errors` names it.", "content": PROBLEM},
    }
    for name, description in examples.items():
        found[int(name.removeprefix("status_"))] = {"description": description, "content": PROBLEM}
    return found


class View(BaseModel):
    """An answer."""

    model_config = ConfigDict(use_attribute_docstrings=True)


class Body(BaseModel):
    """A request; a field that is unknown is an error."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class DayPoints(View):
    """Points on a day of the program's zone."""

    day: date
    points: int


class Moment(View):
    """Points at a moment."""

    at: datetime
    points: int


class LotView(View):
    """Points of one grant."""

    lot_id: UUID
    claim_kind: str
    claim_id: str
    terms: str | None
    state: str
    remaining: int
    expired: int
    activates_at: datetime | None
    expires_at: datetime | None
    clawed_back: list[dict[str, Any]]
    """What was taken back of the grant, from where, last at the end."""


class PointsView(View):
    """An account as of a moment."""

    model_config = ConfigDict(
        use_attribute_docstrings=True,
        json_schema_extra={
            "example": {
                "member_id": "0197a1b2-0000-8000-8000-000000000001", "as_of": "2026-11-23T12:00:00Z",
                "frozen": False, "household_id": None,
                "balances": {"pending": 120, "active": 300, "held": 0, "deficit": 0},
                "next_activation": {"at": "2026-12-01T09:30:00Z", "points": 120}, "next_expiry": None,
                "activations": [{"day": "2026-12-01", "points": 120}], "expiries": [], "lots": [],
            }
        },
    )  # fmt: skip

    member_id: UUID
    as_of: datetime
    frozen: bool
    household_id: UUID | None
    balances: Balances
    next_activation: Moment | None
    next_expiry: Moment | None
    activations: list[DayPoints]
    """Pending points by the day on which they can be spent."""
    expiries: list[DayPoints]
    """Active points by the last day on which they can be spent."""
    lots: list[LotView]


class TransferView(View):
    """One transfer, and what caused it."""

    sequence: int
    ordinal: int
    transfer_id: UUID
    debit: str
    credit: str
    points: int
    effective_at: datetime
    occurred_at: datetime
    program_version: int
    rule_id: str | None
    claim_kind: str | None
    claim_id: str | None
    lot_id: UUID | None
    decision: str
    cause: str
    cause_id: str
    reason: str | None
    actor: str | None


class HistoryPage(View):
    """Newest first; `next` is the `before` of the page that follows."""

    transfers: list[TransferView]
    next: str | None


class ClaimView(View):
    """What something earned, and why."""

    model_config = ConfigDict(extra="allow", use_attribute_docstrings=True)

    claim_id: str
    version: int
    at: datetime
    program_version: int | None
    program_hash: str | None
    reason: str | None
    """Why it has nothing."""
    granted: int
    granted_at_most: int
    clawed_back: int
    granted_by_rule: dict[str, int]
    rules: list[dict[str, Any]]
    """Every rule of the version: applied or not, the numbers that went in, what was wanted, granted, and cut."""
    caps: list[dict[str, Any]]
    lots: list[LotView]


class ClaimPage(View):
    """Newest first; `next` is the `before` of the page that follows."""

    claims: list[ClaimView]
    next: str | None


class ChallengeView(View):
    """How far a member is."""

    challenge_id: str
    name: dict[str, str] | None
    counts: str
    window: str
    progress: int
    target: int | None
    completed: int
    reached: list[dict[str, Any]]


class CouponView(View):
    """A reward that a member got."""

    coupon_id: UUID
    reward_id: str
    kind: str
    state: str
    points: int
    returned: int
    value_minor: int | None
    code: str | None
    held_until: datetime | None
    issued_at: datetime | None
    expires_at: datetime | None
    order: str | None


class CouponPage(View):
    """Newest first; `next` is the `before` of the page that follows."""

    coupons: list[CouponView]
    next: str | None


class Redeemed(CouponView):
    """What a redemption gave."""

    model_config = ConfigDict(
        use_attribute_docstrings=True,
        json_schema_extra={
            "example": {
                "coupon_id": "0197a1b2-0000-8000-8000-0000000000c1", "reward_id": "five-off", "kind": "money_off",
                "state": "issued", "points": 500, "returned": 0, "value_minor": 500, "code": "7K3QX0A9ZB2M",
                "held_until": None, "issued_at": "2026-11-23T12:00:00Z", "expires_at": "2027-02-21T12:00:00Z",
                "order": None, "balances": {"pending": 0, "active": 120, "held": 0, "deficit": 0},
            }
        },
    )  # fmt: skip

    balances: Balances


class Availability(View):
    """Whether a member may have a reward now; if not, why, and when."""

    reward_id: str
    type: str
    name: dict[str, str]
    points: int
    price_minor: int
    value_minor: int | None
    offer: str | None
    any_amount: bool
    available: bool
    reason: str | None
    text: str | None
    until: datetime | None
    standing_code: str | None = None


class Done(View):
    """What a change by hand led to."""

    sequence: int
    balances: Balances
    points: int | None = None


class ApprovalView(View):
    """An adjustment that waits for a second person."""

    approval_id: UUID
    member_id: UUID
    points: int
    reason: str
    requested_by: str
    requested_at: datetime
    state: str
    decided_by: str | None = None
    decided_at: datetime | None = None


class ApprovalPage(View):
    """Oldest first; `next` is the `after` of the page that follows."""

    approvals: list[ApprovalView]
    next: UUID | None = Field(default=None)
