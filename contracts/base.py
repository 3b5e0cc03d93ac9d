"""What every model on the wire shares: frozen, tolerant of unknown fields when read, UTC times, bounded texts."""

from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Self
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


_BLANKS: dict[type, dict[str, Any]] = {}
"""By model, its fields in their order with their defaults; those are never changed, since values are frozen."""


class Model(BaseModel):
    """A frozen value. Readers ignore fields they do not know, so that newer writers can add some."""

    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)

    @classmethod
    def model_construct(  # type: ignore[override]  # the plugin makes one of its own for each model
        cls, _fields_set: set[str] | None = None, **values: Any
    ) -> Self:
        """A value from parts that are valid already. As pydantic's own at a third of its cost: no model here has
        aliases or private attributes, and every field without a default must be given.
        """
        blank = _BLANKS.get(cls)
        if blank is None:
            blank = _BLANKS[cls] = {name: field.get_default(call_default_factory=True, validated_data={})
                                    for name, field in cls.model_fields.items()}  # fmt: skip
        found = cls.__new__(cls)
        object.__setattr__(found, "__dict__", blank | values)
        object.__setattr__(found, "__pydantic_fields_set__", _fields_set or set(values))
        object.__setattr__(found, "__pydantic_extra__", None)
        object.__setattr__(found, "__pydantic_private__", None)
        return found


class Event(Model):
    """A fact in the past tense. `TYPE` is its wire name, for ever: `PointsGrantedV1` is `loyalty.points.granted.v1`."""

    TYPE: ClassVar[str]

    program_id: Slug

    def key(self) -> str:
        """The Kafka key: the member, as lower-case UUID text."""
        member_id: UUID = getattr(self, "member_id")  # noqa: B009 - events without a member override this
        return str(member_id)
