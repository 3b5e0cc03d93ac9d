"""Reads a program from YAML, and says what is wrong with line, field and a way to mend it."""

import difflib
from dataclasses import dataclass
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from contracts.program import Program

BYTES_MAX = 1024 * 1024
DEPTH_MAX = 20
Path = tuple[str | int, ...]

_HINTS = {
    "timezone_aware": "write the offset too, as in 2026-12-01T00:00:00Z",
    "datetime_from_date_parsing": "write a moment with its offset, as in 2026-12-01T00:00:00Z",
    "datetime_parsing": "write a moment with its offset, as in 2026-12-01T00:00:00Z",
    "int_parsing": "write a whole number without separators, such as 2000",
    "decimal_parsing": "write a number with a point, such as 1.25",
}
_PATTERNS = {
    "^[A-Z]{3}$": "a currency is three capital letters, such as USD",
    "^[a-z]{2}$": "a language is two small letters, such as en",
    "^[a-z0-9][a-z0-9-]{0,62}$": "use small letters, digits and hyphens, as in five-off",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong in the file. `field` is dotted, with the position in a list from 0; empty for the whole file."""

    line: int
    field: str
    message: str
    hint: str | None = None

    def __str__(self) -> str:
        where = f"line {self.line}" + (f", {self.field}" if self.field else "")
        return f"{where}: {self.message}" + (f" ({self.hint})" if self.hint else "")


class _UnreadableError(Exception):
    def __init__(self, line: int, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.finding = Finding(line, "", message, hint)


def check(text: str) -> tuple[Program | None, list[Finding]]:
    """The program, or None with everything that is wrong, in the order of the file.

    Scalars are taken as text and read by the type of their field. So decimals stay exact, and YAML's own ideas of `on`,
    `no`, `010` or `12:30` never come in.
    """
    try:
        reader = _Reader()
        document = reader.plain(_compose(text), ())
    except _UnreadableError as error:
        return None, [error.finding]
    if reader.findings:
        return None, reader.findings
    try:
        return Program.model_validate(document), []
    except ValidationError as error:
        errors: list[dict[str, Any]] = [dict(item) for item in error.errors(include_url=False)]
        findings = {_finding(item, reader.lines) for item in errors if not _follows(item, errors)}
        return None, sorted(findings, key=lambda one: (one.line, one.field))


def _compose(text: str) -> yaml.Node:
    """The tree of the file. Anchors, aliases and tags are refused: no program needs them, and they can be bombs."""
    if len(text.encode(errors="replace")) > BYTES_MAX:
        raise _UnreadableError(1, f"the file is larger than {BYTES_MAX} bytes")
    try:
        depth = 0
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            line = event.start_mark.line + 1 if event.start_mark else 1
            if isinstance(event, yaml.NodeEvent) and event.anchor is not None:
                raise _UnreadableError(line, "anchors and aliases (& and *) are not allowed here", "write it out")
            if isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent) and event.tag is not None:
                raise _UnreadableError(line, f"the tag {event.tag} is not allowed here", "leave it out")
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > DEPTH_MAX:
                raise _UnreadableError(line, f"nested more than {DEPTH_MAX} deep")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _UnreadableError(mark.line + 1 if mark else 1, f"not YAML: {error.problem}", error.context) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, int(error.position)) + 1
        raise _UnreadableError(line, f"not YAML: {error.reason}") from error
    if not isinstance(node, yaml.MappingNode):
        raise _UnreadableError(1, "the file must hold fields, such as `id: aurora`")
    return node


def plain(text: str) -> tuple[object, dict[Path, int], list[Finding]]:
    """Any YAML file, read by the same rules: its values as texts, the line of each, and everything that is wrong."""
    reader = _Reader()
    try:
        document = reader.plain(_compose(text), ())
    except _UnreadableError as error:
        return None, {}, [error.finding]
    return document, reader.lines, reader.findings


class _Reader:
    """Turns nodes into plain values and remembers the line of each."""

    def __init__(self) -> None:
        self.lines: dict[Path, int] = {}
        self.findings: list[Finding] = []

    def plain(self, node: yaml.Node, path: Path) -> object:
        self.lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.plain(item, (*path, position)) for position, item in enumerate(node.value)]
        assert isinstance(node, yaml.ScalarNode)
        return None if node.style is None and node.value in ("", "~", "null") else node.value

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, object]:
        values: dict[str, object] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                self.findings.append(Finding(line, _dotted(path), "the name of a field must be a plain word"))
            elif key.value in values:
                first = self.lines[(*path, key.value)]
                field = _dotted((*path, key.value))
                self.findings.append(Finding(line, field, f"is here twice, first in line {first}", "keep one"))
            else:
                self.lines[(*path, key.value)] = line
                values[key.value] = self.plain(value, (*path, key.value))
        return values


def _dotted(path: Path) -> str:
    return ".".join(str(part) for part in path)


def _follows(error: dict[str, Any], errors: list[dict[str, Any]]) -> bool:
    """A list that is said to be too short only because its items are wrong."""
    depth = len(error["loc"])
    return error["type"] == "too_short" and any(
        len(other["loc"]) > depth and other["loc"][:depth] == error["loc"] for other in errors
    )


def _finding(error: dict[str, Any], lines: dict[Path, int]) -> Finding:
    path: Path = tuple(part for part in error["loc"] if part != "[key]")
    known = path
    while known not in lines:
        known = known[:-1]
    kind, message, hint = error["type"], error["msg"].removeprefix("Value error, "), _HINTS.get(error["type"])
    if kind == "missing":
        message = "is missing"
    elif kind == "extra_forbidden":
        message = "is not a field of a program here"
        hint = _suggest(str(path[-1]), _fields_at(path[:-1]))
    elif kind == "literal_error":
        message = f"must be {error['ctx']['expected']}, not {error['input']!r}"
        hint = _suggest(
            str(error["input"]), error["ctx"]["expected"].replace("'", "").replace(" or ", ", ").split(", ")
        )
    elif kind == "string_pattern_mismatch":
        pattern = error["ctx"]["pattern"]
        message, hint = f"{error['input']!r} does not match {pattern}", _PATTERNS.get(pattern)
    elif message.startswith("Input should"):
        message = message.removeprefix("Input ")
    return Finding(lines[known], _dotted(path), message, hint)


def _suggest(written: str, known: list[str]) -> str | None:
    near = difflib.get_close_matches(written, known, n=1, cutoff=0.6)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"known here: {', '.join(known)}" if known else None


def _fields_at(path: Path) -> list[str]:
    """The fields of the model at that place of the document."""
    model: type[BaseModel] | None = Program
    for part in path:
        if isinstance(part, str):
            field = model.model_fields.get(part) if model else None
            model = _model_in(field.annotation) if field else None
    return list(model.model_fields) if model else []


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model of an annotation such as `tuple[Level, ...]` or `Referral | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((model for inner in get_args(annotation) if (model := _model_in(inner)) is not None), None)
