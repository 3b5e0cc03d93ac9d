"""The rules are functions of values: no clock, no chance, no input or output in any `domain/`."""

import ast
from collections.abc import Iterator

import pytest

from .code import SERVICES, Source, calls, imported, sources

MODULES = {
    "asyncio", "concurrent", "io", "logging", "multiprocessing", "os", "pathlib", "random", "secrets", "shutil",
    "socket", "sqlite3", "subprocess", "sys", "tempfile", "threading", "time", "urllib",
}  # fmt: skip
"""Parts of the standard library through which the world comes in."""
METHODS = {"now", "utcnow", "today"}
FUNCTIONS = {"uuid1", "uuid4", "getnode", "open", "input", "print", "exec", "eval", "hash", "id"}
"""`hash` of a text differs between processes, as `id` does."""


def violations(source: Source) -> Iterator[str]:
    for node, module in imported(source):
        if module.split(".")[0] in MODULES:
            yield source.at(node, f"{module} in a rule")
    for call, name in calls(source):
        owner, _, function = name.rpartition(".")
        if (owner and function in METHODS) or (owner in ("", "uuid") and function in FUNCTIONS):
            yield source.at(call, f"{name}() in a rule")
    for part in ast.walk(source.tree):
        if isinstance(part, ast.AsyncFunctionDef | ast.Await | ast.AsyncFor | ast.AsyncWith):
            yield source.at(part, "a rule waits for something")


def test_domains_are_pure() -> None:
    checked = [source for folder in SERVICES.values() for source in sources(f"{folder}/domain")]
    assert {source.path.split("/")[1] for source in checked} == set(SERVICES)
    found = [violation for source in checked for violation in violations(source)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "line",
    [
        "at = datetime.now(UTC)",
        "at = datetime.datetime.utcnow()",
        "day = date.today()",
        "import time",
        "from time import time",
        "import random",
        "import secrets",
        "from os import urandom",
        "key = uuid4()",
        "key = uuid.uuid1()",
        "print(1)",
        "text = open('x').read()",
        "seed = hash('x')",
        "async def f(): pass",
    ],
)
def test_impurity_would_be_found(line: str) -> None:
    assert list(violations(Source("services/tier/tier/domain/standing.py", line)))


@pytest.mark.parametrize(
    "line", ["at = world.now", "from datetime import time", "digest = program.hash()", "key = UUID(int=1)"]
)
def test_values_are_free(line: str) -> None:
    assert not list(violations(Source("services/tier/tier/domain/standing.py", line)))
