"""SQL stands in the stores and in the shared kit, nowhere else."""

import ast
import re
from collections.abc import Iterator

import pytest

from .code import Source, calls, docstrings, sources

STATEMENT = re.compile(
    r"""\s*(--.*\n\s*)*(
        (?i:select\b.+\bfrom\b|insert\s+into|update\s+\w+\s+set|delete\s+from|with\s+\w+\s+as\s*\()
        |(SELECT|WITH|CREATE|ALTER|DROP|TRUNCATE|LOCK|COPY|MERGE|VACUUM|ANALYZE|LISTEN|NOTIFY|GRANT|REVOKE)\s+\S
        |SET\s+(LOCAL|SESSION)\b
    )""",
    re.VERBOSE | re.DOTALL,
)
DATABASE_CALLS = {"fetch", "fetchrow", "fetchval", "executemany", "copy_records_to_table"}
"""Methods of a connection; `execute` is not among them because a context has one, too."""


def violations(source: Source) -> Iterator[str]:
    texts = docstrings(source)
    for node in ast.walk(source.tree):
        text = node.value if isinstance(node, ast.Constant) and id(node) not in texts else None
        if isinstance(text, str) and STATEMENT.match(text):
            yield source.at(node, f"SQL outside a store: {' '.join(text.split())[:60]}")
    for call, name in calls(source):
        if name.rpartition(".")[2] in DATABASE_CALLS and "." in name:
            yield source.at(call, f"a query outside a store: {name}")


def _is_store(source: Source) -> bool:
    parts = source.path.split("/")
    if source.path == "laurel/embedded/postgres.py":  # Makes the roles and databases that the stores live in.
        return True
    return parts[0] == "services" and (parts[3:4] == ["store"] or parts[3:] == ["store.py"])


def test_sql_stands_in_stores_alone() -> None:
    checked = [source for source in sources("contracts", "services", "laurel") if not _is_store(source)]
    assert checked
    found = [violation for source in checked for violation in violations(source)]
    assert not found, "\n".join(found)


def test_every_service_has_sql_that_this_test_would_see() -> None:
    seen = {
        source.path.split("/")[1] for source in sources("services") if _is_store(source) and any(violations(source))
    }
    assert {"order-ingest", "points-accrual", "tier", "referral", "notification"} <= seen


@pytest.mark.parametrize(
    "line",
    [
        'x = "SELECT 1"',
        'await connection.execute("""\n    INSERT INTO lots (lot_id) VALUES ($1)""", lot_id)',
        'await c.execute("-- why\\nUPDATE accounts SET active = 0")',
        'await c.execute(f"delete from {table}")',
        'q = "with a as (select 1) select * from a"',
        'await c.execute("CREATE TABLE t ()")',
        'await c.execute("SET LOCAL lock_timeout = 1")',
        "rows = await connection.fetch(QUERY)",
        "await tx.connection.executemany(QUERY, rows)",
    ],
)
def test_it_would_be_found(line: str) -> None:
    assert list(violations(Source("services/tier/tier/handlers.py", f"async def f():\n    {line}\n")))


@pytest.mark.parametrize(
    "line",
    [
        '"""Select a lot from those of an order."""',
        'x = "Update the program file and publish again."',
        'x = "With a code from your friend you both earn points."',
        "await context.execute(work)",
        'x = "Create a token first."',
    ],
)
def test_other_texts_are_none(line: str) -> None:
    assert not list(violations(Source("services/tier/tier/handlers.py", f"async def f():\n    {line}\n")))
