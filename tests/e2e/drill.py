"""A running Laurel with backups of its databases, and what an operator does to it, by the tools that operators have."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import psycopg
from psycopg import sql

from contracts.topics import CONSOLE, INGEST, POINTS
from laurel.embedded.postgres_home import ENVIRONMENT, program
from laurel.installation import State, token
from laurel.services import SERVICES
from laurel.stack import Stack

from .quiet import wait_until_quiet

QUIET_SECONDS_MAX = 120.0


class Drill:
    """What is done to one Laurel."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        self.stack, self.folder = stack, folder
        folder.mkdir(exist_ok=True)
        self.seconds: list[tuple[str, float]] = []
        """How long each step took."""
        for name, entry in SERVICES.items():
            (folder / f"{entry.database}.dsn").write_text(self.state.databases[name])

    @property
    def state(self) -> State:
        return self.stack.state

    def quiet(self) -> None:
        """Wait until nothing is on its way."""
        self.stack.wait_ready()
        wait_until_quiet(self.state, seconds_max=QUIET_SECONDS_MAX)

    def back_up(self) -> None:
        """A backup of every database, while the services run."""
        dumps = [
            _start("pg_dump", "--format=custom", f"--file={self._backup(name)}", self.state.databases[name])
            for name in SERVICES
        ]
        for dump in dumps:
            _finish(dump)

    def restore(self, name: str) -> float:
        """Put a service's database back to its backup; the service must stand. Returns the seconds it took."""
        began = time.monotonic()
        database = sql.Identifier(SERVICES[name].database)
        with psycopg.connect(self.stack.servers.postgres.dsn(), autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(database))
        self.stack.servers.postgres.create_database(SERVICES[name].database)
        _finish(_start("pg_restore", f"--dbname={self.state.databases[name]}", str(self._backup(name))))
        return time.monotonic() - began

    def lose_kafka(self) -> None:
        """Kafka's data is gone; an empty one takes its place."""
        kafka = self.stack.servers.kafka
        kafka.kill()
        shutil.rmtree(kafka.data_dir)
        kafka.start()

    def stop(self, *names: str) -> None:
        """Stop services."""
        assert self.stack.supervisor is not None
        for name in names:
            self.stack.supervisor.pause(name)

    def start(self, *names: str) -> None:
        """Start services again."""
        assert self.stack.supervisor is not None
        for name in names:
            self.stack.supervisor.resume(name)

    def wait_sent(self, name: str) -> None:
        """Wait until Kafka has all that a service had to tell."""
        self._wait(lambda: self.rows(name, "SELECT 1 FROM outbox LIMIT 1") == [], f"{name} has told all")
        if name == INGEST:
            question = "SELECT 1 FROM deliveries WHERE status = 'received' LIMIT 1"
            self._wait(lambda: self.rows(name, question) == [], "all deliveries are read")
            self._wait(lambda: self.rows(name, "SELECT 1 FROM outbox LIMIT 1") == [], f"{name} has told all")

    def wait_stopped(self, names: Sequence[str]) -> None:
        """Wait until services have seen that this is another Kafka."""
        question = "SELECT 1 FROM consumer_offsets WHERE stopped_why IS NULL LIMIT 1"
        for name in names:
            self._wait(lambda name=name: self.rows(name, question) == [], f"{name} stands still")  # type: ignore[misc]

    def _wait(self, until: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + QUIET_SECONDS_MAX
        while not until():
            assert time.monotonic() < deadline, f"not after {QUIET_SECONDS_MAX:.0f} s: {what}"
            time.sleep(0.2)

    def laurel(self, *words: str, wanted: int = 0) -> str:
        """What a command says; its exit code must be as wanted."""
        said = {
            "LAUREL_DATABASE_URL_FILE": str(self.folder / "{database}.dsn"),
            "LAUREL_KAFKA": self.state.kafka,
            "LAUREL_KEYS_DIR": str(self.state.keys),
        }
        said |= {f"LAUREL_{SERVICES[name].package.upper()}_URL": url for name, url in self.state.urls.items()}
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "laurel", *words], env={**os.environ, **said}, capture_output=True, text=True,
            timeout=60, check=False,
        )  # fmt: skip
        self.seconds.append((" ".join(words), time.monotonic() - began))
        assert done.returncode == wanted, f"laurel {' '.join(words)}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def each(self, group: str, command: str, *words: str) -> None:
        """The same command for every service."""
        with ThreadPoolExecutor(3) as pool:
            list(pool.map(lambda name: self.laurel(group, command, name, *words), SERVICES))

    def rows(self, name: str, question: str) -> list[tuple[Any, ...]]:
        """What a service's database says."""
        with psycopg.connect(self.state.databases[name]) as connection:
            return connection.execute(question.encode()).fetchall()

    def _backup(self, name: str) -> Path:
        return self.folder / f"{SERVICES[name].database}.dump"


def _start(name: str, *words: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([str(program(name)), *words], env=ENVIRONMENT, stderr=subprocess.PIPE)


def _finish(process: subprocess.Popen[bytes]) -> None:
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said.decode()


class ByHand:
    """What people do over HTTP that no topic carries: only the ledger's own journal knows it."""

    def __init__(self, state: State) -> None:
        self._state = state
        with psycopg.connect(state.databases[POINTS]) as connection:
            rows = connection.execute("SELECT member_id FROM accounts WHERE active > 700 ORDER BY active LIMIT 8")
            self.members = [str(row[0]) for row in rows.fetchall()]

    def act(self) -> None:
        """Adjust, freeze, hold, capture, release, redeem and undo."""
        assert len(self.members) >= 5
        rich, poor, held, released, undone = self.members[:5]
        self.post(f"{rich}/adjustments", "more", points=500, reason="a goodwill gift")
        self.post(f"{poor}/adjustments", "less", points=-40, reason="a mistake")
        self._assign(rich, "vip")
        self.post(f"{poor}/freeze", "stop", reason="looked into")
        coupon = self.post(f"{held}/redemptions", "hold", reward_id="five-off", hold=True)["coupon_id"]
        self.post(f"{held}/redemptions/{coupon}/capture", "capture")
        coupon = self.post(f"{released}/redemptions", "hold", reward_id="five-off", hold=True)["coupon_id"]
        self.post(f"{released}/redemptions/{coupon}/release", "release")
        coupon = self.post(f"{undone}/redemptions", "take", reward_id="five-off")["coupon_id"]
        self.post(f"{undone}/redemptions/{coupon}/reversal", "undo")

    def _assign(self, member_id: str, segment: str) -> None:
        headers = {"Authorization": f"Bearer {token(self._state.program_id, folder=self._state.keys)}"}
        url = f"{self._state.urls[CONSOLE]}/v1/members/{member_id}/segments"
        with httpx.Client(timeout=10.0, trust_env=False) as client:
            client.put(url, json={"segments": [segment]}, headers=headers).raise_for_status()

    def repeat(self) -> dict[str, Any]:
        """Ask for the hold again, with the same key: the answer must be the same for ever."""
        return self.post(f"{self.members[2]}/redemptions", "hold", reward_id="five-off", hold=True)

    def post(self, path: str, key: str, **body: Any) -> dict[str, Any]:
        """Once, with an idempotency key."""
        headers = {
            "Authorization": f"Bearer {token(self._state.program_id, folder=self._state.keys)}",
            "Idempotency-Key": f"by-hand-{key}",
        }
        with httpx.Client(base_url=self._state.urls[POINTS], timeout=10.0, trust_env=False) as client:
            answer = client.post(f"/v1/members/{path}", json=body, headers=headers)
        assert answer.is_success, f"{path}: {answer.status_code} {answer.text}"
        found: dict[str, Any] = answer.json()
        return found
