"""The gate on real git repositories: what the merge base released may be added to, but not changed."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from contracts import compatibility
from contracts.topics import EVENTS

ROOT = Path(__file__).parents[2]
TYPE = "shop.sold.v1"
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
FILES = {
    "contracts/RELEASED": f"{TYPE}\n",
    f"contracts/schemas/{TYPE}.json": json.dumps(SCHEMA),
    "contracts/schemas/envelope.json": json.dumps(SCHEMA),
    "contracts/schemas/shop.planned.v1.json": json.dumps(SCHEMA),
    f"contracts/examples/{TYPE}/first.json": '{\n  "a": "ü"\n}\n',
}


def _git(root: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false")
    subprocess.run(["git", "-C", str(root), *identity, *arguments], check=True, capture_output=True, timeout=60)


def _write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")


def _commit(root: Path, message: str) -> None:
    _git(root, "add", "--all")
    _git(root, "commit", "--quiet", "--allow-empty", "-m", message)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """On `main` one released type; then a branch `work` with one commit."""
    _git(tmp_path, "init", "--quiet", "--initial-branch=main")
    _write(tmp_path, FILES)
    _commit(tmp_path, "Release")
    _git(tmp_path, "checkout", "--quiet", "-b", "work")
    _commit(tmp_path, "Work")
    return tmp_path


def _schema(**properties: object) -> str:
    return json.dumps(SCHEMA | {"properties": properties})


def _remove(name: str) -> Callable[[Path], None]:
    return lambda root: (root / name).unlink()


def _put(name: str, text: str) -> Callable[[Path], None]:
    return lambda root: _write(root, {name: text})


def _rename(name: str, to: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        (root / name).rename(root / to)

    return change


STRING = {"type": "string"}
BREAKING = {
    "field removed": (_put(f"contracts/schemas/{TYPE}.json", _schema()), f"{TYPE}: a: the field was removed"),
    "type removed": (_remove(f"contracts/schemas/{TYPE}.json"), f"{TYPE}: the type was removed"),
    "type no longer listed": (_put("contracts/RELEASED", ""), f"{TYPE}: is no longer in contracts/RELEASED"),
    "list removed": (_remove("contracts/RELEASED"), f"{TYPE}: is no longer in contracts/RELEASED"),
    "envelope changed": (
        _put("contracts/schemas/envelope.json", _schema(a={"type": "integer"})),
        'envelope: a: type was "string" and is "integer"',
    ),
    "example removed": (
        _remove(f"contracts/examples/{TYPE}/first.json"),
        f"contracts/examples/{TYPE}/first.json: a released example was removed",
    ),
    "example changed": (
        _put(f"contracts/examples/{TYPE}/first.json", '{\n  "a": "u"\n}\n'),
        f"contracts/examples/{TYPE}/first.json: a released example was changed",
    ),
    "example renamed": (
        _rename(f"contracts/examples/{TYPE}/first.json", f"contracts/examples/{TYPE}/other.json"),
        f"contracts/examples/{TYPE}/first.json: a released example was removed",
    ),
}
ALLOWED = {
    "nothing": lambda _: None,
    "optional field": _put(f"contracts/schemas/{TYPE}.json", _schema(a=STRING, b=STRING | {"default": ""})),
    "text": _put(f"contracts/schemas/{TYPE}.json", _schema(a=STRING | {"description": "What it is."})),
    "new version beside": _put("contracts/schemas/shop.sold.v2.json", _schema(b=STRING)),
    "unreleased type changed": _put("contracts/schemas/shop.planned.v1.json", _schema(b=STRING)),
    "unreleased type removed": _remove("contracts/schemas/shop.planned.v1.json"),
    "type released": _put("contracts/RELEASED", f"{TYPE}\nshop.planned.v1\n"),
    "example added": _put(f"contracts/examples/{TYPE}/second.json", '{"a": "b"}'),
}


@pytest.mark.parametrize("committed", [True, False], ids=["committed", "uncommitted"])
@pytest.mark.parametrize("case", BREAKING)
def test_breaking(repository: Path, case: str, committed: bool, capsys: pytest.CaptureFixture[str]) -> None:
    change, sentence = BREAKING[case]
    change(repository)
    if committed:
        _commit(repository, case)
    assert compatibility.main([], repository) == 1
    assert sentence in capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("case", ALLOWED)
def test_allowed(repository: Path, case: str, capsys: pytest.CaptureFixture[str]) -> None:
    ALLOWED[case](repository)
    _commit(repository, case)
    assert compatibility.main([], repository) == 0
    assert "1 released types" in capsys.readouterr().out


def test_only_what_the_branch_changed_is_judged(repository: Path) -> None:
    """What came to main after the branch left it is no change of the branch."""
    _git(repository, "checkout", "--quiet", "main")
    _write(repository, {f"contracts/schemas/{TYPE}.json": _schema(a=STRING, b=STRING | {"default": ""})})
    _commit(repository, "Add a field on main")
    _git(repository, "checkout", "--quiet", "work")
    assert compatibility.check(repository)[0] == []
    assert compatibility.check(repository, against="main")[0] == []


def test_on_main_the_commit_before_counts(repository: Path) -> None:
    _git(repository, "checkout", "--quiet", "main")
    _write(repository, {f"contracts/schemas/{TYPE}.json": _schema()})
    _commit(repository, "Break it")
    assert compatibility.check(repository)[0] == [f"{TYPE}: a: the field was removed"]


def test_the_remote_main_counts_before_the_local_one(repository: Path) -> None:
    _git(repository, "update-ref", "refs/remotes/origin/main", "main")
    _git(repository, "checkout", "--quiet", "main")
    _write(repository, {f"contracts/schemas/{TYPE}.json": _schema()})
    _commit(repository, "Break it")
    _commit(repository, "And go on")
    assert compatibility.check(repository)[0] == [f"{TYPE}: a: the field was removed"]


def test_before_the_first_release_the_wire_may_change(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _git(repository, "checkout", "--quiet", "main")
    (repository / "contracts/RELEASED").unlink()
    _commit(repository, "Nothing is released")
    (repository / f"contracts/schemas/{TYPE}.json").unlink()
    _commit(repository, "Change the wire")
    assert compatibility.main([], repository) == 0
    assert "no types were released" in capsys.readouterr().out


def test_a_first_commit_has_nothing_to_compare_with(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _git(tmp_path, "init", "--quiet", "--initial-branch=main")
    _commit(tmp_path, "Begin")
    assert compatibility.main([], tmp_path) == 0
    assert "no commit to compare with" in capsys.readouterr().out


def test_without_history_released_types_cannot_pass(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A shallow clone, as CI makes them, must not switch the gate off."""
    clone = tmp_path_factory.mktemp("shallow") / "clone"
    _git(repository, "clone", "--quiet", "--depth=1", "--branch=main", f"file://{repository}", str(clone))
    problems, _ = compatibility.check(clone)
    assert problems == ["git has no commit to compare the released types with: fetch the history"]


def test_a_commit_that_does_not_exist_is_no_pass(repository: Path) -> None:
    assert compatibility.main(["no-such-branch"], repository) == 1


def test_this_repository_breaks_nothing() -> None:
    problems, _ = compatibility.check(ROOT)
    assert problems == []


def test_what_is_released_exists() -> None:
    released = ROOT / compatibility.RELEASED
    assert not released.exists() or set(released.read_text(encoding="utf-8").split()) <= EVENTS.keys()
