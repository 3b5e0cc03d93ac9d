"""Seeds: chance that is fixed before and can be checked after."""

from datetime import datetime
from functools import partial
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path, Query
from pydantic import ConfigDict, Field

from contracts.base import Slug
from contracts.program import Program, ProgramBook
from shared.access import Principal, require
from shared.http import Problem
from shared.service import Context
from shared.transaction import Transaction

from ..domain.drawing import commitment
from ..store import chance
from .views import Body, View, problems

Admin = Annotated[Principal, require("admin")]
Shop = Annotated[Principal, require("store", "admin")]
Anyone = Annotated[Principal, require("store", "admin", "member")]
Committed = Annotated[str, Path(max_length=64)]


class SeedRequest(Body):
    """A seed of one's own, from dice for example; without: one from the system's random source."""

    seed: Annotated[str, Field(pattern=r"^([0-9a-f]{2}){16,64}$")] | None = None
    """In hex, 16 to 64 bytes."""


class SeedView(View):
    """A commitment for the program; the seed behind it stays secret until it is shown, for ever then."""

    model_config = ConfigDict(
        use_attribute_docstrings=True,
        json_schema_extra={
            "example": {
                "commitment": "87f8320cbe503cbce48d300a2de35a4808a34ea65d5cbf42949bc6056cde02b9",
                "made_at": "2026-08-01T08:00:00Z", "shown_at": None, "seed": None,
            }
        },
    )  # fmt: skip

    commitment: str
    made_at: datetime
    shown_at: datetime | None
    seed: str | None
    """In hex, once it is shown; its SHA-256 is the commitment."""


class Counted(View):
    """What decides about a member's surprises, and what was given."""

    member_id: UUID
    counted: list[tuple[datetime, str, int, int, list[str]]]
    """What counts: when, which claim, by which version of the program, how many, and which different things."""
    rewarded: list[tuple[datetime, int]]
    """When, and by which version."""


class CountedPage(View):
    """Members in their order; go on with `after` the last one until none come."""

    items: list[Counted]


def add_routes(router: APIRouter, context: Context, programs: ProgramBook) -> None:
    """Make seeds, show them, and read what they decided."""

    @router.post("/seeds", status_code=201, tags=["chance"],
                 responses=problems(status_409="It was shown already, is another program's, or comes too late."),
                 summary="Make a seed and commit to it, for a challenge with surprises or for a draw")  # fmt: skip
    async def post_seed(principal: Admin, body: SeedRequest | None = None) -> SeedView:
        given = bytes.fromhex(body.seed) if body and body.seed else None
        return _view(await context.execute(partial(_make, programs, principal.program_id, given)))

    @router.get("/seeds/{commitment}", tags=["chance"], responses=problems(status_404="No such seed."),
                summary="A seed by its commitment; secret until it is shown")  # fmt: skip
    async def get_seed(commitment: Committed, principal: Anyone) -> SeedView:
        found = await context.read(lambda connection: chance.find_seed(connection, principal.program_id, commitment))
        return _view(_known(found, commitment))

    @router.post(
        "/seeds/{commitment}/reveal", tags=["chance"], summary="Show the seed of surprises that are over",
        responses=problems(status_404="No such seed.", status_409="The program uses it still."),
    )  # fmt: skip
    async def post_reveal(commitment: Committed, principal: Admin) -> SeedView:
        return _view(await context.execute(partial(_reveal, programs, principal.program_id, commitment)))

    @router.get("/seeds/surprises/{challenge_id}", tags=["chance"], responses=problems(),
                summary="What counts for a challenge and what was rewarded by member, to check a seed by")  # fmt: skip
    async def get_counted(
        challenge_id: Slug, principal: Shop, after: UUID | None = None,
        limit: Annotated[int, Query(ge=1, le=500)] = 200,
    ) -> CountedPage:  # fmt: skip
        rows: list[dict[str, Any]] = await context.read(
            lambda connection: chance.counts(connection, principal.program_id, challenge_id, after, limit)
        )
        return CountedPage.model_validate({"items": rows})


def _view(found: chance.Seed) -> SeedView:
    seed = found.seed.hex() if found.shown_at else None
    return SeedView(commitment=found.commitment, made_at=found.made_at, shown_at=found.shown_at, seed=seed)


def _known(found: chance.Seed | None, committed: str) -> chance.Seed:
    if found is None:
        raise Problem(404, "Unknown seed", f"no seed of this program has the commitment {committed}")
    return found


async def _make(programs: ProgramBook, program_id: str, given: bytes | None, tx: Transaction) -> chance.Seed:
    """A challenge is never judged first without its seed and then with it: the seed is there before its commitment."""
    known = await chance.find_seed(tx.connection, program_id, commitment(given)) if given else None
    if given and known is None and _surprising(_versions(programs, program_id), commitment(given)):
        raise Problem(409, "Too late", "a challenge was published with this commitment; make a seed before publishing")
    made = known or await chance.make_seed(tx, program_id, given)
    if made is None or made.shown_at is not None:
        raise Problem(409, "Not secret", "this seed is known to others already: take another one")
    return made


async def _reveal(programs: ProgramBook, program_id: str, committed: str, tx: Transaction) -> chance.Seed:
    """Only when nothing is left for it to decide."""
    found = _known(await chance.find_seed(tx.connection, program_id, committed), committed)
    if found.shown_at is not None:
        return found
    versions = _versions(programs, program_id)
    current = programs.in_force(program_id, tx.now)
    to_come = [item for item in versions if item.effective_from > tx.now] + ([current] if current else [])
    names = _surprising(to_come, committed)
    if names:
        raise Problem(
            409, "Still in use", f"challenge {names[0]!r} uses this seed: publish a version without it, and wait for it"
        )
    held = await chance.held_draws(tx.connection, program_id)
    for item in (draw for version in versions for draw in version.draws):
        if item.commitment == committed and item.id not in held:
            raise Problem(409, "Still in use", f"draw {item.id!r} was not held yet: holding it shows the seed")
    await chance.show_seed(tx, program_id, committed)
    return _known(await chance.find_seed(tx.connection, program_id, committed), committed)


def _versions(programs: ProgramBook, program_id: str) -> list[Program]:
    return [event.document for event in programs.versions(program_id)]


def _surprising(versions: list[Program], committed: str) -> list[str]:
    """The challenges that a commitment decides about."""
    return [item.id for version in versions for item in version.challenges if item.commitment == committed]
