"""A real mail server and a real webhook receiver, and the events of one member."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import AnyStr
from uuid import UUID

from aiosmtpd.smtp import SMTP, Envelope

from console.document import check
from contracts.base import Event
from contracts.members import ContactChangedV1, MemberChangedV1
from contracts.points import Balances, Cause, OrderRef, PointsGrantedV1
from contracts.program import Program, ProgramBook, ProgramPublishedV1
from contracts.referrals import ReferralCodeAssignedV1
from contracts.rewards import RewardIssuedV1, RewardReturnedV1, RewardUsedV1
from contracts.tiers import StandingChangedV1
from notification import app, mailer
from shared.testing import Harness, harness

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
MEMBER = UUID("11111111-1111-4111-8111-111111111111")
ROOT = Path(__file__).parents[3]
MIGRATIONS = ROOT / "services/notification/notification/migrations"


def aurora() -> Program:
    program, findings = check((ROOT / "programs/aurora.yaml").read_text("utf-8"))
    assert program is not None, findings
    return program


def published() -> ProgramPublishedV1:
    program = aurora()
    return ProgramPublishedV1(
        program_id=program.id, version=1, hash=program.hash(), published_at=NOW, document=program
    )  # fmt: skip


def contact(version: int = 1, email: str | None = "leyla@example.com", first_name: str | None = "Leyla") -> Event:
    return ContactChangedV1(
        program_id="aurora", member_id=MEMBER, version=version, email=email, first_name=first_name, recorded_at=NOW
    )


def member(version: int = 1, status: str = "member", locale: str | None = "en", **changes: object) -> Event:
    facts = {
        "program_id": "aurora", "member_id": MEMBER, "version": version, "status": status, "locale": locale,
        "seen_at": NOW, "enrolled_at": NOW if status == "member" else None, "recorded_at": NOW,
    }  # fmt: skip
    return MemberChangedV1.model_validate(facts | changes)


def code() -> Event:
    return ReferralCodeAssignedV1(program_id="aurora", member_id=MEMBER, code="LEYLA7K3", assigned_at=NOW)


def granted(points: int = 250, at: datetime = NOW, member_id: UUID = MEMBER) -> Event:
    return PointsGrantedV1(
        program_id="aurora", member_id=member_id, program_version=1, program_hash="x", sequence=1, account_version=1,
        occurred_at=at, effective_at=at, cause=Cause(kind="order", id="e"), transfers=(), points=points,
        balances=Balances(pending=points, active=0, held=0, deficit=0), activates_at=at + timedelta(days=14),
        claim_kind="order", claim_id="shop:1",
    )  # fmt: skip


def upgraded() -> Event:
    return StandingChangedV1(
        program_id="aurora", member_id=MEMBER, version=1, intervals=(), change="upgraded", from_tier_id="member",
        to_tier_id="silver", tier_points=2000, occurred_at=NOW, recorded_at=NOW,
    )  # fmt: skip


def reward(
    *, at: datetime = NOW, member_id: UUID = MEMBER, program_id: str = "aurora", coupon: int = 5
) -> Event:  # fmt: skip
    return RewardIssuedV1(
        program_id=program_id, member_id=member_id, coupon_id=UUID(int=coupon), reward_id="five-off",
        program_version=1, kind="money_off", code="7K3M9QW2XHTB", code_origin="generated", value_minor=500,
        currency="USD", points=500, issued_at=at, expires_at=at + timedelta(days=90),
    )  # fmt: skip


def used(at: datetime, *, coupon: int = 5, issued_at: datetime | None = NOW) -> Event:
    """Without `issued_at` it is one of before that was told."""
    order = OrderRef(source="shop", order_id="1", revision=1, placed_at=at)
    return RewardUsedV1(
        program_id="aurora", member_id=MEMBER, coupon_id=UUID(int=coupon), reward_id="five-off", kind="money_off",
        order=order, used_at=at, issued_at=issued_at,
    )  # fmt: skip


def returned(
    at: datetime, *, coupon: int = 5, issued_at: datetime | None = NOW, member_id: UUID = MEMBER
) -> Event:  # fmt: skip
    return RewardReturnedV1(
        program_id="aurora", member_id=member_id, coupon_id=UUID(int=coupon), reward_id="five-off", kind="money_off",
        points=500, void=True, reason="reversed", returned_at=at, issued_at=issued_at,
    )  # fmt: skip


class _AnyCodePage(SMTP):
    """Answers with the bytes that a text stands for, as older servers do."""

    async def push(self, status: AnyStr) -> None:
        assert self._writer is not None
        self._writer.write(str(status).encode(errors="surrogateescape") + b"\r\n")
        await self._writer.drain()


@dataclass
class Mailbox:
    """A mail server on loopback that keeps what it gets, and can be told to refuse or to go away."""

    port: int = 0
    mails: list[EmailMessage] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)
    connections: int = 0
    refuse_rcpt: str | None = None
    refuse_data: str | None = None
    got: asyncio.Event = field(default_factory=asyncio.Event)
    _server: asyncio.Server | None = None

    async def handle_RCPT(self, server: SMTP, session: object, envelope: Envelope, address: str, _: object) -> str:
        if self.refuse_rcpt is not None:
            return self.refuse_rcpt
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: object, envelope: Envelope) -> str:
        if self.refuse_data is not None:
            return self.refuse_data
        assert isinstance(envelope.content, bytes)
        self.raw.append(envelope.content)
        mail = message_from_bytes(envelope.content, policy=default)
        assert isinstance(mail, EmailMessage)
        self.mails.append(mail)
        self.recipients += envelope.rcpt_tos
        self.got.set()
        return "250 OK"

    def _session(self) -> SMTP:
        self.connections += 1
        return _AnyCodePage(self, hostname="sink", ident="sink", loop=asyncio.get_running_loop())

    async def start(self) -> None:
        self._server = await asyncio.get_running_loop().create_server(self._session, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
            self._server = None


@dataclass
class Desk:
    """The service with its mail server."""

    harness: Harness
    mailbox: Mailbox
    server: mailer.MailServer
    programs: ProgramBook

    async def send(self) -> bool:
        """One pass of the loop that sends mails."""
        return await mailer.send_due(self.harness.context, self.server, self.programs)

    async def rows(self) -> list[dict[str, object]]:
        rows = await self.harness.context.read(lambda c: c.fetch("SELECT * FROM messages ORDER BY message_id"))
        return [dict(row) for row in rows]

    async def states(self) -> list[str]:
        return [f"{row['template']} {row['state']}" for row in await self.rows()]

    def later(self, **delta: float) -> None:
        self.harness.clock.at += timedelta(**delta)


@asynccontextmanager
async def desk(database: str, **settings: object) -> AsyncIterator[Desk]:
    mailbox = Mailbox()
    await mailbox.start()
    values = {"smtp_port": mailbox.port, "smtp_from": "club@aurora.example"} | settings
    try:
        async with harness(
            app.build, database, MIGRATIONS, name="notification", settings=app.Settings, now=NOW,
            reference=[published()], **values,
        ) as made:  # fmt: skip
            chosen = made.context.settings
            assert isinstance(chosen, app.Settings)
            programs = ProgramBook()
            programs.add(published())
            key = app.optout_key(chosen.keys_dir)
            yield Desk(made, mailbox, app.mail_server(chosen, key), programs)
    finally:
        await mailbox.stop()


@dataclass
class Receiver:
    """A shop's webhook receiver on loopback: answers what it is told, keeps what it got."""

    url: str = ""
    status: str = "204 No Content"
    headers: str = ""
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        request, *lines = head.strip().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        self.requests.append((request, headers, body))
        writer.write(f"HTTP/1.1 {self.status}\r\n{self.headers}content-length: 0\r\n\r\n".encode())
        await writer.drain()
        writer.close()


@asynccontextmanager
async def receiver() -> AsyncIterator[Receiver]:
    made = Receiver()
    server = await asyncio.start_server(made._serve, "127.0.0.1", 0)
    made.url = f"http://localhost:{server.sockets[0].getsockname()[1]}/hooks?shop=1"
    async with server:
        yield made
