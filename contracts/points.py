"""The ledger's facts: which transfers were made, from which pinned inputs, and what the balances are now."""

from typing import Annotated, ClassVar, Literal
from uuid import UUID

from pydantic import Field

from .base import Event, Instant, MemberId, Model, Points, ShortText, Slug

Bucket = Literal[
    "pending", "active", "held", "deficit",
    "source", "redeemed", "expired", "clawed_back", "waived", "forfeited", "adjusted", "imported",
]  # fmt: skip
"""The first four are the member's, the others the program's; all of them together are always zero."""


class Transfer(Model):
    """Points moved from one bucket to another."""

    transfer_id: UUID
    debit: Bucket
    credit: Bucket
    points: Annotated[int, Field(gt=0)]
    rule_id: ShortText | None = None
    lot_id: UUID | None = None
    effective_at: Instant


class Balances(Model):
    """The member's buckets after the change, in points."""

    pending: Points
    active: Points
    held: Points
    deficit: Points
    """Points owed."""


class OrderRef(Model):
    """Which order, at which revision."""

    source: Slug
    order_id: ShortText
    revision: Annotated[int, Field(ge=1)]
    placed_at: Instant


class BaseStep(Model):
    """From this moment on the order counts for so many base points."""

    acts_from: Instant
    base_points: Points


class OrderBase(Model):
    """The base points of one order: rules without tier or multiplier, before caps.

    State, versioned by the order's `revision` and, within it, the event's `sequence`: an enrolment changes it too.
    """

    order: OrderRef
    steps: tuple[BaseStep, ...]
    """In time order; a refund acts from its own moment."""


class Cause(Model):
    """What made the change."""

    kind: Literal["order", "standing", "enrolment", "program", "referral", "sweep", "command"]
    id: ShortText
    """The event id, the client's idempotency key, or the due moment."""
    order: OrderRef | None = None
    referral_id: UUID | None = None
    role: Literal["advocate", "friend"] | None = None
    reason: str | None = Field(default=None, max_length=255)


class PointsEvent(Event):
    """What all changes of an account say."""

    member_id: MemberId
    program_version: Annotated[int, Field(ge=1)]
    program_hash: str
    sequence: Annotated[int, Field(ge=1)]
    """Of the decision within the member; with it transfers can be put in order."""
    account_version: Annotated[int, Field(ge=1)]
    occurred_at: Instant
    """When the cause happened in the world."""
    effective_at: Instant
    """When it was posted."""
    cause: Cause
    transfers: tuple[Transfer, ...]
    points: Points
    """How many this event is about."""
    balances: Balances


class PointsGrantedV1(PointsEvent):
    """An order or referral earned points, pending or active. `points` may be 0 when only the base rose."""

    TYPE: ClassVar[str] = "loyalty.points.granted.v1"

    base: OrderBase | None = None
    activates_at: Instant | None = None
    """When pending points become active; nothing when they are."""


class PointsActivatedV1(PointsEvent):
    """Pending points can be spent."""

    TYPE: ClassVar[str] = "loyalty.points.activated.v1"


class PointsExpiredV1(PointsEvent):
    """Active points ran out of time."""

    TYPE: ClassVar[str] = "loyalty.points.expired.v1"


class PointsClawedBackV1(PointsEvent):
    """Points granted were taken back. `points` may be 0 when only the base fell."""

    TYPE: ClassVar[str] = "loyalty.points.clawed_back.v1"

    base: OrderBase | None = None


class PointsRedeemedV1(PointsEvent):
    """Active points were spent on a reward."""

    TYPE: ClassVar[str] = "loyalty.points.redeemed.v1"

    reward_id: Slug
    coupon_id: UUID
