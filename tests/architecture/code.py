"""The code of the repository as syntax trees, for rules that run as tests."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = {
    "order-ingest": "order_ingest",
    "points-accrual": "points_accrual",
    "tier": "tier",
    "referral": "referral",
    "notification": "notification",
    "console": "console",
}
"""Every service's folder and package."""
SERVICES = {service: f"services/{service}/{package}" for service, package in PACKAGES.items()}


@dataclass(frozen=True)
class Source:
    """A module: its path below the root, and its text."""

    path: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, self.path)

    def at(self, node: ast.AST, why: str) -> str:
        """A violation, as editors link it."""
        return f"{self.path}:{getattr(node, 'lineno', 1)}: {why}"


def sources(*folders: str) -> list[Source]:
    """All modules below these folders of the repository; a path of one module is taken as it is."""
    paths = [path for folder in folders for path in _modules(ROOT / folder)]
    return [Source(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")) for path in paths]


def _modules(path: Path) -> list[Path]:
    return [path] if path.is_file() else sorted(path.rglob("*.py"))


def imported(source: Source) -> Iterator[tuple[ast.stmt, str]]:
    """Every module that is imported, with dots in front where the import is relative."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Import):
            yield from ((node, name.name) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node, "." * node.level + (node.module or "")


def calls(source: Source) -> Iterator[tuple[ast.Call, str]]:
    """Every call with what is called, as it is written."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call):
            yield node, ast.unparse(node.func)


def docstrings(source: Source) -> set[int]:
    """The ids of the nodes that are docstrings or stand alone as text."""
    return {id(node.value) for node in ast.walk(source.tree) if isinstance(node, ast.Expr)}
