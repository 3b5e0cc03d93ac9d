"""HTTP for members and stores: preferences, the list of messages, and the opt-out link of every mail."""

from typing import Annotated, Literal
from uuid import UUID

import asyncpg
from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse
from pydantic import AwareDatetime, BaseModel

from contracts.program import ProgramBook
from shared.access import Principal, require_member
from shared.http import Problem
from shared.service import Context
from shared.transaction import Transaction

from .domain import optout
from .render import opt_out_page
from .store import members

_PAGE_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Preferences(BaseModel):
    """What a member wants to get."""

    email: bool
    """E-mails about points, tiers and coupons."""


class MessageView(BaseModel):
    """A message, without what it said."""

    message_id: UUID
    event_id: UUID
    channel: Literal["email", "webhook"]
    template: str
    state: Literal["due", "sent", "suppressed", "failed"]
    reason: str | None
    locale: str | None
    attempts: int
    created_at: AwareDatetime
    finished_at: AwareDatetime | None


class MessagePage(BaseModel):
    """Newest first; `next` is the `before` of the next page, nothing on the last."""

    items: list[MessageView]
    next: UUID | None


def routes(context: Context, programs: ProgramBook, key: bytes) -> APIRouter:
    """The service's routes."""
    router = APIRouter()
    _member_routes(router, context)
    _opt_out_routes(router, context, programs, key)
    return router


def _unknown(member_id: UUID) -> Problem:
    return Problem(404, "Unknown member", f"the program has no member {member_id}")


def _member_routes(router: APIRouter, context: Context) -> None:
    @router.get("/v1/members/{member_id}/preferences")
    async def read_preferences(member_id: UUID, principal: Annotated[Principal, require_member()]) -> Preferences:
        """Whether the member gets e-mails."""
        row = await context.read(lambda connection: members.preferences(connection, principal.program_id, member_id))
        if row is None:
            raise _unknown(member_id)
        return Preferences(email=row["opted_out_at"] is None)

    @router.put("/v1/members/{member_id}/preferences")
    async def write_preferences(
        member_id: UUID, wanted: Preferences, principal: Annotated[Principal, require_member()]
    ) -> Preferences:
        """Opt in or out."""

        async def work(tx: Transaction) -> bool:
            if await members.preferences(tx.connection, principal.program_id, member_id) is None:
                return False
            await members.set_email(tx.connection, member_id, wanted=wanted.email, now=tx.now)
            return True

        if not await context.execute(work):
            raise _unknown(member_id)
        return wanted

    @router.get("/v1/members/{member_id}/messages")
    async def list_messages(
        member_id: UUID,
        principal: Annotated[Principal, require_member()],
        before: UUID | None = None,
        limit: Annotated[int, Query(ge=1, le=100)] = 50,
    ) -> MessagePage:
        """What the member was told, and what became of it."""

        async def work(connection: asyncpg.Connection) -> list[asyncpg.Record] | None:
            if await members.preferences(connection, principal.program_id, member_id) is None:
                return None
            return await members.messages(connection, principal.program_id, member_id, before=before, limit=limit)

        rows = await context.read(work)
        if rows is None:
            raise _unknown(member_id)
        items = [MessageView(**dict(row)) for row in rows]
        return MessagePage(items=items, next=items[-1].message_id if len(items) == limit else None)


def _opt_out_routes(router: APIRouter, context: Context, programs: ProgramBook, key: bytes) -> None:
    async def page(token: str, *, done: bool) -> HTMLResponse:
        member_id = optout.verify(key, token)
        row = await context.read(lambda connection: members.recipient(connection, member_id)) if member_id else None
        program = programs.latest(row["program_id"]) if row else None
        if row is None or program is None or member_id is None:
            raise Problem(404, "Unknown link", "this link is not one of ours; copy it whole from the message")
        if done:
            await context.execute(lambda tx: members.set_email(tx.connection, member_id, wanted=False, now=tx.now))
        return HTMLResponse(opt_out_page(program, row["locale"], done=done), headers=_PAGE_HEADERS)

    @router.get("/v1/opt-out/{token}", response_class=HTMLResponse)
    async def ask(token: str) -> HTMLResponse:
        """A page with a button. Nothing changes by looking: scanners of mails open every link."""
        return await page(token, done=False)

    @router.post("/v1/opt-out/{token}", response_class=HTMLResponse)
    async def opt_out(token: str) -> HTMLResponse:
        """The button, and the one-click of mail programs (RFC 8058); the body says nothing more."""
        return await page(token, done=True)
