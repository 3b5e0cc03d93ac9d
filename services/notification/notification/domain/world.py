"""What is known of the members of a batch, and what the batch changes. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from contracts.ids import derived_id

from .calls import Call, Channel

CONTACT_WAIT = timedelta(hours=1)
"""So long a message waits for an address."""
CODE_WAIT = timedelta(seconds=30)
"""So long a welcome waits for the referral code, which another service assigns at about the same time."""

State = Literal["due", "sent", "suppressed", "failed"]


@dataclass(slots=True)
class Recipient:
    """A member as far as messages need to know. Versions are 0 until the first event."""

    member_id: UUID
    program_id: str
    version: int = 0
    status: str | None = None
    locale: str | None = None
    contact_version: int = 0
    email: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    referral_code: str | None = None
    changed: bool = False

    def due_at(self, template: str, now: datetime) -> datetime:
        """When a message to them is first tried."""
        if self.email is None:
            return now + CONTACT_WAIT
        if template == "welcome" and self.referral_code is None:
            return now + CODE_WAIT
        return now


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A message to be stored, unless one is known for its event and channel."""

    message_id: UUID
    recipient: Recipient
    event_id: UUID
    channel: Channel
    template: str
    parameters: dict[str, object]
    recorded_at: datetime
    due_at: datetime
    correlation_id: str
    traceparent: str | None
    state: State
    reason: str | None
    coupon_id: UUID | None


@dataclass
class World:
    """The batch's recipients, all locked, and what was decided so far."""

    now: datetime
    oldest: datetime
    """Events recorded before are no news: their messages are recorded, not sent."""
    recipients: dict[UUID, Recipient]
    endpoints: Mapping[str, datetime] = field(default_factory=dict)
    """Programs that have a webhook endpoint, and since when: coupons from before are not told to it, also not again."""
    told_of: frozenset[UUID] = frozenset()
    """Coupons issued in the batch of which a later step is called for already."""
    messages: list[NewMessage] = field(default_factory=list)
    woken: dict[UUID, Recipient] = field(default_factory=dict)
    """Recipients whose waiting messages may go now."""

    def call(
        self, call: Call, recipient: Recipient, event_id: UUID, correlation_id: str, traceparent: str | None
    ) -> None:
        """Note a message. Webhooks are facts for machines, told however late, since a coupon is worthless without."""
        too_old = call.channel == "email" and call.recorded_at < self.oldest
        self.messages.append(
            NewMessage(
                message_id=derived_id(call.recorded_at, "message", event_id, call.channel),
                recipient=recipient,
                event_id=event_id,
                channel=call.channel,
                template=call.template,
                parameters={} if too_old else call.parameters,
                recorded_at=call.recorded_at,
                due_at=recipient.due_at(call.template, self.now) if call.channel == "email" else self.now,
                correlation_id=correlation_id,
                traceparent=traceparent,
                state="suppressed" if too_old else "due",
                reason="too_old" if too_old else None,
                coupon_id=call.coupon_id,
            )
        )

    def wake(self, recipient: Recipient) -> None:
        """Something that their messages waited for is known now."""
        if recipient.email is not None:
            self.woken[recipient.member_id] = recipient
