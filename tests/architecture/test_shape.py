"""The same shape everywhere: the files of a service, and how long files and functions may be."""

import ast
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from .code import ROOT, SERVICES, Source, calls, sources

FILE_LINES_MAX = 299
FUNCTION_LINES_MAX = 49
CODE = ("contracts", "shared", "services", "laurel")

FILES = ("__init__.py", "app.py", "handlers.py", "restoring.py", "domain/__init__.py")
"""In each service's package, beside the migrations."""
EITHER = ("api", "store")
"""Each a module, or a package where one file would grow too long."""
OWN = {
    "order-ingest": {"deliveries.py", "webhooks.py"},
    "points-accrual": {"rebuild.py"},
    "notification": {"mailer.py", "render.py", "webhook.py", "words.py", "templates", "texts"},
    "console": {"document.py", "findings.py", "shape.py"},
}
"""What single services have beyond that: their edges to the outside, which others do not have."""
MIGRATION = re.compile(r"\d{4}_[a-z0-9_]+\.sql")


def shape_violations(root: Path, service: str) -> Iterator[str]:
    folder = root / SERVICES[service]
    if not (folder.parent / "README.md").is_file():
        yield f"{service}: README.md is missing"
    for file in FILES:
        if not (folder / file).is_file():
            yield f"{service}: {file} is missing"
    for name in EITHER:
        if (folder / f"{name}.py").is_file() == (folder / name / "__init__.py").is_file():
            yield f"{service}: needs either {name}.py or the package {name}"
    known = {Path(file).parts[0] for file in FILES} | {"migrations", "py.typed", "__pycache__"}
    known |= {part for name in EITHER for part in (name, f"{name}.py")}
    for path in sorted(folder.iterdir()):
        if path.name not in known | OWN.get(service, set()):
            yield f"{service}: {path.name} is in no other service, and not among those named in OWN"
    names = sorted(path.name for path in folder.glob("migrations/*"))
    if [name[:5] for name in names] != [f"{number:04}_" for number in range(1, len(names) + 1)] or not names:
        yield f"{service}: migrations are not numbered 0001, 0002, …: {names}"
    yield from (f"{service}: migration {name} is no plain SQL file" for name in names if not MIGRATION.fullmatch(name))


def length_violations(source: Source) -> Iterator[str]:
    lines = len(source.text.splitlines())
    if lines > FILE_LINES_MAX:
        yield f"{source.path}: {lines} lines, {FILE_LINES_MAX} are enough"
    for node in ast.walk(source.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > FUNCTION_LINES_MAX:
                yield source.at(node, f"{node.name} has {length} lines, {FUNCTION_LINES_MAX} are enough")


def print_violations(source: Source) -> Iterator[str]:
    for call, name in calls(source):
        if name in ("print", "pprint", "pprint.pprint"):
            yield source.at(call, f"{name}() instead of a log")


@pytest.mark.parametrize("service", SERVICES)
def test_service_has_the_same_files(service: str) -> None:
    found = list(shape_violations(ROOT, service))
    assert not found, "\n".join(found)


def test_every_service_is_known_here() -> None:
    folders = (path for path in (ROOT / "services").iterdir() if path.is_dir() and path.name != "__pycache__")
    assert {path.name for path in folders} == set(SERVICES)


def test_files_and_functions_are_short() -> None:
    checked = sources(*CODE)
    assert {source.path.split("/")[0] for source in checked} == set(CODE)
    found = [violation for source in checked for violation in length_violations(source)]
    assert not found, "\n".join(found)


def test_nothing_prints() -> None:
    found = [
        violation for source in sources("contracts", "shared", "services") for violation in print_violations(source)
    ]
    assert not found, "\n".join(found)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "services" / "tier", tmp_path / "services" / "tier")
    return tmp_path


@pytest.mark.parametrize(
    "path",
    ["README.md", "tier/app.py", "tier/handlers.py", "tier/api.py", "tier/domain/__init__.py", "tier/store/__init__.py",
     "tier/migrations/0001_tier.sql"],
)  # fmt: skip
def test_a_missing_file_would_be_found(copy: Path, path: str) -> None:
    assert list(shape_violations(copy, "tier")) == []
    (copy / "services" / "tier" / path).unlink()
    assert list(shape_violations(copy, "tier"))


@pytest.mark.parametrize(
    "path",
    ["utils.py", "migrations/0009_skipped.sql", "migrations/0003_program.py", "migrations/0001_back.rollback.sql"],
)
def test_a_file_too_many_would_be_found(copy: Path, path: str) -> None:
    (copy / "services" / "tier" / "tier" / path).touch()
    assert list(shape_violations(copy, "tier"))


def test_length_and_print_would_be_found() -> None:
    body = "    x = 1\n" * (FUNCTION_LINES_MAX - 1)
    assert not list(length_violations(Source("shared/a.py", f"def f():\n{body}")))
    assert list(length_violations(Source("shared/a.py", f"class A:\n  async def f():\n{body}    y = 1\n")))
    assert not list(length_violations(Source("shared/a.py", "x = 1\n" * FILE_LINES_MAX)))
    assert list(length_violations(Source("shared/a.py", "x = 1\n" * (FILE_LINES_MAX + 1))))
    assert list(print_violations(Source("shared/a.py", "def f():\n    print('here')\n")))
