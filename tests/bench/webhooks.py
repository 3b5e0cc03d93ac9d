"""Signed webhooks: kept by order-ingest before they are answered, beside a bare app that only checks the MAC.

order-ingest reads what it keeps in the same process meanwhile, as it always does.
"""

import asyncio
import json
import os
import secrets
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from itertools import count, cycle, islice
from typing import Any

import asyncpg

from contracts.topics import INGEST
from laurel.embedded.process import HOST, free_port
from laurel.shopify import headers as signed_headers
from order_ingest.store.connections import create_connection, create_source

from . import bare
from .arithmetic import Sample, Series, ratio
from .http import Asked, Client, Request, closed_loop
from .ledger import connected, fresh, migrated, until
from .servers import Bench, ended
from .traffic import TEN

BASIS = "basis_webhooks"
CONNECTIONS = 32
WEBHOOKS, BARE = "webhooks", "bare app"
PER_SECOND_MAX = 15_000
"""More than order-ingest can keep."""
SOURCE = "shop"
CUSTOMERS = 1000
_PADDING = "An order of three lines with addresses, taxes and discounts has some five kilobytes. " * 40


async def measure(bench: Bench, _wanted: frozenset[str]) -> dict[str, Series]:
    """Figure 7."""
    migrated(bench, BASIS, INGEST)
    samples: dict[str, list[Sample]] = {WEBHOOKS: [], BARE: []}
    for number in range(min(bench.rounds, 3)):
        bench.say(f"webhooks, round {number + 1}")
        samples[WEBHOOKS].append(await _kept(bench))
        samples[BARE].append(await _bare(bench))
    found = {name: Series(values, "requests/s") for name, values in samples.items()}
    return found | {f"{WEBHOOKS} ÷ {BARE}": ratio(found[WEBHOOKS], found[BARE])}


async def _kept(bench: Bench) -> Sample:
    """What order-ingest answers 2xx; afterwards all of it must be there, and be read."""
    secret = secrets.token_hex(32)
    async with fresh(bench, BASIS, INGEST) as dsn, connected(dsn) as look:
        place = await connect_shop(look, secret)
        async with bench.service(INGEST, dsn) as (running,):
            meter = bench.meter([running])
            asked = await _ask(bench, running.url, place, secret, meter.begin)
            sample = meter.end(asked.accepted)
            kept = await look.fetchval("SELECT count(*) FROM deliveries")

            async def read() -> bool:
                running.check()
                return not await look.fetchval("SELECT EXISTS (SELECT FROM deliveries WHERE status = 'received')")

            await until(read)
        good = await look.fetchval("SELECT count(*) FROM deliveries WHERE status = 'processed'")
        orders = await look.fetchval("SELECT count(*) FROM orders")
    found = {"kept": kept, "understood": good, "orders": orders}
    bench.faults += [
        f"{WEBHOOKS}: {number} {name} of {asked.accepted}" for name, number in found.items() if number != asked.accepted
    ]
    return sample


async def connect_shop(connection: asyncpg.Connection, secret: str) -> str:
    """Let order-ingest take a shop's webhooks; returns the connection's id."""
    now = datetime.now(UTC)
    await create_source(connection, TEN.program_id, SOURCE, now=now)
    return await create_connection(connection, TEN.program_id, SOURCE, "shopify", secret, now=now)


async def _bare(bench: Bench) -> Sample:
    """What the bare app answers."""
    secret, port = secrets.token_hex(32), free_port()
    said = {bare.PORT: str(port), bare.SECRET: secret}
    async with _serving(bench, said) as process:
        url = f"http://{HOST}:{port}"
        await _answering(url, process)
        meter = bench.meter(bare=process.pid)
        asked = await _ask(bench, url, "any", secret, meter.begin)
        return meter.end(asked.accepted)


async def _ask(bench: Bench, url: str, connection_id: str, secret: str, begin: Any) -> Asked:
    """Webhooks made ready before anybody counts: signing them is the shop's work.

    Both sides are asked equally long; only the bare app is so fast that they come round again.
    """
    seconds = bench.count(5, 3)
    ready = list(islice(webhooks(connection_id, secret), seconds * PER_SECOND_MAX))
    begin()
    asked = await closed_loop(url, cycle(ready), CONNECTIONS, seconds)
    if asked.others:
        bench.faults.append(f"{WEBHOOKS}: answers other than 2xx: {asked.others}")
    return asked


def webhooks(connection_id: str, secret: str, first: int = 1, customers: int = CUSTOMERS) -> Iterator[Request]:
    """Paid orders of now, numbered from `first`, of so many customers in turn. Requests are named by their order."""
    at = datetime.now(UTC).isoformat(timespec="seconds")
    for number in count(first):
        body = json.dumps(_payload(number, number % customers, at)).encode()
        headers = tuple(signed_headers(secret, body, "orders/create", f"webhook-{number}").items())
        yield Request("POST", f"/v1/connections/{connection_id}/webhooks", headers, body, str(number))


def address(customer: int) -> str:
    """Where a customer gets mail."""
    return f"buyer-{customer}@example.com"


def _payload(number: int, customer: int, at: str) -> dict[str, Any]:
    """An order as Shopify tells it, as far as anybody reads it; a note brings it to its size."""
    line = {"id": number, "product_id": 1, "title": "Tea tin", "price": "11.20", "quantity": 1, "gift_card": False}
    return {
        "id": number, "name": f"#{number}", "created_at": at, "processed_at": at, "updated_at": at, "currency": "USD",
        "presentment_currency": "USD", "taxes_included": False, "test": False, "financial_status": "paid",
        "subtotal_price": "11.20", "total_price": "11.20", "total_tax": "0.00", "total_discounts": "0.00",
        "customer": {"id": customer + 1, "email": address(customer), "verified_email": True,
                     "state": "enabled", "created_at": at, "updated_at": at},
        "email": address(customer), "line_items": [line], "refunds": [], "note": _PADDING,
    }  # fmt: skip


@asynccontextmanager
async def _serving(bench: Bench, said: dict[str, str]) -> AsyncIterator[asyncio.subprocess.Process]:
    with (bench.logs / "bare.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", bare.__name__, env={**os.environ, **said}, stdout=log, stderr=log
        )
    try:
        yield process
    finally:
        await ended(process)


async def _answering(url: str, process: asyncio.subprocess.Process) -> None:
    async def ready() -> bool:
        if process.returncode is not None:
            raise RuntimeError(f"the bare app ended with {process.returncode}")
        try:
            async with Client(url) as client:
                return (await client.request("POST", "/")).status == 401
        except OSError:
            return False

    await until(ready, 30.0)
