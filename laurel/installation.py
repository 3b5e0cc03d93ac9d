"""Which Laurel the commands talk to: the one that the environment names, else the one that runs from this folder."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import BaseModel

from shared.access import Scope, Tokens
from shared.settings import Settings

from .services import SERVICES, Entry


class Failure(Exception):
    """A command cannot do what was asked; the text is one clear sentence that says what to do."""


class State(BaseModel):
    """What `laurel up` and `laurel demo` leave for other commands. Readable by its owner alone: it holds passwords."""

    home: Path
    kafka: str
    databases: dict[str, str]
    """By service, the DSN."""
    urls: dict[str, str]
    """By service, the base of its HTTP."""
    smtp_port: int
    program_id: str
    source: str | None = None
    connection_id: str | None = None

    @property
    def keys(self) -> Path:
        return self.home / "keys"

    @property
    def mails(self) -> Path:
        return self.home / "mails"

    @property
    def logs(self) -> Path:
        return self.home / "logs"

    @property
    def secret_file(self) -> Path:
        """Holds the secret that signs the demo shop's webhooks."""
        return self.keys / "shop.secret"

    def save(self) -> None:
        """Write it to the home folder, whole or not at all."""
        draft = self.home / ".state.json"
        write_secret(draft, self.model_dump_json(indent=2))
        draft.replace(self.home / "state.json")


def write_secret(path: Path, text: str) -> None:
    """Write a file that only its owner reads."""
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text(text)


def home() -> Path:
    """The folder of `laurel up`: `$LAUREL_HOME`, else `.laurel` here."""
    return Path(os.environ.get("LAUREL_HOME", ".laurel")).absolute()


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold the folder for this process. Raises Failure while another has it; the system lets go when that one dies."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Failure(f"Laurel is already running from {folder}; stop it there with Ctrl-C first.") from None
        yield


def is_held(folder: Path) -> bool:
    """Whether a Laurel runs from the folder."""
    if not (folder / "lock").exists():
        return False
    try:
        with held(folder):
            return False
    except Failure:
        return True


def running() -> State | None:
    """The Laurel of `laurel up`, else that of `laurel demo`, if either runs from here."""
    for folder in (home(), home() / "demo"):
        if is_held(folder) and (folder / "state.json").exists():
            return State.model_validate_json((folder / "state.json").read_text())
    return None


def required() -> State:
    """The Laurel that runs from here. Raises Failure when none does."""
    state = running()
    if state is None:
        raise Failure("No Laurel runs from this folder; start one with `laurel up` in another terminal.")
    return state


def dsn(entry: Entry) -> str:
    """The database of a service. Raises Failure when nobody says where it is.

    `LAUREL_DATABASE_URL`, or the path in `LAUREL_DATABASE_URL_FILE`, may hold `{database}` for the service's own.
    """
    if path := os.environ.get("LAUREL_DATABASE_URL_FILE"):
        file = Path(path.replace("{database}", entry.database))
        if not file.is_file():
            raise Failure(f"LAUREL_DATABASE_URL_FILE names {file}, which is no file.")
        return file.read_text().strip()
    if url := os.environ.get("LAUREL_DATABASE_URL"):
        return url.replace("{database}", entry.database)
    if state := running():
        return state.databases[entry.name]
    raise Failure(
        f"The database of {entry.name} is not known; start Laurel here with `laurel up`, or set LAUREL_DATABASE_URL "
        "to its address ({database} stands for the service's own)."
    )


def one_for_all() -> bool:
    """Whether the environment names a single database whatever the service."""
    given = os.environ.get("LAUREL_DATABASE_URL_FILE") or os.environ.get("LAUREL_DATABASE_URL") or "{database}"
    return "{database}" not in given


def kafka() -> str:
    """Kafka's bootstrap servers."""
    state = None if "LAUREL_KAFKA" in os.environ else running()
    return state.kafka if state else Settings().kafka


def url(entry: Entry) -> str:
    """Where a service's HTTP is: `LAUREL_<SERVICE>_URL`, else that of the Laurel here, else its usual port."""
    given = os.environ.get(f"LAUREL_{entry.package.upper()}_URL")
    state = None if given else running()
    return (given or (state.urls[entry.name] if state else f"http://127.0.0.1:{entry.port}")).rstrip("/")


def keys_dir() -> Path:
    """The folder with the keys."""
    state = None if "LAUREL_KEYS_DIR" in os.environ else running()
    return state.keys if state else Settings().keys_dir


def token(program_id: str, scope: Scope = "admin", *, folder: Path | None = None) -> str:
    """A token for the commands' own questions, valid for some minutes. Raises Failure without keys."""
    folder = folder or keys_dir()
    if not list(folder.glob("*.key.pem")):
        raise Failure(f"There is no key to sign tokens with in {folder}; make one with `laurel keys init`.")
    now = datetime.now(UTC)
    return Tokens(folder).mint(program_id, scope, now=now, ttl=timedelta(minutes=10), subject="laurel")


def entries(names: list[str]) -> list[Entry]:
    """The services of these names; all when there are none. Raises Failure for an unknown one."""
    return [entry_of(name) for name in names] if names else list(SERVICES.values())


def entry_of(name: str) -> Entry:
    """The service of this name. Raises Failure for an unknown one."""
    if name not in SERVICES:
        raise Failure(f"There is no service {name!r}; there are {', '.join(SERVICES)}.")
    return SERVICES[name]
