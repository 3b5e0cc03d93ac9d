"""What people and shops ask of an account. Each becomes a decision, with itself as the input."""

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from contracts.base import Instant, MemberId, Model, Points, ShortText, Slug

Reason = Annotated[str, Field(min_length=3, max_length=255)]
OrderName = Annotated[str, Field(max_length=400, pattern=r"^[a-z0-9][a-z0-9-]{0,62}:[\s\S]+$")]
"""`source:order_id`."""


class Command(Model):
    """What all commands share."""


class Redeem(Command):
    """Spend points on a reward: at once, or reserve them first."""

    reward_id: Slug
    amount_minor: Annotated[int, Field(gt=0, le=2**53)] | None = None
    """For rewards of any amount, in minor units."""
    hold: bool = False
    order: OrderName | None = None
    """The order that the points pay for, where it is known."""


class Capture(Command):
    """Take reserved points for good, and issue the reward."""

    coupon_id: UUID
    order: OrderName | None = None


class Release(Command):
    """Give reserved points back."""

    coupon_id: UUID


class Reverse(Command):
    """Undo a redemption: all of its points come back, or so many, into the lots that they came from."""

    coupon_id: UUID
    points: Annotated[int, Field(gt=0)] | None = None


class ByPerson(Command):
    """What somebody of the shop does by hand."""

    actor: ShortText
    reason: Reason


class Adjust(ByPerson):
    """Add or take points."""

    points: Annotated[int, Field(ge=-(2**53), le=2**53)]
    expires_at: Instant | None = None
    """Of points added; without, as the program says."""
    approved_by: ShortText | None = None


class Freeze(ByPerson):
    """Points cannot be spent or given away."""


class Unfreeze(ByPerson):
    """They can again."""


class Extend(ByPerson):
    """Points run out later: those of one lot, or all that would run out before."""

    until: Instant
    lot_id: UUID | None = None


class Reinstate(ByPerson):
    """Points that ran out can be spent again."""

    lot_id: UUID
    until: Instant
    """What lives of the lot longer does so all the same."""
    points: Annotated[int, Field(gt=0)] | None = None
    """Without: all that ran out of it."""


class Send(Command):
    """Give points to another member."""

    to_member_id: UUID
    points: Annotated[int, Field(gt=0)]


class Portion(Model):
    """Points handed over together, with the terms they had."""

    points: Annotated[int, Field(gt=0)]
    expires_at: Instant | None
    program_version: int
    terms: str = ""


class Receive(Command):
    """Points that another member gave, or that a household lent."""

    from_member_id: UUID
    why: Literal["gift", "household"]
    portions: tuple[Portion, ...]
    key: str


class HandOut(Command):
    """Points that leave for another member."""

    to_member_id: UUID
    points: Annotated[int, Field(gt=0)]
    why: Literal["gift", "household"]
    arrives_at: Instant | None = None
    """By the clock of who takes them, which may be ahead."""


class OpeningLot(Model):
    """Points of an earlier program."""

    points: Annotated[int, Field(gt=0, le=2**40)]
    expires_at: Instant | None = None
    activates_at: Instant | None = None
    """Without: they can be spent at once."""
    earned_at: Instant | None = None
    """Not in the future: without, they are as old as the import."""


class OpeningCount(Model):
    """How far a member was in a challenge."""

    challenge_id: Slug
    value: Annotated[int, Field(ge=0, le=2**53)] = 0
    things: tuple[ShortText, ...] = ()


class Import(Command):
    """What a member brings from an earlier program: once for each import and member."""

    import_id: Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9._-]+$")]
    as_of: Instant
    lots: Annotated[tuple[OpeningLot, ...], Field(max_length=10_000)] = ()
    tier_points: Points = 0
    """Base points within the qualification window, dated `as_of`."""
    counts: Annotated[tuple[OpeningCount, ...], Field(max_length=200)] = ()


class Join(Command):
    """Become part of a household, or leave it."""

    household_id: UUID | None


class Sweep(Command):
    """Time passed: what was due by then."""

    horizon: Instant


class RunOut(Command):
    """The time of a hold or of a coupon is over."""

    coupon_id: UUID


class WriteOff(Command):
    """What a member owed for too long is forgiven."""

    points: Annotated[int, Field(gt=0)]
    program_version: int


class Lapse(Command):
    """An order was not fulfilled in time."""

    claim_id: str
    terms: str
    deadline: Instant


class Date(Command):
    """A day of a member's life brings points."""

    claim_id: str
    rule_id: Slug
    program_version: int
    at: Instant


class GiveGift(Command):
    """There are codes, or stock, again for a gift of a challenge that waited for one."""

    claim_id: str


class JudgeAgain(Command):
    """A claim is judged again, because something that it depends on changed."""

    kind: str
    claim_id: str


class TakeOver(Command):
    """Everything of another member, who turned out to be the same person."""

    from_member_id: MemberId
