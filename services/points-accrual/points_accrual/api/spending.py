"""Spending points over HTTP: redemptions, holds, reversals, and gifts to other members."""

from datetime import datetime
from functools import partial
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter
from pydantic import Field

from contracts.base import Slug
from contracts.money import minor_digits
from contracts.program import AnyAmount, ProgramBook
from shared.access import Principal, require
from shared.http import Problem
from shared.service import Context

from .. import store
from ..domain.account import Account
from ..domain.calendar import period
from ..domain.catalogue import UNCODED, stock_key
from ..domain.commands import Capture, OrderName, Redeem, Release, Reverse, Send
from ..domain.sharing import receive, send
from ..domain.spending import capture, redeem, release, reverse
from ..domain.world import Trace, UseKey, World
from .points import AnyMember
from .running import IdempotencyKey, no_member, run
from .views import Body, Redeemed, problems

Shop = Annotated[Principal, require("store", "admin")]
_REFUSALS = problems(
    status_404="No such member, reward or coupon.", status_409="Refused: the title and type say why.",
    status_503="Try again: the program is still being read.",
)  # fmt: skip


class RedemptionRequest(Body):
    """What a member wants for points."""

    reward_id: Slug
    amount_minor: Annotated[int, Field(gt=0, le=2**53)] | None = None
    """For rewards of any amount, in minor units of the program's currency."""
    hold: bool = False
    """Reserve the points only; capture or release them later."""
    order: OrderName | None = None
    """`source:order_id` of the order that they pay for, where it is known. Only the shop says so: a refund of it gives
    the points back.
    """


class CaptureRequest(Body):
    """The order that held points paid for, if any."""

    order: OrderName | None = None


class ReversalRequest(Body):
    """How much comes back."""

    points: Annotated[int, Field(gt=0, le=2**53)] | None = None
    """Without: all that is left of it."""


class TransferRequest(Body):
    """Points for another member."""

    to_member_id: UUID
    points: Annotated[int, Field(gt=0, le=2**53)]


class Sent(Body):
    """What was given."""

    points: int
    to_member_id: UUID
    balances: dict[str, int]


def add_routes(router: APIRouter, context: Context, programs: ProgramBook) -> None:
    """Redemptions and gifts."""
    _add_redemptions(router, context, programs)
    _add_steps(router, context, programs)
    _add_transfers(router, context, programs)


def _add_redemptions(router: APIRouter, context: Context, programs: ProgramBook) -> None:
    @router.post(
        "/members/{member_id}/redemptions", status_code=201, responses=_REFUSALS, tags=["spending"],
        summary="Spend points on a reward, or hold them for it",
    )  # fmt: skip
    async def post_redemption(
        member_id: UUID, principal: AnyMember, body: RedemptionRequest, idempotency_key: IdempotencyKey
    ) -> Redeemed:
        if body.order is not None and principal.scope == "member":
            text = "only the shop names the order that points pay for: hold the points, and have it capture them"
            raise Problem(403, "Not allowed", text)
        command = Redeem(**body.model_dump())
        need = partial(_need, programs, principal.program_id, member_id, command)
        return await run(  # type: ignore[no-any-return]
            context, programs, principal.program_id, member_id, "redeem", command, idempotency_key, redeem, need
        )


def _add_steps(router: APIRouter, context: Context, programs: ProgramBook) -> None:
    """What follows a hold or a redemption."""

    @router.post(
        "/members/{member_id}/redemptions/{coupon_id}/capture", responses=_REFUSALS, tags=["spending"],
        summary="Take held points for good, and issue the reward",
    )  # fmt: skip
    async def post_capture(
        member_id: UUID, coupon_id: UUID, principal: Shop, body: CaptureRequest, idempotency_key: IdempotencyKey
    ) -> Redeemed:
        command = Capture(coupon_id=coupon_id, order=body.order)
        return await _on_coupon(context, programs, principal, member_id, "capture", command, idempotency_key, capture)

    @router.post(
        "/members/{member_id}/redemptions/{coupon_id}/release", responses=_REFUSALS, tags=["spending"],
        summary="Give held points back",
    )  # fmt: skip
    async def post_release(
        member_id: UUID, coupon_id: UUID, principal: AnyMember, idempotency_key: IdempotencyKey
    ) -> Redeemed:
        command = Release(coupon_id=coupon_id)
        return await _on_coupon(context, programs, principal, member_id, "release", command, idempotency_key, release)

    @router.post(
        "/members/{member_id}/redemptions/{coupon_id}/reversal", responses=_REFUSALS, tags=["spending"],
        summary="Undo a redemption: its points go back into their own lots",
    )  # fmt: skip
    async def post_reversal(
        member_id: UUID, coupon_id: UUID, principal: Shop, body: ReversalRequest, idempotency_key: IdempotencyKey
    ) -> Redeemed:
        command = Reverse(coupon_id=coupon_id, points=body.points)
        return await _on_coupon(context, programs, principal, member_id, "reverse", command, idempotency_key, reverse)


def _add_transfers(router: APIRouter, context: Context, programs: ProgramBook) -> None:
    @router.post(
        "/members/{member_id}/transfers", status_code=201, responses=_REFUSALS, tags=["spending"],
        summary="Give points to another member",
    )  # fmt: skip
    async def post_transfer(
        member_id: UUID, principal: AnyMember, body: TransferRequest, idempotency_key: IdempotencyKey
    ) -> Sent:
        command = Send(to_member_id=body.to_member_id, points=body.points)
        need = partial(_need_to_send, programs, principal.program_id, member_id, command)
        return await run(  # type: ignore[no-any-return]
            context, programs, principal.program_id, member_id, "send", command, idempotency_key, _both, need
        )


def _both(world: World, account: Account, command: Send, key: str, trace: Trace) -> Any:
    """Both sides of a gift."""
    other = world.accounts.get(world.owner(command.to_member_id))
    if other is None or other.program_id != account.program_id or other.member_id == account.member_id:
        raise no_member()
    if world.members[other.member_id].status != "member":
        raise no_member()
    received, answer = send(world, account, command, key, trace)
    receive(world, other, received, key, trace)
    return answer


def _need_to_send(programs: ProgramBook, program_id: str, member_id: UUID, command: Send, now: datetime) -> store.Need:
    """Both accounts, and what was given away today."""
    program = programs.in_force(program_id, now)
    day = period(now, "day", program.time_zone) if program else ""
    uses = (UseKey(program_id, member_id, "transfers", day),)
    return store.Need((member_id, command.to_member_id), debit=command.points, uses=uses)


def _need(programs: ProgramBook, program_id: str, member_id: UUID, command: Redeem, now: datetime) -> store.Need:
    """The most that a redemption can touch; the rules decide what it does."""
    program = programs.in_force(program_id, now)
    reward = program.reward(command.reward_id) if program else None
    if program is None or reward is None:
        return store.Need((member_id,))
    costs = [reward.cost or 0, *reward.cost_by_tier.values()]
    if isinstance(reward, AnyAmount) and reward.points_per_unit is not None and command.amount_minor is not None:
        exact = reward.points_per_unit * command.amount_minor / 10 ** minor_digits(program.currency)
        costs.append(int(exact) + 1)
    uses = [
        UseKey(program_id, member_id, f"reward:{reward.id}:{limit.per}", period(now, limit.per, program.time_zone))
        for limit in reward.limits
    ]
    if reward.stock is not None:
        uses.append(stock_key(program_id, reward.id))
    drawn = reward.codes == "pool" and reward.type not in UNCODED and not command.hold
    pools = ((program_id, reward.id),) if drawn else ()
    order = None if command.hold else command.order
    return store.Need((member_id,), debit=max(costs), order=order, uses=tuple(uses), pools=pools)


async def _on_coupon(
    context: Context, programs: ProgramBook, principal: Principal, member_id: UUID, kind: str,
    command: Capture | Release | Reverse, key: str, act: Any,
) -> Redeemed:  # fmt: skip
    """A step of a coupon that there is already."""
    coupon = await context.read(
        lambda connection: store.find_coupon(connection, principal.program_id, command.coupon_id)
    )  # fmt: skip
    uses: tuple[UseKey, ...] = ()
    pools: tuple[tuple[str, str], ...] = ()
    order: str | None = None
    if coupon is not None:
        owners = (None, coupon.member_id)
        uses = tuple(
            UseKey(principal.program_id, owners[not name.startswith("stock:")], name, window)
            for name, window in coupon.windows.items()
        )
        program = programs.version(principal.program_id, coupon.program_version)
        reward = program.reward(coupon.reward_id) if program else None
        if kind == "capture" and reward is not None and reward.codes == "pool" and reward.type not in UNCODED:
            pools = ((principal.program_id, reward.id),)
        if isinstance(command, Capture):
            order = command.order or coupon.order
    need = store.Need((member_id,), coupon_id=command.coupon_id, order=order, all_lots=True, uses=uses, pools=pools)
    answer = await run(context, programs, principal.program_id, member_id, kind, command, key, act, lambda _: need)
    return Redeemed.model_validate(answer)
