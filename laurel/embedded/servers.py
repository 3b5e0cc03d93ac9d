"""Kafka and PostgreSQL together, started side by side."""

from pathlib import Path
from types import TracebackType
from typing import Self

from .kafka import EmbeddedKafka
from .postgres import EmbeddedPostgres


class EmbeddedServers:
    """Both servers with their data under one folder, as a context manager; what was there before is found again."""

    def __init__(
        self,
        data_dir: Path,
        *,
        kafka_port: int | None = None,
        controller_port: int | None = None,
        postgres_port: int | None = None,
        durable: bool = True,
    ) -> None:
        """Ports of None are any free ones; `durable=False` lets PostgreSQL leave out fsync."""
        self.kafka = EmbeddedKafka(data_dir / "kafka", port=kafka_port, controller_port=controller_port)
        self.postgres = EmbeddedPostgres(data_dir / "postgres", port=postgres_port, durable=durable)

    def start(self, timeout_s: float = 60) -> None:
        """Start both and return when both answer; when one fails, neither is left running."""
        try:
            self.kafka.launch()
            self.postgres.launch()
            self.postgres.wait_ready(timeout_s)
            self.kafka.wait_ready(timeout_s)
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """Stop both cleanly."""
        try:
            self.kafka.stop()
        finally:
            self.postgres.stop()

    def kill(self) -> None:
        """End both as a power cut would."""
        try:
            self.kafka.kill()
        finally:
            self.postgres.kill()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
