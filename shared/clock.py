"""The clock, as an argument: nothing else asks the machine for the time. And how to wait, and let others go on."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterable
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Clock(Protocol):
    """Tells the time in UTC."""

    def now(self) -> datetime: ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)


class FixedClock:
    """A clock that stands still until it is set; for tests and replays."""

    def __init__(self, at: datetime) -> None:
        self.at = at

    def now(self) -> datetime:
        return self.at


async def within(seconds: float, work: Coroutine[Any, Any, T]) -> T:
    """What `work` returns. Raises TimeoutError when it takes longer, or ends because a task of its own was cancelled.

    For clients that do not heed being cancelled, so that `asyncio.timeout` and `wait_for` would wait for them for ever,
    or let the end of their own tasks look like that of ours (aiokafka's consumer does both).
    """
    task = asyncio.ensure_future(work)
    task.add_done_callback(_looked_at)
    try:
        done, _ = await asyncio.wait([task], timeout=seconds)
    except asyncio.CancelledError:
        task.cancel()
        raise
    if not done:
        task.cancel()
        raise TimeoutError(f"not done within {seconds:g} s")
    if task.cancelled():
        raise TimeoutError("given up by itself")
    return task.result()


def _looked_at(task: "asyncio.Future[Any]") -> None:
    """Nobody asks any more how it ended; asyncio would complain."""
    if not task.cancelled():
        task.exception()


async def in_turns(items: Iterable[T], each: int) -> AsyncIterator[T]:
    """The items; before every so many whatever else waits for this thread gets its turn."""
    for place, item in enumerate(items):
        if place % each == 0:
            await asyncio.sleep(0)
        yield item
