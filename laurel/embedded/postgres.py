"""One PostgreSQL server on the loopback interface."""

import hashlib
import shutil
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from . import postgres_home
from .process import HOST, EmbeddedError, ServerProcess, free_port, require_alone, require_port

NAME = "PostgreSQL"
STOP_TIMEOUT_S = 20.0

SETTINGS: Mapping[str, str] = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "shared_buffers": "256MB",
    "max_connections": "200",
    "max_wal_size": "2GB",
    # Short statements only: compiling them costs more than it brings.
    "jit": "off",
}
# What a crash of the machine may lose, and a crash of the process may not.
THROWAWAY: Mapping[str, str] = {"fsync": "off", "full_page_writes": "off"}


class EmbeddedPostgres:
    """A server whose cluster lives in `data_dir`. The port is chosen once per object, so clients survive a restart."""

    def __init__(
        self,
        data_dir: Path,
        *,
        port: int | None = None,
        durable: bool = True,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """`data_dir` is made where missing. `durable=False` leaves out fsync, for tests; `settings` come on top."""
        self.data_dir = data_dir.absolute()
        self.port = port or free_port()
        self._settings = {**SETTINGS, **({} if durable else THROWAWAY), **(settings or {})}
        self._server: ServerProcess | None = None

    @property
    def log(self) -> Path:
        """The file that the server's messages go to, beside `data_dir`."""
        return self.data_dir.with_name(f"{self.data_dir.name}.log")

    @property
    def running(self) -> bool:
        """Whether the server's process is alive."""
        return self._server is not None and self._server.running

    @property
    def password(self) -> str:
        """The superuser's password; the server must have been started once."""
        return (self.data_dir / postgres_home.PASSWORD_FILE).read_text()

    def dsn(self, database: str = "postgres", user: str = postgres_home.SUPERUSER) -> str:
        """The address of `database` for `user`: the superuser, or a role that `create_database` made."""
        password = self.password if user == postgres_home.SUPERUSER else self._password_of(user)
        name, secret, path = (quote(part, safe="") for part in (user, password, database))
        return f"postgresql://{name}:{secret}@{HOST}:{self.port}/{path}"

    def create_database(self, name: str, role: str | None = None) -> str:
        """Make database `name` and its owner `role` (by default of the same name) where missing; return its DSN.

        Nobody but the owner and the superuser may connect to it.
        """
        import psycopg  # As in migrations: services, which this command line starts too, need not keep it in memory.
        from psycopg import sql

        role = role or name
        database, owner = sql.Identifier(name), sql.Identifier(role)
        with psycopg.connect(self.dsn(), autocommit=True) as connection:
            if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,)).fetchone():
                secret = sql.Literal(self._password_of(role))
                connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(owner, secret))
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone():
                connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(database, owner))
            connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(database))
        return self.dsn(name, role)

    def start(self, timeout_s: float = 60) -> None:
        """Start the server and return when it takes connections; EmbeddedError with its log's end when it does not."""
        self.launch()
        self.wait_ready(timeout_s)

    def launch(self) -> None:
        """Start the process without waiting for it, so that other servers can start meanwhile."""
        if self.running:
            return
        self.data_dir.parent.mkdir(parents=True, exist_ok=True)
        cluster = postgres_home.place(self.data_dir)
        require_alone(NAME, cluster / "postmaster.pid", str(cluster))
        require_port(self.port, NAME)
        if not (cluster / "PG_VERSION").exists():
            if cluster.exists():
                cluster.rmdir()
            postgres_home.copy_template(cluster)
        settings = {**self._settings, "port": str(self.port)}
        self._server = ServerProcess(
            NAME,
            [
                str(postgres_home.program("postgres")),
                "-D",
                str(cluster),
                *(word for name, value in settings.items() for word in ("-c", f"{name}={value}")),
            ],
            log=self.log,
            stop_signal=signal.SIGINT,
            env=postgres_home.ENVIRONMENT,
            user=postgres_home.server_user(),
        )

    def wait_ready(self, timeout_s: float = 60) -> None:
        """Return when the server takes connections; otherwise end it and raise EmbeddedError."""
        if self._server is None:
            raise EmbeddedError(f"{NAME} was not launched; call start() first.")
        server, deadline = self._server, time.monotonic() + timeout_s
        while server.running and time.monotonic() < deadline:
            if self._says_ready(server.pid):
                return
            time.sleep(0.02)
        error = server.fail(f"did not answer within {timeout_s:.0f} s" if server.running else "ended while starting")
        self.kill()
        raise error

    def stop(self) -> None:
        """Stop the server cleanly, ending every connection; its data stays."""
        if self._server is not None:
            self._server.stop(STOP_TIMEOUT_S)
            self._server = None

    def kill(self) -> None:
        """End the server as a power cut of it would; the next start recovers from its log."""
        if self._server is not None:
            self._server.kill()
            self._server = None

    def restart(self, timeout_s: float = 60) -> None:
        """Stop, when it runs, and start again on the same port and data."""
        self.stop()
        self.start(timeout_s)

    def remove(self) -> None:
        """Stop, and delete the data wherever it really lies."""
        self.stop()
        shutil.rmtree(self.data_dir.resolve(), ignore_errors=True)
        if self.data_dir.is_symlink():
            self.data_dir.unlink()
        self.log.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _says_ready(self, pid: int) -> bool:
        """PostgreSQL keeps its pid and its state in the first and the last line of this file."""
        try:
            lines = (self.data_dir / "postmaster.pid").read_text().split()
        except FileNotFoundError:
            return False
        return bool(lines) and lines[0] == str(pid) and lines[-1] == "ready"

    def _password_of(self, role: str) -> str:
        """A role's password follows from the superuser's, so it need not be kept anywhere."""
        return hashlib.sha256(f"{self.password}:{role}".encode()).hexdigest()[:32]
