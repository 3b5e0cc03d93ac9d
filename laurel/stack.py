"""A whole Laurel on this machine: servers, databases, topics, keys, services, a program and a shop."""

import asyncio
import secrets
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

import asyncpg
import httpx

from shared.admin import apply_topics
from shared.db import MIGRATIONS, migrate

from . import topics
from .embedded import EmbeddedServers, SmtpSink
from .embedded.process import HOST, free_port, require_port
from .installation import Failure, State, token, write_secret
from .keys import make_keys
from .programs import read_program
from .services import SERVICES
from .supervisor import Supervisor

PRESET = Path(__file__).parents[1] / "programs" / "aurora.yaml"
SOURCE = "demo-shop"
READY_SECONDS_MAX = 90.0


class Stack:
    """As a context manager: what was there before is found again; nothing is left running behind."""

    def __init__(
        self,
        home: Path,
        *,
        ports: Mapping[str, int] | None = None,
        durable: bool = True,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`ports`: by service; None takes free ones. `tell` hears what is being done."""
        self.home = home.absolute()
        self._tell = tell
        self._ports = dict(ports) if ports is not None else {name: free_port() for name in SERVICES}
        self.servers = EmbeddedServers(self.home, durable=durable)
        self.sink = SmtpSink(self.home / "mails")
        self.supervisor: Supervisor | None = None
        self._state: State | None = None

    @property
    def state(self) -> State:
        """Where everything is; the stack must have been started."""
        assert self._state is not None, "start the stack first"
        return self._state

    def start(self) -> None:
        """Start everything and return when every service is ready. What was started is stopped again on any error."""
        try:
            for name, port in self._ports.items():
                require_port(port, name)
            self._tell("Starting Kafka and PostgreSQL")
            self.servers.start()
            self.sink.start()
            self._state = self._describe()
            self._tell("Preparing databases, topics and keys")
            self._prepare(self.state)
            self._tell("Starting the services")
            self.supervisor = Supervisor(self.envs(), self.state.logs)
            self.supervisor.start()
            self.wait_ready()
            self._tell("Setting up the program and the shop")
            self._set_up(self.state)
            self.state.save()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop everything, the services first."""
        (self.home / "state.json").unlink(missing_ok=True)
        try:
            if self.supervisor is not None:
                self.supervisor.stop()
        finally:
            self.sink.stop()
            self.servers.stop()

    def _describe(self) -> State:
        postgres = self.servers.postgres
        return State(
            home=self.home,
            kafka=self.servers.kafka.bootstrap,
            databases={name: postgres.create_database(entry.database) for name, entry in SERVICES.items()},
            urls={name: f"http://{HOST}:{port}" for name, port in self._ports.items()},
            smtp_port=self.sink.port,
            program_id=read_program(PRESET).id,
        )

    def _prepare(self, state: State) -> None:
        make_keys(state.keys)
        with ThreadPoolExecutor(max_workers=2) as pool:
            applied = pool.submit(lambda: asyncio.run(apply_topics(state.kafka, topics.wanted(), check=False)))
            for name, entry in SERVICES.items():
                migrate(state.databases[name], [MIGRATIONS, entry.migrations])
            outcome = applied.result()
        if outcome.wrong:
            raise Failure(f"{outcome.wrong[0]}; to start anew, remove {self.home}.")

    def envs(self) -> dict[str, dict[str, str]]:
        """By service, the settings that its process gets."""
        state = self.state
        return {
            name: {
                "LAUREL_DATABASE_URL": state.databases[name],
                "LAUREL_KAFKA": state.kafka,
                "LAUREL_HTTP_HOST": HOST,
                "LAUREL_HTTP_PORT": str(self._ports[name]),
                "LAUREL_KEYS_DIR": str(state.keys),
                "LAUREL_SMTP_HOST": HOST,
                "LAUREL_SMTP_PORT": str(state.smtp_port),
                "LAUREL_PUBLIC_URL": state.urls[name],
            }
            for name in SERVICES
        }

    def wait_ready(self) -> None:
        """Return when every service says it is ready. Raises Failure naming one that does not, and its log."""
        deadline = time.monotonic() + READY_SECONDS_MAX
        with httpx.Client(timeout=5.0, trust_env=False) as client:
            for name, url in self.state.urls.items():
                while (why := _unready(client, url)) is not None:
                    if time.monotonic() > deadline:
                        raise Failure(f"{name} did not become ready ({why}); see {self.state.logs / name}.log.")
                    time.sleep(0.1)

    def _set_up(self, state: State) -> None:
        """The preset and the demo shop, unless they are there from an earlier run."""
        headers = {"Authorization": f"Bearer {token(state.program_id, folder=state.keys)}"}
        with httpx.Client(base_url=state.urls["console"], headers=headers, timeout=10.0, trust_env=False) as client:
            if not client.get("/v1/programs").raise_for_status().json()["items"]:
                document = read_program(PRESET).model_dump_json()
                answer = client.post(
                    "/v1/programs",
                    params={"backdate": "true"},
                    content=document,
                    headers={"Content-Type": "application/json"},
                )
                answer.raise_for_status()
        state.source, state.connection_id = SOURCE, asyncio.run(_shop(state))

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _unready(client: httpx.Client, url: str) -> str | None:
    """Why a service is not ready; None when it is."""
    try:
        answer = client.get(f"{url}/readyz")
    except httpx.TransportError as error:
        return type(error).__name__
    return None if answer.is_success else "; ".join(answer.json().get("why", [])) or str(answer.status_code)


async def _shop(state: State) -> str:
    """The connection of the demo shop; its secret lies in the state's file."""
    from order_ingest.store.connections import create_connection, create_source, list_connections

    now = datetime.now(UTC)
    connection = await asyncpg.connect(state.databases["order-ingest"], timeout=5, command_timeout=30)
    try:
        for known in await list_connections(connection, now=now):
            if known.source == SOURCE and known.active and state.secret_file.exists():
                return known.connection_id
        secret = secrets.token_hex(32)
        await create_source(connection, state.program_id, SOURCE, now=now)
        connection_id = await create_connection(connection, state.program_id, SOURCE, "shopify", secret, now=now)
        write_secret(state.secret_file, secret)
        return connection_id
    finally:
        await connection.close(timeout=5)
