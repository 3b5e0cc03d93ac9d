"""Adjustments by people of the shop: posted at once, or when a second person has approved."""

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
from ..domain.catalogue import RefusedError
from ..domain.world import World
from .running import IdempotencyKey, account_of, answered, key_used, refused, run_in, run_on
from .views import ApprovalPage, ApprovalView, Body, Done, problems

Admin = Annotated[Principal, require("admin")]
_REFUSALS = problems(status_404="No such member.", status_409="Refused: the title and type say why.",
                     status_503="Try again: the program is still being read.")  # fmt: skip


class AdjustmentRequest(Body):
    """Points to add, or to take (negative)."""

    points: Annotated[int, Field(ge=-(2**53), le=2**53)]
    reason: commands.Reason
    expires_at: Instant | None = None


def add_routes(router: APIRouter, context: Context, programs: ProgramBook) -> None:
    """Adjustments, and what waits for a second person."""
    _add_adjustments(router, context, programs)
    _add_approvals(router, context, programs)


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
        context.require_current()
        try:
            done = await context.execute(partial(_adjust, programs, principal, member_id, command, idempotency_key))
        except RefusedError as refusal:
            raise refused(refusal) from refusal
        if isinstance(done, ApprovalView):
            response.status_code = 202
        return done


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


async def _adjust(
    programs: ProgramBook, principal: Principal, member_id: UUID, command: commands.Adjust, key: str, tx: Transaction
) -> Done | ApprovalView:
    """Post it, or let it wait. What its key did first stays, whatever the program lets wait by now."""
    program_id = principal.program_id
    world = await store.load_for(tx, programs, store.Need((member_id,), debit=max(0, -command.points)))
    account = account_of(world, program_id, member_id)
    known = await _known(tx, world, program_id, member_id, command, key)
    if known is not None:
        return known
    program = world.in_force(program_id)
    above = program.adjustments.approval_above if program else None
    if program is None or above is None or abs(command.points) <= above:
        answer = await run_on(tx, world, program_id, member_id, "adjust", command, key, adjusting.adjust)
        return Done(**answer)
    adjusting.check(program, command, tx.now)
    body = command.model_dump(mode="json")
    item = store.Approval(_approval_id(member_id, key), account.member_id, body, principal.subject, tx.now)
    await store.request_approval(tx, program_id, item)
    return _view(item)


async def _known(
    tx: Transaction, world: World, program_id: str, member_id: UUID, command: commands.Adjust, key: str
) -> Done | ApprovalView | None:
    """What the key did already: posted at once, waits or waited, or was approved before a backup was restored."""
    done = await answered(tx, world, member_id, "adjust", command, key)
    if done is not None:
        return Done(**done)
    people = world.succession(member_id)
    for approval_id in (_approval_id(item, key) for item in people):
        item = await store.find_approval(tx.connection, program_id, approval_id)
        approved = None if item else await store.find_command(tx, people, f"{store.APPROVAL_KEY}{approval_id}")
        body = item.body if item else approved[1] | {"approved_by": None} if approved else None
        if body is not None and commands.Adjust(**body) != command:
            raise key_used()
        if item is not None:
            return _view(item)
        if approved is not None:
            return Done(**approved[2])
    return None


def _approval_id(member_id: UUID, key: str) -> UUID:
    return derived_id(EARLIEST, "approval", member_id, key)


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
