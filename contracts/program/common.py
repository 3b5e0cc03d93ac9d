"""What all parts of the program document share."""

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field

from ..base import Model, Points, Slug

LOCALES = ("en", "ar", "az")


def _has_english(value: dict[str, str]) -> dict[str, str]:
    if "en" not in value:
        raise ValueError("needs at least the text in 'en', which stands in for languages that are missing")
    return value


Language = Annotated[str, Field(pattern=r"^[a-z]{2}$")]
PluralCategory = Literal["zero", "one", "two", "few", "many", "other"]
Text = Annotated[dict[Language, str], AfterValidator(_has_english)]
"""A text by language."""
Rate = Annotated[Decimal, Field(ge=0, le=1_000_000, max_digits=12, decimal_places=6)]
Factor = Annotated[Rate, Field(gt=0)]
Amount = Annotated[int, Field(ge=0, le=2**53, description="Integer minor units of the program's currency.")]
Gift = Annotated[Points, Field(gt=0)]
Commitment = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
"""SHA-256 of a secret seed, in hex: chance that is fixed before and can be checked after. `laurel seed` makes one."""
Span = Literal["day", "week", "month", "quarter", "year", "lifetime"]
"""A calendar period of the program's zone; weeks begin on Monday."""


class Strict(Model):
    """A part of the document: what it does not know is an error, because a typing mistake would be a lost rule."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Named(Strict):
    """Something that has an id for ever, and may have a name that members read."""

    id: Slug
    name: Text | None = None
