"""Migrations expand first: services of the version before go on while they are applied."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LATER = sorted(
    path
    for path in (*ROOT.glob("shared/migrations/*.sql"), *ROOT.glob("services/*/*/migrations/*.sql"))
    if not path.name.startswith("0001_")
)
CONTRACTS = re.compile(
    r"DROP (TABLE|COLUMN|FUNCTION|TRIGGER|VIEW)|RENAME|ALTER COLUMN \S+ (SET DATA )?TYPE|SET NOT NULL"
    r"|TRUNCATE|DELETE FROM"
)
SAYS_SO = re.compile(r"\A-- contract: not before every service is at least \S+")
NOT_NULL = re.compile(r"ADD COLUMN (?!.*DEFAULT)[^;]*?(?<!IS )\bNOT NULL\b")
ALTER = r"ALTER TABLE (?:IF EXISTS )?(?:ONLY )?(\S+)"
ALTERED = re.compile(ALTER + " (?!VALIDATE)")
SCANNED = re.compile(ALTER + r" VALIDATE|CREATE (?:UNIQUE )?INDEX (?:CONCURRENTLY )?(?:IF NOT EXISTS )?\S+ ON (\S+)")
CHECKED = re.compile(r"ADD CONSTRAINT [^;]*;", re.DOTALL)


def faults(text: str) -> list[str]:
    """What is wrong with a migration."""
    code = re.sub(r"--.*", "", text)
    found = []
    if CONTRACTS.search(code) and not SAYS_SO.search(text):
        found.append("it takes away what the version before uses, and does not say that this is the time for it")
    if any(NOT_NULL.search(line) for line in code.splitlines()):
        found.append("the version before does not fill a new column that must not be null")
    if any("NOT VALID" not in part and "UNIQUE" not in part for part in CHECKED.findall(code)):
        found.append("a constraint reads the whole table under its lock: add it NOT VALID, then VALIDATE")
    scanned = {one or other for one, other in SCANNED.findall(code)}
    if scanned & set(ALTERED.findall(code)):
        found.append("it reads a whole table under the lock of changing it: a file is a transaction, take two")
    return found


@pytest.mark.parametrize("path", LATER, ids=lambda path: str(path.relative_to(ROOT)))
def test_migrations_expand(path: Path) -> None:
    assert not faults(path.read_text())


@pytest.mark.parametrize(
    "text",
    [
        "ALTER TABLE a DROP COLUMN b;",
        "ALTER TABLE a RENAME COLUMN b TO c;",
        "ALTER TABLE a ADD COLUMN b text NOT NULL;",
        "ALTER TABLE a ADD CONSTRAINT c CHECK (b > 0);",
        "ALTER TABLE a ADD CONSTRAINT c CHECK (b > 0) NOT VALID;\nALTER TABLE a VALIDATE CONSTRAINT c;",
        "ALTER TABLE a ADD COLUMN b int;\nCREATE INDEX c ON a (b);",
        "ALTER TABLE ONLY a ADD COLUMN b int;\nCREATE INDEX IF NOT EXISTS c ON a (b);",
    ],
)
def test_what_would_stop_the_version_before_is_found(text: str) -> None:
    assert faults(text)


def test_contracting_on_purpose_says_since_when() -> None:
    assert not faults("-- contract: not before every service is at least 1.2\nALTER TABLE a DROP COLUMN b;")
