"""Who may import what. The directions between packages are import-linter's; the rest is read from the code."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .code import PACKAGES, ROOT, SERVICES, Source, imported, sources

KAFKA = {"faststream", "aiokafka"}
FREE = {"contracts", "pydantic", *sys.stdlib_module_names}
"""What a rule may import; pydantic, because the contracts' values are made of it and bring it along."""
KAFKA_PLACES = ("shared/", "laurel/embedded/", "tests/")


def kafka_violations(source: Source) -> Iterator[str]:
    if not source.path.startswith(KAFKA_PLACES):
        for node, module in imported(source):
            if module.split(".")[0] in KAFKA:
                yield source.at(node, f"{module} belongs to {' and '.join(KAFKA_PLACES[:2])}")


def domain_violations(source: Source) -> Iterator[str]:
    """Domain modules import contracts, the standard library and each other."""
    depth = source.path.partition("/domain/")[2].count("/") + 1
    for node, module in imported(source):
        if module.startswith("."):
            if len(module) - len(module.lstrip(".")) > depth:
                yield source.at(node, f"{module} is outside the domain")
        elif module.split(".")[0] not in FREE:
            yield source.at(node, f"{module} is neither contracts nor the standard library")


def test_kafka_clients_stay_in_the_kit() -> None:
    found = [line for source in sources("contracts", "services", "laurel") for line in kafka_violations(source)]
    assert not found, "\n".join(found)
    assert any(module.startswith("faststream") for source in sources("shared") for _, module in imported(source))


def test_domain_imports_contracts_and_standard_library_alone() -> None:
    checked = [source for folder in SERVICES.values() for source in sources(f"{folder}/domain")]
    found = [line for source in checked for line in domain_violations(source)]
    assert not found, "\n".join(found)
    assert {source.path.split("/")[1] for source in checked} == set(SERVICES)


@pytest.mark.parametrize("line", ["import aiokafka", "from faststream.kafka import KafkaBroker"])
def test_a_kafka_client_elsewhere_would_be_found(line: str) -> None:
    assert list(kafka_violations(Source("services/tier/tier/handlers.py", line)))
    assert list(kafka_violations(Source("laurel/topics.py", line)))
    assert not list(kafka_violations(Source("shared/bus.py", line)))


@pytest.mark.parametrize(
    "line",
    ["import asyncpg", "from shared.clock import Clock", "from ..store import load", "from .. import store",
     "import pydantic_settings", "def f():\n    import httpx"],
)  # fmt: skip
def test_an_impure_import_would_be_found(line: str) -> None:
    assert list(domain_violations(Source("services/tier/tier/domain/standing.py", line)))


@pytest.mark.parametrize(
    "line", ["from contracts.points import Transfer", "from .window import leaves_at", "import json"]
)
def test_pure_imports_are_free(line: str) -> None:
    assert not list(domain_violations(Source("services/tier/tier/domain/standing.py", line)))


def _lint_imports(root: Path) -> subprocess.CompletedProcess[str]:
    paths = [str(root), *(str(root / "services" / service) for service in PACKAGES)]
    tool = Path(sys.executable).parent / "lint-imports"
    return subprocess.run(
        [str(tool), "--no-cache"], cwd=root, env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The code and the rules of import-linter, elsewhere."""
    root = tmp_path_factory.mktemp("copy")
    shutil.copy(ROOT / "pyproject.toml", root)
    for folder in ("contracts", "shared", "services", "laurel"):
        shutil.copytree(
            ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__", "schemas", "examples")
        )
    return root


@pytest.fixture
def inject(copy: Path) -> Iterator[Callable[[str, str], None]]:
    """Add a line to a module of the copy; taken away again afterwards."""
    before: dict[Path, str] = {}

    def add(module: str, line: str) -> None:
        path = copy / module
        before[path] = path.read_text(encoding="utf-8")
        path.write_text(f"{before[path]}\n{line}\n", encoding="utf-8")

    yield add
    for path, text in before.items():
        path.write_text(text, encoding="utf-8")


def test_import_linter_is_content(copy: Path) -> None:
    result = _lint_imports(copy)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "0 broken" in result.stdout


@pytest.mark.parametrize(
    ("module", "line", "sentence"),
    [
        ("services/tier/tier/handlers.py", "import referral.store", "tier.handlers -> referral.store"),
        ("shared/clock.py", "import tier.handlers", "shared.clock -> tier.handlers"),
        ("contracts/ids.py", "import shared.clock", "contracts.ids -> shared.clock"),
        ("services/console/console/handlers.py", "import laurel.topics", "console.handlers -> laurel.topics"),
        ("services/tier/tier/domain/standing.py", "import shared.clock", "tier.domain.standing -> shared.clock"),
        ("services/tier/tier/domain/standing.py", "import asyncpg", "tier.domain.standing -> asyncpg"),
    ],
)
def test_import_linter_finds_an_injected_import(
    copy: Path, inject: Callable[[str, str], None], module: str, line: str, sentence: str
) -> None:
    inject(module, line)
    result = _lint_imports(copy)
    assert result.returncode == 1, result.stdout + result.stderr
    assert sentence in result.stdout
