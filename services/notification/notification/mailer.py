"""Sends e-mails: claims what is due, hands it over, marks it. At least once, always under one Message-ID."""

import asyncio
import random
import re
from collections.abc import Coroutine
from dataclasses import dataclass
from datetime import timedelta
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import parseaddr
from typing import Any

import aiosmtplib

from contracts.program import Program, ProgramBook
from shared.log import log
from shared.service import Context
from shared.telemetry import counter
from shared.transaction import Transaction

from .domain import optout
from .domain.backoff import mail_delay
from .render import render
from .store import queue
from .words import tidy_name

CONNECTIONS_MAX = 4
PER_CONNECTION = 10
SMTP_SECONDS_MAX = 10.0
"""For each answer of the mail server."""
SEND_SECONDS_MAX = 40.0
"""For one mail, from MAIL to the answer to DATA."""
LANE_SECONDS_MAX = 15.0
"""A connection starts no further mail after so long; what is left goes with the next claim."""
TROUBLE_SECONDS = 1.0
"""A server in trouble is left alone for so long, whatever comes meanwhile."""
REFUSED_MAX = timedelta(days=5)
"""Who is refused for the time being for so long is refused for good, as among mail servers (RFC 5321, 4.5.4.1)."""
LEASE = timedelta(seconds=60)
"""Longer than the last two together, so that nobody else sends what is still being sent."""
_ADDRESS = re.compile(r"[^\s<>()\[\]:,;]+@[^\s<>()\[\]:,;]+")
POLICY = SMTP.clone(max_line_length=998)
"""Shorter lines would fold a long link into encoded words, which no mail program follows for one-click opt-out."""
MAILS = counter("mails", "Tries to hand a mail to the mail server.", ("outcome",))


class UndeliverableError(Exception):
    """This mail to this recipient will never go; the text says why."""


@dataclass(frozen=True, slots=True)
class MailServer:
    """Where mails are handed over, and what they say of us."""

    host: str
    port: int
    username: str | None
    password: str | None
    starttls: bool
    sender: str
    """The address that mails come from; its domain is that of Message-IDs."""
    public_url: str
    """The base of opt-out links, as members reach it."""
    optout_key: bytes

    def client(self) -> aiosmtplib.SMTP:
        """A connection, not yet open."""
        return aiosmtplib.SMTP(
            hostname=self.host,
            port=self.port,
            username=self.username,
            password=self.password,
            use_tls=False,
            start_tls=self.starttls,
            timeout=SMTP_SECONDS_MAX,
        )


def compose(server: MailServer, program: Program, message: queue.Claimed) -> tuple[EmailMessage, str]:
    """The mail and the locale it is in. The same message makes the same mail again, whenever it is tried.

    Raises UndeliverableError for an address that is none.
    """
    link = f"{server.public_url.rstrip('/')}/v1/opt-out/{optout.sign(server.optout_key, message.member_id)}"
    content = render(
        message.template,
        message.parameters,
        program,
        locale=message.member_locale,
        first_name=message.first_name,
        referral_code=message.referral_code,
        opt_out_url=link,
    )
    mail = EmailMessage(policy=POLICY)
    mail["From"] = Address(tidy_name(program.messages.sender_name), addr_spec=server.sender)
    mail["To"] = _address(tidy_name(message.first_name), message.email or "")
    mail["Subject"] = content.subject
    mail["Date"] = message.created_at
    mail["Message-ID"] = f"<{message.message_id}@{server.sender.rpartition('@')[2]}>"
    mail["List-Unsubscribe"] = f"<{link}>"
    mail["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    mail["Auto-Submitted"] = "auto-generated"
    mail["X-Correlation-Id"] = message.correlation_id
    if message.traceparent:
        mail["traceparent"] = message.traceparent
    mail["Content-Language"] = content.locale.replace("_", "-")
    mail.set_content(content.text)
    mail.add_alternative(content.html, subtype="html")
    return mail, content.locale


def _address(name: str, email: str) -> Address:
    local, _, domain = email.rpartition("@")
    if not local or not domain or parseaddr(email)[1] != email or not email.isprintable():
        raise UndeliverableError("not an e-mail address")
    try:
        return Address(name, addr_spec=f"{local}@{domain.encode('idna').decode()}")
    except (ValueError, IndexError, MessageError) as error:
        raise UndeliverableError(f"not an e-mail address: {type(error).__name__}") from error


async def send_due(context: Context, server: MailServer, programs: ProgramBook) -> bool:
    """Claim what is due and try each once, over a few connections. True when there may be more to do at once."""
    claimed = await context.execute(
        lambda tx: queue.claim(tx, "email", limit=CONNECTIONS_MAX * PER_CONNECTION, lease=LEASE)
    )
    to_send = [message for message in claimed if not await _suppressed(context, message)]
    lanes = [to_send[start::CONNECTIONS_MAX] for start in range(min(CONNECTIONS_MAX, len(to_send)))]
    worked = await asyncio.gather(*(_lane(context, server, programs, lane) for lane in lanes))
    if not all(worked):
        await asyncio.sleep(TROUBLE_SECONDS)
    return all(worked) and len(claimed) == CONNECTIONS_MAX * PER_CONNECTION


async def _suppressed(context: Context, message: queue.Claimed) -> bool:
    reason = "opted_out" if message.opted_out_at else "no_address" if message.email is None else None
    if reason:
        MAILS.labels(reason).inc()
        await context.execute(lambda tx: queue.finish(tx, message, "email", "suppressed", reason=reason))
    return reason is not None


async def _lane(context: Context, server: MailServer, programs: ProgramBook, messages: list[queue.Claimed]) -> bool:
    """Send these over one connection. False if the connection failed; what was not sent is put back."""
    loop = asyncio.get_running_loop()
    started, left = loop.time(), list(messages)
    client = server.client()
    try:
        trouble = await _trouble_of(client.connect())
        while left and trouble is None and loop.time() - started < LANE_SECONDS_MAX and not context.stopping.is_set():
            trouble = await _send_one(context, client, server, programs, left[0])
            if trouble is None:
                left.pop(0)
        if trouble is None:
            await _trouble_of(client.quit())
    finally:
        client.close()
    if trouble is not None:
        log.warning("mail server not usable, mails wait", host=server.host, waiting=len(left), error=trouble)
        MAILS.labels("delayed").inc(len(left))
        # Members are shown the reason, which is none of theirs; where the server is says the log.
        await _put_back(context, left, "the mail server is not usable for now")
    return trouble is None


def _hand_over(client: aiosmtplib.SMTP, sender: str, recipient: str, mail: EmailMessage) -> Coroutine[Any, Any, object]:
    """aiosmtplib folds messages by a policy of its own, so it gets bytes; only SMTPUTF8 needs it whole."""
    if recipient.isascii():
        return client.sendmail(sender, [recipient], mail.as_bytes())
    return client.send_message(mail)


async def _trouble_of(call: Coroutine[object, object, object]) -> str | None:
    """What went wrong with the connection, if anything. Replies that concern one mail are raised."""
    try:
        async with asyncio.timeout(SEND_SECONDS_MAX):
            await call
    except (aiosmtplib.SMTPRecipientsRefused, aiosmtplib.SMTPDataError, aiosmtplib.SMTPNotSupported):
        raise
    except (OSError, aiosmtplib.SMTPException) as error:
        return repr(error)
    return None


async def _send_one(
    context: Context, client: aiosmtplib.SMTP, server: MailServer, programs: ProgramBook, message: queue.Claimed
) -> str | None:
    """Send one and mark it; what concerns this mail alone is dealt with here. Returns what ails the connection."""
    program = programs.in_force(message.program_id, message.recorded_at) or programs.latest(message.program_id)
    if program is None:
        await _put_back(context, [message], "program not known yet")
        return None
    try:
        mail, locale = compose(server, program, message)
    except UndeliverableError as error:
        await _give_up(context, message, str(error))
        return None
    except Exception as error:  # noqa: BLE001 - a text of ours that is wrong must not stop the mails behind it
        log.error("mail not rendered", template=message.template, message_id=str(message.message_id), exc_info=error)
        await _put_back(context, [message], f"not rendered: {type(error).__name__}")
        return None
    try:
        trouble = await _trouble_of(_hand_over(client, server.sender, message.email or "", mail))
    except aiosmtplib.SMTPRecipientsRefused as error:
        await _refused(context, message, error.recipients[0].code, error.recipients[0].message)
    except aiosmtplib.SMTPDataError as error:
        await _refused(context, message, error.code, error.message)
    except aiosmtplib.SMTPNotSupported as error:
        await _give_up(context, message, f"the mail server cannot reach such an address: {error}")
    else:
        if trouble is not None:
            return trouble
        MAILS.labels("sent").inc()
        await context.execute(lambda tx: queue.finish(tx, message, "email", "sent", locale=locale))
    return None


async def _refused(context: Context, message: queue.Claimed, code: int, text: str) -> None:
    """5xx: this recipient or mail is refused for good. 4xx: later, for some days. The connection goes on."""
    text = text.encode(errors="replace").decode()  # Answers may be in any code page, and are kept.
    now = context.clock.now()
    if code >= 500 or now - (message.refused_at or now) > REFUSED_MAX:
        await _give_up(context, message, f"{code} {text}")
    else:
        MAILS.labels("delayed").inc()
        await _put_back(context, [message], f"{code} {text}", refused=True)


async def _give_up(context: Context, message: queue.Claimed, reason: str) -> None:
    MAILS.labels("failed").inc()
    log.warning("mail refused", message_id=str(message.message_id), template=message.template)
    # Servers quote the address, as they know it; the reason goes to a topic that others read.
    told = _ADDRESS.sub("…", reason)[:255]
    await context.execute(lambda tx: queue.finish(tx, message, "email", "failed", reason=told))


async def _put_back(context: Context, messages: list[queue.Claimed], reason: str, *, refused: bool = False) -> None:
    async def work(tx: Transaction) -> None:
        later = [(one, tx.now + mail_delay(one.attempts, random.random())) for one in messages]
        await queue.put_back(tx, later, reason=reason[:255], refused=refused)

    if messages:
        await context.execute(work)
