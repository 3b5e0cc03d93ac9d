"""Real Apache Kafka and real PostgreSQL from pip alone, for the demo, `laurel up` and the tests. Linux and macOS."""

from .kafka import EmbeddedKafka
from .postgres import EmbeddedPostgres
from .process import EmbeddedError
from .servers import EmbeddedServers
from .smtp import SmtpSink

__all__ = ["EmbeddedError", "EmbeddedKafka", "EmbeddedPostgres", "EmbeddedServers", "SmtpSink"]
