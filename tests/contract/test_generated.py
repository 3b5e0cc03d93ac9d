"""What `make contracts` writes is committed, and follows the code."""

import json
import shutil
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from contracts import generate
from contracts.topics import EVENTS

ROOT = Path(__file__).parents[2]
SCHEMAS = ROOT / "contracts" / "schemas"


def test_files_are_up_to_date() -> None:
    names = [str(path.relative_to(ROOT)) for path in generate.stale(ROOT)]
    assert not names, f"run `make contracts` and commit: {', '.join(names)}"


def test_there_is_a_schema_of_each_event_and_no_other() -> None:
    assert {path.stem for path in SCHEMAS.glob("*.json")} == {*EVENTS, "envelope", "program"}


@pytest.mark.parametrize("path", sorted(SCHEMAS.glob("*.json")), ids=lambda path: path.stem)
def test_schema_is_valid(path: Path) -> None:
    schema = json.loads(path.read_text(encoding="utf-8"))
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    Draft202012Validator.check_schema(schema)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A folder with everything generated, and a README with the marks."""
    (tmp_path / "README.md").write_text(f"before\n{generate.BEGIN}\nold\n{generate.END}\nafter\n", encoding="utf-8")
    generate.write(tmp_path)
    return tmp_path


def test_generating_again_changes_nothing(copy: Path) -> None:
    assert generate.write(copy) == []
    assert generate.main(["--check"], copy) == 0


def test_check_names_what_differs_and_writes_nothing(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changed = copy / "contracts" / "asyncapi.yaml"
    changed.write_text("asyncapi: nonsense\n", encoding="utf-8")
    (copy / "contracts" / "schemas" / "program.json").unlink()
    (copy / "contracts" / "schemas" / "loyalty.forgotten.v1.json").write_text("{}", encoding="utf-8")
    assert generate.main(["--check"], copy) == 1
    assert [line.split(":")[0] for line in capsys.readouterr().out.splitlines()] == [
        "contracts/asyncapi.yaml",
        "contracts/schemas/loyalty.forgotten.v1.json",
        "contracts/schemas/program.json",
    ]
    assert changed.read_text(encoding="utf-8") == "asyncapi: nonsense\n"


def test_writing_removes_schemas_of_types_that_are_gone(copy: Path) -> None:
    orphan = copy / "contracts" / "schemas" / "loyalty.forgotten.v1.json"
    orphan.write_text("{}", encoding="utf-8")
    generate.write(copy)
    assert not orphan.exists()


def test_readme_gets_the_tables_between_its_marks(copy: Path) -> None:
    text = (copy / "README.md").read_text(encoding="utf-8")
    assert text.startswith(f"before\n{generate.BEGIN}\n| topic |")
    assert text.endswith(f"{generate.END}\nafter\n")
    assert "old" not in text.splitlines()
    for name in EVENTS:
        assert f"| `{name}` |" in text


def test_readme_without_marks_is_left_alone(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("nothing to see\n", encoding="utf-8")
    generate.write(tmp_path)
    assert readme.read_text(encoding="utf-8") == "nothing to see\n"
    shutil.rmtree(tmp_path / "docs")
    assert tmp_path / "docs" / "topics.md" in generate.stale(tmp_path)
