"""A real database for each service, made once and emptied between runs."""

import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import asyncpg

from laurel.services import SERVICES
from shared.db import MIGRATIONS, migrate

_KEPT = ("migration_checksums", "_yoyo_log", "_yoyo_migration", "_yoyo_version", "yoyo_lock")
_UNDER_WAY = ("outbox", "consumer_offsets", "published", "went_back")
_WITNESS = """
    CREATE TABLE went_back (topic text, partition int, was bigint, became bigint);
    CREATE FUNCTION witness() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO went_back VALUES (old.topic, old.partition, old.position, new.position);
        RETURN NULL;
    END $$;
    CREATE TRIGGER witness AFTER UPDATE ON consumer_offsets FOR EACH ROW
        WHEN (new.position < old.position) EXECUTE FUNCTION witness();"""
"""An offset that went back once is seen in the end, even if it came forward again."""
_AGAINST_TRUNCATE = """
    SELECT tgname, tgrelid::regclass::text FROM pg_trigger WHERE NOT tgisinternal AND tgtype & 32 <> 0"""


@dataclass
class Database:
    """Of one service, with a connection of the checker's own."""

    dsn: str
    connection: asyncpg.Connection
    _cleaning: str
    _rounds: int = 0

    @classmethod
    async def prepare(cls, name: str, dsn: str) -> "Database":
        """Migrate an empty database."""
        migrate(dsn, [MIGRATIONS, SERVICES[name].migrations])
        connection = await asyncpg.connect(dsn)
        await connection.execute(_WITNESS)
        # What a service forbids itself, such as emptying the list of published programs, is done between two runs.
        for name, table in await connection.fetch(_AGAINST_TRUNCATE):
            await connection.execute(f"DROP TRIGGER {name} ON {table}")
        rows = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        tables = sorted(row[0] for row in rows if row[0] not in _KEPT)
        return cls(dsn, connection, ", ".join(tables))

    async def empty(self) -> None:
        """Take everything out, ending whoever is still connected."""
        await self.connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
        )
        await self.connection.execute(f"TRUNCATE {self._cleaning} CASCADE")

    async def dump(self, without: Collection[str]) -> list[tuple[str, dict[str, Any]]]:
        """Rows of all tables but the kit's own of what is under way, without these columns (`name`, `table.name`)."""
        found = []
        for table in self._cleaning.split(", "):
            if table in _UNDER_WAY:
                continue
            for row in await self.connection.fetch(f"SELECT to_jsonb(t) FROM {table} t"):
                values = json.loads(row[0])
                kept = {key for key in values if not {key, f"{table}.{key}"} & set(without)}
                found.append((table, {key: values[key] for key in kept}))
        return found

    async def rows(self, query: str, *values: Any) -> list[asyncpg.Record]:
        """What a query finds."""
        return await self.connection.fetch(query, *values)

    async def close(self) -> None:
        await self.connection.close()
