"""What happens in an entry, in a few words."""

from .parts import Check, Entry, TimePasses
from .reading import KINDS

FIELDS = {model: name for name, model in reversed(KINDS.items())}
SILENT = {"at", "recorded", "member", "expect", "note", "actor", "reason"}


def said(entry: Entry) -> str:
    """Such as `order A: shirt 50.00`; of a note, the note."""
    if entry.note:
        return entry.note
    if isinstance(entry, Check | TimePasses):
        return "time passes"
    kind = FIELDS[type(entry)]
    values = entry.model_dump(exclude_unset=True, by_alias=True, exclude=SILENT)
    head = values.pop(kind, "")
    rest = ", ".join(_field(name, value) for name, value in values.items())
    what = _value(head)
    return f"{kind} {what}".strip() + (f": {rest}" if rest else "")


def _field(name: str, value: object) -> str:
    if value is True:
        return name
    return _value(value) if name == "lines" else f"{name} {_value(value)}"


def _value(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_value(item)}".strip() for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_value(item) for item in value)
    return str(value)
