"""What is known of a person, whoever tells it in whatever order, and when that made them a member."""

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated, Literal, get_args
from uuid import UUID

from pydantic import Field

from contracts.base import Instant, Model
from contracts.commerce import Customer, OrderReport
from contracts.members import IDENTITY_EMAILS_MAX, ContactChangedV1, CustomerRef, IdentityEmail, MemberChangedV1
from contracts.program import Program, ProgramBook

from .facts import earliest
from .fingerprints import email_fingerprint

Told = Literal["email", "first_name", "last_name", "locale", "email_consent", "attributes", "birthday"]
LOCKED: frozenset[Told] = frozenset({"birthday"})
"""What was said first stays, whatever is said later: so nobody has two birthdays a year."""
Kind = Literal["account", "first_order", "opt_in"]
_KINDS: tuple[Kind, ...] = get_args(Kind)
WAITING_MAX = 300
"""Moments of one kind that are kept of a member while the program is not known."""
PROMPT_MAX = timedelta(days=1)
"""A snapshot says who has an account when it is told. So soon after the order that was so when it was placed; an old
order that is touched would else date today's account back, and a year of points with it."""


class Statement(Model):
    """What was said of one field. The last counts, of two at the same time the greater text; if locked, the first.

    What an account says counts before what guests say, who may order by anybody's address, or by a former one.
    """

    value: str | bool | dict[str, str]
    at: Instant
    named: bool = False
    """It was said with a customer id."""

    def key(self) -> tuple[datetime, str, bool]:
        return self.at, json.dumps(self.value, sort_keys=True, ensure_ascii=False), self.named


class Moment(Model):
    """Something that makes a shopper a member, if the program in force then says so."""

    kind: Kind
    at: Instant


class Sighting(Model):
    """What one fact says of a person. `seen_at`: when they did something; `told_at`: how fresh the details are."""

    seen_at: Instant
    told_at: Instant
    source: str
    customer: Customer
    attributes: dict[str, str] = Field(default={})
    moments: tuple[Moment, ...] = ()
    claimed: dict[str, Instant] = Field(default={})
    """Addresses that lead to them from now on, since when."""


class MemberState(Model):
    """A shopper or member."""

    seen_at: Instant
    enrolled_at: Instant | None = None
    customers: tuple[CustomerRef, ...] = ()
    identity_emails: Annotated[dict[str, Instant], Field(max_length=IDENTITY_EMAILS_MAX)] = Field(default={})
    """Addresses that ever led to them, since when. An address leads to who has it since the latest time."""
    told: dict[Told, Statement] = Field(default={})
    waiting: Annotated[tuple[Moment, ...], Field(max_length=1000)] = ()
    """Moments to be judged when their program is known."""


def moments_of(report: OrderReport) -> tuple[Moment, ...]:
    """What an order says of when its customer may have become a member. Test orders say nothing."""
    if report.test:
        return ()
    moments = []
    if report.customer.account:
        prompt = report.updated_at - report.placed_at <= PROMPT_MAX
        moments.append(Moment(kind="account", at=report.placed_at if prompt else report.updated_at))
    if report.customer.customer_id is not None:
        moments.append(Moment(kind="first_order", at=report.placed_at))
    return tuple(moments)


def observe(state: MemberState | None, sighting: Sighting) -> MemberState:
    """Take in what a fact says; which statement of a field counts does not depend on which arrives first."""
    before = state or MemberState(seen_at=sighting.seen_at)
    told = dict(before.told)
    for field, statement in _statements(sighting).items():
        known = told.get(field)
        told[field] = statement if known is None else _counting(field, known, statement)
    customers = {(ref.source, ref.customer_id) for ref in before.customers}
    if sighting.customer.customer_id is not None:
        customers.add((sighting.source, sighting.customer.customer_id))
    return MemberState(
        seen_at=min(before.seen_at, sighting.seen_at),
        enrolled_at=before.enrolled_at,
        customers=tuple(CustomerRef(source=source, customer_id=value) for source, value in sorted(customers)),
        identity_emails=_latest(before.identity_emails, sighting.claimed),
        told={field: told[field] for field in sorted(told)},
        waiting=_waiting(*before.waiting, *sighting.moments),
    )


def _latest(one: Mapping[str, datetime], other: Mapping[str, datetime]) -> dict[str, datetime]:
    """Each address since the latest time; of very many the latest. The others go on leading to them, untold."""
    if not other:
        return dict(one)
    found = {key: max(item[key] for item in (one, other) if key in item) for key in {*one, *other}}
    kept = sorted(found, key=lambda key: (found[key], key))[-IDENTITY_EMAILS_MAX:]
    return {key: found[key] for key in sorted(kept)}


def _waiting(*moments: Moment) -> tuple[Moment, ...]:
    """The earliest of each kind: the one that will count is among them, unless very many lie before the program."""
    by_kind = {kind: {moment.at for moment in moments if moment.kind == kind} for kind in _KINDS}
    kept = sorted((at, kind) for kind, times in by_kind.items() for at in sorted(times)[:WAITING_MAX])
    return tuple(Moment(kind=kind, at=at) for at, kind in kept)


_OF_CONTACTS: tuple[Told, ...] = ("email", "first_name", "last_name")
_OF_MEMBERS: tuple[Told, ...] = ("locale", "email_consent", "attributes", "birthday")


def recalled(state: MemberState | None, event: MemberChangedV1 | ContactChangedV1) -> MemberState:
    """What was published of a person, as a state; when each thing was told is not on the topic, only until when.

    Nor is who told it: of who has an account, the account.
    """
    at = event.recorded_at
    before = state or MemberState(seen_at=at)
    customers = {(ref.source, ref.customer_id): ref for ref in before.customers}
    if isinstance(event, MemberChangedV1):
        customers |= {(ref.source, ref.customer_id): ref for ref in event.customers}
    told = dict(before.told)
    for field in _OF_CONTACTS if isinstance(event, ContactChangedV1) else _OF_MEMBERS:
        value = getattr(event, field)
        if value not in (None, {}) and (field not in told or told[field].value != value):
            told[field] = Statement(value=value, at=at, named=bool(customers))
    found = {"told": {field: told[field] for field in sorted(told)}}
    if isinstance(event, ContactChangedV1):
        emails = {item.email: item.since for item in event.identity_emails}
        return before.model_copy(update=found | {"identity_emails": _latest(before.identity_emails, emails)})
    known = {
        "seen_at": event.seen_at if state is None else min(before.seen_at, event.seen_at),
        "enrolled_at": earliest(before.enrolled_at, event.enrolled_at),
        "customers": tuple(customers[key] for key in sorted(customers)),
    }
    return before.model_copy(update=found | known)


def _counting(field: Told, *statements: Statement) -> Statement:
    if field in LOCKED:
        return min(statements, key=Statement.key)
    return max(statements, key=lambda statement: (statement.named, *statement.key()))


def _statements(sighting: Sighting) -> dict[Told, Statement]:
    customer = sighting.customer
    values: dict[Told, str | bool | dict[str, str] | None] = {
        "email": customer.email.strip() if customer.email else None,
        "first_name": customer.first_name,
        "last_name": customer.last_name,
        "locale": customer.locale,
        "email_consent": customer.email_consent,
        "attributes": sighting.attributes or None,
        "birthday": customer.birthday,
    }
    named = customer.customer_id is not None
    return {
        field: Statement(value=value, at=sighting.told_at, named=named)
        for field, value in values.items()
        if value is not None
    }


def enrol(state: MemberState, programs: ProgramBook, program_id: str) -> MemberState:
    """Judge the moments that wait. The earliest that qualifies counts; nobody is ever put out again.

    A moment is judged by the version in force at that time, or by the first one if it lies before them all.
    While the program is unknown the moments go on waiting.
    """
    if not state.waiting or not programs.known(program_id):
        return state
    qualified = [
        moment.at
        for moment in state.waiting
        if moment.kind == "opt_in" or moment.kind in _version_at(programs, program_id, moment.at).enrolment.on
    ]
    return state.model_copy(update={"enrolled_at": earliest(state.enrolled_at, *qualified), "waiting": ()})


def _version_at(programs: ProgramBook, program_id: str, at: datetime) -> Program:
    in_force = programs.in_force(program_id, at)
    if in_force is not None:
        return in_force
    versions: list[Program] = [event.document for event in programs.versions(program_id)]
    return min(versions, key=lambda program: (program.effective_from, program.version))


def member_event(
    state: MemberState, *, program_id: str, member_id: UUID, version: int, recorded_at: datetime, salt: bytes
) -> MemberChangedV1:
    """The whole member for everybody: no clear personal data."""
    told = {field: statement.value for field, statement in state.told.items()}
    email = told.get("email")
    return MemberChangedV1.model_validate(
        {
            "program_id": program_id,
            "member_id": member_id,
            "version": version,
            "status": "shopper" if state.enrolled_at is None else "member",
            "seen_at": state.seen_at,
            "enrolled_at": state.enrolled_at,
            "customers": state.customers,
            "email_consent": told.get("email_consent"),
            "email_fingerprint": email_fingerprint(salt, email) if isinstance(email, str) else None,
            "locale": told.get("locale"),
            "attributes": told.get("attributes", {}),
            "birthday": told.get("birthday"),
            "recorded_at": recorded_at,
        }
    )


def contact_event(
    state: MemberState, *, program_id: str, member_id: UUID, version: int, recorded_at: datetime
) -> ContactChangedV1:
    """How to reach the member."""
    told = {field: statement.value for field, statement in state.told.items()}
    return ContactChangedV1.model_validate(
        {
            "program_id": program_id,
            "member_id": member_id,
            "version": version,
            **{field: told.get(field) for field in _OF_CONTACTS},
            "identity_emails": [IdentityEmail(email=email, since=at) for email, at in state.identity_emails.items()],
            "recorded_at": recorded_at,
        }
    )
