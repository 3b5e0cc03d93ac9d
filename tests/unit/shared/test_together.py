"""Questions that come at once are answered at once."""

import asyncio
from collections.abc import Sequence

import pytest

from shared.together import Together


class Oracle:
    """Doubles numbers, one group after the other, each when it is let."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.let = asyncio.Semaphore(0)

    async def ask(self, questions: Sequence[int]) -> Sequence[int]:
        self.groups.append(list(questions))
        await self.let.acquire()
        if -1 in questions:
            raise ValueError("no such number")
        return [2 * number for number in questions]


async def asked(together: Together[int, int], *numbers: int) -> list[asyncio.Task[int]]:
    tasks = [asyncio.create_task(together(number, size=number)) for number in numbers]
    await asyncio.sleep(0.01)
    return tasks


async def test_what_comes_meanwhile_shares_the_next_answer_and_each_gets_its_own() -> None:
    oracle = Oracle()
    together = Together(oracle.ask, most=3)
    first = await asked(together, 1)
    others = await asked(together, 2, 2, 3, 4)
    for _ in range(3):
        oracle.let.release()
    assert await asyncio.gather(*first, *others) == [2, 4, 4, 6, 8]
    assert oracle.groups == [[1], [2, 2, 3], [4]]


async def test_a_group_that_has_its_size_takes_no_more() -> None:
    oracle = Oracle()
    together = Together(oracle.ask, most=9, size_max=5)
    tasks = await asked(together, 1, 9, 3, 2, 1)
    for _ in range(3):
        oracle.let.release()
    await asyncio.gather(*tasks)
    assert oracle.groups == [[1, 9], [3, 2], [1]]


async def test_who_is_at_fault_takes_no_neighbour_along() -> None:
    oracle = Oracle()
    together = Together(oracle.ask, most=9)
    tasks = await asked(together, 1, 2, -1, 3)
    for _ in range(5):
        oracle.let.release()
    *_, wrong, _ = tasks
    with pytest.raises(ValueError, match="no such number"):
        await wrong
    assert [await task for task in tasks if task is not wrong] == [2, 4, 6]


async def test_who_gave_up_is_not_asked_for() -> None:
    oracle = Oracle()
    together = Together(oracle.ask, most=9)
    (first,) = await asked(together, 1)
    gone, there = await asked(together, 2, 3)
    gone.cancel()
    for _ in range(2):
        oracle.let.release()
    assert [await first, await there] == [2, 6]
    assert oracle.groups == [[1], [3]]


async def test_a_flood_is_seen_until_it_is_over() -> None:
    oracle = Oracle()
    together = Together(oracle.ask, most=99)
    oracle.let.release()
    assert await together(1) == 2
    assert not together.flooded
    tasks = await asked(together, *range(30))
    for _ in range(2):
        oracle.let.release()
    await asyncio.gather(*tasks)
    seen = [together.flooded]
    await asyncio.sleep(0.15)
    assert [*seen, together.flooded] == [True, False]


async def test_a_flood_is_not_over_while_it_waits_for_its_answer() -> None:
    oracle = Oracle()
    together = Together(oracle.ask, most=99)
    tasks = await asked(together, *range(30))
    await asyncio.sleep(0.15)
    seen = together.flooded
    oracle.let.release()
    await asyncio.gather(*tasks)
    assert (seen, together.flooded) == (True, True)
