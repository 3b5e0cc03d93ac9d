"""What members and shops were told."""

from typing import ClassVar, Literal
from uuid import UUID

from .base import Event, Instant, MemberId, ShortText


class NotificationEvent(Event):
    """One message, known by what called for it and the channel."""

    member_id: MemberId
    message_id: UUID
    event_id: UUID
    """The event that called for it."""
    channel: Literal["email", "webhook"]
    template: ShortText
    locale: str | None = None
    coupon_id: UUID | None = None
    """The coupon that a webhook told a step of."""
    occurred_at: Instant


class NotificationSentV1(NotificationEvent):
    """Handed over to the mail server, or accepted by the endpoint."""

    TYPE: ClassVar[str] = "loyalty.notification.sent.v1"


class NotificationSuppressedV1(NotificationEvent):
    """Not sent, on purpose."""

    TYPE: ClassVar[str] = "loyalty.notification.suppressed.v1"

    reason: Literal["opted_out", "no_address", "too_old"]


class NotificationFailedV1(NotificationEvent):
    """Given up: the receiver refused it for good, or all tries were used."""

    TYPE: ClassVar[str] = "loyalty.notification.failed.v1"

    reason: ShortText
