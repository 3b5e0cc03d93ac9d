"""The parts that all entries of a story share: who, when, and what is expected afterwards."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from .units import Count, Moment, Name


class Part(BaseModel):
    """A part of a story; what it does not know is a mistake."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=False)


class Buckets(Part):
    """The balances of a member. When one is given, those that are not are expected to be 0."""

    pending: Count | None = None
    active: Count | None = None
    held: Count | None = None
    deficit: Count | None = None

    def given(self) -> dict[str, int] | None:
        """All four; None where the story names none."""
        values = {"pending": self.pending, "active": self.active, "held": self.held, "deficit": self.deficit}
        if all(value is None for value in values.values()):
            return None
        return {name: value or 0 for name, value in values.items()}


class Progress(Part):
    """How far a member is in a challenge."""

    progress: Count | None = None
    reached: Count | None = None
    """How often, in all."""
    target: Count | None = None


def _mapping(value: object) -> str:
    return "mapping" if isinstance(value, dict) else "number"


def _either(value: object) -> str:
    return "mapping" if isinstance(value, dict | Progress) else "number"


Granted = Annotated[
    Annotated[Count, Tag("number")] | Annotated[dict[str, Count], Tag("mapping")], Discriminator(_mapping)
]
Reached = Annotated[Annotated[Count, Tag("number")] | Annotated[Progress, Tag("mapping")], Discriminator(_either)]


class Expectation(Buckets):
    """What should be, once the entry has happened. Other fields are names of members, with their buckets."""

    model_config = ConfigDict(frozen=True, extra="allow")
    __pydantic_extra__: dict[str, Buckets] = Field(init=False)

    granted: dict[str, Granted] = {}
    """What an order, activity or other claim has now: in all, or by rule."""
    reason: dict[str, str] = {}
    """Why a claim has nothing."""
    coupons: dict[str, str] = {}
    """Their states."""
    refused: str | None = None
    """The command of this entry is refused, for this reason."""
    challenge: dict[str, Reached] = {}
    events: list[str] | None = None
    """All that were published since the expectation before."""
    runs_out: dict[str, Count] | None = None
    """Spendable points by the last day on which they are; `never` for those that do not run out."""

    def others(self) -> dict[str, Buckets]:
        """Buckets of members by name."""
        return dict(self.__pydantic_extra__ or {})


class Entry(Part):
    """One thing that happens. It reaches Laurel then, or, standing after later ones, with these: late."""

    at: Moment | None = None
    recorded: Moment | None = None
    """When it reached Laurel, where that was later than `at` and than the entry before."""
    member: Name | None = None
    """Whose it is; without, the first member's."""
    note: str | None = None
    expect: Expectation | None = None


class Check(Entry):
    """Nothing happens but that time passes."""


class TimePasses(Entry):
    """Time passes up to a moment."""

    time: Moment
