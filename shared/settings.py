"""Settings of a process, from the environment (`LAUREL_…`). Every limit is set here and nowhere else."""

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """What every service needs. Durations in seconds, sizes in bytes, unless the name says otherwise."""

    model_config = SettingsConfigDict(env_prefix="LAUREL_", extra="ignore")

    database_url: str = "postgresql://127.0.0.1:5432/laurel"
    database_url_file: Path | None = None
    """A file that holds the URL, where the environment should not."""
    kafka: str = "127.0.0.1:9092"
    """Bootstrap servers, separated by commas."""
    http_host: str = "127.0.0.1"
    http_port: int = Field(default=8100, ge=1, le=65535)
    keys_dir: Path = Path(".laurel/keys")
    """Keys for tokens, links and hashes; made by `laurel keys init`."""
    log_level: str = "info"

    batch_records_max: int = Field(default=300, ge=1)
    """More at once is no faster, and takes memory: all that a batch makes lives until its commit."""
    batch_wait_ms: int = Field(default=20, ge=1)
    fetch_bytes_max: int = 2 * 1024 * 1024
    fetch_wait_ms: int = Field(default=50, ge=1)
    """How long the broker may wait for news. The client has one request under way: while that one asks for quiet
    partitions only, a busy one whose records are used up waits for its end."""
    record_bytes_max: int = 1024 * 1024
    session_timeout_ms: int = 10_000
    heartbeat_interval_ms: int = 1_000
    rebalance_timeout_ms: int = 30_000
    poll_interval_ms_max: int = 300_000

    pool_size_max: int = Field(default=8, ge=2)
    statement_timeout_ms: int = 15_000
    lock_timeout_ms: int = 5_000
    idle_transaction_timeout_ms: int = 30_000
    connect_timeout_seconds: float = 5.0

    retry_seconds_max: float = 10.0
    """The longest pause between two tries of a batch that failed for a passing reason."""
    relay_batch_rows: int = Field(default=1000, ge=1)
    relay_poll_seconds: float = 0.2
    relay_drain_seconds: float = 5.0
    reference_wait_seconds: float = 30.0
    """A service whose reference reader has not confirmed the topic's end for so long waits."""
    sweep_seconds: float = 5.0
    breaker_dead_letters: int = 20
    breaker_share: float = 0.05
    http_body_bytes_max: int = 1024 * 1024
    http_threads_max: int = 64
    """Requests in flight; more wait in the socket's queue."""
    live_seconds_max: float = 30.0
    """`/livez` fails when the consume loop has not moved for so long."""

    def dsn(self) -> str:
        """The database's URL, read from the file when one is named."""
        return self.database_url_file.read_text().strip() if self.database_url_file else self.database_url
