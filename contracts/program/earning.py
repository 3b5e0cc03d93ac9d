"""How points are earned: rules, campaigns, caps, and when points can be spent and run out."""

from datetime import date
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from ..base import MonthDay, Slug
from ..orders import Disputes
from .common import Amount, Factor, Gift, Named, Rate, Span, Strict
from .conditions import Match, When

Cliff = Literal["recheck", "keep", "pro_rata"]
"""What becomes of points with a minimum when refunds bring the order below it: gone; kept while anything is left; or
in proportion to what is left."""


class Basis(Strict):
    """What counts as money spent."""

    tax: bool = False
    shipping: bool = False
    """Only for rules that fit every line; so do tips."""
    tip: bool = False
    before_discounts: bool = False
    gift_cards_bought: bool = False
    gift_card_tender: bool = True
    """The part paid with gift cards counts."""
    points_tender: bool = False
    """The part paid with points counts."""


class Rule(Named):
    """What all earning rules share."""

    when: When = When()
    group: Slug | None = None
    """How it stacks with others: see `earning.groups`. Without one it adds to the rest."""
    terms: Slug | None = None
    """When its points can be spent and run out, where that differs: see `earning.terms`."""


class OnOrders(Rule):
    """What all rules on orders share. Minimums are those of the whole order, also after refunds."""

    match: Match = Match()
    minimum_minor: Amount = 0
    """Of the order's basis."""
    minimum_products: Annotated[int, Field(ge=0, le=1000)] = 0
    """So many different products that fit must be in the order."""
    cliff: Cliff = "recheck"
    basis: Basis = Basis()


class SpendRule(OnOrders):
    """Points for money spent."""

    type: Literal["spend"]
    points_per_unit: Rate
    """Points for one major unit of the currency."""


class ItemRule(OnOrders):
    """Points for each piece of the lines that fit."""

    type: Literal["item"]
    points: Gift


class OrderRule(OnOrders):
    """Points once for an order that has a line that fits."""

    type: Literal["order"]
    points: Gift


class Limit(Strict):
    """At most so often, or so many points, within a period; of `object` for one thing: a product reviewed, a post."""

    per: Literal["object"] | Span
    times: Annotated[int, Field(ge=1, le=2**53)] | None = None
    points: Gift | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.times is None) == (self.points is None):
            raise ValueError("give either times or points")
        return self


class ActivityRule(Rule):
    """Points for what members do: `review`, `newsletter`, `follow`, `survey`, `visit`, or any that a shop tells."""

    type: Literal["activity"]
    activity: Slug
    points: Gift
    attributes: dict[str, tuple[str, ...]] = Field(default={}, max_length=20)
    """Of the activity: one of these values each, such as photo: [yes]."""
    verified: bool = True
    """The platform must have checked that it happened."""
    limits: Annotated[tuple[Limit, ...], Field(max_length=10)] = ()


class DateRule(Rule):
    """Points for a day in a member's life: once for `enrolment`, once a year for the others."""

    type: Literal["enrolment", "birthday", "anniversary"]
    points: Gift
    days_before: Annotated[int, Field(ge=0, le=90)] = 0
    """So many days before the day."""
    enrolled_days: Annotated[int, Field(ge=0, le=3650)] = 0
    """Who has not been a member for so long by then waits for the next year."""


EarningRule = Annotated[SpendRule | ItemRule | OrderRule | ActivityRule | DateRule, Field(discriminator="type")]


class Group(Named):
    """How the rules, or the campaigns, of one group stack."""

    stacking: Literal["sum", "best_of", "first_match"]
    """All; the one that gives most; or the first, in the order of the file, whose conditions hold."""
    by: Literal["order", "line"] = "order"
    """Chosen once for the order, or for each line."""


class Cap(Named):
    """At most so many points for orders and activities: of a member within a period, of one of them (`claim`), or of
    all members together (`program`).
    """

    per: Literal["claim", "program"] | Span
    points: Gift
    rules: tuple[Slug, ...] = ()
    """Of these rules on orders and activities, and campaigns, together; without: of all."""


class Campaign(Named):
    """More points for a time, an audience, a product: a multiplier, or extra points once per order."""

    when: When = When()
    match: Match = Match()
    """It multiplies the points of these lines."""
    multiplier: Annotated[Factor, Field(ge=1)] | None = None
    points: Gift | None = None
    rules: tuple[Slug, ...] = ()
    """It multiplies the points of these rules, which may be those of activities; without: of all rules on orders."""
    minimum_minor: Amount = 0
    minimum_products: Annotated[int, Field(ge=0, le=1000)] = 0
    cliff: Cliff = "recheck"
    basis: Basis = Basis()
    group: Slug | None = None
    terms: Slug | None = None
    budget: Gift | None = None
    """So many points in all, never more, whoever comes first."""

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.multiplier is None) == (self.points is None):
            raise ValueError("give either multiplier or points")
        return self


class Pending(Strict):
    """How long points wait before they can be spent."""

    days: Annotated[int, Field(ge=0, le=365)] = 0
    """So many days after the payment (or the activity), at the same local time; after fulfilment where that counts."""
    until: date | None = None
    """Not before the beginning of this day."""
    fulfilled: bool = False
    """Not before the order is fulfilled."""
    cancel_after_days: Annotated[int, Field(ge=1, le=730)] | None = None
    """An order that is not fulfilled so many days after its payment earns nothing."""

    @model_validator(mode="after")
    def _awaited(self) -> Self:
        if self.fulfilled != (self.cancel_after_days is not None):
            raise ValueError("fulfilled and cancel_after_days go together: points must not wait for ever")
        return self


class Expiry(Strict):
    """When active points run out: one of `months`, `days`, `on` and `inactive_months`; with none they never do."""

    months: Annotated[int, Field(ge=1, le=120)] | None = None
    """After their activation."""
    days: Annotated[int, Field(ge=1, le=3650)] | None = None
    on: MonthDay | None = None
    """At the end of this day of the year, such as `12-31`; 02-29 is the last of February."""
    on_after_months: Annotated[int, Field(ge=0, le=120)] = 0
    """The first such day that is at least so many months after the activation."""
    inactive_months: Annotated[int, Field(ge=1, le=120)] | None = None
    """After the member last did something."""
    renewed_by: tuple[Slug, ...] = ()
    """What counts as doing something: `order`, `redemption`, or kinds of activities; without: all of them."""
    round_to: Literal["day", "month", "quarter", "year"] = "day"
    """To the end of it."""
    grace_days: Annotated[int, Field(ge=0, le=365)] = 0
    """So many days more, which members are not told of."""
    warn_days: Annotated[tuple[Annotated[int, Field(ge=1, le=365)], ...], Field(max_length=10)] = ()
    """An event so many days before."""

    @model_validator(mode="after")
    def _one(self) -> Self:
        given = [name for name in ("months", "days", "on", "inactive_months") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} are given; points run out in one way")
        return self


class Terms(Named):
    """Terms of their own, for the rules and campaigns that name them."""

    pending: Pending = Pending()
    expiry: Expiry = Expiry()


class Earning(Strict):
    """How points are earned."""

    rules: Annotated[tuple[EarningRule, ...], Field(min_length=1, max_length=1000)]
    groups: Annotated[tuple[Group, ...], Field(max_length=100)] = ()
    campaigns: Annotated[tuple[Campaign, ...], Field(max_length=1000)] = ()
    multipliers: Literal["multiply", "add"] = "multiply"
    """Of the tier and the campaigns: one after the other, or each of the plain points."""
    caps: Annotated[tuple[Cap, ...], Field(max_length=100)] = ()
    pending: Pending = Pending(days=14)
    """Of what orders bring, and of what challenges give; activities, days and referrals bring points at once."""
    expiry: Expiry = Expiry(months=12)
    terms: Annotated[tuple[Terms, ...], Field(max_length=100)] = ()
    rounding: Literal["floor", "half_up", "ceiling"] = "floor"
    """Once per order or activity, over all rules."""
    max_age_days: Annotated[int, Field(ge=1, le=3650)] = 365
    """Orders and activities older than this when they reach Laurel earn nothing."""
    test_orders: bool = False
    clawback: Literal["only_pending", "within_balance", "unlimited"] = "unlimited"
    """What a refund may take: pending points alone; also active ones; or more than there are, to be owed."""
    disputes: Disputes = "when_opened"
    """When a disputed payment counts as given back. Won, it counts again."""
    write_off_days: Annotated[int, Field(ge=1, le=3650)] | None = None
    """What a member owes for so long is forgiven."""

    def rules_of(self, *types: str) -> tuple[EarningRule, ...]:
        """Those of these types."""
        return tuple(rule for rule in self.rules if rule.type in types)
