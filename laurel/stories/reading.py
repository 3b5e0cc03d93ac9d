"""Reads a story from YAML; everything that is wrong is told with its line and field."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError

from console.document import plain
from contracts.base import MonthDay, Slug
from contracts.program import Program

from . import asked, facts
from .documents import program_of, read_document
from .parts import Check, Entry, Part, TimePasses
from .units import Mistake, Moment, Name

Where = tuple[str | int, ...]
KINDS: dict[str, type[Entry]] = {
    "refund": facts.RefundEntry, "pay": facts.PayEntry, "fulfil": facts.FulfilEntry, "cancel": facts.CancelEntry,
    "edit": facts.EditEntry, "dispute": facts.DisputeEntry, "activity": facts.ActivityEntry,
    "revoke": facts.RevokeEntry, "tier": facts.TierEntry, "membership": facts.MembershipEntry,
    "segments": facts.SegmentsEntry, "enrol": facts.EnrolEntry, "referral": facts.ReferralEntry,
    "merge": facts.MergeEntry, "redeem": asked.RedeemEntry, "capture": asked.CaptureEntry,
    "release": asked.ReleaseEntry, "reverse": asked.ReverseEntry, "adjust": asked.AdjustEntry,
    "freeze": asked.FreezeEntry, "unfreeze": asked.UnfreezeEntry, "extend": asked.ExtendEntry,
    "reinstate": asked.ReinstateEntry, "give": asked.GiveEntry, "household": asked.HouseholdEntry,
    "import": asked.ImportEntry, "publish": asked.PublishEntry, "time": TimePasses, "order": facts.OrderEntry,
    "attributes": facts.AttributesEntry, "birthday": facts.AttributesEntry,
}  # fmt: skip
"""What an entry is, by its fields: the first of these that it has. Later ones are fields of some that stand before."""


class Person(Part):
    """A member as the story begins."""

    enrolled: Moment | None = None
    """Without: a day before the first event. `enrol` makes a member of somebody who is not one yet."""
    birthday: MonthDay | None = None
    attributes: dict[str, str] = Field(default={})
    segments: tuple[Slug, ...] = ()
    tier: Slug | None = None


class Told(Part):
    """A story as it is written."""

    story: Annotated[str, Field(min_length=1)]
    why: str = ""
    program: str | dict[str, Any]
    change: dict[str, Any] = Field(default={})
    members: dict[Name, Person | None] = Field(default={"ann": None}, min_length=1)
    order_matters: bool = False
    seeds: tuple[Annotated[str, Field(pattern=r"^([0-9a-f]{2})+$")], ...] = ()
    events: Annotated[list[dict[str, Any]], Field(min_length=1)]


class UnreadableError(Exception):
    """A story that cannot be read, or not be played: a sentence for each mistake, with line and field."""

    def __init__(self, sentences: Iterable[str]) -> None:
        self.sentences = list(sentences)
        super().__init__("\n".join(self.sentences))


@dataclass(frozen=True, slots=True)
class Story:
    """A story that can be played."""

    path: Path
    told: Told
    document: dict[str, Any]
    """Of the program, as texts: what later versions change."""
    program: Program
    entries: list[Entry]
    lines: dict[Where, int] = field(default_factory=dict)

    @property
    def people(self) -> dict[str, Person]:
        """By name, the first one first."""
        return {name: person or Person() for name, person in self.told.members.items()}

    def mistake(self, place: int, error: Mistake) -> UnreadableError:
        """What cannot be played, with its line."""
        return UnreadableError([_sentence(self.path, self.lines, ("events", place, *error.path), str(error))])


def read(path: Path) -> Story:
    """Read a story and its program. Raises `UnreadableError`."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UnreadableError([f"{path} cannot be read: {error}"]) from None
    document, lines, findings = plain(text)
    if findings:
        raise UnreadableError(f"{path}: {finding}" for finding in findings)
    try:
        told = Told.model_validate(document)
    except ValidationError as error:
        raise UnreadableError(_sentences(path, lines, (), error)) from None
    entries = _entries(path, told, lines)
    try:
        base = told.program if isinstance(told.program, dict) else read_document(path.parent / told.program)
        whole, program = program_of(base, told.change)
    except ValidationError as error:
        inline = ("program",) if isinstance(told.program, dict) else ("change",)
        raise UnreadableError(_sentences(path, lines, inline, error)) from None
    except Mistake as error:
        raise UnreadableError([_sentence(path, lines, error.path or ("program",), str(error))]) from None
    return Story(path, told, whole, program, entries, lines)


def _entries(path: Path, told: Told, lines: dict[Where, int]) -> list[Entry]:
    entries: list[Entry] = []
    wrong: list[str] = []
    for place, item in enumerate(told.events):
        where: Where = ("events", place)
        try:
            entry = kind_of(item).model_validate(item)
        except ValidationError as error:
            wrong += _sentences(path, lines, where, error)
            continue
        if entry.at is None and not isinstance(entry, TimePasses):
            wrong.append(_sentence(path, lines, (*where, "at"), "is missing"))
        unknown = [name for name in _members(entry) if name not in told.members]
        if unknown:
            wrong.append(_sentence(path, lines, (*where, "expect", unknown[0]), "is no bucket and no member here"))
        entries.append(entry)
    if wrong:
        raise UnreadableError(wrong)
    return entries


def kind_of(item: dict[str, Any]) -> type[Entry]:
    """What an entry is."""
    return next((model for name, model in KINDS.items() if name in item), Check)


def _members(entry: Entry) -> list[str]:
    return list(entry.expect.others()) if entry.expect else []


def _sentences(path: Path, lines: dict[Where, int], at: Where, error: ValidationError) -> list[str]:
    found = []
    for item in error.errors(include_url=False):
        text = {"missing": "is missing", "extra_forbidden": "is not a field here"}.get(item["type"])
        told = [(item["loc"], text or _plainly(item["msg"]))]
        if item["type"] == "inconsistent":
            told = [(fault.path, fault.text) for fault in item["ctx"]["faults"]]
        found += [_sentence(path, lines, _in_file((*at, *loc), lines), text) for loc, text in told]
    return found


def _plainly(message: str) -> str:
    return message.removeprefix("Value error, ").removeprefix("Input ")


def _in_file(loc: Where, lines: dict[Where, int]) -> Where:
    """Where in the file: without the parts that only tell which kind of value it was taken for."""
    where: Where = ()
    for place, part in enumerate(loc):
        if (*where, part) in lines or place == len(loc) - 1:
            where = (*where, part)
    return where


def _sentence(path: Path, lines: dict[Where, int], where: Where, text: str) -> str:
    known = where
    while known and known not in lines:
        known = known[:-1]
    field = ".".join(map(str, where))
    return f"{path}: line {lines.get(known, 1)}, {field}: {text}" if field else f"{path}: {text}"
