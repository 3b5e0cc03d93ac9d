"""Programs of stories: a document as it is written, and what a story changes of it."""

from pathlib import Path
from typing import Any

from console.document import check, plain
from contracts.program import Program

from .units import Mistake

Document = dict[str, Any]


def read_document(path: Path) -> Document:
    """The document of a program's file, as texts. Raises `Mistake` with everything that is wrong."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Mistake(f"{path} cannot be read: {error}") from None
    program, findings = check(text)
    if program is None:
        raise Mistake("\n".join(f"{path}: {finding}" for finding in findings))
    document, _, _ = plain(text)
    assert isinstance(document, dict)
    return document


def program_of(base: Document, change: Document) -> tuple[Document, Program]:
    """A program with parts of it changed. Raises pydantic's `ValidationError`, or `Mistake`."""
    whole = changed(base, change)
    return whole, Program.model_validate(whole)


def changed(base: Document, change: Document) -> Document:
    """The document with what the change says instead.

    Fields of a mapping change one by one; nothing (`null`) takes a field away. A list is replaced, unless it is one of
    things with ids and the change names them: then these change one by one, and others are added at the end.
    """
    whole = dict(base)
    for name, value in change.items():
        before = whole.get(name)
        if value is None:
            whole.pop(name, None)
        elif isinstance(value, dict) and isinstance(before, list):
            whole[name] = _changed_list(before, value, name)
        elif isinstance(value, dict) and _is_list(name, value, before):
            whole[name] = _changed_list([], value, name)
        else:
            whole[name] = changed(before, value) if isinstance(value, dict) and isinstance(before, dict) else value
    return whole


LISTS = frozenset({
    "rules", "groups", "campaigns", "caps", "terms", "challenges", "rewards", "offers", "memberships", "draws",
    "causes",
})  # fmt: skip
"""Lists of things with ids."""


def _is_list(name: str, value: Document, before: object) -> bool:
    return before is None and name in LISTS and all(item is None or isinstance(item, dict) for item in value.values())


def _changed_list(before: list[Any], change: Document, name: str) -> list[Any]:
    known = {item["id"]: item for item in before if isinstance(item, dict) and "id" in item}
    if len(known) != len(before):
        raise Mistake(f"{name} is no list of things with ids: write the whole list", "change")
    for item_id, value in change.items():
        if value is None:
            known.pop(item_id, None)
        else:
            known[item_id] = changed(known.get(item_id, {"id": item_id}), value)
    return list(known.values())
