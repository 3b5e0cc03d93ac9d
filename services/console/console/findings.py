"""What is wrong with a document, in words: where it is, what it is, and how to mend it."""

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from zoneinfo import available_timezones

from .shape import Path, fields_of, kinds_of, resolve

_MOMENT = "write a moment with its offset, as in 2026-12-01T00:00:00Z"
_DAY = "write a day, as in 2026-12-31"
_NUMBER = "write a whole number without separators, such as 2000"
_POINT = "write a number with a point, such as 1.25"
_LIST = "write [one, another], or a line beginning with - for each"
_KINDS: dict[str, tuple[str | None, str | None]] = {
    "missing": ("is missing", None),
    "timezone_aware": (None, "write the offset too, as in 2026-12-01T00:00:00Z"),
    "datetime_from_date_parsing": ("is no moment", _MOMENT),
    "datetime_parsing": ("is no moment", _MOMENT),
    "date_from_datetime_parsing": ("is no day of the calendar", _DAY),
    "date_from_datetime_inexact": ("must be a whole day", _DAY),
    "int_parsing": ("is no whole number", _NUMBER),
    "int_from_float": ("is no whole number", _NUMBER),
    "decimal_parsing": ("is no number", _POINT),
    "bool_parsing": ("must be true or false", None),
    "string_type": ("must be a text", None),
    "tuple_type": ("must be a list", _LIST),
    "dict_type": ("must hold names and values", "write {name: value}"),
    "model_type": ("must hold fields", None),
    "model_attributes_type": ("must hold fields", None),
}
"""By pydantic's kind of error: what to say instead of its message, and a hint."""
_PATTERNS = {
    "^[A-Z]{3}$": ("no currency", "three capital letters, such as USD"),
    "^[A-Z]{2}$": ("no country", "two capital letters, such as AZ"),
    "^[a-z]{2}$": ("no language", "two small letters, such as en"),
    "^[a-z0-9][a-z0-9-]{0,62}$": ("no id", "use small letters, digits and hyphens, as in five-off"),
    "^[0-9a-f]{64}$": ("no commitment", "64 digits and small letters a to f; `laurel seed` makes one"),
    r"^https?://\S+$": ("no address of a page", "such as https://shop.example.com/"),
    r"^(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])$": ("no day of the year", "the month first, as in 12-31"),
    r"^([01]\d|2[0-3]):[0-5]\d-(([01]\d|2[0-3]):[0-5]\d|24:00)$": (
        "no hours of a day", "from and to, with two digits each, as in 18:00-22:00 or 22:00-02:00",
    ),
}  # fmt: skip
"""By pattern of a model: what the text is not, and what it should look like."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong or unwise in the file. `field` is dotted, with the position in a list from 0; empty: the file."""

    line: int
    field: str
    message: str
    hint: str | None = None

    def __str__(self) -> str:
        where = f"line {self.line}" + (f", {self.field}" if self.field else "")
        return f"{where}: {self.message}" + (f" ({self.hint})" if self.hint else "")


def dotted(path: Path) -> str:
    """A path as it is shown."""
    return ".".join(str(part) for part in path)


def line_of(path: Path, lines: Mapping[Path, int]) -> int:
    """The line of the deepest part of the path that is in the file."""
    while path not in lines:
        path = path[:-1]
    return lines[path]


def findings_of(errors: Iterable[Mapping[str, Any]], lines: Mapping[Path, int]) -> list[Finding]:
    """What pydantic found, in the order of the file."""
    all_errors = _united(errors)
    found = {one for error in all_errors if not _follows(error, all_errors) for one in _findings(error, lines)}
    return sorted(found, key=lambda one: (one.line, one.field, one.message))


def _united(errors: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Words that two unions of them miss at one place are one error with all the words."""
    found: list[dict[str, Any]] = []
    at: dict[Path, dict[str, Any]] = {}
    for error in errors:
        path, here = resolve(error["loc"])
        item = {**error, "path": path, "here": here}
        if error["type"] == "literal_error":
            item["words"] = re.findall(r"'([^']*)'", error["ctx"]["expected"])
            if path in at:
                at[path]["words"] += item["words"]
                continue
            at[path] = item
        found.append(item)
    return found


def _follows(error: dict[str, Any], errors: list[dict[str, Any]]) -> bool:
    """A list that is said to be too short only because its items are wrong."""
    depth = len(error["path"])
    return error["type"] == "too_short" and any(
        len(other["path"]) > depth and other["path"][:depth] == error["path"] for other in errors
    )


def _findings(error: dict[str, Any], lines: Mapping[Path, int]) -> list[Finding]:
    if error["type"] == "inconsistent":
        faults = error["ctx"]["faults"]
        return [Finding(line_of(fault.path, lines), dotted(fault.path), fault.text) for fault in faults]
    path: Path = error["path"]
    message, hint = _words(error)
    if error["type"].startswith("union_tag"):
        path = (*path, "type")
    return [Finding(line_of(path, lines), dotted(path), message, hint)]


def _words(error: dict[str, Any]) -> tuple[str, str | None]:
    """The message and the hint."""
    kind, written = error["type"], error.get("input")
    if kind.startswith("union_tag"):
        return _unknown_kind(error)
    if kind == "extra_forbidden":
        return "is not a field of a program here", _other_field(error)
    if written is None and kind != "missing":
        return "is empty", "give it a value, or leave the field out"
    if kind == "literal_error":
        return f"must be {_any_of(error['words'])}, not {written!r}", near(str(written), error["words"])
    if kind == "string_pattern_mismatch":
        pattern = error["ctx"]["pattern"]
        what, hint = _PATTERNS.get(pattern, (None, None))
        return (f"{written!r} is {what}" if what else f"{written!r} does not match {pattern}"), hint
    message, hint = _KINDS.get(kind, (None, None))
    if error["path"] == ("zone",):
        hint = near(str(written), available_timezones())
    if kind in ("model_type", "model_attributes_type"):
        hint = f"known here: {', '.join(fields_of(error['here']) or ['type', '…'])}"
    if message and isinstance(written, str):
        message = f"{message}, but it is {written!r}" if message.startswith("must") else f"{written!r} {message}"
    return message or _plainly(error["msg"]), hint


def _plainly(message: str) -> str:
    """Pydantic's own message, in the words of the file."""
    message = message.removeprefix("Value error, ").removeprefix("Input ")
    for python, word in (
        ("Tuple should have", "needs"),
        ("Dictionary should have", "needs"),
        (" after validation", ""),
    ):
        message = message.replace(python, word)
    return message


def _unknown_kind(error: dict[str, Any]) -> tuple[str, str]:
    """A `type` that is missing or unknown: the nearest, by its name or by the fields that are there, and all."""
    kinds = kinds_of(error["here"])
    known = [str(kind) for kind in kinds]
    names = set(error["input"]) if isinstance(error["input"], dict) else set()
    tag = error.get("ctx", {}).get("tag")
    if tag is not None:
        message, guess = (
            f"there is no type {tag!r}",
            difflib.get_close_matches(str(tag).lower(), known, n=1, cutoff=0.5),
        )
    else:
        message = "is missing"
        guess = difflib.get_close_matches("type", names, n=1, cutoff=0.6)
        if guess:
            return message, f"did you mean it by {guess[0]!r}? known types: {', '.join(known)}"
    fitting = [str(kind) for kind, model in kinds.items() if names - {"type"} <= set(model.model_fields)]
    if not guess and len(fitting) == 1:
        guess = fitting
    return message, (f"did you mean {guess[0]!r}? " if guess else "") + f"known types: {', '.join(known)}"


def _other_field(error: dict[str, Any]) -> str | None:
    """For a field that is not known: a name much like it, or the kind of item that has it, or all there are."""
    name, parent = str(error["path"][-1]), resolve(error["loc"][:-1])[1]
    known = fields_of(parent)
    if name.isdigit():  # {multiplier: 1,25} is a field `25` in YAML.
        return _POINT
    guess = near(name, known)
    if guess:
        return guess
    others = [str(kind) for kind, model in _siblings(error["loc"]).items() if name in model.model_fields]
    if others:
        return f"the type {_any_of(others)} has it"
    return f"known here: {', '.join(known)}" if known else None


def _siblings(location: Path) -> dict[str | int, Any]:
    """The kinds of item among which the holder of a field was chosen."""
    kinds = kinds_of(resolve(location[:-2])[1])
    return kinds if location[-2:-1] and location[-2] in kinds else {}


def near(written: str, known: Iterable[str]) -> str | None:
    """A hint at the word that was probably meant."""
    by_lower = {word.lower(): word for word in known}
    found = difflib.get_close_matches(written.lower(), by_lower, n=1, cutoff=0.6)
    return f"did you mean {by_lower[found[0]]!r}?" if found else None


def _any_of(words: list[str]) -> str:
    quoted = [repr(word) for word in words]
    return " or ".join([", ".join(quoted[:-1]), quoted[-1]]) if len(quoted) > 1 else quoted[0]
