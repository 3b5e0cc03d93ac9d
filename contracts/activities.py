"""What members do besides ordering: reviews, visits, follows."""

from typing import ClassVar

from pydantic import Field

from .base import Attributes, Event, Instant, MemberId, Model, ShortText, Slug


class ActivityFacts(Model):
    """What is known of an activity, whoever tells it."""

    source: Slug
    activity_id: ShortText
    kind: Slug
    """Such as `review`, `visit` or `newsletter`."""
    object_id: ShortText | None = None
    """What it was about, such as the product reviewed."""
    occurred_at: Instant
    verified: bool = False
    """The platform itself checked that it happened."""
    attributes: Attributes = Field(default_factory=dict)


class ActivityRecordedV1(Event, ActivityFacts):
    """A member did something."""

    TYPE: ClassVar[str] = "loyalty.activity.recorded.v1"

    member_id: MemberId
    recorded_at: Instant
