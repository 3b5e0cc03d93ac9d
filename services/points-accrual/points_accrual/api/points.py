"""Balances and lots over HTTP."""

import hashlib
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Header, Query, Request, Response

from contracts.base import Instant
from contracts.program import ProgramBook
from shared.access import Principal, principal_of, require_member
from shared.http import answered
from shared.service import Context
from shared.together import Together

from .. import store
from ..domain.account import Account, begin
from ..domain.claims import Member
from ..domain.explaining import describe_lot
from ..domain.lots import Lot
from .running import no_member
from .views import DayPoints, LotView, Moment, PointsView, problems

READ_MAX = 100
"""Accounts of one statement."""
AnyMember = Annotated[Principal, require_member()]
UNKNOWN = problems(status_404="No such member.")


class Accounts:
    """Accounts with their lots. Those that are asked for at once are read by one statement."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._look = Together(self._look_at, most=READ_MAX)

    async def find(self, program_id: str, member_id: UUID) -> tuple[Account, Member]:
        """An account, and whose it is. Raises a 404."""
        found = await store.points(self._look, program_id, member_id)
        if found is None:
            raise no_member()
        return found

    async def _look_at(self, members: Sequence[UUID]) -> Sequence[Any]:
        return await self._context.on_connection(lambda connection: store.look(connection, members), tries=1)


def add_routes(router: APIRouter, context: Context, programs: ProgramBook) -> None:
    """Balances, which are asked for most."""
    accounts = Accounts(context)

    async def now(principal: Principal, member_id: UUID, unless: str | None) -> Response:
        account, _ = await accounts.find(principal.program_id, member_id)
        return _tagged(describe_points(account, context.clock.now(), programs), unless)

    async def at_once(request: Request) -> Response | None:
        principal, member_id = principal_of(request), uuid_or_none(request.path_params["member_id"])
        if principal is None or member_id is None or request.scope["query_string"] or not principal.may_read(member_id):
            return None
        return await now(principal, member_id, request.headers.get("if-none-match"))

    async def get_points(
        member_id: UUID, principal: AnyMember,
        at: Annotated[Instant | None, Query(description="A moment; without: now.")] = None,
        if_none_match: Annotated[str | None, Header()] = None,
    ) -> Response:  # fmt: skip
        if at is None:
            return await now(principal, member_id, if_none_match)
        account, _ = await accounts.find(principal.program_id, member_id)
        if at >= context.clock.now():
            return _tagged(describe_points(account, at, programs), if_none_match)
        past = await context.read(lambda connection: store.balances_at(connection, account.member_id, at))
        return _tagged(_past(account, at, past), if_none_match)

    router.add_api_route(
        "/members/{member_id}/points", get_points, response_model=PointsView, tags=["points"],
        responses=UNKNOWN | {304: {"description": "Nothing changed since that ETag."}},
        summary="Balances and lots now, or at any moment of the past or the future",
        route_class_override=answered(at_once),
    )  # fmt: skip


def _tagged(view: PointsView, unless: str | None) -> Response:
    """A view with a tag of all in it but the moment it is of; nothing but the tag if that is the one they have."""
    rest = view.model_dump_json(exclude={"as_of"})
    tag = f'"{hashlib.sha256(rest.encode()).hexdigest()[:32]}"'
    if unless == tag:
        return Response(status_code=304, headers={"ETag": tag})
    moment = view.model_dump_json(include={"as_of"})
    return Response(f"{moment[:-1]},{rest[1:]}", headers={"ETag": tag}, media_type="application/json")


def _past(account: Account, at: datetime, balances: dict[str, int]) -> PointsView:
    """Balances of the past; the lots of then are not kept, their transfers are in the history."""
    return PointsView.model_validate(
        {
            "member_id": account.member_id, "as_of": at, "frozen": account.frozen,
            "household_id": account.household_id, "balances": balances, "next_activation": None, "next_expiry": None,
            "activations": [], "expiries": [], "lots": [],
        }
    )  # fmt: skip


def describe_points(account: Account, at: datetime, programs: ProgramBook) -> PointsView:
    """The account as of a moment, now or to come: advanced in memory, nothing is written."""
    begin(account, "", "", store.LOOK, occurred_at=at, recorded_at=at, input="")
    program = programs.in_force(account.program_id, at) or programs.latest(account.program_id)
    lots = sorted((lot for lot in account.lots.values() if lot.remaining), key=Lot.consumed_before)
    waiting = [(lot.activates_at, lot.remaining) for lot in lots if lot.state == "pending" and lot.activates_at]
    ending = [(lot.expires_at, lot.remaining) for lot in lots if lot.state == "active" and lot.expires_at]
    zone = program.time_zone if program else at.tzinfo
    return PointsView.model_construct(
        member_id=account.member_id, as_of=at, frozen=account.frozen, household_id=account.household_id,
        balances=account.balances(), next_activation=_first(waiting), next_expiry=_first(ending),
        activations=_by_day((moment.astimezone(zone), points) for moment, points in waiting),
        # A lot ends with the first moment of the day after its last.
        expiries=_by_day(((moment - timedelta(microseconds=1)).astimezone(zone), points) for moment, points in ending),
        lots=[LotView.model_construct(**describe_lot(lot)) for lot in lots],
    )  # fmt: skip


def _first(dated: list[tuple[datetime, int]]) -> Moment | None:
    """All that happens at the first moment."""
    if not dated:
        return None
    first = min(at for at, _ in dated)
    return Moment.model_construct(at=first, points=sum(points for at, points in dated if at == first))


def _by_day(dated: Iterable[tuple[datetime, int]]) -> list[DayPoints]:
    days: dict[Any, int] = {}
    for moment, points in dated:
        days[moment.date()] = days.get(moment.date(), 0) + points
    return [DayPoints.model_construct(day=day, points=points) for day, points in sorted(days.items())]


def uuid_or_none(text: str) -> UUID | None:
    """What a text names, if anything."""
    try:
        return UUID(text)
    except ValueError:
        return None
