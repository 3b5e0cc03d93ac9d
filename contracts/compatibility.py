"""The gate: a released type stays readable. Inside a version may come a new optional field with a default, and text."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RELEASED = "contracts/RELEASED"
"""The released types, one to a line; absent until the first release, and until then the wire may still change."""
SCHEMAS = "contracts/schemas"
EXAMPLES = "contracts/examples"

_TEXT = {"title", "description", "examples", "$comment", "$id", "$schema", "$defs"}
_FIELDS = {"properties", "required"}
_PARTS = {"items", "additionalProperties", "propertyNames"}
_ALTERNATIVES = {"anyOf", "oneOf", "allOf", "prefixItems"}
_ABSENT = object()

Json = Mapping[str, Any]


def breaking_changes(old: Json, new: Json) -> list[str]:
    """One sentence for every change from `old` to `new` that could break a reader or a writer of either.

    Both are JSON Schemas as pydantic writes them; where a definition stands and what it is called does not matter.
    """
    return list(_Comparison(old.get("$defs", {}), new.get("$defs", {})).schema(old, new, ""))


@dataclass(frozen=True)
class _Comparison:
    """Walks two schemas at once; holds the definitions that each refers to."""

    old_definitions: Json
    new_definitions: Json

    def schema(self, old: Any, new: Any, path: str) -> Iterator[str]:
        where = path or "the document"
        if not isinstance(old, Mapping) or not isinstance(new, Mapping):
            if old != new:
                yield f"{where}: {_say(old)} became {_say(new)}"
            return
        old, null_before = _resolve(old, self.old_definitions)
        new, null_after = _resolve(new, self.new_definitions)
        if null_before != null_after:
            yield f"{where}: the field may {'now' if null_after else 'no longer'} be null"
        yield from self._fields(old, new, path)
        for keyword in sorted((old.keys() | new.keys()) - _TEXT - _FIELDS):
            yield from self._keyword(keyword, old.get(keyword, _ABSENT), new.get(keyword, _ABSENT), where)

    def _fields(self, old: Json, new: Json, path: str) -> Iterator[str]:
        before, after = old.get("properties", {}), new.get("properties", {})
        needed_before, needed_after = set(old.get("required", ())), set(new.get("required", ()))
        closed = old.get("additionalProperties") is False
        for name in sorted(before.keys() | after.keys()):
            where = f"{path}.{name}" if path else name
            if name not in after:
                yield f"{where}: the field was removed"
            elif name not in before:
                yield from _added(where, after[name], needed=name in needed_after, closed=closed)
            else:
                if (name in needed_before) != (name in needed_after):
                    yield f"{where}: the field became {'required' if name in needed_after else 'optional'}"
                yield from self.schema(before[name], after[name], where)

    def _keyword(self, keyword: str, old: Any, new: Any, where: str) -> Iterator[str]:
        comparable = type(old) is type(new)
        if keyword == "default" and _grown(old, new):
            return
        if keyword in _PARTS and isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from self.schema(old, new, f"{where}[]")
        elif keyword == "patternProperties" and comparable and old.keys() == new.keys():
            for pattern in old:
                yield from self.schema(old[pattern], new[pattern], f"{where}[{pattern}]")
        elif keyword in _ALTERNATIVES and comparable and len(old) == len(new):
            for before, after in zip(old, new, strict=True):
                yield from self.schema(before, after, where)
        elif old != new:
            yield f"{where}: {keyword} was {_say(old)} and is {_say(new)}"


def _resolve(schema: Json, definitions: Json) -> tuple[Json, bool]:
    """The schema with what it refers to beside its own keywords, and whether it may be null."""
    nullable = False
    while True:
        alternatives = [part for part in schema.get("anyOf", ()) if part != {"type": "null"}]
        if "$ref" in schema:
            referred: Json = definitions[schema["$ref"].removeprefix("#/$defs/")]
        elif len(alternatives) == 1:
            referred, nullable = alternatives[0], True
        else:
            return schema, nullable
        schema = {**referred, **{keyword: schema[keyword] for keyword in schema.keys() - {"$ref", "anyOf"}}}


def _added(where: str, schema: Json, *, needed: bool, closed: bool) -> Iterator[str]:
    if needed:
        yield f"{where}: a new field is required"
    elif "default" not in schema:
        yield f"{where}: a new field has no default"
    if closed:
        yield f"{where}: a new field in an object that refuses fields it does not know"


def _grown(old: Any, new: Any) -> bool:
    """The default is the same but for fields that came into the object since, which are judged where they stand."""
    if isinstance(old, dict) and isinstance(new, dict):
        return all(name in new and _grown(value, new[name]) for name, value in old.items())
    return type(old) is type(new) and bool(old == new)


def _say(value: Any) -> str:
    return "absent" if value is _ABSENT else json.dumps(value, ensure_ascii=False)


# The other half: which schemas to compare, from git and from the working tree.


def check(root: Path, against: str | None = None) -> tuple[list[str], str]:
    """Compare the working tree at `root` with the merge base; returns what is broken, and what was compared."""
    base = merge_base(root, against)
    if base is None:
        if against is not None or (root / RELEASED).exists():
            return ["git has no commit to compare the released types with: fetch the history"], "nothing"
        return [], "no commit to compare with, and no released types"
    listed = _git(root, "show", f"{base}:./{RELEASED}")
    if listed is None:
        return [], f"no types were released at {base[:12]}, so the wire may still change"
    types = listed.split()
    problems = [problem for name in ["envelope", *types] for problem in _check_schema(root, base, name)]
    problems += [problem for name in types for problem in _check_examples(root, base, name)]
    present = (root / RELEASED).read_text(encoding="utf-8").split() if (root / RELEASED).exists() else []
    problems += [f"{name}: is no longer in {RELEASED}" for name in types if name not in present]
    return problems, f"{len(types)} released types at {base[:12]}"


def merge_base(root: Path, against: str | None = None) -> str | None:
    """Where the work left the main line; on the main line itself the commit before. None if there is no such commit."""
    if against is not None:
        return _commit(root, "merge-base", "HEAD", against)
    head = _commit(root, "rev-parse", "HEAD")
    bases = [_commit(root, "merge-base", "HEAD", ref) for ref in ("origin/main", "main")]
    left = next((base for base in bases if base not in (None, head)), None)
    return left or _commit(root, "rev-parse", "--verify", "HEAD~1")


def _check_schema(root: Path, base: str, name: str) -> list[str]:
    old = _git(root, "show", f"{base}:./{SCHEMAS}/{name}.json")
    path = root / SCHEMAS / f"{name}.json"
    if old is None:
        return [f"{name}: was released without {SCHEMAS}/{name}.json"]
    if not path.exists():
        return [f"{name}: the type was removed"]
    new = json.loads(path.read_text(encoding="utf-8"))
    return [f"{name}: {change}" for change in breaking_changes(json.loads(old), new)]


def _check_examples(root: Path, base: str, name: str) -> list[str]:
    """Examples that were published once are promises, too; new ones may come."""
    listed = _git(root, "ls-tree", "-r", "--name-only", "-z", base, f"{EXAMPLES}/{name}/") or ""
    problems = []
    for example in filter(None, listed.split("\0")):
        if not (root / example).exists():
            problems.append(f"{example}: a released example was removed")
        elif (root / example).read_text(encoding="utf-8") != _git(root, "show", f"{base}:./{example}"):
            problems.append(f"{example}: a released example was changed")
    return problems


def _commit(root: Path, *arguments: str) -> str | None:
    return (_git(root, *arguments) or "").strip() or None


def _git(root: Path, *arguments: str) -> str | None:
    """What git prints, or None when it fails, as it does where something does not exist."""
    command = ["git", "-C", str(root), *arguments]
    try:
        result = subprocess.run(command, capture_output=True, check=False, encoding="utf-8", timeout=60)
    except FileNotFoundError:  # no git on this machine
        return None
    return result.stdout if result.returncode == 0 else None


def main(arguments: Sequence[str], root: Path = Path(__file__).parent.parent) -> int:
    """`python -m contracts.compatibility [COMMIT]`: 1 and a sentence for every change that breaks a released type."""
    problems, compared = check(root, arguments[0] if arguments else None)
    for problem in problems:
        sys.stdout.write(f"{problem}\n")
    sys.stdout.write(f"Compared: {compared}. {len(problems) or 'No'} breaking changes.\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
