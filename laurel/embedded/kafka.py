"""One Kafka broker (KRaft, broker and controller in one process) on the loopback interface."""

import asyncio
import base64
import os
import shutil
import signal
import socket
import threading
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from . import kafka_home
from .process import HOST, EmbeddedError, ServerProcess, free_port, require_alone, require_port

NAME = "Apache Kafka"
STOP_TIMEOUT_S = 30.0
# The first clean stop also writes the ahead-of-time cache.
TRAINING_TIMEOUT_S = 90.0

# `broker.session.timeout.ms`: after a kill, the broker is usable in 3 s and not in 13.
# `group.coordinator.append.linger.ms`: otherwise every commit of offsets takes 7 ms. The rest fits one small broker.
SETTINGS = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller_port}
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller_port}
advertised.listeners=PLAINTEXT://{host}:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
log.dirs={storage}
num.network.threads=2
num.io.threads=2
background.threads=2
num.partitions=1
auto.create.topics.enable=false
default.replication.factor=1
min.insync.replicas=1
message.max.bytes=4194304
replica.fetch.max.bytes=4194304
log.segment.bytes=16777216
log.segment.delete.delay.ms=1000
log.cleaner.threads=1
log.cleaner.dedupe.buffer.size=2097152
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.coordinator.append.linger.ms=0
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=2000
"""


class EmbeddedKafka:
    """A broker whose records live in `data_dir`. Ports are chosen once per object, so clients survive a restart."""

    def __init__(
        self,
        data_dir: Path,
        *,
        port: int | None = None,
        controller_port: int | None = None,
        heap_mb: int = 512,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """`data_dir` is made where missing. A port of None is any free one; `heap_mb` bounds Java's heap.

        `settings` come on top.
        """
        self.data_dir = data_dir.absolute()
        self.port = port or free_port()
        self.controller_port = controller_port or free_port()
        self.heap_mb = heap_mb
        self._settings = settings or {}
        self._server: ServerProcess | None = None
        self._training: Path | None = None

    @property
    def bootstrap(self) -> str:
        """What clients take as `bootstrap_servers`."""
        return f"{HOST}:{self.port}"

    @property
    def log(self) -> Path:
        """The file that Kafka's warnings and errors go to."""
        return self.data_dir / "kafka.log"

    @property
    def running(self) -> bool:
        """Whether the broker's process is alive."""
        return self._server is not None and self._server.running

    @property
    def cluster_id(self) -> str:
        """The id of the cluster that `data_dir` holds; each new folder gets its own."""
        lines = (self._storage / "meta.properties").read_text().splitlines()
        return next(line.removeprefix("cluster.id=") for line in lines if line.startswith("cluster.id="))

    def start(self, timeout_s: float = 60) -> None:
        """Start the broker and return when it answers; EmbeddedError with the end of its log when it does not."""
        self.launch()
        self.wait_ready(timeout_s)

    def launch(self) -> None:
        """Start the process without waiting for it, so that other servers can start meanwhile."""
        if self.running:
            return
        self.data_dir.mkdir(parents=True, exist_ok=True)
        pid_file = self.data_dir / "kafka.pid"
        config = self.data_dir / "server.properties"
        require_alone(NAME, pid_file, str(config))
        require_port(self.port, NAME)
        require_port(self.controller_port, f"{NAME}'s controller")
        self._prepare_storage()
        ours = SETTINGS.format(host=HOST, port=self.port, controller_port=self.controller_port, storage=self._storage)
        # Of a setting that is there twice, Kafka takes the last.
        config.write_text(ours + "".join(f"{name}={value}\n" for name, value in self._settings.items()))
        flags = (f"-Xmx{self.heap_mb}m", *self._aot_flags())
        self._server = ServerProcess(
            NAME,
            kafka_home.java("kafka.Kafka", str(config), flags=flags),
            log=self.log,
            stop_signal=signal.SIGTERM,
            env={**os.environ, "LC_ALL": "C.UTF-8", "TZ": "UTC"},
        )
        pid_file.write_text(str(self._server.pid))

    def wait_ready(self, timeout_s: float = 60) -> None:
        """Return when a client can work with the broker; otherwise end it and raise EmbeddedError."""
        server = self._require_server()
        deadline = time.monotonic() + timeout_s
        while server.running and time.monotonic() < deadline:
            if self._listens() and self._answers():
                return
            time.sleep(0.05)
        error = server.fail(f"did not answer within {timeout_s:.0f} s" if server.running else "ended while starting")
        self.kill()
        raise error

    def stop(self) -> None:
        """Stop the broker cleanly; its data stays."""
        if self._server is None:
            return
        self._server.stop(TRAINING_TIMEOUT_S if self._training else STOP_TIMEOUT_S)
        self._ended()
        if self._training and self._training.exists():
            kafka_home.keep_aot_cache(self._training, self.heap_mb)
        self._training = None

    def kill(self) -> None:
        """End the broker as a power cut would."""
        if self._server is None:
            return
        self._server.kill()
        self._ended()
        self._training = None

    def restart(self, timeout_s: float = 60) -> None:
        """Stop, when it runs, and start again on the same ports and data."""
        self.stop()
        self.start(timeout_s)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def _storage(self) -> Path:
        return self.data_dir / "storage"

    def _require_server(self) -> ServerProcess:
        if self._server is None:
            raise EmbeddedError(f"{NAME} was not launched; call start() first.")
        return self._server

    def _ended(self) -> None:
        self._server = None
        (self.data_dir / "kafka.pid").unlink(missing_ok=True)

    def _prepare_storage(self) -> None:
        if (self._storage / "meta.properties").exists():
            return
        shutil.rmtree(self._storage, ignore_errors=True)
        unfinished = self._storage.with_name("storage.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        shutil.copytree(kafka_home.storage_template(), unfinished)
        # Services remember the cluster that their offsets belong to, so two folders must never share an id.
        meta = f"version=1\nnode.id=1\ncluster.id={_new_id()}\ndirectory.id={_new_id()}\n"
        (unfinished / "meta.properties").write_text(meta)
        unfinished.rename(self._storage)

    def _aot_flags(self) -> tuple[str, ...]:
        """Use the ahead-of-time cache, or have this run write one at its clean end. A broken cache only costs time."""
        cache = kafka_home.aot_cache(self.heap_mb)
        if cache.exists():
            return (f"-XX:AOTCache={cache}",)
        self._training = self.data_dir / "training.aot"
        return (f"-XX:AOTCacheOutput={self._training}",)

    def _listens(self) -> bool:
        try:
            with socket.create_connection((HOST, self.port), timeout=1):
                return True
        except OSError:
            return False

    def _answers(self) -> bool:
        """Whether a metadata request lists the broker. In a thread: the caller may be inside a running event loop."""
        answers: list[bool] = []
        asker = threading.Thread(target=lambda: answers.append(asyncio.run(_lists_broker(self.bootstrap))))
        asker.start()
        asker.join()
        return answers == [True]


async def _lists_broker(bootstrap: str) -> bool:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=5000)
    try:
        await admin.start()
        return bool((await admin.describe_cluster())["brokers"])
    except (KafkaError, OSError):
        return False
    finally:
        await admin.close()


def _new_id() -> str:
    """A random id in Kafka's form: url-safe base64 of a UUID, unpadded, and never with a dash in front."""
    while True:
        text = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        if not text.startswith("-"):
            return text
