"""What every model on the wire shares: frozen, tolerant of unknown fields when read, UTC times, bounded texts."""

from datetime import UTC, datetime
from typing import Annotated, ClassVar
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

EARLIEST, LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
"""Times outside are mistakes, and would leave the calendar when days are added to them."""


def _to_utc(value: datetime) -> datetime:
    if not EARLIEST <= value < LATEST:
        raise ValueError("is not between the years 1970 and 2200")
    return value.astimezone(UTC)


Instant = Annotated[AwareDatetime, AfterValidator(_to_utc)]
"""A moment in time; any offset is read, UTC is kept and written."""

MemberId = Annotated[UUID, Field(description="The member; also the Kafka key of the record, as lower-case text.")]
ShortText = Annotated[str, Field(min_length=1, max_length=255)]
Slug = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$", description="ISO 4217 code.")]
Attributes = Annotated[dict[str, str], Field(max_length=100)]
MonthDay = Annotated[str, Field(pattern=r"^(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])$", description="Such as 05-17.")]
Points = Annotated[int, Field(ge=0, le=2**53)]
Minor = Annotated[int, Field(ge=-(2**53), le=2**53, description="Integer minor units of the currency.")]


class Model(BaseModel):
    """A frozen value. Readers ignore fields they do not know, so that newer writers can add some."""

    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)


class Event(Model):
    """A fact in the past tense. `TYPE` is its wire name, for ever: `PointsGrantedV1` is `loyalty.points.granted.v1`."""

    TYPE: ClassVar[str]

    program_id: Slug

    def key(self) -> str:
        """The Kafka key: the member, as lower-case UUID text."""
        member_id: UUID = getattr(self, "member_id")  # noqa: B009 - events without a member override this
        return str(member_id)
