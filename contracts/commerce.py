"""What platforms send, over REST and on the `commerce.*` topics alike; people are named as the platform names them."""

from typing import Annotated, ClassVar

from pydantic import Field

from .activities import ActivityFacts
from .base import Attributes, Event, Instant, Model, MonthDay, ShortText, Slug
from .orders import OrderFacts


class Customer(Model):
    """Who it was: a customer id of the source, an e-mail address, or both. A guest has no customer id."""

    customer_id: ShortText | None = None
    email: Annotated[str, Field(max_length=320, pattern=r"^\s*[^@\s]+@[^@\s]+\s*$")] | None = None
    email_verified: bool = False
    """The platform knows that the address is theirs; only then are guest orders linked to an account."""
    account: bool = False
    """They have an account at the shop, not just a record."""
    first_name: str | None = Field(default=None, max_length=255)
    last_name: str | None = Field(default=None, max_length=255)
    locale: str | None = Field(default=None, max_length=35)
    email_consent: bool | None = None
    birthday: MonthDay | None = None


class OrderReport(OrderFacts):
    """An order as a platform tells it."""

    version: Annotated[int, Field(ge=0, le=2**53)] = 0
    """The platform's own version of the order, where it counts one; else 0, and `updated_at` decides."""
    customer: Customer
    browser_ip: str | None = Field(default=None, max_length=64)
    shipping_address: str | None = Field(default=None, max_length=1000)
    """In one line; only a salted hash of it is kept."""


class MemberReport(Model):
    """A person as a platform tells them."""

    source: Slug
    customer: Customer
    enrol: bool = False
    """They opted in to the program."""
    updated_at: Instant
    attributes: Attributes = Field(default_factory=dict)


class ActivityReport(ActivityFacts):
    """An activity as a platform tells it."""

    customer: Customer


class OrderReportedV1(Event, OrderReport):
    """A platform that publishes straight to Kafka tells an order."""

    TYPE: ClassVar[str] = "commerce.order.reported.v1"

    def key(self) -> str:
        return f"{self.source}:{self.order_id}"


class ActivityReportedV1(Event, ActivityReport):
    """A platform that publishes straight to Kafka tells an activity."""

    TYPE: ClassVar[str] = "commerce.activity.reported.v1"

    def key(self) -> str:
        return f"{self.source}:{self.activity_id}"
