"""What every model on the wire shares: frozen, tolerant of unknown fields when read, UTC times, bounded texts."""

from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Self
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

EARLIEST, LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
"""Times outside are mistakes, and would leave the calendar when days are added to them."""


def _to_utc(value: datetime) -> datetime:
    # The years are compared, and not the moments, since that takes half of the time; every event has several of these.
    try:
        at = value.astimezone(UTC)
    except OverflowError:
        at = value
    if not EARLIEST.year <= at.year < LATEST.year:
        raise ValueError("is not between the years 1970 and 2200")
    return at


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
_new = object.__new__
_set_values, _set_fields_set, _set_extra, _set_private = (
    BaseModel.__dict__[name].__set__
    for name in ("__dict__", "__pydantic_fields_set__", "__pydantic_extra__", "__pydantic_private__")
)
"""A value's slots, past its `__setattr__`, which refuses; by name they would be looked up for each value."""


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
        found = _new(cls)
        _set_values(found, {**blank, **values})
        _set_fields_set(found, _fields_set or set(values))
        _set_extra(found, None)
        _set_private(found, None)
        return found


class Event(Model):
    """A fact in the past tense. `TYPE` is its wire name, for ever: `PointsGrantedV1` is `loyalty.points.granted.v1`."""

    TYPE: ClassVar[str]

    program_id: Slug

    def key(self) -> str:
        """The Kafka key: the member, as lower-case UUID text."""
        member_id: UUID = getattr(self, "member_id")  # noqa: B009 - events without a member override this
        return str(member_id)
