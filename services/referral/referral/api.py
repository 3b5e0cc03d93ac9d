"""What a member sees of referrals: the code to share, how many friends came of it, and who brought the member."""

from datetime import datetime
from typing import Annotated, Literal
from urllib.parse import urlencode, urlsplit, urlunsplit
from uuid import UUID

import asyncpg
from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict

from contracts.program import ProgramBook
from shared.access import Principal, require_member
from shared.http import Problem
from shared.service import Context

from . import store

MemberReader = Annotated[Principal, require_member()]


class _View(BaseModel):
    model_config = ConfigDict(use_attribute_docstrings=True)


class ReferralView(_View):
    """One referral; nothing in it says who the other party is."""

    referral_id: UUID
    state: Literal["confirmed", "rejected", "unqualified"]
    reason: str | None
    """Why it does not count (yet), such as `unpaid`, `below_minimum` or `not_first_order`."""
    placed_at: datetime
    """When the friend ordered."""
    changed_at: datetime


class Counts(_View):
    """Friends by state."""

    confirmed: int = 0
    unqualified: int = 0
    """Not paid yet, or paid back, cancelled, below the minimum."""
    rejected: int = 0


class MemberReferrals(_View):
    """A member as advocate, and as friend."""

    member_id: UUID
    code: str | None
    """Nothing: not a member yet, or the program has no referrals."""
    code_assigned_at: datetime | None
    share_url: str | None
    """The shop with the code; nothing when the program does not name a shop."""
    friends: Counts
    referrals: list[ReferralView]
    """A page of those that the member's code was used for, the latest orders first."""
    next_before: UUID | None
    """For the next page, as `before`; nothing: this is the last."""
    brought_by: ReferralView | None
    """The referral by which the member came, or the last that did not count."""


def routes(context: Context, programs: ProgramBook) -> APIRouter:
    """The route; a member's token reads that member alone."""
    router = APIRouter()

    @router.get("/v1/members/{member_id}/referral", summary="A member's referral code and what came of it")
    async def referral(
        member_id: UUID,
        principal: MemberReader,
        before: Annotated[UUID | None, Query(description="Only referrals before this one.")] = None,
        limit: Annotated[int, Query(ge=1, le=100)] = 50,
    ) -> MemberReferrals:
        async def read(connection: asyncpg.Connection) -> MemberReferrals | None:
            member = await store.find_member(connection, principal.program_id, member_id)
            if member is None:
                return None
            rows = await store.brought(connection, member_id, before=before, limit=limit + 1)
            friend = await store.as_friend(connection, member_id)
            page = [ReferralView(**dict(row)) for row in rows[:limit]]
            return MemberReferrals(
                member_id=member_id,
                code=member["code"],
                code_assigned_at=member["code_assigned_at"],
                share_url=_share_url(programs, principal.program_id, member["code"], context.clock.now()),
                friends=Counts(**await store.counts(connection, member_id)),
                referrals=page,
                next_before=page[-1].referral_id if len(rows) > limit else None,
                brought_by=ReferralView(**dict(friend)) if friend else None,
            )

        found = await context.read(read)
        if found is None:
            raise Problem(404, "Unknown member", f"The program has no member {member_id}.")
        return found

    return router


def _share_url(programs: ProgramBook, program_id: str, code: str | None, now: datetime) -> str | None:
    program = programs.in_force(program_id, now)
    if code is None or program is None or program.messages.shop_url is None:
        return None
    parts = urlsplit(program.messages.shop_url)
    query = f"{parts.query}&" if parts.query else ""
    return urlunsplit(parts._replace(query=query + urlencode({"ref": code})))
