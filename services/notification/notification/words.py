"""How things are said to one member: texts of the catalogue, points with their plurals, money, dates."""

import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import cast

import yaml
from babel import Locale, UnknownLocaleError
from babel.dates import format_date
from babel.numbers import format_currency, format_decimal, get_currency_symbol
from markupsafe import Markup

from contracts.money import minor_digits
from contracts.program import LOCALES, PluralCategory, Program
from contracts.program.common import Named

_CONTROL = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]+")
_LINK = re.compile(r"://|www\.", re.IGNORECASE)
NAME_CHARS_MAX = 60


@cache
def catalogue(language: str) -> dict[str, str]:
    """The texts of a language by dotted key."""
    document = yaml.safe_load((Path(__file__).parent / "texts" / f"{language}.yaml").read_text("utf-8"))
    texts: dict[str, str] = {}
    for key, value in document.items():
        if isinstance(value, str):
            texts[key] = value
        else:
            texts.update({f"{key}.{inner}": text for inner, text in value.items()})
    return texts


def choose_locale(tag: str | None, default: str) -> Locale:
    """The locale nearest to a BCP 47 tag: `ar-EG`, else `ar`, else the program's default language."""
    parts = re.split(r"[-_]", tag or "")
    language = parts[0].lower()
    if language not in LOCALES:
        return Locale(default)
    territory = next((part.upper() for part in parts[1:] if len(part) == 2), None)
    try:
        return Locale(language, territory)
    except UnknownLocaleError:
        return Locale(language)


def tidy_name(name: str | None) -> str:
    """A name fit for a line of text: no line ends or direction marks, not endless.

    Empty for a name with a link in it: nobody is called so, but spammers register as such to have shops mail it.
    """
    text = _CONTROL.sub(" ", name or "").strip()[:NAME_CHARS_MAX]
    return "" if _LINK.search(text) else text


def _one_line(text: str) -> str:
    """A text of the program may end lines, in many ways; a subject must not."""
    return " ".join(text.split())


class Words:
    """Says things in one locale for one program; for `html`, values are escaped and keep their own direction."""

    def __init__(self, locale: Locale, program: Program, *, html: bool) -> None:
        self.locale = locale
        self.language: str = locale.language
        self.direction: str = locale.text_direction
        self._program = program
        self._texts = catalogue(self.language)
        self._html = html

    def t(self, key: str, **values: str) -> str:
        """The text of that key with its values filled in. Raises KeyError if the catalogue or the caller lacks one."""
        if not self._html:
            return self._texts[key].format(**values)
        apart = {name: Markup("<bdi>{}</bdi>").format(value) for name, value in values.items()}
        return Markup(self._texts[key]).format(**apart)  # noqa: S704 - the catalogue is ours, its values are escaped

    def named(self, text: dict[str, str]) -> str:
        """A text of the program in this language; English stands in."""
        return _one_line(text.get(self.language, text["en"]))

    def name_of(self, items: Iterable[Named], item_id: str) -> str:
        """What a reward or a challenge of the program is called; empty for one without a name, or that is gone."""
        name = next((item.name for item in items if item.id == item_id), None)
        return self.named(name) if name else ""

    def points(self, n: int) -> str:
        """A number of points with its word: `250 points`."""
        return self._pattern(n).replace("{n}", self.number(n))

    def points_word(self, n: int) -> str:
        """The word alone, for beside the number."""
        return self._pattern(n).replace("{n}", "").strip()

    def _pattern(self, n: int) -> str:
        point = self._program.point
        forms = point.plurals.get(self.language, {})
        name = f"{{n}} {self.named(point.name)}"
        return _one_line(forms.get(cast("PluralCategory", self.locale.plural_form(n))) or forms.get("other") or name)

    def number(self, value: int | Decimal) -> str:
        """A number with the locale's separators."""
        return format_decimal(value, locale=self.locale)

    def money(self, minor: int, currency: str) -> str:
        """An amount of minor units."""
        amount = Decimal(minor).scaleb(-minor_digits(currency))
        text = format_currency(amount, currency, locale=self.locale)
        symbol = get_currency_symbol(currency, self.locale)
        # From right to left a mark must hold `US$` together, or its sign would stand before it.
        return text.replace(symbol, symbol + "\u200e") if self.direction == "rtl" and symbol.isascii() else text

    def date(self, iso: str) -> str:
        """The day of that moment in the program's time zone."""
        local = datetime.fromisoformat(iso).astimezone(self._program.time_zone)
        return format_date(local.date(), format="long", locale=self.locale)

    def last_day(self, iso: str) -> str:
        """The last whole day before that moment, which is the end of one."""
        return self.date((datetime.fromisoformat(iso) - timedelta(microseconds=1)).isoformat())
