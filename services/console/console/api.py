"""HTTP for the merchant: publish a version of a program, and read what is published."""

from typing import Annotated, Literal

from fastapi import APIRouter, Response
from pydantic import AwareDatetime, BaseModel

from contracts.program import Program, ProgramBook
from shared.access import Principal, require
from shared.http import Problem
from shared.service import Context

from . import handlers, store
from .domain.publishing import RefusalError

_STATUS = {"other_content": 409, "not_newer": 409, "too_soon": 422}


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


def routes(context: Context, programs: ProgramBook) -> APIRouter:
    """The service's routes."""
    router = APIRouter()

    @router.post("/v1/programs", status_code=201)
    async def publish(
        document: Program,
        response: Response,
        principal: Annotated[Principal, require("admin")],
        backdate: bool = False,
    ) -> Published:
        """Publish a version, for ever. 200 instead of 201 when it is published already."""
        if document.id != principal.program_id:
            raise Problem(
                403, "Not allowed", f"your token is for the program {principal.program_id}, not {document.id}"
            )
        try:
            new = await context.execute(
                lambda tx: handlers.publish(programs, tx, document, backdate=backdate, published_by=principal.subject)
            )
        except RefusalError as refusal:
            raise _problem(refusal) from refusal
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
        program_id: str, version: int, principal: Annotated[Principal, require("admin", "store")]
    ) -> VersionDocument:
        """One version, as it was published."""
        if program_id != principal.program_id:
            raise Problem(403, "Not allowed", f"your token is for the program {principal.program_id}, not {program_id}")
        row = await context.read(lambda connection: store.version(connection, program_id, version))
        if row is None:
            raise Problem(404, "Unknown version", f"version {version} of {program_id} is not published")
        return VersionDocument.model_validate(dict(row) | {"document": Program.model_validate_json(row["document"])})

    return router


def _problem(refusal: RefusalError) -> Problem:
    errors = [{"field": "effective_from", "message": refusal.text}] if refusal.reason == "too_soon" else None
    return Problem(_STATUS[refusal.reason], "Not published", refusal.text, errors=errors)
