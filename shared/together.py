"""What comes while one answer is under way shares the next: many cost little more than one, and one never waits."""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from math import inf
from typing import Generic, TypeVar

from .db import is_transient

Q = TypeVar("Q")
A = TypeVar("A")
_CROWD, _FLOOD_SECONDS = 16, 0.1
"""So many at once are a flood, until none were for so long."""


@dataclass(eq=False, slots=True)
class _Waiting(Generic[Q, A]):
    question: Q
    size: int
    answer: asyncio.Future[A]


class Together(Generic[Q, A]):
    """Puts questions together, in the order in which they came. Each answer began after its question was there."""

    def __init__(
        self, ask: Callable[[Sequence[Q]], Awaitable[Sequence[A]]], *, most: int, size_max: float = inf
    ) -> None:
        """`ask` gets up to `most` questions, and none more once they have `size_max`; it answers in their order."""
        self._ask, self._most, self._size_max = ask, most, size_max
        self._waiting: deque[_Waiting[Q, A]] = deque()
        self._work: asyncio.Task[None] | None = None
        self._crowd_at = -inf

    @property
    def flooded(self) -> bool:
        """Whether many came at once just now."""
        return time.monotonic() < self._crowd_at + _FLOOD_SECONDS

    async def __call__(self, question: Q, size: int = 0) -> A:
        """The answer. Raises what kept it from being found."""
        waiting: _Waiting[Q, A] = _Waiting(question, size, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if self._work is None or self._work.done():
            self._work = asyncio.create_task(self._answer_all())
        return await waiting.answer

    async def _answer_all(self) -> None:
        while taken := self._portion():
            crowd = len(taken) >= _CROWD
            if crowd:
                self._crowd_at = inf  # Until they have their answer, however long that takes.
            await self._answer(taken)
            if crowd:
                self._crowd_at = time.monotonic()

    def _portion(self) -> list[_Waiting[Q, A]]:
        taken: list[_Waiting[Q, A]] = []
        size = 0
        while self._waiting and len(taken) < self._most and (not taken or size < self._size_max):
            # Who gave up or hung up is not asked for: a database that is slow gets no more to do for them.
            if not (item := self._waiting.popleft()).answer.done():
                taken.append(item)
                size += item.size
        return taken

    async def _answer(self, taken: Sequence[_Waiting[Q, A]]) -> None:
        try:
            answers = await self._ask([item.question for item in taken])
        except Exception as error:  # noqa: BLE001 - told to whom it concerns
            if len(taken) > 1 and not is_transient(error):
                # Whichever is at fault must not take its neighbours along.
                for item in taken:
                    await self._answer([item])
                return
            for item in taken:
                if not item.answer.done():
                    item.answer.set_exception(error)
        else:
            for item, answer in zip(taken, answers, strict=True):
                # Who has hung up meanwhile is told nothing; what they asked was done all the same.
                if not item.answer.done():
                    item.answer.set_result(answer)
