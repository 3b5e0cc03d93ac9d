"""What a cart or an activity would bring: decided by the live rules in a transaction that is rolled back."""

from datetime import datetime, time
from typing import Any
from uuid import UUID, uuid4

from fastapi import APIRouter

from contracts.activities import ActivityFacts, ActivityRecordedV1
from contracts.base import Event
from contracts.envelope import Envelope
from contracts.orders import OrderChangedV1, OrderFacts
from contracts.points import PointsGrantedV1
from contracts.program import ProgramBook
from shared.access import Principal
from shared.service import Context
from shared.transaction import Message, Transaction

from .. import store
from ..domain.calendar import months_later
from ..domain.standing import tier_by_points
from ..domain.world import Trace, World
from ..handlers import HANDLERS
from .points import Accounts, AnyMember
from .views import View, problems


class Cart(OrderFacts):
    """A cart: an order that was not placed. It counts as paid, and as neither refunded, disputed nor cancelled. Its
    codes are not looked at: they change no points, and would tell whether a guessed one is somebody's.
    """


_NOT_OF_A_CART: dict[str, Any] = {"discount_codes": (), "refunds": (), "disputes": (), "cancelled_at": None}


class Try(ActivityFacts):
    """An activity that was not done."""


class WouldBe(View):
    """What it would bring."""

    points: int
    """Of the cart or activity itself."""
    granted_by_rule: dict[str, int]
    reason: str | None
    base_points: int
    activates_at: datetime | None
    tier_before: str
    tier_after: str
    """The tier that its base points would reach, if it were placed."""
    missing_for_next_tier: int | None
    balances: dict[str, int]
    """As they would be."""
    events: list[dict[str, Any]]
    """Everything else that would follow for the member: challenges, coupons; without codes, and without surprises."""


class _Over(Exception):
    def __init__(self, result: WouldBe) -> None:
        super().__init__("a dry run is rolled back")
        self.result = result


def add_routes(router: APIRouter, context: Context, programs: ProgramBook) -> None:
    """Dry runs."""
    accounts = Accounts(context)

    async def attempt(principal: Principal, member_id: UUID, make: Any) -> WouldBe:
        context.require_current()
        await accounts.find(principal.program_id, member_id)

        async def work(tx: Transaction) -> None:
            event: Event = make(tx.now)
            envelope = Envelope(
                id=uuid4(), type=event.TYPE, source="points-accrual", subject=event.key(), time=tx.now,
                correlation_id="dry-run",
            )  # fmt: skip
            world = await store.load(tx, programs, [Message(event, envelope, "", 0, 0)])
            world.blind = True
            HANDLERS[type(event)](world, event, str(envelope.id), Trace("dry-run"))
            raise _Over(await _result(tx, world, event))

        try:
            await context.execute(work)
        except _Over as over:
            return over.result
        raise AssertionError("a dry run ends by being rolled back")

    @router.post(
        "/members/{member_id}/dry-runs/order", tags=["dry run"], responses=problems(status_404="No such member."),
        summary="What a cart would bring by the rules of now; nothing is written",
    )  # fmt: skip
    async def post_cart(member_id: UUID, principal: AnyMember, body: Cart) -> WouldBe:
        return await attempt(principal, member_id, lambda now: _order_of(body, principal, member_id, now))

    @router.post(
        "/members/{member_id}/dry-runs/activity", tags=["dry run"], responses=problems(status_404="No such member."),
        summary="What an activity would bring by the rules of now; nothing is written",
    )  # fmt: skip
    async def post_activity(member_id: UUID, principal: AnyMember, body: Try) -> WouldBe:
        def make(now: datetime) -> Event:
            known = {name: getattr(body, name) for name in ActivityFacts.model_fields}
            about = {"program_id": principal.program_id, "member_id": member_id, "revision": 1, "recorded_at": now}
            return ActivityRecordedV1.model_validate(known | about | {"activity_id": f"dry-run-{uuid4()}"})

        return await attempt(principal, member_id, make)


def _order_of(body: Cart, principal: Principal, member_id: UUID, now: datetime) -> OrderChangedV1:
    paid = {"payment": "paid", "paid_at": body.paid_at or now, "placed_at": body.placed_at}
    known = {name: getattr(body, name) for name in OrderFacts.model_fields}
    about = {"program_id": principal.program_id, "member_id": member_id, "revision": 1, "recorded_at": now}
    about |= {"order_id": f"dry-run-{uuid4()}"}
    return OrderChangedV1.model_validate(known | _NOT_OF_A_CART | paid | about)


async def _result(tx: Transaction, world: World, event: Any) -> WouldBe:
    claim = world.claims[event.program_id, store.key_of(event)]
    account = world.accounts[world.owner(event.member_id)]
    at = claim.at
    program = world.in_force(account.program_id, at) or world.programs.latest(account.program_id)
    assert program is not None
    since = datetime.combine(
        months_later(at.astimezone(program.time_zone).date(), -program.tiers.window_months), time(), program.time_zone
    )
    people = await store.merged(tx.connection, account.member_id)
    earlier = await store.bases(tx.connection, people, since)
    before, after, missing = tier_by_points(program, earlier, claim.base, at)
    granted = [item for (item, _, _), _ in world.outbox if isinstance(item, PointsGrantedV1)]
    own = next((item for item in granted if item.claim_id == claim.key.id), None)
    return WouldBe(
        points=claim.total, granted_by_rule=claim.granted, reason=claim.reason,
        base_points=claim.base[0].base_points if claim.base else 0, activates_at=own.activates_at if own else None,
        tier_before=before, tier_after=after, missing_for_next_tier=missing,
        balances=account.balances().model_dump(),
        events=[
            # A code drawn here goes back to its pool: nobody may see it.
            {"type": item.TYPE, "data": item.model_dump(mode="json", exclude={"code"})}
            for (item, _, _), _ in world.outbox
            if item is not own and item.key() == str(account.member_id)
        ],
    )  # fmt: skip
