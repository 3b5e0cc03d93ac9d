"""The program: one versioned document that says how members earn, climb, refer and spend."""

import hashlib
import json
from decimal import Decimal
from itertools import pairwise
from typing import Annotated, ClassVar, Literal, Self
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from .base import Currency, Event, Instant, Minor, Model, Points, Slug

LOCALES = ("en", "ar", "az")


def _known_zone(value: str) -> str:
    if value not in available_timezones():
        raise ValueError(f"{value!r} is no IANA time zone, such as 'Asia/Baku'")
    return value


def _has_english(value: dict[str, str]) -> dict[str, str]:
    if "en" not in value:
        raise ValueError("needs at least the text in 'en', which stands in for languages that are missing")
    return value


Language = Annotated[str, Field(pattern=r"^[a-z]{2}$")]
PluralCategory = Literal["zero", "one", "two", "few", "many", "other"]
Text = Annotated[dict[Language, str], AfterValidator(_has_english)]
"""A text by language."""
Rate = Annotated[Decimal, Field(ge=0, le=1_000_000, max_digits=12, decimal_places=6)]


class Strict(Model):
    """A part of the document: what it does not know is an error, because a typing mistake would be a lost rule."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


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


class Basis(Strict):
    """What counts as money spent."""

    tax: bool = False
    shipping: bool = False
    tip: bool = False
    before_discounts: bool = False
    gift_cards_bought: bool = False
    gift_card_tender: bool = True
    """The part paid with gift cards counts."""
    points_tender: bool = False
    """The part paid with points counts."""


class SpendRule(Strict):
    """Points for money spent."""

    type: Literal["spend"]
    id: Slug
    points_per_unit: Rate
    """Points for one major unit of the currency."""
    minimum_minor: Annotated[Minor, Field(ge=0)] = 0
    """Orders whose basis is below earn nothing by this rule, also after refunds."""
    basis: Basis = Basis()


class Earning(Strict):
    """How points are earned."""

    rules: Annotated[tuple[SpendRule, ...], Field(min_length=1)]
    pending_days: Annotated[int, Field(ge=0, le=365)] = 14
    """Points become active so many days after the payment."""
    validity_months: Annotated[int, Field(ge=1, le=120)] | None = 12
    """Active points expire so many months after their activation, at the end of that local day."""
    rounding: Literal["floor", "half_up", "ceiling"] = "floor"
    """Once per order, over all rules."""
    max_age_days: Annotated[int, Field(ge=1, le=3650)] = 365
    """Orders older than this when they reach Laurel earn nothing."""
    test_orders: bool = False
    clawback: Literal["only_pending", "within_balance", "unlimited"] = "unlimited"
    """What a refund may take: pending points alone; also active ones; or more than there are, to be owed."""


class Level(Strict):
    """A tier."""

    id: Slug
    name: Text
    threshold: Points
    """Tier points within the window."""
    multiplier: Annotated[Rate, Field(gt=0)] = Decimal(1)
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


class MoneyOff(Strict):
    """A coupon for money off an order."""

    type: Literal["money_off"]
    id: Slug
    name: Text
    cost: Annotated[Points, Field(gt=0)]
    value_minor: Annotated[Minor, Field(gt=0)]
    minimum_order_minor: Annotated[Minor, Field(ge=0)] = 0
    valid_days: Annotated[int, Field(ge=1, le=3650)] | None = None
    codes: Literal["generated", "pool"] = "generated"


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
    rewards: Annotated[tuple[MoneyOff, ...], Field(max_length=1000)] = ()
    messages: Messages

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        for name, ids in (
            ("earning.rules", [rule.id for rule in self.earning.rules]),
            ("rewards", [reward.id for reward in self.rewards]),
        ):
            if len(set(ids)) != len(ids):
                raise ValueError(f"{name}: an id occurs twice")
        return self

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


class ProgramPublishedV1(Event):
    """A version of a program was published. Kept for ever."""

    TYPE: ClassVar[str] = "loyalty.program.published.v1"

    version: int
    hash: str
    published_at: Instant
    document: Program

    def key(self) -> str:
        return f"{self.program_id}:{self.version}"


class ProgramBook:
    """All published versions, in memory; a version once known never changes."""

    def __init__(self) -> None:
        self._versions: dict[str, dict[int, ProgramPublishedV1]] = {}

    def add(self, event: ProgramPublishedV1) -> None:
        """Keep a version. Raises ValueError if its number has another hash, or its hash is not its document's."""
        if event.hash != event.document.hash():
            raise ValueError(f"program {event.key()}: the hash is not that of the document")
        known = self._versions.setdefault(event.program_id, {}).setdefault(event.version, event)
        if known.hash != event.hash:
            raise ValueError(f"program {event.key()} is known with another hash; publish a new version instead")

    def in_force(self, program_id: str, at: Instant) -> Program | None:
        """The version that judges what happened at `at`: of those effective by then, the greatest number."""
        versions = self._versions.get(program_id, {}).values()
        effective = [event.document for event in versions if event.document.effective_from <= at]
        return max(effective, key=lambda program: program.version, default=None)

    def version(self, program_id: str, version: int) -> Program | None:
        """That version, or None."""
        event = self._versions.get(program_id, {}).get(version)
        return event.document if event else None

    def hash_of(self, program_id: str, version: int) -> str:
        """The hash that version was published with. Raises KeyError if it is not known."""
        return self._versions[program_id][version].hash

    def known(self, program_id: str) -> bool:
        """Any version of it was published, in force or not."""
        return program_id in self._versions

    def latest(self, program_id: str) -> Program | None:
        """The greatest version, in force or not."""
        versions = self._versions.get(program_id)
        return versions[max(versions)].document if versions else None

    def __iter__(self):  # type: ignore[no-untyped-def]
        return (event for versions in self._versions.values() for event in versions.values())
