"""The ledger's facts: which transfers were made, from which pinned inputs, and what the balances are now."""

from typing import Annotated, ClassVar, Literal
from uuid import UUID

from pydantic import Field

from .base import Event, Instant, MemberId, Model, Points, ShortText, Slug

Bucket = Literal[
    "pending", "active", "held", "deficit",
    "source", "redeemed", "expired", "clawed_back", "waived", "transferred", "adjusted", "imported",
]  # fmt: skip
"""The first four are the member's, the others the program's; all of them together are always zero."""

ClaimKind = Literal["order", "activity", "referral", "date", "challenge", "adjustment", "transfer", "import"]
"""What points are given for."""


class Transfer(Model):
    """Points moved from one bucket to another."""

    transfer_id: UUID
    debit: Bucket
    credit: Bucket
    points: Annotated[int, Field(gt=0)]
    rule_id: ShortText | None = None
    """The rule, campaign or challenge; `tier` for what the tier adds."""
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


class ActivityRef(Model):
    """Which activity, at which revision."""

    source: Slug
    activity_id: ShortText
    revision: Annotated[int, Field(ge=1)]
    kind: Slug
    occurred_at: Instant


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

    kind: Literal[
        "order", "activity", "standing", "enrolment", "program", "referral", "challenge", "date", "merge", "sweep",
        "command",
    ]  # fmt: skip
    id: ShortText
    """The event id, the client's idempotency key, or the due moment."""
    order: OrderRef | None = None
    activity: ActivityRef | None = None
    referral_id: UUID | None = None
    role: Literal["advocate", "friend"] | None = None
    rule_id: Slug | None = None
    """Of a challenge or a date."""
    number: Annotated[int, Field(ge=1)] | None = None
    """The how-manieth time a challenge was reached; the year of a date."""
    actor: ShortText | None = None
    """Who did it, where a person of the shop did."""
    reason: str | None = Field(default=None, max_length=255)


class RuleShare(Model):
    """What one rule makes of an order or activity as it stands now, in whole points."""

    rule_id: Slug
    wanted: Points
    """Before caps and budgets."""
    granted: Points
    cut_by: tuple[ShortText, ...] = ()
    """The caps, limits and budgets that cut it."""
    lines: tuple[ShortText, ...] | None = None
    """The lines it counted; nothing where it counts all."""


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


class ClaimEvent(PointsEvent):
    """What changes of what a claim was granted say."""

    claim_kind: ClaimKind
    claim_id: Annotated[str, Field(min_length=1, max_length=400)]
    """Such as `source:order_id`; known for ever."""
    base: OrderBase | None = None
    rules: tuple[RuleShare, ...] = ()
    """Every rule that gives something, as it is now."""


class PointsGrantedV1(ClaimEvent):
    """Something earned points, pending or active. `points` may be 0 when only the base rose."""

    TYPE: ClassVar[str] = "loyalty.points.granted.v1"

    activates_at: Instant | None = None
    """When pending points become active; nothing when they are, or when that depends on the order's fulfilment."""


class PointsClawedBackV1(ClaimEvent):
    """Points granted were taken back. `points` may be 0 when only the base fell."""

    TYPE: ClassVar[str] = "loyalty.points.clawed_back.v1"


class PointsActivatedV1(PointsEvent):
    """Pending points can be spent."""

    TYPE: ClassVar[str] = "loyalty.points.activated.v1"


class PointsExpiringV1(PointsEvent):
    """Active points run out in `days` days, unless they are spent: a warning, without transfers."""

    TYPE: ClassVar[str] = "loyalty.points.expiring.v1"

    days: Annotated[int, Field(ge=1)]
    expires_at: Instant


class PointsExpiredV1(PointsEvent):
    """Active points ran out of time."""

    TYPE: ClassVar[str] = "loyalty.points.expired.v1"


class PointsReinstatedV1(PointsEvent):
    """Points that had run out can be spent again.

    By hand, or because the member turns out to have done something in time that keeps them alive: the cause says which.
    They first settle what is owed.
    """

    TYPE: ClassVar[str] = "loyalty.points.reinstated.v1"

    expires_at: Instant | None = None
    """When the first of them run out anew."""


class PointsAdjustedV1(PointsEvent):
    """Points were added or taken by hand; the cause says by whom and why."""

    TYPE: ClassVar[str] = "loyalty.points.adjusted.v1"

    change: int
    """Positive: added."""


class PointsImportedV1(ClaimEvent):
    """Points of an earlier program were taken over."""

    TYPE: ClassVar[str] = "loyalty.points.imported.v1"


class PointsTransferredV1(PointsEvent):
    """Points went to, or came from, another member."""

    TYPE: ClassVar[str] = "loyalty.points.transferred.v1"

    direction: Literal["in", "out"]
    other_member_id: UUID
    why: Literal["gift", "household", "merge"]


class PointsWaivedV1(PointsEvent):
    """Points owed were forgiven.

    With time, or by the program's policy once a hold is captured that could have paid them.
    """

    TYPE: ClassVar[str] = "loyalty.points.waived.v1"


class SpendingEvent(PointsEvent):
    """What all steps of spending say."""

    coupon_id: UUID
    """What the points are for; the same from the hold to the end."""
    reward_id: Slug


class PointsHeldV1(SpendingEvent):
    """Active points are reserved."""

    TYPE: ClassVar[str] = "loyalty.points.held.v1"

    held_until: Instant


class PointsReleasedV1(SpendingEvent):
    """Reserved points can be spent again."""

    TYPE: ClassVar[str] = "loyalty.points.released.v1"


class PointsRedeemedV1(SpendingEvent):
    """Points were spent on a reward, at once or after a hold."""

    TYPE: ClassVar[str] = "loyalty.points.redeemed.v1"


class PointsReturnedV1(SpendingEvent):
    """Points that were spent came back, all or some: a redemption was reversed, an order refunded, a coupon ran out."""

    TYPE: ClassVar[str] = "loyalty.points.returned.v1"

    returned: Points
    """In all, so far."""


class AccountFrozenV1(Event):
    """Points of the member cannot be spent or given away until they are unfrozen. Earning goes on."""

    TYPE: ClassVar[str] = "loyalty.account.frozen.v1"

    member_id: MemberId
    sequence: Annotated[int, Field(ge=1)]
    occurred_at: Instant
    actor: ShortText
    reason: str


class AccountUnfrozenV1(Event):
    """Points of the member can be spent again."""

    TYPE: ClassVar[str] = "loyalty.account.unfrozen.v1"

    member_id: MemberId
    sequence: Annotated[int, Field(ge=1)]
    occurred_at: Instant
    actor: ShortText
    reason: str
