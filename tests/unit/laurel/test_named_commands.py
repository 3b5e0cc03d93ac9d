"""Every `laurel …` that the docs and the commands' own sentences name is there, with its options."""

import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.core import TyperGroup
from typer.main import get_command

from laurel.cli.app import with_commands

ROOT = Path(__file__).parents[3]
DOCS = ("README.md", "CONTRIBUTING.md", "docs/*.md", "services/*/README.md")
CODE = ("laurel/**/*.py", "shared/**/*.py", "services/**/*.py")

_BLOCK = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
_IN_BLOCK = re.compile(r"(?:^|[\s/])laurel ([a-z].*)", re.MULTILINE)
_SPAN = re.compile(r"`([^`\n]+)`")
_IN_SPAN = re.compile(r'(?:^|[\s"/])laurel ([a-z][^"]*)')
_AFTER = re.compile(r"\s{2,}|\s+[#<>]\s*")
"""What begins with it is no part of the command: a remark, or where its input comes from and its output goes."""
_FILLED_IN = re.compile(r"\{[^}]*\}")


def in_docs(text: str) -> Iterator[str]:
    """What stands in blocks is typed as it is; elsewhere a command may be named without what it asks for."""
    for block in _BLOCK.findall(text):
        yield from _IN_BLOCK.findall(block)
    yield from in_sentences(_BLOCK.sub("", text))


def in_sentences(text: str) -> Iterator[str]:
    """`list|show` names both."""
    for found in (found for span in _SPAN.findall(text) for found in _IN_SPAN.findall(span)):
        several = [word for word in found.split() if "|" in word]
        yield from [found.replace(several[0], one) for one in several[0].split("|")] if several else [found]


@cache
def _all() -> Any:
    return get_command(with_commands())


def fault(command: str) -> str | None:
    """Why nobody can run this, if so. Words in capitals stand for what a reader knows."""
    here, name = _all(), "laurel"
    words = shlex.split(_AFTER.split(command)[0])
    while isinstance(here, TyperGroup) and words and not words[0].startswith("-"):
        name, word = f"{name} {words[0]}", words.pop(0)
        if word not in here.commands:
            return f"there is no {name}"
        here = here.commands[word]
    try:
        if words:
            here.make_context(name, words)
    except typer.BadParameter:
        return None  # Something is left out, or only stands for a value.
    except typer.TyperException as error:
        return f"{name}: {error}"
    return None


def named() -> Iterator[tuple[str, str]]:
    for patterns, find in ((DOCS, in_docs), (CODE, in_sentences)):
        for path in sorted(path for pattern in patterns for path in ROOT.glob(pattern)):
            for command in find(path.read_text(encoding="utf-8")):
                yield path.relative_to(ROOT).as_posix(), _FILLED_IN.sub("X", command)


def test_every_command_that_is_named_is_there() -> None:
    commands = list(named())
    for where in ("README.md", "docs/runbook.md", "docs/operations.md", "laurel/cli/doctor.py"):
        assert any(path == where for path, _ in commands), f"nothing was found in {where}"
    found = [f"{path}: `laurel {command}`: {why}" for path, command in commands if (why := fault(command))]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("text", "commands"),
    [
        ("`laurel dlq list|show` and `laurel doctor`", ["dlq list", "dlq show", "doctor"]),
        ('`docker compose run --rm setup "laurel keys init --rotate"`', ["keys init --rotate"]),
        ("```\nlaurel up      starts\n./bin/laurel up\n```", ["up      starts", "up"]),
        ("`one` laurel `two`", []),
    ],
)
def test_commands_are_found(text: str, commands: list[str]) -> None:
    assert list(in_docs(text)) == commands


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("connection turn ID", "there is no laurel connection turn"),
        ("connection rotate ID --overlap 24h", "laurel connection rotate: No such option: --overlap"),
        ("doctor ID", "laurel doctor: Got unexpected extra argument(s) (ID)"),
        ("connection rotate", None),
        ("dlq", None),
        ("migrate tier      where it is older", None),
        ("program schema > program.json", None),
        ("topics apply --partitions N", None),
    ],
)
def test_a_wrong_command_would_be_found(command: str, why: str | None) -> None:
    found = fault(command)
    assert (found is None) == (why is None)
    assert (found or "").startswith(why or "")
