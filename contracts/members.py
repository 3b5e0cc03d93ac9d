"""Members and their contacts: compacted topics, each record the whole current state."""

from typing import Annotated, ClassVar, Literal
from uuid import UUID

from pydantic import Field

from .base import Attributes, Event, Instant, MemberId, Model, MonthDay, ShortText, Slug


class CustomerRef(Model):
    """How a shop knows the member."""

    source: Slug
    customer_id: ShortText


class MemberChangedV1(Event):
    """A person is seen, enrolled or known better. No clear personal data."""

    TYPE: ClassVar[str] = "loyalty.member.changed.v1"

    member_id: MemberId
    version: Annotated[int, Field(ge=1)]
    status: Literal["shopper", "member", "erased"]
    """`shopper`: seen, not enrolled; points wait."""
    seen_at: Instant
    enrolled_at: Instant | None = None
    merged_into: UUID | None = None
    customers: tuple[CustomerRef, ...] = ()
    email_consent: bool | None = None
    """What the platform last said of marketing mail; nothing when it never did."""
    email_fingerprint: str | None = None
    locale: str | None = Field(default=None, max_length=35)
    """BCP 47, such as `az` or `ar-EG`."""
    attributes: Attributes = Field(default_factory=dict)
    birthday: MonthDay | None = None
    """Month and day, never the year. The first that was told; it does not change any more."""
    recorded_at: Instant


IDENTITY_EMAILS_MAX = 100


class IdentityEmail(Model):
    """An address that leads to a member: the shop has verified it, or a guest ordered by it."""

    email: Annotated[str, Field(max_length=640)]
    """Trimmed and in lower case, which may have more letters."""
    since: Instant
    """Of several members who have it, it leads to the one who has it since the latest time."""


class ContactChangedV1(Event):
    """How to reach a member. The only clear personal data that Laurel puts on Kafka; read by notification alone."""

    TYPE: ClassVar[str] = "loyalty.contact.changed.v1"

    member_id: MemberId
    version: Annotated[int, Field(ge=1)]
    email: Annotated[str, Field(max_length=320)] | None = None
    first_name: str | None = Field(default=None, max_length=255)
    last_name: str | None = Field(default=None, max_length=255)
    identity_emails: Annotated[tuple[IdentityEmail, ...], Field(max_length=IDENTITY_EMAILS_MAX)] = ()
    """The addresses that ever led to the member; of very many, those since the latest times."""
    recorded_at: Instant
