"""HTTP for the outside: webhooks, reports of stores, lookups, and tokens for members."""

import hashlib
from datetime import datetime, timedelta
from functools import partial
from typing import Annotated, Any, Self
from uuid import UUID

from fastapi import APIRouter, Body, Header, Path, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field, model_validator

from contracts.base import Instant, ShortText, Slug
from contracts.commerce import ActivityReport, MemberReport, OrderReport
from contracts.members import CustomerRef
from contracts.orders import OrderChangedV1
from shared.access import MEMBER_TTL_MAX, Principal, require
from shared.http import Problem, answered, still_learning, unknown
from shared.service import Context
from shared.telemetry import current_traceparent
from shared.transaction import Transaction

from . import store
from .domain.activity import content_of
from .domain.facts import RevocationReport
from .domain.members import MemberState
from .domain.merge import OrderState, render
from .store import NewDelivery
from .webhooks import DELIVERIES, Receiver

Store = Annotated[Principal, require("store", "admin")]
Name = Annotated[str, Field(min_length=1, max_length=320)]
IdempotencyKey = Annotated[
    str | None,
    Header(min_length=1, max_length=255, pattern=r"^[!-~ ]*$", description="The same key counts once, for ever."),
]
AnyReport = OrderReport | MemberReport | ActivityReport | RevocationReport


class _View(BaseModel):
    model_config = ConfigDict(use_attribute_docstrings=True)


class Stored(_View):
    """A webhook was stored; it is read within a second or so."""

    stored: bool = True


STORED = Stored().model_dump_json()


class Accepted(_View):
    """A report was stored; what follows from it is published within a second or so."""

    delivery_id: int
    source: str
    order_id: str | None = None
    customer_id: str | None = None
    activity_id: str | None = None


class MemberView(_View):
    """Everything known of a member."""

    member_id: UUID
    program_id: str
    version: int
    status: str
    """`shopper`: seen, not enrolled; points wait. `member`: enrolled."""
    seen_at: datetime
    enrolled_at: datetime | None
    recorded_at: datetime
    customers: tuple[CustomerRef, ...]
    email: str | None
    first_name: str | None
    last_name: str | None
    locale: str | None
    email_consent: bool | None
    attributes: dict[str, str]
    birthday: str | None
    """Month and day, as first told."""


class TokenRequest(_View):
    """The member, named in one of three ways."""

    member_id: UUID | None = None
    email: Name | None = None
    source: Slug | None = None
    customer_id: Name | None = None
    ttl_seconds: Annotated[int, Field(ge=1, le=int(MEMBER_TTL_MAX.total_seconds()))] = 900

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        _check_one_way(self.member_id, self.email, self.source, self.customer_id)
        return self


class TokenView(_View):
    """A member's token."""

    token: str
    member_id: UUID
    expires_at: datetime


def routes(context: Context, receiver: Receiver) -> APIRouter:
    """All routes of the service."""
    router = APIRouter(prefix="/v1")

    async def receive_webhook(connection_id: str, request: Request) -> Response:
        """Checked by its signature over the raw body, then stored. Unreadable ones are stored too, and set aside."""
        await receiver.receive(connection_id, request)
        return Response(STORED, media_type="application/json")

    async def at_once(request: Request) -> Response:
        return await receive_webhook(request.path_params["connection_id"], request)

    router.add_api_route(
        "/connections/{connection_id}/webhooks", receive_webhook, methods=["POST"],
        summary="Receive a platform's webhook", response_model=Stored, route_class_override=answered(at_once),
    )  # fmt: skip
    _add_reports(router, context)
    _add_lookups(router, context)
    return router


def _add_reports(router: APIRouter, context: Context) -> None:
    @router.post("/orders", status_code=202, summary="Report an order, as it is now")
    async def report_order(report: OrderReport, principal: Store, idempotency_key: IdempotencyKey = None) -> Accepted:
        """Any order of reports, and any number of the same, ends with the same order."""
        return await _accept(context, principal.program_id, "orders", report, idempotency_key)

    @router.post("/members", status_code=202, summary="Report a person, or enrol them")
    async def report_member(report: MemberReport, principal: Store, idempotency_key: IdempotencyKey = None) -> Accepted:
        """`enrol` is their own wish to take part. The newest `updated_at` tells their details."""
        return await _accept(context, principal.program_id, "members", report, idempotency_key)

    @router.post("/activities", status_code=202, summary="Report an activity, once")
    async def report_activity(
        report: ActivityReport, principal: Store, idempotency_key: IdempotencyKey = None
    ) -> Accepted:
        """An activity is told once, and once more with `revoked_at`; its id with other content is refused with 409."""
        return await _accept(context, principal.program_id, "activities", report, idempotency_key)

    @router.post("/activities/{source}/{activity_id:path}/revocation", status_code=202, summary="Undo an activity")
    async def revoke_activity(
        source: Slug,
        activity_id: Annotated[ShortText, Path()],
        revoked_at: Annotated[Instant, Body(embed=True)],
        principal: Store,
        idempotency_key: IdempotencyKey = None,
    ) -> Accepted:
        """For good: what is said of it later changes nothing."""
        report = RevocationReport(source=source, activity_id=activity_id, revoked_at=revoked_at)
        return await _accept(context, principal.program_id, "revocations", report, idempotency_key)


def _add_lookups(router: APIRouter, context: Context) -> None:
    @router.get("/members", summary="Find a member by e-mail address or customer id")
    async def look_up_member(
        principal: Store,
        email: Annotated[Name | None, Query()] = None,
        source: Annotated[Slug | None, Query()] = None,
        customer_id: Annotated[Name | None, Query()] = None,
        typed: Annotated[bool, Query(description="Also an account whose address nobody verified.")] = False,
    ) -> MemberView:
        """`email`, or `source` with `customer_id`. `typed` is for people who look, not for systems that give."""
        try:
            _check_one_way(None, email, source, customer_id)
        except ValueError as error:
            raise Problem(422, "Invalid request", str(error)) from error
        program_id = principal.program_id
        return await _find(context, program_id, email=email, source=source, customer_id=customer_id, typed=typed)

    @router.get("/members/{member_id}", summary="Show a member")
    async def show_member(member_id: UUID, principal: Store) -> MemberView:
        """With contact details: for the store, not for browsers."""
        return await _find(context, principal.program_id, member_id=member_id)

    @router.get("/orders/{source}/{order_id:path}", summary="Show an order as it was last published")
    async def show_order(source: Slug, order_id: Annotated[Name, Path()], principal: Store) -> OrderChangedV1:
        """The canonical order: lines as placed, refunds apart, its revision."""
        row = await context.read(
            partial(store.find_order, program_id=principal.program_id, source=source, order_id=order_id)
        )
        facts = render(OrderState.model_validate_json(row["state"])) if row else None
        if row is None or facts is None:
            raise unknown("Unknown order", f"source {source} has told no such order", learnt=context.learnt())
        return store.order_event(principal.program_id, row["member_id"], row["revision"], row["recorded_at"], facts)

    @router.post("/member-tokens", status_code=201, summary="Make a token for a member")
    async def make_member_token(request: TokenRequest, principal: Store) -> TokenView:
        """For a browser in which the shop has logged them in. It reads that member alone, for 15 minutes at most."""
        named = request.model_dump(exclude={"ttl_seconds"})
        member = await _find(context, principal.program_id, **named)
        now, ttl = context.clock.now(), timedelta(seconds=request.ttl_seconds)
        token = context.tokens.mint(
            principal.program_id, "member", now=now, ttl=ttl, member_id=member.member_id, subject=principal.subject
        )
        return TokenView(token=token, member_id=member.member_id, expires_at=now + ttl)


def _check_one_way(member_id: UUID | None, email: str | None, source: str | None, customer_id: str | None) -> None:
    if (source is None) != (customer_id is None):
        raise ValueError("source and customer_id go together")
    if sum(way is not None for way in (member_id, email, source)) != 1:
        raise ValueError("name the member in exactly one way: member_id, email, or source with customer_id")


async def _accept(context: Context, program_id: str, topic: str, report: AnyReport, key: str | None) -> Accepted:
    """Store a report as a delivery, once per idempotency key."""
    customer = report.customer if isinstance(report, MemberReport | ActivityReport) else None
    if customer is not None and customer.customer_id is None and customer.email is None:
        field = {"field": "customer", "message": "needs a customer_id or an email"}
        raise Problem(422, "Invalid request", "these fields are wrong: customer", errors=[field])
    accepted = await context.execute(
        partial(_store, context.learnt(), program_id, topic, report, report.model_dump_json().encode(), key)
    )
    context.wake(DELIVERIES).set()
    return accepted


async def _store(
    learnt: bool, program_id: str, topic: str, report: AnyReport, body: bytes, key: str | None, tx: Transaction
) -> Accepted:
    if isinstance(report, RevocationReport):
        if not await store.is_revocable(tx.connection, program_id, report.source, report.activity_id):
            text = "no such activity is kept; it can be told whole, with revoked_at"
            raise unknown("Unknown activity", text, learnt=learnt)
    elif not await store.source_exists(tx.connection, program_id, report.source):
        field = {"field": "source", "message": f"program {program_id} has no source {report.source}"}
        raise Problem(422, "Invalid request", "these fields are wrong: source", errors=[field])
    if key is not None and (answer := await _answered(tx, program_id, key, topic.encode() + b"\n" + body)):
        return answer
    if isinstance(report, ActivityReport):
        content = content_of(report)
        if content != await store.claim_activity(tx.connection, program_id, report.source, report.activity_id, content):
            raise Problem(409, "Other content", f"activity {report.activity_id} was told before with other content")
    delivery = NewDelivery(
        program_id=program_id, source=report.source, connection_id=None, platform="api", topic=topic,
        webhook_id=None, headers={}, body=body, body_sha256=hashlib.sha256(body).digest(),
        traceparent=current_traceparent(), received_at=tx.now,
    )  # fmt: skip
    [delivery_id] = await store.insert_deliveries(tx.connection, [delivery])
    told: dict[str, Any] = {name: getattr(report, name, None) for name in ("source", "order_id", "activity_id")}
    customer_id = None if isinstance(report, RevocationReport) else report.customer.customer_id
    accepted = Accepted(delivery_id=delivery_id, customer_id=customer_id, **told)
    if key is not None:
        await store.keep_answer(tx.connection, program_id, key, accepted.model_dump_json())
    return accepted


async def _answered(tx: Transaction, program_id: str, key: str, request: bytes) -> Accepted | None:
    """What was answered to this key before; None if it is new. The same key with another request is a fault."""
    digest = hashlib.sha256(request).digest()
    known = await store.claim_key(tx.connection, program_id, key, digest, now=tx.now)
    if known is None:
        return None
    if known[0] != digest:
        raise Problem(422, "Key used before", "this Idempotency-Key belongs to another request: use a new one")
    assert known[1] is not None
    return Accepted.model_validate_json(known[1])


async def _find(context: Context, program_id: str, **named: Any) -> MemberView:
    if named.get("email"):
        # Whose address it is may have changed since the backup; whose customer it is does not.
        if not context.learnt():
            raise still_learning()
        named["email"] = named["email"].strip().lower()
    row = await context.read(partial(store.find_member, program_id=program_id, **named))
    if row is None:
        raise unknown("Unknown member", "the program knows nobody by that name", learnt=context.learnt())
    state = MemberState.model_validate_json(row["state"])
    told = {field: statement.value for field, statement in state.told.items()}
    contact = {
        name: told.get(name) for name in ("email", "first_name", "last_name", "locale", "email_consent", "birthday")
    }
    return MemberView.model_validate(
        {
            **{
                name: row[name]
                for name in ("member_id", "program_id", "version", "status", "enrolled_at", "recorded_at")
            },
            "seen_at": state.seen_at,
            "customers": state.customers,
            "attributes": told.get("attributes", {}),
            **contact,
        }
    )
