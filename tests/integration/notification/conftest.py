"""The service, and what it calls."""

from collections.abc import AsyncIterator

import pytest

from .parts import Desk, Receiver, desk, receiver


@pytest.fixture
async def here(database: str) -> AsyncIterator[Desk]:
    async with desk(database) as made:
        yield made


@pytest.fixture
async def shop() -> AsyncIterator[Receiver]:
    async with receiver() as made:
        yield made
