"""The Compose project of one run: started under a name, a port and secrets of its own, removed at the end."""

import os
import secrets
import socket
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from laurel import shopify

ROOT = Path(__file__).parents[2]
PROGRAM = "aurora"


class CheckFailed(Exception):
    """What was found is not what should be; the text says both."""


def expect(found: object, wanted: object, what: str) -> None:
    if found != wanted:
        raise CheckFailed(f"{what}: {found!r} instead of {wanted!r}")


class Stack:
    """The project under a name, a port and secrets of this run; leaving the context removes it."""

    def __init__(self, folder: Path) -> None:
        self.name = f"laurel-test-{secrets.token_hex(4)}"
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            self.port = int(listener.getsockname()[1])
        # The engine's own settings stay; what a developer's .env says of Laurel does not.
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("LAUREL_", "COMPOSE_"))}
        self._env = kept | {"LAUREL_PORT": str(self.port), "LAUREL_SECRETS_DIR": str(folder)}
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=10.0, trust_env=False)
        self.member_id = self.connection_id = self.secret = ""
        self._store: dict[str, str] = {}
        self.order = b""
        subprocess.run([str(ROOT / "ops" / "make-secrets"), str(folder)], check=True, stdout=subprocess.DEVNULL)

    def compose(self, *words: str, timeout: float = 120, text: str | None = None) -> str:
        """Run `docker compose` and return what it prints; raises CheckFailed with the end of what it says."""
        command = ["docker", "compose", "--env-file", os.devnull, "-p", self.name, *words]
        try:
            done = subprocess.run(
                command,
                cwd=ROOT,
                env=self._env,
                timeout=timeout,
                input=text,
                text=True,
                capture_output=True,
                check=False,
            )
        except FileNotFoundError:
            raise CheckFailed("there is no docker command: this needs a Docker engine with Compose v2") from None
        except subprocess.TimeoutExpired:
            raise CheckFailed(f"`docker compose {words[0]}` did not end within {timeout:.0f} s") from None
        if done.returncode:
            said = (done.stdout + done.stderr).strip()[-3000:]
            raise CheckFailed(f"`docker compose {' '.join(words)}` ended with {done.returncode}:\n{said}")
        return done.stdout

    def laurel(self, *words: str, text: str | None = None) -> str:
        """Run the operator's command line inside."""
        return self.compose("run", "--rm", "-T", "laurel", *words, text=text).strip()

    def store(self) -> dict[str, str]:
        """Headers with the shop's token."""
        if not self._store:
            token = self.laurel("token", "create", "--program", PROGRAM, "--ttl", "1h")
            self._store = {"Authorization": f"Bearer {token}"}
        return self._store

    def member(self) -> dict[str, str]:
        """Headers with a token of the member, which the shop asks for."""
        answer = self.client.post("/v1/member-tokens", json={"member_id": self.member_id}, headers=self.store())
        expect(answer.status_code, 201, "making a member's token")
        return {"Authorization": f"Bearer {answer.json()['token']}"}

    def webhooks(self) -> str:
        """The path where the shop's webhooks go."""
        return f"/v1/connections/{self.connection_id}/webhooks"

    def send(self, body: bytes, signed_with: str) -> int:
        """Send a webhook; returns the status. Every call is the same delivery, as a platform repeats it."""
        headers = shopify.headers(signed_with, body, "orders/paid", webhook_id="compose-1")
        return self.client.post(self.webhooks(), content=body, headers=headers).status_code

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.client.close()
        self.compose("--profile", "tools", "down", "--volumes", "--remove-orphans", timeout=240)
