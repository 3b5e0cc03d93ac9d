"""The catalogue over HTTP: rewards, what a member may have of them, pools of codes, causes."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter
from pydantic import Field

from contracts.base import ShortText, Slug
from contracts.program import Donation, ProgramBook
from shared.access import Principal, require
from shared.http import Problem
from shared.service import Context

from .. import store
from ..domain.account import begin
from ..domain.catalogue import availability
from ..domain.world import UseKey
from .points import Accounts, AnyMember
from .views import Availability, Body, View, problems


class Catalogue(View):
    """What points can be spent on now, as the program has it."""

    rewards: list[dict[str, Any]]


class Codes(Body):
    """Codes that the shop knows already."""

    codes: Annotated[list[ShortText], Field(min_length=1, max_length=10_000)]


class Added(View):
    """How many codes are new, and how many there are now."""

    added: int
    left: int


class CauseTotal(View):
    """What members gave to a cause so far."""

    cause_id: str
    name: dict[str, str]
    donations: int
    value_minor: int
    points: int


class Causes(View):
    """All causes of the program."""

    causes: list[CauseTotal]


def add_routes(router: APIRouter, context: Context, programs: ProgramBook) -> None:
    """Rewards, pools and causes."""
    _add_rewards(router, context, programs)
    _add_pools(router, context, programs)
    _add_causes(router, context, programs)


def _add_rewards(router: APIRouter, context: Context, programs: ProgramBook) -> None:
    accounts = Accounts(context)

    @router.get("/rewards", tags=["rewards"], responses=problems(), summary="What points can be spent on now")
    async def get_rewards(principal: Annotated[Principal, require("store", "admin", "member")]) -> Catalogue:
        context.require_current()
        program = programs.in_force(principal.program_id, context.clock.now())
        rewards = program.rewards if program else ()
        return Catalogue(rewards=[reward.model_dump(mode="json", exclude_defaults=True) for reward in rewards])

    @router.get(
        "/members/{member_id}/rewards", tags=["rewards"], responses=problems(status_404="No such member."),
        summary="Which rewards a member may have now, at which cost; if not, why, and when",
    )  # fmt: skip
    async def get_availability(member_id: UUID, principal: AnyMember) -> list[Availability]:
        context.require_current()
        now = context.clock.now()
        account, member = await accounts.find(principal.program_id, member_id)
        program = programs.in_force(principal.program_id, now)
        if program is None:
            raise Problem(409, "No program in force", "no version of the program is in force yet")
        uses = await context.read(
            lambda connection: store.uses(connection, principal.program_id, account.member_id)
        )  # fmt: skip
        pools = await context.read(lambda connection: store.pools(connection, principal.program_id))
        begin(account, "", "", store.LOOK, occurred_at=now, recorded_at=now, input="")

        def used(key: UseKey) -> int:
            return uses.get(key, 0)

        items = availability(program, member, account, now, used, lambda reward_id: pools.get(reward_id, 0))
        return [Availability(**item) for item in items]


def _add_pools(router: APIRouter, context: Context, programs: ProgramBook) -> None:
    @router.post(
        "/rewards/{reward_id}/codes", status_code=201, tags=["rewards"], summary="Add codes to a reward's pool",
        responses=problems(status_404="No such reward."),
    )  # fmt: skip
    async def post_codes(
        reward_id: Slug, principal: Annotated[Principal, require("store", "admin")], body: Codes
    ) -> Added:
        program = programs.latest(principal.program_id)
        if program is None or program.reward(reward_id) is None:
            raise Problem(404, "Unknown reward", f"the program has no reward {reward_id!r}")

        async def work(tx: Any) -> Added:
            added = await store.import_codes(tx.connection, principal.program_id, reward_id, body.codes)
            return Added(added=added, left=await store.pool_left(tx.connection, principal.program_id, reward_id))

        try:
            return await context.execute(work)
        except ValueError as error:
            raise Problem(422, "Invalid code", str(error)) from error


def _add_causes(router: APIRouter, context: Context, programs: ProgramBook) -> None:
    @router.get("/causes", tags=["rewards"], responses=problems(), summary="What members gave to each cause so far")
    async def get_causes(principal: Annotated[Principal, require("store", "admin", "member")]) -> Causes:
        program = programs.in_force(principal.program_id, context.clock.now())
        rows = await context.read(lambda connection: store.donations(connection, principal.program_id))
        given = {row["reward_id"]: row for row in rows}
        causes = []
        for cause in program.causes if program else ():
            rewards = [
                given[reward.id]
                for reward in (program.rewards if program else ())
                if isinstance(reward, Donation) and reward.cause == cause.id and reward.id in given
            ]
            sums = {name: sum(row[name] for row in rewards) for name in ("donations", "value_minor", "points")}
            causes.append(CauseTotal(cause_id=cause.id, name=cause.name, **sums))
        return Causes(causes=causes)
