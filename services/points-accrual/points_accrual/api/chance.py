"""Chance that is fixed before and can be checked after: seeds, and the draws that are held with them."""

from functools import partial
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter

from contracts.base import Slug
from contracts.ids import derived_id
from contracts.program import Draw, DrawEntry, Program, ProgramBook
from contracts.rewards import DrawHeldV1, Winner
from shared.access import Principal, require
from shared.http import Problem
from shared.service import Context
from shared.transaction import Cause, Transaction

from ..domain import drawing
from ..store import chance
from .views import View, problems

Admin = Annotated[Principal, require("admin")]
Shop = Annotated[Principal, require("store", "admin")]
Anyone = Annotated[Principal, require("store", "admin", "member")]
_UNKNOWN = problems(status_404="No such draw, or it was not held yet.")


class SeedView(View):
    """A commitment for the program: the seed behind it stays secret until a draw shows it."""

    commitment: str


class DrawView(View):
    """A draw that was held."""

    draw_id: str
    commitment: str
    seed: str
    """In hex; its SHA-256 is the commitment."""
    entries: int
    entries_digest: str
    """SHA-256 of the coupon ids of all entries, sorted, one to a line, in hex."""
    winners: list[Winner]
    held_at: str


class Ticket(View):
    """An entry."""

    coupon_id: UUID
    member_id: UUID


class Tickets(View):
    """All entries of a draw that was held, as they were."""

    entries: list[Ticket]


class Verified(View):
    """What does not hold; nothing when all does."""

    ok: bool
    faults: list[str]


def add_routes(router: APIRouter, context: Context, programs: ProgramBook) -> None:
    """Seeds and draws."""

    @router.post("/seeds", status_code=201, tags=["chance"], responses=problems(),
                 summary="Draw a seed and commit to it, for a challenge with surprises or for a draw")  # fmt: skip
    async def post_seed(principal: Admin) -> SeedView:
        made = await context.execute(lambda tx: chance.make_seed(tx, principal.program_id))
        return SeedView(commitment=made)

    @router.post(
        "/draws/{draw_id}/hold", tags=["chance"], summary="Hold a draw that has closed; once and for ever",
        responses=problems(status_404="No such draw.", status_409="It is open still, or its seed is not here."),
    )  # fmt: skip
    async def post_hold(draw_id: Slug, principal: Admin) -> DrawView:
        program, found = _draw_of(programs, principal, draw_id)
        return await context.execute(partial(_hold, program, found))

    @router.get("/draws/{draw_id}", tags=["chance"], responses=_UNKNOWN, summary="How a draw ended")
    async def get_draw(draw_id: Slug, principal: Anyone) -> DrawView:
        return DrawView.model_validate(await _held(context, principal, draw_id))

    @router.get("/draws/{draw_id}/entries", tags=["chance"], responses=_UNKNOWN, summary="All entries of a draw")
    async def get_entries(draw_id: Slug, principal: Shop) -> Tickets:
        return Tickets(entries=(await _held(context, principal, draw_id))["tickets"])

    @router.get("/draws/{draw_id}/verification", tags=["chance"], responses=_UNKNOWN,
                summary="Whether seed, entries and winners of a draw belong together")  # fmt: skip
    async def get_verification(draw_id: Slug, principal: Anyone) -> Verified:
        _, found = _draw_of(programs, principal, draw_id)
        held = await _held(context, principal, draw_id)
        faults = drawing.faults(
            bytes.fromhex(held["seed"]), draw_id, [_entry(item) for item in held["tickets"]], found.winners,
            committed=found.commitment, told_digest=held["entries_digest"],
            told_winners=[UUID(item["coupon_id"]) for item in held["winners"]],
        )  # fmt: skip
        return Verified(ok=not faults, faults=faults)


def _draw_of(programs: ProgramBook, principal: Principal, draw_id: str) -> tuple[Program, Draw]:
    program = programs.latest(principal.program_id)
    found = next((item for item in program.draws if item.id == draw_id), None) if program else None
    if program is None or found is None:
        raise Problem(404, "Unknown draw", f"the program has no draw {draw_id!r}")
    return program, found


async def _held(context: Context, principal: Principal, draw_id: str) -> dict[str, Any]:
    found = await context.read(lambda connection: chance.find_draw(connection, principal.program_id, draw_id))
    if found is None:
        raise Problem(404, "Not held yet", f"draw {draw_id!r} was not held yet")
    return found


def _entry(item: dict[str, str]) -> drawing.Entry:
    return drawing.Entry(UUID(item["coupon_id"]), UUID(item["member_id"]))


async def _hold(program: Program, found: Draw, tx: Transaction) -> DrawView:
    known = await chance.lock_draw(tx, program.id, found.id)
    if known is not None:
        return DrawView.model_validate(known)
    if tx.now < found.closes_at:
        raise Problem(409, "Still open", f"the draw closes at {found.closes_at.isoformat()}")
    seed = await chance.find_seed(tx.connection, program.id, found.commitment)
    if seed is None:
        raise Problem(409, "Unknown seed", "the draw's commitment was not made here: `laurel seed` makes one")
    rewards = [item.id for item in program.rewards if isinstance(item, DrawEntry) and item.draw == found.id]
    entries = await chance.entries(tx.connection, program.id, rewards, found.closes_at)
    winners = drawing.draw(seed, found.id, entries, found.winners)
    event = DrawHeldV1(
        program_id=program.id, draw_id=found.id, commitment=found.commitment, seed=seed.hex(), entries=len(entries),
        entries_digest=drawing.digest(entries), held_at=tx.now,
        winners=tuple(Winner(member_id=item.member_id, coupon_id=item.coupon_id) for item in winners),
    )  # fmt: skip
    result = event.model_dump(mode="json", exclude={"program_id"})
    tickets = [{"coupon_id": str(item.coupon_id), "member_id": str(item.member_id)} for item in entries]
    await chance.keep_draw(tx, program.id, found.id, result | {"tickets": tickets})
    tx.mark_locked([event.key()])
    event_id = derived_id(tx.now, event.TYPE, program.id, found.id)
    tx.publish(event, id=event_id, time=tx.now, cause=Cause.fresh("draw"))
    return DrawView.model_validate(result)
