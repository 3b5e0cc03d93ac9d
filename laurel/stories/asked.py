"""Entries for what members and people of the shop ask of accounts, and for new versions of the program."""

from typing import Annotated, Any

from pydantic import Discriminator, Field, Tag

from contracts.base import Slug

from .parts import Entry, Part
from .units import Count, Moment, Money, Name

Some = Annotated[int, Field(gt=0)]


class RedeemEntry(Entry):
    """Points are spent on a reward."""

    redeem: Slug
    amount: Money | None = None
    """For rewards of any amount: money."""
    hold: bool = False
    order: Name | None = None
    """The order that the points pay for."""
    called: Name | None = Field(default=None, alias="as")
    """How later entries call the coupon; without, by its reward."""


class CaptureEntry(Entry):
    """Held points are taken for good."""

    capture: Name
    order: Name | None = None


class ReleaseEntry(Entry):
    """Held points are given back."""

    release: Name


class ReverseEntry(Entry):
    """What was spent comes back."""

    reverse: Name
    points: Some | None = None
    """Without: all of it."""


class ByHand(Entry):
    """What a person of the shop does."""

    actor: str = "merchant"
    reason: str = "as the story says"


class AdjustEntry(ByHand):
    """Points are added or taken."""

    adjust: int
    expires: Moment | None = None


class FreezeEntry(ByHand):
    """Points cannot be spent; the value says why."""

    freeze: Annotated[str, Field(min_length=3)]


class UnfreezeEntry(ByHand):
    """They can again."""

    unfreeze: Annotated[str, Field(min_length=3)]


class ExtendEntry(ByHand):
    """Points run out later."""

    extend: Moment
    lot: Name | None = None
    """The claim whose points they are; without, all that would run out before."""


class ReinstateEntry(ByHand):
    """Points of a claim that ran out can be spent again."""

    reinstate: Name
    until: Moment
    points: Some | None = None


class Gift(Part):
    """Points for another member."""

    to: Name
    points: Some


class GiveEntry(Entry):
    """Points are given to another member."""

    give: Gift


class HouseholdEntry(Entry):
    """A member joins a household, by any name; `none` leaves it."""

    household: Name


class Opening(Part):
    """Points of an earlier program."""

    points: Some
    expires: Moment | None = None
    activates: Moment | None = None
    earned: Moment | None = None


class Opened(Part):
    """What a member brings from an earlier program."""

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]+$")] = "opening"
    lots: tuple[Opening, ...] = ()
    tier_points: Count = 0
    counts: dict[Slug, Count] = Field(default={})
    """Progress in challenges."""


class ImportEntry(Entry):
    """An earlier program's points are taken over."""

    opening: Opened = Field(alias="import")


def _file_or_change(value: object) -> str:
    return "change" if isinstance(value, dict) else "file"


class PublishEntry(Entry):
    """A later version of the program: a file, or what changes; in force from then on unless it says otherwise."""

    publish: Annotated[
        Annotated[str, Tag("file")] | Annotated[dict[str, Any], Tag("change")], Discriminator(_file_or_change)
    ]
