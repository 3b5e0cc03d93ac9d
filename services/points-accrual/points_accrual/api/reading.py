"""History and explanations over HTTP."""

from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path, Query

from contracts.base import EARLIEST, Slug
from contracts.program import ProgramBook
from shared.access import Principal
from shared.http import Problem
from shared.service import Context

from .. import store
from ..domain.challenges import tally
from ..domain.claims import Claim, Member
from ..domain.explaining import describe_lot, explain_activity, explain_order
from ..domain.lots import Lot
from ..domain.rulebook import Rulebook, rulebook
from ..domain.spending import describe
from .points import UNKNOWN, Accounts, AnyMember, uuid_or_none
from .views import (
    ChallengeView,
    ClaimPage,
    ClaimView,
    CouponPage,
    HistoryPage,
)

PAGE_MAX = 200
ForeignId = Annotated[str, Path(max_length=255)]
Limit = Annotated[int, Query(ge=1, le=PAGE_MAX)]


def add_routes(router: APIRouter, context: Context, programs: ProgramBook) -> None:
    """Everything that only reads."""
    accounts = Accounts(context)
    _add_lists(router, context, accounts)
    _add_claims(router, context, programs, accounts)
    _add_challenges(router, context, programs, accounts)


def _add_lists(router: APIRouter, context: Context, accounts: Accounts) -> None:
    @router.get(
        "/members/{member_id}/history", responses=UNKNOWN, tags=["points"], summary="Every transfer, newest first"
    )
    async def get_history(
        member_id: UUID, principal: AnyMember, limit: Limit = 50,
        before: Annotated[str | None, Query(pattern=r"^\d{1,18}\.\d{1,9}$")] = None,
    ) -> HistoryPage:  # fmt: skip
        start = None if before is None else (int(before.split(".")[0]), int(before.split(".")[1]))
        account, _ = await accounts.find(principal.program_id, member_id)
        rows = await context.read(lambda connection: store.history(connection, account.member_id, start, limit))
        following = f"{rows[-1]['sequence']}.{rows[-1]['ordinal']}" if len(rows) == limit else None
        return HistoryPage.model_validate({"transfers": rows, "next": following})

    @router.get(
        "/members/{member_id}/coupons", responses=UNKNOWN, tags=["rewards"], summary="What a member got, newest first"
    )
    async def get_coupons(
        member_id: UUID, principal: AnyMember, limit: Limit = 50, before: str | None = None
    ) -> CouponPage:
        account, _ = await accounts.find(principal.program_id, member_id)
        place = _place(before)
        start = None if place is None else (place[0], _uuid(place[1]))
        found = await context.read(lambda connection: store.coupons_of(connection, account.member_id, start, limit))
        following = f"{found[-1].opened_at.isoformat()}~{found[-1].coupon_id}" if len(found) == limit else None
        return CouponPage.model_validate({"coupons": [describe(item) for item in found], "next": following})


def _add_claims(router: APIRouter, context: Context, programs: ProgramBook, accounts: Accounts) -> None:
    async def page(principal: Principal, member_id: UUID, kind: str, limit: int, before: str | None) -> ClaimPage:
        account, member = await accounts.find(principal.program_id, member_id)
        people = await context.read(lambda connection: store.merged(connection, account.member_id))
        place = _place(before)
        found = await context.read(lambda connection: store.claims_of(connection, people, kind, place, limit))
        last = found[-1][0] if len(found) == limit else None
        following = f"{last.at.isoformat()}~{last.key.id}" if last else None
        return ClaimPage(claims=[describe_claim(*item, member, programs) for item in found], next=following)

    async def one(principal: Principal, member_id: UUID, kind: str, claim_id: str) -> ClaimView:
        account, member = await accounts.find(principal.program_id, member_id)
        people = await context.read(lambda connection: store.merged(connection, account.member_id))
        found = await context.read(
            lambda connection: store.find_claim(connection, principal.program_id, people, kind, claim_id)
        )
        if found is None:
            raise Problem(404, f"Unknown {kind}", f"this member has no such {kind}")
        return describe_claim(*found, member, programs)

    for kind, plural in (("order", "orders"), ("activity", "activities")):
        _add_kind(router, kind, plural, page, one)


def _add_kind(router: APIRouter, kind: str, plural: str, page: Any, one: Any) -> None:
    @router.get(
        f"/members/{{member_id}}/{plural}", responses=UNKNOWN, tags=["explained"], name=f"list_{plural}",
        summary=f"The {plural} of a member, newest first, each with what it earned and why",
    )  # fmt: skip
    async def get_page(
        member_id: UUID, principal: AnyMember, limit: Limit = 50, before: str | None = None
    ) -> ClaimPage:
        return await page(principal, member_id, kind, limit, before)  # type: ignore[no-any-return]

    @router.get(
        f"/members/{{member_id}}/{plural}/{{source}}/{{foreign_id}}", responses=UNKNOWN, tags=["explained"],
        name=f"explain_{kind}",
        summary=f"What an {kind} earned: every rule, applied or not, every cap, and what became of the points",
    )  # fmt: skip
    async def get_one(member_id: UUID, source: Slug, foreign_id: ForeignId, principal: AnyMember) -> ClaimView:
        return await one(principal, member_id, kind, f"{source}:{foreign_id}")  # type: ignore[no-any-return]


def describe_claim(claim: Claim, lots: list[Lot], member: Member, programs: ProgramBook) -> ClaimView:
    """A claim explained; one that no version has judged yet has no rules to explain."""
    explained: dict[str, Any] = {
        "rules": [], "caps": [], "granted_at_most": claim.total, "clawed_back": 0,
        "lots": [describe_lot(lot) for lot in lots],
    }  # fmt: skip
    if claim.program_version is not None:
        program = programs.version(claim.facts.program_id, claim.program_version)
        if program is None:
            raise Problem(503, "Try again", "the program is still being read", headers={"Retry-After": "1"})
        explain = explain_order if claim.key.kind == "order" else explain_activity
        explained = explain(claim, member, rulebook(program), lots)
    return ClaimView.model_validate(
        {
            "claim_id": claim.key.id, "version": claim.version, "at": claim.at, "reason": claim.reason,
            "program_version": claim.program_version, "program_hash": claim.program_hash,
            "granted": claim.total, "granted_by_rule": claim.granted, **explained,
        }
    )  # fmt: skip


def _add_challenges(router: APIRouter, context: Context, programs: ProgramBook, accounts: Accounts) -> None:
    @router.get(
        "/members/{member_id}/challenges", responses=UNKNOWN, tags=["points"],
        summary="How far a member is in each challenge, and what was reached",
    )  # fmt: skip
    async def get_challenges(member_id: UUID, principal: AnyMember) -> list[ChallengeView]:
        account, _ = await accounts.find(principal.program_id, member_id)
        program = programs.in_force(principal.program_id, context.clock.now())
        people = await context.read(lambda connection: store.merged(connection, account.member_id))
        rows = await context.read(lambda connection: store.counted(connection, people))
        reached = await context.read(lambda connection: store.challenge_claims(connection, people))
        seeds = await context.read(lambda connection: store.seeds(connection, principal.program_id))
        found = []
        for challenge in program.challenges if program else ():
            if not challenge.visible:
                continue
            items = [
                (at, key, version, *counts[challenge.id]) for at, key, version, counts in rows if challenge.id in counts
            ]
            books = partial(_book, programs, principal.program_id)
            counted = tally(challenge.id, items, books, account.member_id, seeds.get)
            times = [claim for claim in reached if claim.detail["challenge"] == challenge.id]
            found.append(
                ChallengeView(
                    challenge_id=challenge.id, name=challenge.name, counts=challenge.counts, window=counted.window,
                    progress=counted.progress, target=counted.target or _first_goal(challenge),
                    completed=len(counted.reaches),
                    reached=[
                        {
                            "number": claim.detail["number"], "at": claim.at, "points": claim.total,
                            "reward_id": claim.detail.get("reward"), "reached": claim.detail["reached"],
                        }
                        for claim in times
                    ],
                )
            )  # fmt: skip
        return found


def _first_goal(challenge: Any) -> int | None:
    """What is to be reached by who has not begun."""
    return challenge.every or min(challenge.at, default=None)


def _book(programs: ProgramBook, program_id: str, version: int) -> Rulebook:
    program = programs.version(program_id, version)
    if program is None:
        raise Problem(503, "Try again", "the program is still being read", headers={"Retry-After": "1"})
    return rulebook(program)


def _place(before: str | None) -> tuple[datetime, str] | None:
    """Where a page begins: `moment~id`. Raises a 422."""
    if before is None:
        return None
    at, _, name = before.partition("~")
    try:
        moment = datetime.fromisoformat(at)
        if moment.tzinfo is None or not EARLIEST.year <= moment.year < 2300:
            raise ValueError
        return moment.astimezone(UTC), name
    except ValueError:
        raise Problem(422, "Invalid request", "`before` is the `next` of an earlier page") from None


def _uuid(text: str) -> UUID:
    found = uuid_or_none(text)
    if found is None:
        raise Problem(422, "Invalid request", "`before` is the `next` of an earlier page")
    return found
