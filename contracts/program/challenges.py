"""What members can reach, and what that gives them."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from ..base import Points, Slug
from .common import Amount, Commitment, Gift, Named, Span
from .conditions import Match, When
from .earning import Basis


class Challenge(Named):
    """Something to reach by what a member orders and does; it rewards once for each time that it is reached.

    `at` and `every` are in the unit of what is counted: orders, minor units of money, pieces, days.
    """

    counts: Literal["orders", "spend", "pieces", "products", "categories", "vendors", "activities", "objects"]
    """Orders; money; pieces; different products, categories or vendors; activities; different things they are of."""
    activity: Slug | None = None
    """The kind of activity, where these are counted."""
    attributes: dict[str, tuple[str, ...]] = Field(default={}, max_length=20)
    verified: bool = True
    when: When = When()
    match: Match = Match()
    minimum_minor: Amount = 0
    """Orders whose basis is below do not count."""
    basis: Basis = Basis()
    period: Span = "lifetime"
    """It begins anew with each."""
    within_days: Annotated[int, Field(ge=1, le=3650)] | None = None
    """All within so many days; what was rewarded does not count again."""
    streak: Literal["day", "week", "month", "quarter", "year"] | None = None
    """Not the orders or activities are counted but the periods, one after the other, that have one."""
    at: Annotated[tuple[Gift, ...], Field(max_length=100)] = ()
    every: Gift | None = None
    surprise_in: Annotated[int, Field(ge=2, le=1000)] | None = None
    """Once in every so many, where `commitment` decides: nobody can tell, everybody can check afterwards."""
    commitment: Commitment | None = None
    times: Annotated[int, Field(ge=1, le=2**53)] | None = None
    """At most so often in all."""
    points: Points = 0
    reward: Slug | None = None
    """A reward of the catalogue, as a coupon."""
    terms: Slug | None = None
    visible: bool = True
    """Members see their progress."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if sum(item is not None for item in (self.at or None, self.every, self.surprise_in)) != 1:
            raise ValueError("give one of at, every and surprise_in: when it is reached")
        if (self.surprise_in is None) != (self.commitment is None):
            raise ValueError("surprise_in and commitment go together; laurel seed makes a commitment")
        if (self.points > 0) == (self.reward is not None):
            raise ValueError("give either points or reward")
        if (self.counts in ("activities", "objects")) != (self.activity is not None):
            raise ValueError("activity is given if and only if activities or objects are counted")
        if sum(item is not None for item in (self.within_days, self.streak)) + (self.period != "lifetime") > 1:
            raise ValueError("period, within_days and streak exclude each other")
        if self.streak and self.counts not in ("orders", "activities"):
            raise ValueError("a streak counts orders or activities")
        return self
