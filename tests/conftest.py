"""Servers for the tests: embedded ones, or those that LAUREL_TEST_KAFKA and LAUREL_TEST_POSTGRES name.

A server that cannot be had fails the tests that need it; nothing is skipped.
"""

import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from typing import LiteralString
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
import structlog
from psycopg import sql
from rich.console import Console

from laurel.embedded import EmbeddedKafka, EmbeddedPostgres

from .e2e.reference import undisturbed  # noqa: F401 - a fixture of several packages

# With every local value, as it comes by default, a traceback takes seconds to draw, in which the service does nothing.
structlog.configure(
    processors=[
        *structlog.get_config()["processors"][:-1],
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
    ]
)


@pytest.fixture
def told(record_property: Callable[[str, object], None]) -> Iterator[Console]:
    """What a test has to tell beside that it passed; printed in the end, since several processes run the tests."""
    console = Console(width=150, file=(text := StringIO()))
    yield console
    record_property("told", text.getvalue())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests told."""
    for report in (one for reports in terminalreporter.stats.values() for one in reports):
        if getattr(report, "when", None) == "teardown":
            for text in (text for name, text in report.user_properties if name == "told"):
                terminalreporter.write(f"\n{text}")


class PostgresServer:
    """A server that hands out empty databases."""

    def __init__(self, dsn: str) -> None:
        """`dsn` is the address of any database as a superuser."""
        self.dsn = dsn

    def create(self, name: str = "test", *, options: LiteralString = "") -> str:
        """Make an empty database whose name begins with `name`, and return its DSN as the superuser."""
        database = f"{name}_{uuid.uuid4().hex[:12]}"
        self._run(sql.SQL("CREATE DATABASE {} TEMPLATE template0 " + options).format(sql.Identifier(database)))
        return urlunsplit(urlsplit(self.dsn)._replace(path=f"/{database}"))

    def drop(self, dsn: str) -> None:
        """Remove a database that `create` made, ending whatever is connected to it."""
        database = urlsplit(dsn).path.removeprefix("/")
        self._run(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(database)))

    def _run(self, statement: sql.Composed) -> None:
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute(statement)


@pytest.fixture(scope="session")
def server_dir() -> Iterator[Path]:
    """A folder for servers' data. pytest's own are closed to others, and for root PostgreSQL runs as somebody else."""
    folder = Path(tempfile.mkdtemp(prefix="laurel-test-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def kafka(server_dir: Path) -> Iterator[str]:
    """The address of a Kafka that all tests share: choose topic and group names of your own."""
    if given := os.environ.get("LAUREL_TEST_KAFKA"):
        yield given
        return
    with EmbeddedKafka(server_dir / "kafka") as server:
        yield server.bootstrap


@pytest.fixture(scope="session")
def postgres(server_dir: Path) -> Iterator[PostgresServer]:
    """A PostgreSQL that all tests share."""
    if given := os.environ.get("LAUREL_TEST_POSTGRES"):
        yield PostgresServer(given)
        return
    with EmbeddedPostgres(server_dir / "postgres", durable=False) as server:
        yield PostgresServer(server.dsn())


@pytest.fixture
def database(postgres: PostgresServer) -> Iterator[str]:
    """The DSN of an empty database of this test alone."""
    dsn = postgres.create()
    yield dsn
    postgres.drop(dsn)


@pytest.fixture(scope="module")
def module_database(postgres: PostgresServer) -> Iterator[str]:
    """One database for a module: making one takes longer than most tests."""
    dsn = postgres.create("module")
    yield dsn
    postgres.drop(dsn)
