"""The servers that all figures share, the databases of single slices, and the services as processes of their own."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import psutil
from rich.console import Console

from laurel.embedded import EmbeddedKafka, EmbeddedPostgres
from laurel.embedded.process import HOST, free_port

from .http import Client
from .meter import Meter

READY_SECONDS_MAX = 60.0
POSTGRES = "PostgreSQL"
KAFKA = "Kafka"
NONE: Mapping[str, str] = {}


def postgres_settings() -> dict[str, str]:
    """Durable, with room for a few million rows, where the machine has it."""
    large = psutil.virtual_memory().available > 8 * 2**30
    return {
        "shared_buffers": "2GB" if large else "256MB",
        "max_wal_size": "8GB",
        "checkpoint_timeout": "15min",
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
        # When an order's points were committed is asked from the server itself.
        "track_commit_timestamp": "on",
    }


@dataclass(frozen=True)
class Running:
    """One process of a service."""

    name: str
    process: asyncio.subprocess.Process
    url: str

    @property
    def pid(self) -> int:
        return self.process.pid

    def check(self) -> None:
        """Raises RuntimeError if it has ended."""
        if self.process.returncode is not None:
            raise RuntimeError(f"{self.name} ended with {self.process.returncode}")


@dataclass
class Bench:
    """What every figure is measured on."""

    postgres: EmbeddedPostgres
    kafka: EmbeddedKafka
    keys: Path
    logs: Path
    console: Console
    quick: bool
    rounds: int
    faults: list[str] = field(default_factory=list)
    """Invariants that did not hold. A figure of a run that has any is worth nothing."""
    _numbers: dict[str, int] = field(default_factory=dict)

    def count(self, full: int, quick: int) -> int:
        """How many, by how long the run may take."""
        return quick if self.quick else full

    def say(self, text: str) -> None:
        """Tell what is being done."""
        self.console.print(text, style="dim")

    def meter(self, services: Sequence[Running] = (), **others: int) -> Meter:
        """For the servers, these services (one name: together) and other processes."""
        roots = {POSTGRES: self.postgres_pid, KAFKA: self.kafka_pid}
        return Meter(roots | {f"{one.name} {place}": one.pid for place, one in enumerate(services, 1)} | others)

    @property
    def postgres_pid(self) -> int:
        return int((self.postgres.data_dir / "postmaster.pid").read_text().split()[0])

    @property
    def kafka_pid(self) -> int:
        return int((self.kafka.data_dir / "kafka.pid").read_text())

    @asynccontextmanager
    async def database(self, template: str | None = None) -> AsyncIterator[str]:
        """A database for one slice, a copy of the template; everything is on disk before the slice begins."""
        name = f"slice_{self._next('slice')}"
        await self.run(f"CREATE DATABASE {name}" + (f" TEMPLATE {template}" if template else ""), "CHECKPOINT")
        try:
            yield self.postgres.dsn(name)
        finally:
            await self.run(f"DROP DATABASE {name} WITH (FORCE)")

    def _next(self, kind: str) -> int:
        self._numbers[kind] = self._numbers.get(kind, 0) + 1
        return self._numbers[kind]

    async def run(self, *statements: str) -> None:
        """Statements of the server itself, outside of any transaction."""
        connection = await asyncpg.connect(self.postgres.dsn())
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    @asynccontextmanager
    async def service(
        self, name: str, dsn: str, instances: int = 1, settings: Mapping[str, str] = NONE
    ) -> AsyncIterator[list[Running]]:
        """So many processes of a service, ready; `settings` without their prefix."""
        async with AsyncExitStack() as stack:
            started = [await stack.enter_async_context(self._started(name, dsn, settings)) for _ in range(instances)]
            for one in started:
                await _wait_ready(one)
            yield started

    @asynccontextmanager
    async def _started(self, name: str, dsn: str, settings: Mapping[str, str]) -> AsyncIterator[Running]:
        port = free_port()
        env = {
            "DATABASE_URL": dsn, "KAFKA": self.kafka.bootstrap, "KEYS_DIR": str(self.keys), "HTTP_HOST": HOST,
            "HTTP_PORT": str(port), "LOG_LEVEL": "warning", **{key.upper(): value for key, value in settings.items()},
        }  # fmt: skip
        clean = {key: value for key, value in os.environ.items() if not key.startswith("LAUREL_")}
        with (self.logs / f"{name}.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-P", "-m", "laurel", "run", name,
                env=clean | {f"LAUREL_{key}": value for key, value in env.items()}, stdout=log, stderr=log,
            )  # fmt: skip
        try:
            yield Running(name, process, f"http://{HOST}:{port}")
        finally:
            await ended(process)


async def ended(process: asyncio.subprocess.Process) -> None:
    """Stop a process, by force where it takes long."""
    if process.returncode is None:
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), 20.0)
        except TimeoutError:
            process.kill()
            await process.wait()


async def _wait_ready(running: Running) -> None:
    async with asyncio.timeout(READY_SECONDS_MAX):
        while True:
            running.check()
            try:
                async with Client(running.url) as client:
                    if (await client.request("GET", "/readyz")).status == 200:
                        return
            except OSError:
                pass
            await asyncio.sleep(0.1)
