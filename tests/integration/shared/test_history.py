"""A process that worked with one history of its database does not go on with another one by itself."""

from pathlib import Path

import psycopg
import pytest

from laurel.embedded import EmbeddedPostgres
from shared.db import connect
from shared.service import Context
from shared.settings import Settings
from shared.transaction import Transaction

pytestmark = pytest.mark.integration


async def _one(tx: Transaction) -> int:
    return int(await tx.connection.fetchval("SELECT 1"))


async def test_after_a_failover_nothing_is_decided_before_the_process_starts_anew(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path / "postgres", durable=False) as server:
        settings = Settings.model_validate({"database_url": server.create_database("it"), "keys_dir": tmp_path})
        context = Context("toy", settings)
        changed: list[Exception] = []
        context.history.changed = changed.append
        await context.open()
        try:
            assert await context.execute(_one) == 1
            server.kill()
            server.start()
            assert await context.execute(_one) == 1, "the same history goes on after a crash"

            server.stop()
            (server.data_dir / "standby.signal").touch()
            server.start()
            with pytest.raises(ConnectionError, match="standby"):
                await context.execute(_one, tries=2)
            assert changed == []

            with psycopg.connect(server.dsn(), autocommit=True) as connection:
                assert connection.execute("SELECT pg_promote()").fetchone() == (True,)
            with pytest.raises(ConnectionError, match="another history"):
                await context.execute(_one, tries=2)
            with pytest.raises(ConnectionError, match="another history"):
                await connect(settings, "toy-shell", context.history.check)
            assert len(changed) == 3
        finally:
            await context.close()
