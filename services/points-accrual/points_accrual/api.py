"""HTTP for the outside: balances, history, why an order earned what it did, and spending points."""

import secrets
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Header, Path, Query
from pydantic import BaseModel, ConfigDict

from contracts.base import Slug
from contracts.ids import derived_id
from contracts.points import Cause
from contracts.program import MoneyOff, ProgramBook
from shared.access import Principal, require, require_member
from shared.http import Problem
from shared.service import Context
from shared.transaction import Cause as Fresh
from shared.transaction import Transaction

from . import store
from .domain.account import Account, Lot, begin
from .domain.announcing import announce_redemption, announce_time
from .domain.claims import Order
from .domain.redeeming import CODE_ALPHABET, CODE_LENGTH, RefusedError, check_covered, find_reward, issued, redeem
from .domain.world import Trace

PAGE_MAX = 200
AnyMember = Annotated[Principal, require_member()]
OrderId = Annotated[str, Path(max_length=255, pattern=r"^[^\x00]+$")]
STATUS_OF = {"unknown_reward": 404}


class RedemptionRequest(BaseModel):
    """What a member wants for points."""

    model_config = ConfigDict(extra="forbid")

    reward_id: Slug


def routes(context: Context, programs: ProgramBook) -> APIRouter:
    """The routes of the service."""
    router = APIRouter(prefix="/v1")
    _add_reading(router, context)
    _add_spending(router, context, programs)
    return router


def _add_reading(router: APIRouter, context: Context) -> None:
    @router.get("/members/{member_id}/points")
    async def get_points(member_id: UUID, principal: AnyMember) -> dict[str, Any]:
        """Buckets and lots as of now."""
        account = await context.read(lambda connection: store.points(connection, principal.program_id, member_id))
        if account is None:
            raise _no_member()
        return describe_points(account, context.clock.now())

    @router.get("/members/{member_id}/history")
    async def get_history(
        member_id: UUID,
        principal: AnyMember,
        limit: Annotated[int, Query(ge=1, le=PAGE_MAX)] = 50,
        before: Annotated[str | None, Query(pattern=r"^\d{1,18}\.\d{1,9}$")] = None,
    ) -> dict[str, Any]:
        """Transfers, newest first; `next` is the `before` of the page that follows."""
        start = None if before is None else (int(before.split(".")[0]), int(before.split(".")[1]))
        rows = await context.read(
            lambda connection: store.history(connection, principal.program_id, member_id, start, limit)
        )
        if rows is None:
            raise _no_member()
        following = f"{rows[-1]['sequence']}.{rows[-1]['ordinal']}" if len(rows) == limit else None
        return {"transfers": rows, "next": following}

    @router.get("/members/{member_id}/orders")
    async def get_orders(
        member_id: UUID, principal: AnyMember, limit: Annotated[int, Query(ge=1, le=PAGE_MAX)] = 50
    ) -> dict[str, Any]:
        """The latest orders, newest first, each with what it earned, or why it earned nothing."""
        found = await context.read(lambda connection: store.orders(connection, principal.program_id, member_id, limit))
        if found is None:
            raise _no_member()
        return {"orders": [describe_order(order, lot) for order, lot in found]}

    @router.get("/members/{member_id}/orders/{source}/{order_id}")
    async def get_order(member_id: UUID, source: Slug, order_id: OrderId, principal: AnyMember) -> dict[str, Any]:
        """What an order earned, and why so much or nothing."""
        found = await context.read(
            lambda connection: store.order(connection, principal.program_id, member_id, source, order_id)
        )
        if found is None:
            raise Problem(404, "Unknown order", "this member has no such order")
        return describe_order(*found)


def _add_spending(router: APIRouter, context: Context, programs: ProgramBook) -> None:
    @router.post("/members/{member_id}/redemptions", status_code=201)
    async def post_redemption(
        member_id: UUID,
        principal: AnyMember,
        body: RedemptionRequest,
        idempotency_key: Annotated[str, Header(max_length=255, pattern=r"^[!-~]+$")],
    ) -> Any:
        """Spend points on a reward, once per idempotency key."""
        context.require_current()

        async def work(tx: Transaction) -> Any:
            return await _redeem(tx, programs, principal.program_id, member_id, body.reward_id, idempotency_key)

        try:
            return await context.execute(work)
        except RefusedError as refusal:
            title = refusal.reason.replace("_", " ").capitalize()
            raise Problem(STATUS_OF.get(refusal.reason, 409), title, str(refusal)) from refusal

    @router.get("/rewards")
    async def get_rewards(principal: Annotated[Principal, require("store", "admin", "member")]) -> dict[str, Any]:
        """What points can be spent on now."""
        context.require_current()
        program = programs.in_force(principal.program_id, context.clock.now())
        rewards = program.rewards if program else ()
        return {"rewards": [reward.model_dump(mode="json") for reward in rewards]}


async def _redeem(
    tx: Transaction, programs: ProgramBook, program_id: str, member_id: UUID, reward_id: str, key: str
) -> Any:
    """Spend points in one transaction. A refusal is raised and so rolls everything back, the account's advance too."""
    program = programs.in_force(program_id, tx.now)
    rewards = program.rewards if program else ()
    cost = max((reward.cost for reward in rewards if reward.id == reward_id), default=0)
    world = await store.load_member(tx, programs, member_id, cost)
    account = world.accounts.get(member_id)
    if account is None or account.program_id != program_id:
        raise _no_member()
    body = {"reward_id": reward_id}
    known = await store.find_redemption(tx, member_id, key)
    if known:
        if known[0] != body:
            raise Problem(409, "Idempotency key used", "this Idempotency-Key was used with another body")
        return known[1]
    if not all(programs.version(program_id, version) for version in _versions(account, programs, program_id)):
        raise Problem(503, "Try again", "the program is still being read", headers={"Retry-After": "1"})
    reward = find_reward(program, reward_id)
    assert program is not None
    if world.members[member_id].status != "member":
        raise RefusedError("not_a_member", "Only members can spend points.")
    cause = Cause(kind="command", id=key)
    facts = {"program_version": program.version, "program_hash": programs.hash_of(program_id, program.version)}
    decision = begin(
        account, f"command:{key}", cause,
        occurred_at=tx.now, recorded_at=tx.now, input=f'{{"reward_id":"{reward_id}"}}', pinned=facts,
    )  # fmt: skip
    check_covered(account, reward)
    events = announce_time(account, decision, programs.hash_of)
    code = await _code(tx, program_id, reward)
    decision.pinned["code"] = code
    coupon = redeem(account, decision, program, reward, code)
    events.append(announce_redemption(account, decision, reward_id, coupon.coupon_id, programs.hash_of))
    event = issued(account, program, coupon)
    events.append((event, derived_id(coupon.issued_at, event.TYPE, coupon.coupon_id), coupon.issued_at))
    fresh = Fresh.fresh("redemption")
    trace = Trace(fresh.correlation_id, fresh.causation_id, fresh.traceparent)
    world.outbox += [(announcement, trace) for announcement in events]
    answer = {
        **event.model_dump(mode="json", exclude={"program_id", "kind", "code_origin", "program_version"}),
        "balances": account.balances().model_dump(),
    }
    await store.save(tx, world)
    await store.keep_redemption(tx, member_id, key, decision.sequence, program_id, coupon, body, answer)
    return answer


def _versions(account: Account, programs: ProgramBook, program_id: str) -> set[int]:
    """The program versions that spending needs: some one, and those that its lots were granted by."""
    latest = programs.latest(program_id)
    return {latest.version if latest else 0, *(lot.program_version for lot in account.lots.values())}


async def _code(tx: Transaction, program_id: str, reward: MoneyOff) -> str:
    """A coupon's code: 60 bits from the system's random source, or one that the shop knows already."""
    if reward.codes == "generated":
        return "".join(secrets.choice(CODE_ALPHABET) for _ in range(CODE_LENGTH))
    code = await store.draw_code(tx, program_id, reward.id)
    if code is None:
        raise RefusedError("no_codes_left", "The pool of codes for this reward is empty; the shop must import more.")
    return code


def _no_member() -> Problem:
    return Problem(404, "Unknown member", "this program has no member with this id")


def describe_points(account: Account, now: datetime) -> dict[str, Any]:
    """The account as of now: advanced in memory, nothing is written."""
    begin(account, "", Cause(kind="command", id="now"), occurred_at=now, recorded_at=now, input="", pinned={})
    lots = sorted((lot for lot in account.lots.values() if lot.remaining), key=Lot.consumed_before)
    activations = sorted((lot.activates_at, lot.remaining) for lot in lots if lot.state == "pending")
    expiries = sorted((lot.expires_at, lot.remaining) for lot in lots if lot.state == "active" and lot.expires_at)
    return {
        "member_id": account.member_id,
        "as_of": now,
        "balances": account.balances(),
        "next_activation": _first(activations),
        "next_expiry": _first(expiries),
        "lots": [_describe_lot(lot) for lot in lots],
    }


def _first(dated: list[tuple[datetime, int]]) -> dict[str, Any] | None:
    """All that happens at the first moment."""
    if not dated:
        return None
    return {"at": dated[0][0], "points": sum(points for at, points in dated if at == dated[0][0])}


def _describe_lot(lot: Lot) -> dict[str, Any]:
    return {
        "lot_id": lot.lot_id,
        **lot.origin._asdict(),
        "state": lot.state,
        "remaining": lot.remaining,
        "activates_at": lot.activates_at,
        "expires_at": lot.expires_at,
    }


def describe_order(order: Order, lot: Lot | None) -> dict[str, Any]:
    """The judgement of an order: which version, from what, how much, or why nothing."""
    granted = sum(order.granted.values())
    taken = sum(taking.points for taking in lot.takings) if lot else 0
    return {
        **order.origin._asdict(),
        "revision": order.revision,
        "placed_at": order.placed_at,
        "program_version": order.program_version,
        "program_hash": order.program_hash,
        "reason": order.reason,
        "judgement": order.explanation,
        "base": order.base,
        "granted_at_most": granted + taken,
        "clawed_back": taken,
        "granted": granted,
        "granted_by_rule": order.granted,
        "lot": _describe_lot(lot) if lot else None,
    }
