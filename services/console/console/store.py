"""Every SQL statement of the service."""

import asyncpg

from contracts.program import ProgramPublishedV1
from shared.transaction import Transaction


async def load(tx: Transaction, program_id: str) -> dict[int, str]:
    """The hash of each published version, with the program's row locked."""
    await tx.connection.execute("INSERT INTO programs (program_id) VALUES ($1) ON CONFLICT DO NOTHING", program_id)
    await tx.connection.execute("SELECT 1 FROM programs WHERE program_id = $1 FOR UPDATE", program_id)
    rows = await tx.connection.fetch("SELECT version, hash FROM program_versions WHERE program_id = $1", program_id)
    return {row["version"]: row["hash"] for row in rows}


async def save(tx: Transaction, event: ProgramPublishedV1, *, published_by: str) -> None:
    """Keep a version for ever."""
    tx.mark_locked([event.key()])
    await tx.connection.execute(
        """INSERT INTO program_versions
               (program_id, version, hash, document, effective_from, published_at, published_by)
           VALUES ($1, $2, $3, $4, $5, $6, $7)""",
        event.program_id,
        event.version,
        event.hash,
        event.document.model_dump_json(),
        event.document.effective_from,
        event.published_at,
        published_by,
    )


async def versions(connection: asyncpg.Connection, program_id: str) -> list[asyncpg.Record]:
    """All versions of a program without their documents, newest first."""
    return await connection.fetch(
        """SELECT program_id, version, hash, effective_from, published_at FROM program_versions
           WHERE program_id = $1 ORDER BY version DESC""",
        program_id,
    )


async def version(connection: asyncpg.Connection, program_id: str, number: int) -> asyncpg.Record | None:
    """One version with its document, or None."""
    return await connection.fetchrow(
        """SELECT program_id, version, hash, effective_from, published_at, document FROM program_versions
           WHERE program_id = $1 AND version = $2""",
        program_id,
        number,
    )
