"""`contracts` stands alone: pydantic is all that it needs, and it installs as a distribution of its own."""

import subprocess
import sys
import sysconfig
import tomllib
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = sorted(f"contracts.{path.stem}" for path in (ROOT / "contracts").glob("*.py") if path.stem != "__init__")

PYDANTIC = ["pydantic", "pydantic_core", "annotated_types", "typing_extensions", "typing_inspection"]
"""pydantic and what it installs."""

IMPORT_ALL = """
import importlib, sys
for name in sys.argv[1].split(","):
    importlib.import_module(name)
names = {name.partition(".")[0] for name in sys.modules if not name.startswith("_sysconfigdata")}
print("\\n".join(sorted(names - set(sys.stdlib_module_names))))
"""


def _only_what_may_be_there(folder: Path, packages: Path) -> None:
    """A folder to import from that holds pydantic and its own dependencies beside `contracts`, and nothing else."""
    for package in packages.iterdir():
        if package.stem in PYDANTIC or package.stem.split("-")[0] in PYDANTIC:
            (folder / package.name).symlink_to(package)


def test_every_module_imports_with_pydantic_alone(tmp_path: Path) -> None:
    _only_what_may_be_there(tmp_path, Path(sysconfig.get_path("purelib")))
    (tmp_path / "contracts").symlink_to(ROOT / "contracts")
    script = f"import sys; sys.path.append({str(tmp_path)!r}); sys.dont_write_bytecode = True; {IMPORT_ALL}"
    command = [sys.executable, "-I", "-S", "-c", script, ",".join(MODULES)]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert result.returncode == 0, result.stderr
    assert set(result.stdout.split()) <= {"__main__", "contracts", *PYDANTIC}
    assert "contracts" in result.stdout.split()


def test_an_import_of_anything_else_would_be_seen(tmp_path: Path) -> None:
    _only_what_may_be_there(tmp_path, Path(sysconfig.get_path("purelib")))
    (tmp_path / "wire.py").write_text("import pydantic\nimport yaml\n", encoding="utf-8")
    script = f"import sys; sys.path.append({str(tmp_path)!r}); {IMPORT_ALL}"
    command = [sys.executable, "-I", "-S", "-c", script, "wire"]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert "No module named 'yaml'" in result.stderr


def test_the_distribution_depends_on_pydantic_alone() -> None:
    own = tomllib.loads((ROOT / "contracts" / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    whole = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert own["dependencies"] == whole["dependencies"]
    assert [dependency.split(">")[0] for dependency in own["dependencies"]] == ["pydantic"]
    assert own["version"] == whole["version"]


@pytest.mark.long
def test_it_installs_into_a_fresh_environment(tmp_path: Path) -> None:
    """Needs the package index that pip is set up with."""
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    source = str(ROOT / "contracts")
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", source]
    subprocess.run(command, check=True, cwd=tmp_path, timeout=240)
    (tmp_path / "elsewhere").mkdir()
    command = [str(python), "-I", "-c", IMPORT_ALL, ",".join(MODULES)]
    result = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path / "elsewhere", timeout=60)
    assert set(result.stdout.split()) <= {"__main__", "contracts", *PYDANTIC, "_distutils_hack"}
    listing = "from importlib.resources import files; [print(p.name) for p in files('contracts').iterdir()]"
    result = subprocess.run(
        [str(python), "-I", "-c", listing], capture_output=True, text=True, check=True, cwd=tmp_path, timeout=60
    )
    assert {"py.typed", "asyncapi.yaml", "schemas", "examples"} <= set(result.stdout.split())
