"""Reads a program from YAML, and says what is wrong with line, field and a way to mend it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import yaml
from pydantic import AwareDatetime, ValidationError

from contracts.program import Program, faults_of_new

from .domain.advice import advise
from .findings import Finding, dotted, findings_of, line_of
from .shape import Path, type_at

BYTES_MAX = 1024 * 1024
DEPTH_MAX = 20


class _UnreadableError(Exception):
    def __init__(self, line: int, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.finding = Finding(line, "", message, hint)


@dataclass(slots=True)
class Reading:
    """What a file says: the program, or everything that is wrong with it; and the line of each of its places."""

    program: Program | None = None
    findings: list[Finding] = field(default_factory=list)
    lines: dict[Path, int] = field(default_factory=dict)


def check(text: str) -> tuple[Program | None, list[Finding]]:
    """The program, or None with everything that is wrong, in the order of the file."""
    reading = read(text)
    return reading.program, reading.findings


def read(text: str) -> Reading:
    """Read a file.

    Scalars are taken as text and read by the type of their field. So decimals stay exact, and YAML's own ideas of `on`,
    `no`, `010` or `12:30` never come in.
    """
    try:
        reader = _Reader()
        document = reader.plain(_compose(text), ())
    except _UnreadableError as error:
        return Reading(findings=[error.finding])
    findings = reader.findings or [_no_time(path, reader.lines[path], value) for path, value in _numbers(document)]
    if findings:
        return Reading(findings=findings)
    try:
        program = Program.model_validate(document)
        found = [Finding(line_of(one.path, reader.lines), dotted(one.path), one.text) for one in faults_of_new(program)]
        return Reading(None if found else program, found, reader.lines)
    except ValidationError as error:
        return Reading(findings=findings_of(error.errors(include_url=False), reader.lines), lines=reader.lines)


def advice_of(reading: Reading) -> list[Finding]:
    """What is legal in a file but unwise, in the order of the file."""
    assert reading.program is not None
    found = {
        Finding(line_of(item.path, reading.lines), dotted(item.path), item.text, item.mend)
        for item in advise(reading.program)
    }
    return sorted(found, key=lambda one: (one.line, one.field, one.message))


def _numbers(document: Any) -> Iterator[tuple[Path, str]]:
    """Plain numbers where a day or a moment belongs: they would be read as seconds since 1970."""
    for path, value in _scalars(document, ()):
        if value.lstrip("-").replace(".", "", 1).isdigit() and type_at(path, document) in _TIMES:
            yield path, value


_TIMES = (AwareDatetime, date, date | None)


def _no_time(path: Path, line: int, value: str) -> Finding:
    hint = "write it as in 2026-12-31; a moment as in 2026-12-01T00:00:00Z"
    return Finding(line, dotted(path), f"{value!r} is no day or moment", hint)


def _scalars(value: Any, path: Path) -> Iterator[tuple[Path, str]]:
    if isinstance(value, str):
        yield path, value
    elif value is not None:
        for part, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _scalars(item, (*path, part))


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
                self.findings.append(Finding(line, dotted(path), "the name of a field must be a plain word"))
            elif key.value in values:
                first = self.lines[(*path, key.value)]
                field = dotted((*path, key.value))
                self.findings.append(Finding(line, field, f"is here twice, first in line {first}", "keep one"))
            else:
                self.lines[(*path, key.value)] = line
                values[key.value] = self.plain(value, (*path, key.value))
        return values
