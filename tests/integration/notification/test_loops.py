"""The loops of the running service: mails and webhooks go by themselves, and what waits is measured."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from notification.app import OLDEST_DUE
from notification.store import endpoints

from .parts import Desk, contact, desk, granted, receiver, reward

pytestmark = pytest.mark.integration


@pytest.fixture
async def here(database: str) -> AsyncIterator[Desk]:
    async with desk(database, webhook_allow_hosts="shop.lan, localhost") as made:
        yield made


async def test_what_is_due_goes_by_itself_and_the_loops_end(here: Desk) -> None:
    async with receiver() as shop:
        await here.harness.context.execute(
            lambda tx: endpoints.set_endpoint(tx.connection, "aurora", shop.url, now=tx.now)
        )
        await here.mailbox.stop()
        await here.harness.deliver(contact(), granted(), reward())
        here.later(minutes=5)
        loops = [asyncio.ensure_future(task()) for task in here.harness.service.tasks]
        await _until(lambda: len(shop.requests) == 1 and OLDEST_DUE.labels("email")._value.get() == 300)
        await here.mailbox.start()
        here.later(minutes=5)
        await _until(lambda: len(here.mailbox.mails) == 2)
        here.harness.context.stopping.set()
        for name in ("mails", "webhooks", "message-age"):
            here.harness.context.wake(name).set()
        await asyncio.wait_for(asyncio.gather(*loops), 10)
    assert {row["state"] for row in await here.rows()} == {"sent"}


async def _until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110 - what is awaited sets no event
            await asyncio.sleep(0.05)
