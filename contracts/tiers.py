"""Standings: which tier a member has, when, and until when."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from .base import Event, Instant, MemberId, Model, Points, Slug


class StandingInterval(Model):
    """A tier held after `starts_at`, up to and including `valid_until`.

    An order placed exactly at `starts_at` is inside only if its (source, order id) sorts after `starts_with`:
    an order never benefits from itself.
    """

    tier_id: Slug
    starts_at: Instant
    starts_with: Annotated[str, Field(min_length=1, max_length=63 + 1 + 255)] | None = None
    """`source:order_id` of the order that reached it; nothing when no order did."""
    valid_until: Instant | None = None
    """Without new facts it ends then; nothing when it never does."""


class MembershipInterval(Model):
    """A paid membership held from `starts_at` until just before `ends_at`."""

    membership_id: Slug
    starts_at: Instant
    ends_at: Instant


class StandingChangedV1(Event):
    """All intervals of a member's standing, past and to come, at this version."""

    TYPE: ClassVar[str] = "loyalty.standing.changed.v1"

    member_id: MemberId
    version: Annotated[int, Field(ge=1)]
    intervals: tuple[StandingInterval, ...]
    """In time order, without gaps; what is to come assumes no new facts. Before the first, the lowest tier."""
    memberships: tuple[MembershipInterval, ...] = ()
    """All paid memberships, past and to come."""
    change: Literal["upgraded", "downgraded", "unchanged"]
    """Of the tier held now; `unchanged` when only the past or the future did."""
    from_tier_id: Slug
    to_tier_id: Slug
    tier_points: Points
    """Counted in the window that ends now."""
    occurred_at: Instant
    recorded_at: Instant
