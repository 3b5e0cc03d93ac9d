"""What notification consumes, publishes and serves; wiring only."""

import os
import secrets
from datetime import timedelta
from functools import partial
from pathlib import Path

import httpx
from pydantic import Field

import shared.settings
from contracts.program import ProgramBook
from contracts.topics import CONTACTS, MEMBERS, NOTIFICATION, POINTS_TOPIC, PROGRAMS, REFERRALS, REWARDS, TIERS
from shared.service import Context, Reference, Service, every
from shared.telemetry import gauge

from . import api, handlers, mailer, restoring, webhook
from .store import queue

MAILS, WEBHOOKS = "mails", "webhooks"
"""The loops that send."""
OLDEST_DUE = gauge("messages_oldest_due_seconds", "Age of the oldest message that could have been sent.", ("channel",))


class Settings(shared.settings.Settings):
    """What notification needs beside."""

    smtp_host: str = "127.0.0.1"
    smtp_port: int = Field(default=25, ge=1, le=65535)
    smtp_username: str | None = None
    smtp_password_file: Path | None = None
    smtp_starttls: bool = False
    """Insist on STARTTLS."""
    smtp_from: str = Field(default="loyalty@localhost.localdomain", pattern=r"^[^@\s<>]+@[^@\s<>]+$")
    public_url: str = Field(default="http://127.0.0.1:8105", pattern=r"^https?://\S+$")
    """Where members reach this service: the base of opt-out links."""
    messages_too_old_hours: float = Field(default=48, gt=0)
    """Events recorded longer ago, as after a restore, are no news: their mails are recorded, not sent."""
    webhook_allow_hosts: str = ""
    """Hosts, separated by commas, that may be http and on inner addresses."""

    def allowed_hosts(self) -> frozenset[str]:
        """Those hosts, as addresses have them."""
        return frozenset(host.strip().lower() for host in self.webhook_allow_hosts.split(",") if host.strip())


SETTINGS = Settings


def build(context: Context) -> Service:
    """The service over this process's database, clock and settings."""
    settings = context.settings
    assert isinstance(settings, Settings)
    programs = ProgramBook()
    key = optout_key(settings.keys_dir)
    return Service(
        name=NOTIFICATION,
        consumes=(CONTACTS, MEMBERS, REFERRALS, POINTS_TOPIC, TIERS, REWARDS),
        reference=Reference(PROGRAMS, programs.add),
        process=partial(handlers.process, timedelta(hours=settings.messages_too_old_hours)),
        handled=frozenset(handlers.HANDLERS),
        ignored=handlers.IGNORED,
        adopt=restoring.adopt,
        routes=api.routes(context, programs, key),
        tasks=(
            partial(_mails, context, mail_server(settings, key), programs),
            partial(_webhooks, context, settings.allowed_hosts()),
            partial(every, context, "message-age", seconds=10.0, work=partial(_measure, context)),
        ),
        wakes=(MAILS, WEBHOOKS),
    )


def optout_key(folder: Path) -> bytes:
    """The key of opt-out links, made once: a link in an old mail must work for ever, so the file must be kept."""
    path = folder / "optout.key"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = folder / f".optout.{secrets.token_hex(8)}"
        draft.touch(mode=0o600)
        draft.write_bytes(secrets.token_bytes(32))
        try:
            os.link(draft, path)  # Whoever comes second finds the first one's key.
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_bytes()


def mail_server(settings: Settings, key: bytes) -> mailer.MailServer:
    """The mail server of the settings."""
    password = settings.smtp_password_file.read_text().strip() if settings.smtp_password_file else None
    return mailer.MailServer(
        host=settings.smtp_host,
        port=settings.smtp_port,
        username=settings.smtp_username,
        password=password,
        starttls=settings.smtp_starttls,
        sender=settings.smtp_from,
        public_url=settings.public_url,
        optout_key=key,
    )


async def _mails(context: Context, server: mailer.MailServer, programs: ProgramBook) -> None:
    await every(context, MAILS, seconds=1.0, work=partial(mailer.send_due, context, server, programs))


async def _webhooks(context: Context, allow_hosts: frozenset[str]) -> None:
    limits = httpx.Limits(max_connections=webhook.IN_FLIGHT_MAX, max_keepalive_connections=0)
    async with httpx.AsyncClient(timeout=webhook.TIMEOUT, limits=limits, trust_env=False) as client:
        await every(context, WEBHOOKS, seconds=1.0, work=partial(webhook.send_due, context, client, allow_hosts))


async def _measure(context: Context) -> bool:
    now = context.clock.now()
    oldest = await context.read(lambda connection: queue.oldest_due(connection, now))
    for channel in ("email", "webhook"):
        OLDEST_DUE.labels(channel).set((now - oldest.get(channel, now)).total_seconds())
    return False
