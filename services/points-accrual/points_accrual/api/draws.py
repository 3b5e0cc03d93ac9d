"""Prize draws: held once with the seed that was committed to, and open to be checked."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter
from pydantic import ConfigDict

from contracts.base import Slug
from contracts.ids import derived_id
from contracts.program import Draw, ProgramBook
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


class DrawView(View):
    """A draw that was held."""

    model_config = ConfigDict(
        use_attribute_docstrings=True,
        json_schema_extra={
            "example": {
                "draw_id": "autumn-trip", "program_version": 4, "prizes": 1,
                "commitment": "87f8320cbe503cbce48d300a2de35a4808a34ea65d5cbf42949bc6056cde02b9",
                "seed": "a5d59cc47f07ad85f1a35996052c41511262e109da0b768a3ec64f987d6af61e", "entries": 1,
                "entries_digest": "47e495e0886f41aca7fd931f32f5b0e4d92399b61e7c168f44ea96adae2c0109",
                "winners": [
                    {
                        "member_id": "3f6c1f0e-6c0b-4b7e-9a57-0d2f6f1f9a10",
                        "coupon_id": "019feb8b-4200-8eef-a0f6-b20663e47c01",
                    }
                ],
                "held_at": "2026-09-15T08:00:00Z",
            }
        },
    )  # fmt: skip

    draw_id: str
    program_version: int
    """The last version published before the draw closed: it says the commitment and the number of prizes."""
    prizes: int
    commitment: str
    seed: str
    """In hex; its SHA-256 is the commitment."""
    entries: int
    entries_digest: str
    """SHA-256 of all entries, one to a line as `coupon_id member_id`, sorted, in hex."""
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
    """Hold draws, show them, check them."""

    @router.post(
        "/draws/{draw_id}/hold", tags=["chance"], summary="Hold a draw that has closed; once and for ever",
        responses=problems(status_404="No such draw.", status_409="It is open still, or its seed is not here."),
    )  # fmt: skip
    async def post_hold(draw_id: Slug, principal: Admin) -> DrawView:
        version, found = _draw_of(programs, principal, draw_id)
        return await context.execute(lambda tx: _hold(programs, version, found, tx, principal.program_id))

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
            told_winners=[_entry(item) for item in held["winners"]],
        )  # fmt: skip
        return Verified(ok=not faults, faults=faults)


def _draw_of(programs: ProgramBook, principal: Principal, draw_id: str) -> tuple[int, Draw]:
    found = drawing.announced(programs.versions(principal.program_id), draw_id)
    if found is None:
        raise Problem(404, "Unknown draw", f"the program announced no draw {draw_id!r} before it closed")
    return found[0].version, found[1]


async def _held(context: Context, principal: Principal, draw_id: str) -> dict[str, Any]:
    found = await context.read(lambda connection: chance.find_draw(connection, principal.program_id, draw_id))
    if found is None:
        raise Problem(404, "Not held yet", f"draw {draw_id!r} was not held yet")
    return found


def _entry(item: dict[str, str]) -> drawing.Entry:
    return drawing.Entry(UUID(item["coupon_id"]), UUID(item["member_id"]))


async def _hold(programs: ProgramBook, version: int, found: Draw, tx: Transaction, program_id: str) -> DrawView:
    known = await chance.lock_draw(tx, program_id, found.id)
    if known is not None:
        return DrawView.model_validate(known)
    if tx.now < found.closes_at:
        raise Problem(409, "Still open", f"the draw closes at {found.closes_at.isoformat()}")
    seed = await chance.find_seed(tx.connection, program_id, found.commitment)
    if seed is None:
        raise Problem(409, "Unknown seed", "the draw's commitment was not made here: `laurel seed` makes one")
    if not await chance.show_seed(tx, program_id, found.commitment):
        raise Problem(409, "Seed was shown", "everybody knows the draw's seed already; announce another draw")
    rewards = drawing.tickets(programs.versions(program_id), found.id)
    entries = await chance.entries(tx.connection, program_id, rewards, found.closes_at)
    winners = drawing.draw(seed.seed, found.id, entries, found.winners)
    event = DrawHeldV1(
        program_id=program_id, draw_id=found.id, commitment=found.commitment, seed=seed.seed.hex(),
        entries=len(entries), entries_digest=drawing.digest(entries), held_at=tx.now,
        winners=tuple(Winner(member_id=item.member_id, coupon_id=item.coupon_id) for item in winners),
    )  # fmt: skip
    result = event.model_dump(mode="json", exclude={"program_id"})
    result |= {"program_version": version, "prizes": found.winners}
    tickets = [{"coupon_id": str(item.coupon_id), "member_id": str(item.member_id)} for item in entries]
    await chance.keep_draw(tx, program_id, found.id, result | {"tickets": tickets})
    tx.mark_locked([event.key()])
    event_id = derived_id(tx.now, event.TYPE, program_id, found.id)
    tx.publish(event, id=event_id, time=tx.now, cause=Cause.fresh("draw"))
    return DrawView.model_validate(result)
