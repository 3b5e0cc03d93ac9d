"""What a member's tier is, since when, until when, what is missing for the next one; and paid memberships."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict

from contracts.program import Level, Program, ProgramBook
from shared.access import Principal, require_member
from shared.http import Problem
from shared.service import Context

from . import store
from .domain.membership import Coupon, memberships_of
from .domain.standing import Fact, held_after, ladders_of, points_after, standing_over

MemberReader = Annotated[Principal, require_member()]


class _View(BaseModel):
    model_config = ConfigDict(use_attribute_docstrings=True)


class TierView(_View):
    """A tier and its names by language."""

    id: str
    name: dict[str, str]


class NextTier(TierView):
    """The tier above."""

    threshold: int
    missing: int
    """Tier points that it still takes."""


class Upcoming(_View):
    """What happens without new orders."""

    tier: TierView
    starts_at: datetime
    valid_until: datetime | None


class MembershipView(_View):
    """A paid membership, held or to come, and its names by language."""

    id: str
    name: dict[str, str]
    starts_at: datetime
    ends_at: datetime
    held: bool
    """Now."""


class StandingView(_View):
    """Where a member stands at `at`."""

    member_id: UUID
    program_version: int
    at: datetime
    tier: TierView
    since: datetime | None
    """Nothing: the lowest tier, from the beginning."""
    valid_until: datetime | None
    """Until then without new orders; nothing: for ever."""
    tier_points: int
    """Counted over the last `window_months` months."""
    window_months: int
    next_tier: NextTier | None
    """Nothing: this is the highest."""
    upcoming: list[Upcoming]
    memberships: list[MembershipView]
    """Those that have not ended, by their beginning."""


class ChangeView(_View):
    """An announcement: of a new tier, or (`unchanged`) of other dates."""

    version: int
    program_version: int
    change: str
    from_tier_id: str
    to_tier_id: str
    tier_points: int
    occurred_at: datetime
    recorded_at: datetime


class History(_View):
    """A page of changes, newest first."""

    changes: list[ChangeView]
    next_before: int | None
    """For the next page, as `before`; nothing: this is the last."""


def routes(context: Context, programs: ProgramBook) -> APIRouter:
    """The routes; a member's token reads that member alone."""
    router = APIRouter()

    @router.get("/v1/members/{member_id}/tier", summary="A member's tier, and what is missing for the next")
    async def tier(member_id: UUID, principal: MemberReader) -> StandingView:
        known = await context.read(lambda connection: store.read_facts(connection, principal.program_id, member_id))
        if known is None:
            raise _unknown(member_id)
        now = context.clock.now()
        program = programs.in_force(principal.program_id, now)
        if program is None:
            raise Problem(409, "No program in force", f"No version of program {principal.program_id} is in force yet.")
        return _standing(member_id, *known, programs, program, now)

    @router.get("/v1/members/{member_id}/tier/history", summary="Every change of a member's standing, newest first")
    async def history(
        member_id: UUID,
        principal: MemberReader,
        before: Annotated[int | None, Query(ge=1, le=2**63 - 1, description="Only versions below this one.")] = None,
        limit: Annotated[int, Query(ge=1, le=100)] = 50,
    ) -> History:
        rows = await context.read(
            lambda connection: store.read_changes(
                connection, principal.program_id, member_id, before=before, limit=limit + 1
            )
        )
        if rows is None:
            raise _unknown(member_id)
        page = [ChangeView(**dict(row)) for row in rows[:limit]]
        return History(changes=page, next_before=page[-1].version if len(rows) > limit else None)

    return router


def _unknown(member_id: UUID) -> Problem:
    return Problem(404, "Unknown member", f"The program has no member {member_id}.")


def _standing(
    member_id: UUID, facts: list[Fact], coupons: list[Coupon], programs: ProgramBook, program: Program, now: datetime
) -> StandingView:
    ladder = program.tiers
    standing = standing_over(facts, ladders_of(programs, program, now))
    held = held_after(standing, now)
    level = ladder.level(held.tier_id if held else None)
    coming = [item for item in standing if item.starts_at > now]
    points = points_after(facts, now, ladder, program.time_zone)
    return StandingView(
        member_id=member_id,
        program_version=program.version,
        at=now,
        tier=_tier(level),
        since=held.starts_at if held else None,
        valid_until=held.valid_until if held else coming[0].starts_at if coming else None,
        tier_points=points,
        window_months=ladder.window_months,
        next_tier=_next(program, level, points),
        upcoming=[
            Upcoming(tier=_tier(ladder.level(item.tier_id)), starts_at=item.starts_at, valid_until=item.valid_until)
            for item in coming
        ],
        memberships=_memberships(coupons, program, now),
    )


def _memberships(coupons: list[Coupon], program: Program, now: datetime) -> list[MembershipView]:
    names = {item.id: item.name for item in program.memberships}
    return [
        MembershipView(
            id=item.membership_id,
            name=names.get(item.membership_id, {"en": item.membership_id}),
            starts_at=item.starts_at,
            ends_at=item.ends_at,
            held=item.starts_at <= now,
        )
        for item in memberships_of(coupons)
        if item.ends_at > now
    ]


def _tier(level: Level) -> TierView:
    return TierView(id=level.id, name=level.name)


def _next(program: Program, level: Level, points: int) -> NextTier | None:
    above = next((item for item in program.tiers.levels if item.threshold > level.threshold), None)
    if above is None:
        return None
    return NextTier(id=above.id, name=above.name, threshold=above.threshold, missing=above.threshold - points)
