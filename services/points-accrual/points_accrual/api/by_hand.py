"""What people of the shop do to accounts: freeze, extend, reinstate, import, put into households."""

from functools import partial
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter
from pydantic import Field

from contracts.base import Instant
from contracts.program import ProgramBook
from shared.access import Principal, require
from shared.http import Problem
from shared.service import Context
from shared.transaction import Transaction

from .. import store
from ..domain import adjusting, commands
from ..domain.account import Account
from ..domain.sharing import join
from ..domain.world import Trace, World
from .running import IdempotencyKey, run, run_in
from .views import Body, Done, problems

Admin = Annotated[Principal, require("admin")]
_REFUSALS = problems(status_404="No such member.", status_409="Refused: the title and type say why.",
                     status_503="Try again: the program is still being read.")  # fmt: skip
Reason = commands.Reason


class ReasonRequest(Body):
    """Why."""

    reason: Reason


class ExtensionRequest(ReasonRequest):
    """Until when points live."""

    until: Instant
    lot_id: UUID | None = None
    """Without: all that would run out before."""


class ReinstatementRequest(ReasonRequest):
    """Points that ran out, to be spent until then; or longer, where other points of the lot can be."""

    lot_id: UUID
    until: Instant
    points: Annotated[int, Field(gt=0, le=2**53)] | None = None


class HouseholdRequest(Body):
    """Which household."""

    household_id: UUID


def add_routes(router: APIRouter, context: Context, programs: ProgramBook) -> None:
    """Changes by hand."""
    _add_freezing(router, context, programs)
    _add_lots(router, context, programs)
    _add_households(router, context, programs)


async def _change(
    context: Context, programs: ProgramBook, principal: Principal, member_id: UUID, kind: str, command: Any, key: str,
    how: Any,
) -> Done:  # fmt: skip
    """A change that may touch any lot of the account."""
    everything = store.Need((member_id,), all_lots=True, counts=kind == "import")
    return Done(
        **await run(context, programs, principal.program_id, member_id, kind, command, key, how, lambda _: everything)
    )


def _add_freezing(router: APIRouter, context: Context, programs: ProgramBook) -> None:
    @router.post("/members/{member_id}/freeze", responses=_REFUSALS, tags=["by hand"], summary="Let no points be spent")
    async def post_freeze(
        member_id: UUID, principal: Admin, body: ReasonRequest, idempotency_key: IdempotencyKey
    ) -> Done:
        command = commands.Freeze(actor=principal.subject, reason=body.reason)
        return await _change(
            context, programs, principal, member_id, "freeze", command, idempotency_key, adjusting.freeze
        )

    @router.post(
        "/members/{member_id}/unfreeze", responses=_REFUSALS, tags=["by hand"], summary="Let points be spent again"
    )
    async def post_unfreeze(
        member_id: UUID, principal: Admin, body: ReasonRequest, idempotency_key: IdempotencyKey
    ) -> Done:
        command = commands.Unfreeze(actor=principal.subject, reason=body.reason)
        return await _change(
            context, programs, principal, member_id, "unfreeze", command, idempotency_key, adjusting.freeze
        )


def _add_lots(router: APIRouter, context: Context, programs: ProgramBook) -> None:
    act = partial(_change, context, programs)

    @router.post(
        "/members/{member_id}/extensions", status_code=201, responses=_REFUSALS, tags=["by hand"],
        summary="Let points run out later",
    )  # fmt: skip
    async def post_extension(
        member_id: UUID, principal: Admin, body: ExtensionRequest, idempotency_key: IdempotencyKey
    ) -> Done:
        command = commands.Extend(**body.model_dump(), actor=principal.subject)
        return await act(principal, member_id, "extend", command, idempotency_key, adjusting.extend)

    @router.post(
        "/members/{member_id}/reinstatements", status_code=201, responses=_REFUSALS, tags=["by hand"],
        summary="Let points that ran out be spent again",
    )  # fmt: skip
    async def post_reinstatement(
        member_id: UUID, principal: Admin, body: ReinstatementRequest, idempotency_key: IdempotencyKey
    ) -> Done:
        command = commands.Reinstate(**body.model_dump(), actor=principal.subject)
        return await act(principal, member_id, "reinstate", command, idempotency_key, adjusting.reinstate)

    @router.post(
        "/members/{member_id}/imports", status_code=201, responses=_REFUSALS, tags=["by hand"],
        summary="Take over lots, tier points and counts of an earlier program, once per import",
    )  # fmt: skip
    async def post_import(member_id: UUID, principal: Admin, body: commands.Import) -> Done:
        key = f"import-{body.import_id}"
        return await act(principal, member_id, "import", body, key, adjusting.bring_in)


def _add_households(router: APIRouter, context: Context, programs: ProgramBook) -> None:
    async def change(principal: Principal, member_id: UUID, household_id: UUID | None, key: str) -> Done:
        context.require_current()
        return await context.execute(partial(_join, programs, principal, member_id, household_id, key))

    @router.put(
        "/members/{member_id}/household", responses=_REFUSALS, tags=["by hand"],
        summary="Put a member into a household, whose members spend together",
    )  # fmt: skip
    async def put_household(
        member_id: UUID, principal: Admin, body: HouseholdRequest, idempotency_key: IdempotencyKey
    ) -> Done:
        return await change(principal, member_id, body.household_id, idempotency_key)

    @router.delete(
        "/members/{member_id}/household", responses=_REFUSALS, tags=["by hand"], summary="Take a member out of it"
    )
    async def delete_household(member_id: UUID, principal: Admin, idempotency_key: IdempotencyKey) -> Done:
        return await change(principal, member_id, None, idempotency_key)


async def _join(
    programs: ProgramBook, principal: Principal, member_id: UUID, household_id: UUID | None, key: str, tx: Transaction
) -> Done:  # fmt: skip
    members_max, others = 0, list[UUID]()
    if household_id is not None:
        program = programs.in_force(principal.program_id, tx.now)
        if program is None or program.households is None:
            raise Problem(409, "No households", "this program has no households")
        members_max = program.households.members_max
        # Locked before it is counted: two who come at once are not both the last.
        others = await store.lock_household(tx, principal.program_id, household_id)

    def act(world: World, account: Account, command: commands.Join, key: str, trace: Trace) -> Any:
        if household_id is not None and len({*others, account.member_id}) > members_max:
            raise Problem(409, "Household full", f"a household has at most {members_max} members")
        join(world, account, command, key, trace)
        return {"sequence": account.sequence, "balances": account.balances().model_dump()}

    need, command = store.Need((member_id,)), commands.Join(household_id=household_id)
    return Done(
        **await run_in(tx, programs, principal.program_id, member_id, "join", command, key, act, lambda _: need)
    )  # fmt: skip
