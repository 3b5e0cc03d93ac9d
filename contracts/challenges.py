"""Challenges: how far members are, and what they reached. State, versioned by the account's decisions."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from .base import Event, Instant, MemberId, Points, ShortText, Slug


class ChallengeEvent(Event):
    """What both say."""

    member_id: MemberId
    challenge_id: Slug
    program_version: Annotated[int, Field(ge=1)]
    sequence: Annotated[int, Field(ge=1)]
    """Of the decision within the member; older ones are ignored."""
    occurred_at: Instant
    effective_at: Instant | None = None
    """When it was posted."""
    counts: Literal["orders", "spend", "pieces", "products", "categories", "vendors", "activities", "objects"]


class ChallengeProgressedV1(ChallengeEvent):
    """A member came nearer to something, or less near: a refund counts too."""

    TYPE: ClassVar[str] = "loyalty.challenge.progressed.v1"

    window: ShortText
    """The period it counts in, such as `2026-03`; `lifetime`."""
    progress: Annotated[int, Field(ge=0)]
    """In the unit of what is counted."""
    target: Annotated[int, Field(ge=1)] | None = None
    """What is to be reached next; nothing where chance decides, or when it is over."""
    completed: Annotated[int, Field(ge=0)]
    """How often it was reached in all; it falls when an order falls."""


class ChallengeCompletedV1(ChallengeEvent):
    """A member reached it."""

    TYPE: ClassVar[str] = "loyalty.challenge.completed.v1"

    number: Annotated[int, Field(ge=1)]
    """The how-manieth time."""
    generation: Annotated[int, Field(ge=1)]
    """Grows when it was taken back and is reached again."""
    reached_at: Instant
    points: Points = 0
    reward_id: Slug | None = None
