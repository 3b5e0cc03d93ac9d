"""HTTP for the merchant: publish versions of a program and read them; segments of members."""

import asyncio
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Path, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from contracts.base import Slug
from contracts.program import Program, ProgramBook
from shared.access import Principal, require
from shared.http import Problem
from shared.service import Context

from . import handlers, store
from .domain.publishing import RefusalError
from .domain.segments import Person

_STATUS = {
    "other_content": 409, "not_newer": 409, "seed_used": 409, "too_soon": 422, "ignored": 422, "too_large": 422,
    "stuck": 503,
}  # fmt: skip
COMES_BACK_SECONDS_MAX = 10.0
"""So long a version may take to come back from the topic: enough of its notice is left then for every service."""
_RETRY = {"Retry-After": "5"}


class Published(BaseModel):
    """What became of a publication: `known` if the same version was published before."""

    program_id: str
    version: int
    hash: str
    outcome: Literal["published", "known"]


class VersionView(BaseModel):
    """A published version."""

    program_id: str
    version: int
    hash: str
    effective_from: AwareDatetime
    published_at: AwareDatetime


class VersionDocument(VersionView):
    """A published version with its document."""

    document: Program


class VersionList(BaseModel):
    """Newest first."""

    items: list[VersionView]


class Segments(BaseModel):
    """All segments that a member is to be in."""

    model_config = ConfigDict(extra="forbid")

    segments: Annotated[list[Slug], Field(max_length=1000)]


class SegmentsView(BaseModel):
    """The segments of a member; version 0 when there never were any."""

    member_id: UUID
    version: int
    segments: list[str]
    changed_at: AwareDatetime | None
    changed_by: str | None


def routes(context: Context, programs: ProgramBook) -> APIRouter:
    """The service's routes."""
    router = APIRouter()
    _program_routes(router, context, programs)
    _segment_routes(router, context)
    return router


def _program_routes(router: APIRouter, context: Context, programs: ProgramBook) -> None:
    @router.post("/v1/programs", status_code=201)
    async def publish(
        document: Program,
        response: Response,
        principal: Annotated[Principal, require("admin")],
        backdate: bool = False,
    ) -> Published:
        """Publish a version, for ever. 200 instead of 201 when it is published already.

        Both say that it is where every service reads it, unless it is backdated, which keeps no notice.
        """
        if document.id != principal.program_id:
            raise Problem(
                403, "Not allowed", f"your token is for the program {principal.program_id}, not {document.id}"
            )
        # With Kafka away the notice would run out before anybody else knows the version.
        context.require_current()
        try:
            new = await context.execute(
                lambda tx: handlers.publish(programs, tx, document, backdate=backdate, published_by=principal.subject)
            )
        except RefusalError as refusal:
            raise _problem(refusal) from refusal
        if not backdate:
            await _come_back(programs, document)
        response.status_code = 201 if new else 200
        outcome: Literal["published", "known"] = "published" if new else "known"
        return Published(program_id=document.id, version=document.version, hash=document.hash(), outcome=outcome)

    @router.get("/v1/programs")
    async def list_versions(principal: Annotated[Principal, require("admin", "store")]) -> VersionList:
        """Every published version of the token's program."""
        rows = await context.read(lambda connection: store.versions(connection, principal.program_id))
        return VersionList(items=[VersionView(**dict(row)) for row in rows])

    @router.get("/v1/programs/{program_id}/versions/{version}")
    async def read_version(
        program_id: str,
        version: Annotated[int, Path(ge=1, le=1_000_000)],
        principal: Annotated[Principal, require("admin", "store")],
    ) -> VersionDocument:
        """One version, as it was published."""
        if program_id != principal.program_id:
            raise Problem(403, "Not allowed", f"your token is for the program {principal.program_id}, not {program_id}")
        row = await context.read(lambda connection: store.version(connection, program_id, version))
        if row is None:
            raise Problem(404, "Unknown version", f"version {version} of {program_id} is not published")
        return VersionDocument.model_validate(dict(row) | {"document": Program.model_validate_json(row["document"])})


async def _come_back(programs: ProgramBook, document: Program) -> None:
    """Wait until the console itself has read the version from the topic. Raises a 503 when it does not come."""
    deadline = asyncio.get_running_loop().time() + COMES_BACK_SECONDS_MAX
    while programs.version(document.id, document.version) is None:
        if asyncio.get_running_loop().time() > deadline:
            raise Problem(
                503, "Not known yet",
                f"version {document.version} of {document.id} is kept, and not on Kafka yet: services go by the "
                "version before until it is, also after effective_from. `laurel doctor` says what is wrong; then "
                "publish the same again, which is answered once it is there",
                headers=_RETRY,
            )  # fmt: skip
        await asyncio.sleep(0.05)


def _segment_routes(router: APIRouter, context: Context) -> None:
    @router.put("/v1/members/{member_id}/segments")
    async def write_segments(
        member_id: UUID, wanted: Segments, principal: Annotated[Principal, require("admin", "store")]
    ) -> SegmentsView:
        """Put a member into these segments, and into no others. The same again changes nothing."""
        person = await context.execute(
            lambda tx: handlers.assign_segments(
                tx, principal.program_id, member_id, wanted.segments, assigned_by=principal.subject
            )
        )
        return _segments(member_id, person)

    @router.get("/v1/members/{member_id}/segments")
    async def read_segments(
        member_id: UUID, principal: Annotated[Principal, require("admin", "store")]
    ) -> SegmentsView:
        """The segments that a member is in."""
        person = await context.read(lambda connection: store.read_person(connection, principal.program_id, member_id))
        return _segments(member_id, person)


def _segments(member_id: UUID, person: Person | None) -> SegmentsView:
    if person is None:
        raise Problem(404, "Unknown member", f"the program has no member {member_id}")
    return SegmentsView(
        member_id=member_id,
        version=person.segments_version,
        segments=list(person.segments),
        changed_at=person.changed_at,
        changed_by=person.changed_by,
    )


def _problem(refusal: RefusalError) -> Problem:
    errors = [{"field": "effective_from", "message": refusal.text}] if refusal.reason == "too_soon" else None
    headers = _RETRY if refusal.reason == "stuck" else None
    return Problem(_STATUS[refusal.reason], "Not published", refusal.text, errors=errors, headers=headers)
