"""A Laurel that can be troubled: behind proxies, on a small disk, with a second points-accrual and shaky edges."""

import asyncio
import os
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from contracts.topics import NOTIFICATION, POINTS
from laurel.embedded import EmbeddedKafka, EmbeddedPostgres
from laurel.embedded.process import HOST, free_port
from laurel.services import SERVICES
from laurel.stack import Stack
from laurel.supervisor import Child
from notification.store.endpoints import set_endpoint

from .disk import SmallDisk
from .edges import HOOK_TROUBLE, MAIL_TROUBLE, Chance, HookTarget, ShakyMailServer
from .toxiproxy import Toxiproxy

START_SECONDS_MAX = 45.0
SESSION_SECONDS = 6.0
"""The least that Kafka takes: who is stopped for longer has lost its partitions."""


class ChaosStack(Stack):
    """A `Stack` whose parts can be reached."""

    def __init__(self, home: Path, seed: int, *, toxiproxy: Path | None, small_disk: bool) -> None:
        """`toxiproxy`: the program; None lets the services speak to their servers directly."""
        super().__init__(home, durable=False)
        home.mkdir(mode=0o711, parents=True, exist_ok=True)
        self.mail_trouble, self.hook_trouble = Chance(seed, MAIL_TROUBLE), Chance(seed + 1, HOOK_TROUBLE)
        sink = ShakyMailServer(self.home / "mails")
        sink.chance = self.mail_trouble
        self.sink = self.mail_server = sink
        self.target = HookTarget(self.hook_trouble)
        self.proxy = Toxiproxy(toxiproxy, self.home / "toxiproxy.log") if toxiproxy else None
        self.postgres_proxied, self.kafka_proxied = free_port(), free_port()
        self._kafka_inner = free_port()
        if self.proxy is not None:
            broker, controller = free_port(), free_port()
            self.servers.kafka = EmbeddedKafka(
                self.home / "kafka", port=broker, controller_port=controller,
                settings=_listeners(broker, controller, self._kafka_inner, self.kafka_proxied),
            )  # fmt: skip
        self.disk = SmallDisk(self.home / "disk") if small_disk else None
        self._second: Child | None = None

    @property
    def kafka(self) -> EmbeddedKafka:
        """The broker."""
        return self.servers.kafka

    @property
    def postgres(self) -> EmbeddedPostgres:
        """The database server."""
        return self.servers.postgres

    def pid(self, service: str) -> int:
        """The process of a service; waits for it while the supervisor starts it again."""
        assert self.supervisor is not None
        deadline = time.monotonic() + START_SECONDS_MAX
        while (pid := self.supervisor.children[service].pid) is None:
            assert time.monotonic() < deadline, f"{service} does not run; its log says why"
            time.sleep(0.05)
        return pid

    def start(self) -> None:
        """Start everything, the edges too, and calm; trouble is the business of others."""
        self.mail_trouble.quiet = self.hook_trouble.quiet = True
        if self.disk is not None:
            self.disk.mount()
            (self.home / "postgres").symlink_to(self.disk.folder / "cluster")
        if self.proxy is not None:
            self.proxy.start({
                "postgres": (self.postgres_proxied, self.postgres.port),
                "kafka": (self.kafka_proxied, self._kafka_inner),
            })  # fmt: skip
        self.target.start()
        super().start()
        asyncio.run(self._set_endpoint())
        self.mail_trouble.quiet = self.hook_trouble.quiet = False

    def stop(self) -> None:
        """Stop everything and give the disk back."""
        try:
            self.leave(kill=False)
            super().stop()
        finally:
            self.target.stop()
            if self.proxy is not None:
                self.proxy.stop()
            if self.disk is not None:
                self.disk.unmount()

    def join(self) -> str:
        """Start a second points-accrual. Returns the base of its HTTP."""
        port = free_port()
        clean = {name: value for name, value in os.environ.items() if not name.startswith("LAUREL_")}
        env = {**clean, **self.envs()[POINTS], "LAUREL_HTTP_PORT": str(port)}
        self._second = Child(SERVICES[POINTS], env, self.state.logs / f"{POINTS}-second.log")
        self._second.look()
        return f"http://{HOST}:{port}"

    def leave(self, *, kill: bool) -> None:
        """End the second points-accrual, if there is one."""
        second, self._second = self._second, None
        if second is not None:
            if kill:
                second.kill()
            second.stop()

    def envs(self) -> dict[str, dict[str, str]]:
        envs = super().envs()
        for env in envs.values():
            env["LAUREL_SESSION_TIMEOUT_MS"] = str(int(SESSION_SECONDS * 1000))
            if self.proxy is not None:
                env["LAUREL_KAFKA"] = f"{HOST}:{self.kafka_proxied}"
                env["LAUREL_DATABASE_URL"] = _by_port(env["LAUREL_DATABASE_URL"], self.postgres_proxied)
        envs[NOTIFICATION]["LAUREL_WEBHOOK_ALLOW_HOSTS"] = HOST
        return envs

    async def _set_endpoint(self) -> None:
        connection = await asyncpg.connect(self.state.databases[NOTIFICATION], timeout=5, command_timeout=30)
        try:
            await set_endpoint(connection, self.state.program_id, self.target.url, now=datetime.now(UTC))
        finally:
            await connection.close(timeout=5)


def _by_port(dsn: str, port: int) -> str:
    parts = urlsplit(dsn)
    login = parts.netloc.rpartition("@")[0]
    return urlunsplit(parts._replace(netloc=f"{login}@{HOST}:{port}"))


def _listeners(broker: int, controller: int, inner: int, proxied: int) -> Mapping[str, str]:
    """Beside its own listeners one, at `inner`, that tells clients the proxy's address."""
    return {
        "listeners": f"PLAINTEXT://{HOST}:{broker},CONTROLLER://{HOST}:{controller},PROXIED://{HOST}:{inner}",
        "advertised.listeners": f"PLAINTEXT://{HOST}:{broker},PROXIED://{HOST}:{proxied}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,PROXIED:PLAINTEXT",
    }
