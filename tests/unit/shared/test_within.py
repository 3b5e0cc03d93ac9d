"""What may hang, or be cancelled by itself, ends nobody else."""

import asyncio
import time
from contextlib import suppress

import pytest

from shared.clock import within


async def test_it_returns_what_was_asked_for() -> None:
    assert await within(5.0, asyncio.sleep(0, "answer")) == "answer"


async def test_who_does_not_heed_being_cancelled_is_left_behind() -> None:
    async def stubborn() -> None:
        end = time.monotonic() + 2.0
        while time.monotonic() < end:
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(0.1)

    began = time.monotonic()
    with pytest.raises(TimeoutError):
        await within(0.1, stubborn())
    assert time.monotonic() - began < 1.0


async def test_who_is_cancelled_by_itself_cancels_nobody() -> None:
    async def careless() -> None:
        task = asyncio.ensure_future(asyncio.sleep(5))
        task.cancel()
        await task

    with pytest.raises(TimeoutError, match="by itself"):
        await within(5.0, careless())


async def test_who_waits_can_be_cancelled() -> None:
    work = asyncio.ensure_future(asyncio.sleep(5))

    async def ask() -> None:
        await work

    waiting = asyncio.ensure_future(within(5.0, ask()))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await asyncio.wait([work], timeout=1.0)
    assert work.cancelled()


async def test_errors_are_raised() -> None:
    async def wrong() -> None:
        raise ValueError("wrong")

    with pytest.raises(ValueError, match="wrong"):
        await within(5.0, wrong())
