"""What people of the shop do to accounts: adjust, freeze, extend, reinstate, import, put into households."""

from functools import partial
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pydantic import Field

from contracts.base import EARLIEST, Instant
from contracts.ids import derived_id
from contracts.program import ProgramBook
from shared.access import Principal, require
from shared.http import Problem
from shared.service import Context
from shared.transaction import Transaction

from .. import store
from ..domain import adjusting, commands
from ..domain.account import Account
from ..domain.catalogue import RefusedError
from ..domain.sharing import join
from ..domain.world import Trace, World
from .running import IdempotencyKey, account_of, refused, run, run_in
from .views import ApprovalPage, ApprovalView, Body, Done, problems

Admin = Annotated[Principal, require("admin")]
_REFUSALS = problems(status_404="No such member.", status_409="Refused: the title and type say why.",
                     status_503="Try again: the program is still being read.")  # fmt: skip
Reason = commands.Reason


class AdjustmentRequest(Body):
    """Points to add, or to take (negative)."""

    points: Annotated[int, Field(ge=-(2**53), le=2**53)]
    reason: Reason
    expires_at: Instant | None = None


class ReasonRequest(Body):
    """Why."""

    reason: Reason


class ExtensionRequest(ReasonRequest):
    """Until when points live."""

    until: Instant
    lot_id: UUID | None = None
    """Without: all that would run out before."""


class ReinstatementRequest(ReasonRequest):
    """Points that ran out, to be spent until then."""

    lot_id: UUID
    until: Instant
    points: Annotated[int, Field(gt=0, le=2**53)] | None = None


class HouseholdRequest(Body):
    """Which household."""

    household_id: UUID


def add_routes(router: APIRouter, context: Context, programs: ProgramBook) -> None:
    """Changes by hand."""
    _add_adjustments(router, context, programs)
    _add_approvals(router, context, programs)
    _add_freezing(router, context, programs)
    _add_lots(router, context, programs)
    _add_households(router, context, programs)


def _add_adjustments(router: APIRouter, context: Context, programs: ProgramBook) -> None:
    @router.post(
        "/members/{member_id}/adjustments", status_code=201, tags=["by hand"],
        responses=_REFUSALS | {202: {"model": ApprovalView, "description": "It waits for a second person."}},
        summary="Add or take points, with a reason; great amounts wait for a second person",
    )  # fmt: skip
    async def post_adjustment(
        member_id: UUID, principal: Admin, body: AdjustmentRequest, idempotency_key: IdempotencyKey, response: Response
    ) -> Done | ApprovalView:
        command = commands.Adjust(**body.model_dump(), actor=principal.subject)
        program = programs.in_force(principal.program_id, context.clock.now())
        above = program.adjustments.approval_above if program else None
        if program is not None and above is not None and abs(command.points) > above:
            try:
                adjusting.check_amount(program, command.points)
            except RefusedError as refusal:
                raise refused(refusal) from refusal
            response.status_code = 202
            return await context.execute(
                partial(_request, programs, principal, member_id, command, idempotency_key)
            )  # fmt: skip
        need = store.Need((member_id,), debit=max(0, -command.points))
        return Done(
            **await run(
                context, programs, principal.program_id, member_id, "adjust", command, idempotency_key,
                adjusting.adjust, lambda _: need,
            )
        )  # fmt: skip


def _add_approvals(router: APIRouter, context: Context, programs: ProgramBook) -> None:
    @router.get("/approvals", tags=["by hand"], summary="Adjustments that wait for a second person")
    async def get_approvals(
        principal: Admin, after: UUID | None = None, limit: Annotated[int, Query(ge=1, le=200)] = 50
    ) -> ApprovalPage:
        rows = await context.read(
            lambda connection: store.waiting_approvals(connection, principal.program_id, after, limit)
        )
        found = [_view(row) for row in rows]
        return ApprovalPage(approvals=found, next=found[-1].approval_id if len(found) == limit else None)

    @router.post(
        "/approvals/{approval_id}/approval", responses=_REFUSALS, tags=["by hand"],
        summary="Approve an adjustment that somebody else asked for",
    )  # fmt: skip
    async def post_approval(approval_id: UUID, principal: Admin) -> Done:
        context.require_current()
        try:
            return Done(**await context.execute(partial(_approve, programs, principal, approval_id)))
        except RefusedError as refusal:
            raise refused(refusal) from refusal

    @router.post(
        "/approvals/{approval_id}/rejection", responses=_REFUSALS, tags=["by hand"], summary="Reject an adjustment"
    )
    async def post_rejection(approval_id: UUID, principal: Admin) -> ApprovalView:
        async def work(tx: Transaction) -> ApprovalView:
            item = await _waiting(tx, principal, approval_id)
            await store.decide_approval(tx, item, "rejected", principal.subject)
            item.state, item.decided_by, item.decided_at = "rejected", principal.subject, tx.now
            return _view(item)

        return await context.execute(work)


async def _request(
    programs: ProgramBook, principal: Principal, member_id: UUID, command: commands.Adjust, key: str, tx: Transaction
) -> ApprovalView:
    world = await store.load_for(tx, programs, store.Need((member_id,)))
    account = account_of(world, principal.program_id, member_id)
    approval_id = derived_id(EARLIEST, "approval", member_id, key)
    item = await store.lock_approval(tx, principal.program_id, approval_id)
    if item is None:
        body = command.model_dump(mode="json")
        item = store.Approval(approval_id, account.member_id, body, principal.subject, tx.now)
        await store.request_approval(tx, principal.program_id, item)
    return _view(item)


async def _waiting(tx: Transaction, principal: Principal, approval_id: UUID) -> store.Approval:
    item = await store.lock_approval(tx, principal.program_id, approval_id)
    if item is None:
        raise Problem(404, "Unknown approval", "nothing of this program waits under this id")
    if item.state != "waiting":
        raise Problem(409, "Decided already", f"{item.decided_by} {item.state} it")
    return item


async def _approve(programs: ProgramBook, principal: Principal, approval_id: UUID, tx: Transaction) -> Any:
    item = await _waiting(tx, principal, approval_id)
    if item.requested_by == principal.subject:
        raise Problem(409, "Second person needed", "whoever asked for it cannot approve it")
    command = commands.Adjust(**item.body | {"approved_by": principal.subject})
    need = store.Need((item.member_id,), debit=max(0, -command.points))
    answer = await run_in(
        tx, programs, principal.program_id, item.member_id, "adjust", command, f"{store.APPROVAL_KEY}{approval_id}",
        adjusting.adjust, lambda _: need,
    )  # fmt: skip
    await store.decide_approval(tx, item, "approved", principal.subject)
    return answer


def _view(item: store.Approval) -> ApprovalView:
    return ApprovalView(
        approval_id=item.approval_id, member_id=item.member_id, points=item.body["points"],
        reason=item.body["reason"], requested_by=item.requested_by, requested_at=item.requested_at, state=item.state,
        decided_by=item.decided_by, decided_at=item.decided_at,
    )  # fmt: skip


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
