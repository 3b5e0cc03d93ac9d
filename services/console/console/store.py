"""Every SQL statement of the service."""

from collections.abc import Iterable
from uuid import UUID

import asyncpg

from contracts.members import MemberChangedV1
from contracts.program import Program, ProgramPublishedV1
from contracts.segments import SegmentsChangedV1
from shared.transaction import Message, Transaction

from .domain.segments import Person

_PERSON = "member_id, program_id, profile_version, status, segments, segments_version, changed_at, changed_by"


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


async def published_versions(tx: Transaction, after: str | None, limit: int) -> list[ProgramPublishedV1]:
    """Versions after that key, of each program oldest first; the programs are locked."""
    program_id, _, number = (after or " 0").partition(" ")
    await tx.connection.execute("SELECT 1 FROM programs ORDER BY program_id FOR UPDATE")
    rows = await tx.connection.fetch(
        """SELECT program_id, version, hash, published_at, document FROM program_versions
           WHERE (program_id, version) > ($1, $2) ORDER BY program_id, version LIMIT $3""",
        program_id,
        int(number),
        limit,
    )
    events = [
        ProgramPublishedV1(**dict(row) | {"document": Program.model_validate_json(row["document"])}) for row in rows
    ]
    tx.mark_locked(event.key() for event in events)
    return events


async def people_with_segments(tx: Transaction, after: UUID | None, limit: int) -> list[Person]:
    """Members of whom segments were told, with a greater id, locked."""
    rows = await tx.connection.fetch(
        f"""SELECT {_PERSON} FROM members WHERE segments_version > 0 AND ($1::uuid IS NULL OR member_id > $1)
            ORDER BY member_id LIMIT $2 FOR UPDATE""",
        after,
        limit,
    )
    tx.mark_locked(row["member_id"] for row in rows)
    return [_person(row) for row in rows]


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


async def load_people(tx: Transaction, batch: list[Message]) -> dict[UUID, Person]:
    """The members of the batch, locked in member order; new ones have no row yet."""
    people: dict[UUID, Person] = {}
    for message in batch:
        event = message.data
        assert isinstance(event, MemberChangedV1 | SegmentsChangedV1)
        people.setdefault(event.member_id, Person(event.member_id, event.program_id))
    rows = await tx.connection.fetch(
        f"SELECT {_PERSON} FROM members WHERE member_id = ANY($1::uuid[]) ORDER BY member_id FOR UPDATE",
        sorted(people),
    )
    tx.mark_locked(people)
    return people | {row["member_id"]: _person(row) for row in rows}


async def load_person(tx: Transaction, program_id: str, member_id: UUID) -> Person | None:
    """A member of the program who was not erased, locked."""
    row = await tx.connection.fetchrow(
        f"""SELECT {_PERSON} FROM members WHERE member_id = $1 AND program_id = $2 AND status <> 'erased'
            FOR UPDATE""",
        member_id,
        program_id,
    )
    tx.mark_locked([member_id])
    return _person(row) if row else None


async def read_person(connection: asyncpg.Connection, program_id: str, member_id: UUID) -> Person | None:
    """A member of the program who was not erased."""
    row = await connection.fetchrow(
        f"SELECT {_PERSON} FROM members WHERE member_id = $1 AND program_id = $2 AND status <> 'erased'",
        member_id,
        program_id,
    )
    return _person(row) if row else None


def _person(row: asyncpg.Record) -> Person:
    return Person(**dict(row) | {"segments": tuple(row["segments"])})


async def save_people(tx: Transaction, people: Iterable[Person]) -> None:
    """Write who changed."""
    changed = [person for person in people if person.changed]
    await tx.connection.executemany(
        """INSERT INTO members (member_id, program_id, profile_version, status, segments, segments_version, changed_at,
               changed_by)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
           ON CONFLICT (member_id) DO UPDATE SET profile_version = excluded.profile_version, status = excluded.status,
               segments = excluded.segments, segments_version = excluded.segments_version,
               changed_at = excluded.changed_at, changed_by = excluded.changed_by""",
        [
            (one.member_id, one.program_id, one.profile_version, one.status, list(one.segments), one.segments_version,
             one.changed_at, one.changed_by)
            for one in changed
        ],
    )  # fmt: skip
