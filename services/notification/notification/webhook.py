"""Outgoing webhooks: Standard Webhooks signatures, the guard against inner addresses, and the loop that sends."""

import asyncio
import base64
import hashlib
import hmac
import ipaddress
import json
import random
import socket
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import httpx

from shared.log import log
from shared.service import Context
from shared.telemetry import counter
from shared.transaction import Transaction

from .domain.backoff import webhook_delay
from .store import endpoints, queue

IN_FLIGHT_MAX = 8
TRY_SECONDS_MAX = 20.0
LEASE = timedelta(seconds=40)
SILENT_PAUSE = timedelta(seconds=10)
"""An endpoint that did not answer gets nothing for so long."""
TIMEOUT = httpx.Timeout(10.0, connect=5.0)
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
WEBHOOKS = counter("webhook_tries", "Tries to hand a message to an endpoint.", ("outcome",))

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class RefusedError(Exception):
    """The endpoint must not be called; the text says why."""


def sign(secrets: list[str], message_id: str, timestamp: int, body: bytes) -> str:
    """The header `webhook-signature`: `v1,` and base64 of HMAC-SHA256 of `id.timestamp.body`, once per secret.

    Source: Standard Webhooks specification, "Signature scheme".
    """
    signed = f"{message_id}.{timestamp}.".encode() + body
    keys = [base64.b64decode(secret.removeprefix("whsec_")) for secret in secrets]
    return " ".join("v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode() for key in keys)


def check_url(url: str, allow_hosts: frozenset[str]) -> str:
    """The host of a URL that may be an endpoint. Raises RefusedError; hosts that are allowed by name may be anything.

    Members are shown the reason, so it does not repeat the URL, which may hold a secret.
    """
    try:
        parts = urlsplit(url)
        host, scheme = parts.hostname, parts.scheme
        if not host or parts.port == 0 or scheme not in ("https", "http") or not httpx.URL(url).host:
            raise ValueError("a part is missing")
    except (ValueError, httpx.InvalidURL) as error:
        raise RefusedError("it is no http(s) URL") from error
    if parts.username or parts.password:
        raise RefusedError("it must not hold credentials; receivers check the signature")
    if host not in allow_hosts:
        if scheme != "https":
            raise RefusedError("it must be https, or its host named in LAUREL_WEBHOOK_ALLOW_HOSTS")
        with suppress(ValueError):  # Names are looked up when they are called.
            _refuse_inner([ipaddress.ip_address(host)])
    return host


def _refuse_inner(addresses: Iterable[Address]) -> None:
    if not all(is_public(address) for address in addresses):
        raise RefusedError("it leads to an inner address; name its host in LAUREL_WEBHOOK_ALLOW_HOSTS if that is meant")


def is_public(address: Address) -> bool:
    """Whether the address is of the open internet; addresses that wrap another count as what they wrap."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        if address.sixtofour is not None or address.teredo is not None or address in _NAT64:
            return False
        if address.is_site_local:
            return False
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


async def pin(url: str, allow_hosts: frozenset[str]) -> tuple[httpx.URL, str]:
    """The URL with the address to connect to instead of its host, and the host.

    Resolved once, so that a name that answers differently the second time gains nothing. Raises RefusedError, or
    OSError when the name does not resolve.
    """
    host = check_url(url, allow_hosts)
    found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    addresses = [ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]
    if host not in allow_hosts:
        _refuse_inner(addresses)
    return httpx.URL(url).copy_with(host=str(addresses[0])), host


@dataclass(frozen=True, slots=True)
class Answer:
    """What a try came to: a status, or an error instead; seconds that the receiver asked to wait."""

    status: int | None
    text: str
    """Shown to members, and told on a topic: without addresses, and nothing that the receiver said."""
    retry_after: float | None = None
    detail: str = ""
    """What the text leaves out, for operators."""


async def post(
    client: httpx.AsyncClient,
    url: str,
    headers: dict[str, str],
    body: bytes,
    *,
    allow_hosts: frozenset[str],
    now: datetime,
) -> Answer:
    """One try. Redirects are not followed, and the body of the answer is not read: nobody could make it too long."""
    try:
        async with asyncio.timeout(TRY_SECONDS_MAX):
            target, host = await pin(url, allow_hosts)
            headers = headers | {"host": httpx.URL(url).netloc.decode()}
            async with client.stream(
                "POST", target, content=body, headers=headers, extensions={"sni_hostname": host}, follow_redirects=False
            ) as response:
                status = response.status_code
                return Answer(status, f"HTTP {status}", _retry_after(response.headers.get("retry-after", ""), now))
    except RefusedError as error:
        return Answer(None, str(error))
    except (OSError, UnicodeError, httpx.HTTPError, httpx.InvalidURL) as error:
        return Answer(None, type(error).__name__, detail=str(error)[:255])


def _retry_after(value: str, now: datetime) -> float | None:
    """Seconds, from a number of them or a date; None for anything else."""
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        return (parsedate_to_datetime(value).astimezone(UTC) - now).total_seconds()
    except (ValueError, OverflowError):
        return None


async def send_due(context: Context, client: httpx.AsyncClient, allow_hosts: frozenset[str]) -> bool:
    """Claim what is due and try each once. True when there may be more: the next of these members, too."""

    async def claim(tx: Transaction) -> list[tuple[queue.Claimed, endpoints.Target]]:
        claimed = await queue.claim(tx, "webhook", limit=IN_FLIGHT_MAX, lease=LEASE)
        found = await endpoints.targets(tx.connection, [one.program_id for one in claimed], now=tx.now)
        return [(one, found[one.program_id]) for one in claimed]

    work = await context.execute(claim)
    await asyncio.gather(*(_try(context, client, allow_hosts, *one) for one in work))
    return bool(work)


async def _try(
    context: Context,
    client: httpx.AsyncClient,
    allow_hosts: frozenset[str],
    message: queue.Claimed,
    target: endpoints.Target,
) -> None:
    now = context.clock.now()
    event = {
        "type": message.template,
        "timestamp": message.recorded_at.isoformat(),
        "data": json.loads(message.parameters),
    }
    body = json.dumps(event, ensure_ascii=False).encode()
    headers = {
        "content-type": "application/json",
        "user-agent": "Laurel",
        "webhook-id": str(message.message_id),
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": sign(target.secrets, str(message.message_id), int(now.timestamp()), body),
        "x-correlation-id": message.correlation_id,
    }
    if message.traceparent:
        headers["traceparent"] = message.traceparent
    answer = await post(client, target.url, headers, body, allow_hosts=allow_hosts, now=now)
    await context.execute(lambda tx: _record(tx, message, target, answer))


async def _record(tx: Transaction, message: queue.Claimed, target: endpoints.Target, answer: Answer) -> None:
    if answer.status is not None and 200 <= answer.status < 300:
        WEBHOOKS.labels("accepted").inc()
        await queue.finish(tx, message, "webhook", "sent")
        await endpoints.accepted(tx, message.program_id)
        return
    delay = webhook_delay(message.attempts, random.random(), answer.retry_after)
    WEBHOOKS.labels("refused").inc()
    log.warning(
        "webhook not accepted", program_id=message.program_id, attempts=message.attempts, reason=answer.text,
        detail=answer.detail,
    )  # fmt: skip
    gone = answer.status == httpx.codes.GONE
    if gone or delay is None:
        await queue.finish(tx, message, "webhook", "failed", reason=answer.text)
        # One message that is not liked must not keep all others from an endpoint that takes them.
        since = tx.now if gone else message.created_at
        why = f"after {message.attempts} tries: {answer.text}" + (f": {answer.detail}" if answer.detail else "")
        await endpoints.disable(tx, message.program_id, target.url, why, unless_accepted_since=since)
    else:
        await queue.put_back(tx, [(message, tx.now + delay)], reason=answer.text)
    if answer.status is None:
        await endpoints.pause(tx, message.program_id, SILENT_PAUSE)
