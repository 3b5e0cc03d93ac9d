"""The program: one versioned document that says how members earn, climb, refer and spend."""

import hashlib
import json
from decimal import Decimal
from itertools import pairwise
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from ..base import Currency, Instant, Minor, Points, Slug
from .challenges import Challenge
from .common import Factor, Language, PluralCategory, Rate, Strict, Text
from .earning import Earning
from .references import faults
from .rewards import (
    Adjustments,
    Cause,
    Draw,
    Households,
    Membership,
    Offer,
    PointTransfers,
    Redemption,
    Reward,
)


def _known_zone(value: str) -> str:
    if value not in available_timezones():
        raise ValueError(f"{value!r} is no IANA time zone, such as 'Asia/Baku'")
    return value


class Point(Strict):
    """What a point is called and worth."""

    name: Text
    value_minor: Rate
    """Minor units of the program's currency that one point is worth when spent."""
    plurals: dict[Language, dict[PluralCategory, str]] = Field(default={}, max_length=20)
    """How a count reads, by language and CLDR plural category; `{n}` is the number. Without: number and name."""


class Enrolment(Strict):
    """Who becomes a member without asking; opting in over the API is always possible."""

    on: Annotated[tuple[Literal["account", "first_order"], ...], Field(min_length=0)] = ("account", "first_order")
    """`account`: an account at the shop. `first_order`: an order that names a customer of the shop, not a guest."""
    window_days: Annotated[int, Field(ge=0, le=3650)] = 90
    """Orders placed at most so many days before the enrolment still earn."""


class Level(Strict):
    """A tier."""

    id: Slug
    name: Text
    threshold: Points
    """Tier points within the window."""
    multiplier: Factor = Decimal(1)
    """Of the points that orders earn."""


class Tiers(Strict):
    """The ladder, lowest first; tier points are base points, dated at the order."""

    window_months: Annotated[int, Field(ge=1, le=120)] = 12
    levels: Annotated[tuple[Level, ...], Field(min_length=1, max_length=20)]

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        if self.levels[0].threshold != 0:
            raise ValueError("the first level is everybody's: its threshold must be 0")
        thresholds = [level.threshold for level in self.levels]
        if any(low >= high for low, high in pairwise(thresholds)):
            raise ValueError("thresholds must rise from level to level")
        if len({level.id for level in self.levels}) != len(self.levels):
            raise ValueError("an id occurs twice")
        return self

    def level(self, tier_id: str | None) -> Level:
        """The level of that id; the lowest when there is none such."""
        return next((level for level in self.levels if level.id == tier_id), self.levels[0])


class Referral(Strict):
    """What a friend's first order brings."""

    minimum_minor: Annotated[Minor, Field(ge=0)] = 0
    """Of the order's subtotal after refunds, in the shop's currency."""
    advocate_points: Points
    friend_points: Points
    attribute: Annotated[str, Field(min_length=1, max_length=255)] = "referral_code"
    """The cart attribute that may carry the code; a discount code always may."""


class Messages(Strict):
    """How messages look to members."""

    sender_name: Annotated[str, Field(min_length=1, max_length=255)]
    shop_url: Annotated[str, Field(pattern=r"^https?://\S+$", max_length=2000)] | None = None
    default_locale: Literal["en", "ar", "az"] = "en"


class Program(Strict):
    """One version of a program, immutable once published."""

    id: Slug
    version: Annotated[int, Field(ge=1, le=1_000_000)]
    name: Text
    currency: Currency
    zone: Annotated[str, AfterValidator(_known_zone)]
    """Days and months of this program are those of this IANA time zone."""
    effective_from: Instant
    point: Point
    enrolment: Enrolment = Enrolment()
    earning: Earning
    tiers: Tiers
    referral: Referral | None = None
    challenges: Annotated[tuple[Challenge, ...], Field(max_length=200)] = ()
    rewards: Annotated[tuple[Reward, ...], Field(max_length=1000)] = ()
    offers: Annotated[tuple[Offer, ...], Field(max_length=200)] = ()
    redemption: Redemption = Redemption()
    memberships: Annotated[tuple[Membership, ...], Field(max_length=20)] = ()
    draws: Annotated[tuple[Draw, ...], Field(max_length=200)] = ()
    causes: Annotated[tuple[Cause, ...], Field(max_length=200)] = ()
    adjustments: Adjustments = Adjustments()
    transfers: PointTransfers | None = None
    """Without: members cannot give points away."""
    households: Households | None = None
    """Without: there are none."""
    messages: Messages

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        found = faults(self)
        if found:
            text = "; ".join(f"{fault.field}: {fault.text}" for fault in found[:10])
            # Where each is goes along, so that whoever reads a file can name its line.
            raise PydanticCustomError("inconsistent", "{text}", {"text": text, "faults": found})
        return self

    def reward(self, reward_id: str) -> Reward | None:
        """The reward of that id, or None."""
        return next((reward for reward in self.rewards if reward.id == reward_id), None)

    @property
    def time_zone(self) -> ZoneInfo:
        return ZoneInfo(self.zone)

    def hash(self) -> str:
        """SHA-256 of the canonical JSON, in hex: two versions with one number and another hash are a fault.

        What is at its default is left out, so that a field added to the models later changes no hash.
        """
        values = self.model_dump(mode="json", exclude_defaults=True)
        document = json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(document.encode()).hexdigest()
