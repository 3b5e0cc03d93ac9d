"""What members do besides ordering: reviews, visits, follows."""

from typing import Annotated, ClassVar

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
    revoked_at: Instant | None = None
    """When it was undone, for good: a review deleted, a follow taken back."""
    verified: bool = False
    """The platform itself checked that it happened."""
    attributes: Attributes = Field(default_factory=dict)


class ActivityRecordedV1(Event, ActivityFacts):
    """A member did something, or it was undone: the whole activity at this revision."""

    TYPE: ClassVar[str] = "loyalty.activity.recorded.v1"

    member_id: MemberId
    revision: Annotated[int, Field(ge=1)] = 1
    recorded_at: Instant
