"""Replays of dead letters while something does not pass by itself: the others go on, and an operator may give it up."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from shared import dead_letters
from shared.db import MIGRATIONS, migrate
from shared.sending import pack_headers
from shared.service import every

from .toy import FOLDER, Toy, record, until

pytestmark = pytest.mark.integration


@pytest.fixture
def toy(database: str) -> Toy:
    """Nothing is consumed, so there is no Kafka."""
    migrate(database, [MIGRATIONS, FOLDER])
    return Toy("127.0.0.1:1", database)


@pytest.fixture
async def replaying(toy: Toy) -> AsyncIterator[None]:
    """The loop of the process that replays."""
    process = toy.build(lock_timeout_ms=20)
    await process.context.open()
    loop = asyncio.create_task(every(process.context, "replay", seconds=0.05, work=process.replays.some))
    yield
    process.context.stopping.set()
    await loop
    await process.context.close()


@pytest.fixture
async def lock(toy: Toy) -> AsyncIterator[asyncpg.transaction.Transaction]:
    """Somebody has begun the effect of record 1 and does not end: whoever wants to make it waits for a lock in vain."""
    connection = await asyncpg.connect(toy.dsn)
    await connection.execute("CREATE UNIQUE INDEX ON effects (activity_id)")
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute(
        """INSERT INTO effects (activity_id, member_id, partition, "offset") VALUES ('1', gen_random_uuid(), 0, 0)"""
    )
    yield transaction
    await connection.close()


async def ask_for(toy: Toy, *numbers: int) -> None:
    """As dead letters that an operator wants replayed."""
    for number in numbers:
        key, value, headers, _ = record(number)
        await toy.fetch(
            """INSERT INTO dead_letters
                   (topic, partition, "offset", cluster_id, key, value, headers, error_class, error, state)
               VALUES ($1, 0, $2, 'c', $3, $4, $5, 'ValueError', 'x', 'replaying')""",
            toy.topic.name, number, key, value, pack_headers(headers),
        )  # fmt: skip


async def states(toy: Toy) -> dict[int, str]:
    return {row["offset"]: row["state"] for row in await toy.fetch('SELECT "offset", state FROM dead_letters')}


async def test_a_letter_that_fails_for_now_lets_the_others_go_on(
    toy: Toy, lock: asyncpg.transaction.Transaction, replaying: None
) -> None:
    await ask_for(toy, 1, 2, 3)

    async def others_are_done() -> bool:
        return await states(toy) == {1: "replaying", 2: "replayed", 3: "replayed"}

    await until(others_are_done)
    await ask_for(toy, 4)

    async def newer_is_done() -> bool:
        return (await states(toy))[4] == "replayed"

    await until(newer_is_done)
    await lock.rollback()

    async def all_are_done() -> bool:
        return set((await states(toy)).values()) == {"replayed"}

    await until(all_are_done)
    assert sorted(await toy.effects()) == ["1", "2", "3", "4"]


async def test_a_letter_that_is_replayed_in_vain_can_be_discarded(
    toy: Toy, lock: asyncpg.transaction.Transaction, replaying: None
) -> None:
    await ask_for(toy, 1)
    connection = await asyncpg.connect(toy.dsn)
    number = await connection.fetchval("SELECT id FROM dead_letters")
    assert await dead_letters.mark(connection, [number], state="replaying", actor="operator") == []
    assert await dead_letters.mark(connection, [number], state="discarded", actor="operator") == [number]
    await connection.close()
    await lock.rollback()
    await asyncio.sleep(0.5)
    assert await states(toy) == {1: "discarded"}
    assert await toy.effects() == []
