"""Whether anything is still on its way: unread deliveries, unread records, unsent events, messages to be sent."""

import asyncio
import time
from datetime import UTC, datetime, timedelta

import asyncpg

from laurel.installation import Failure, State
from notification.store import queue
from order_ingest.store.deliveries import received_ids
from shared import backlog, offsets
from shared.admin import bounds

LOOKS = 3
"""So many times in a row nothing must be on its way, since what leaves one service is not yet with the next."""
_PAUSE_SECONDS = 0.4


async def wait_quiet(state: State, *, seconds_max: float) -> None:
    """Return when all is quiet. Raises Failure with what still moves after `seconds_max`."""
    deadline = time.monotonic() + seconds_max
    quiet, moving = 0, ["nobody looked yet"]
    while quiet < LOOKS:
        if time.monotonic() > deadline:
            raise Failure(f"After {seconds_max:.0f} s this is still on its way: {'; '.join(moving)}.")
        try:
            moving = await on_its_way(state)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            moving = [str(error)]  # A server that is being started again.
        quiet = 0 if moving else quiet + 1
        await asyncio.sleep(_PAUSE_SECONDS)


async def on_its_way(state: State) -> list[str]:
    """What moves, a line each; nothing when all is quiet."""
    moving: list[str] = []
    positions: dict[str, list[tuple[str, int, int]]] = {}
    for name, dsn in state.databases.items():
        connection = await asyncpg.connect(dsn, timeout=5, command_timeout=30)
        try:
            waiting = await backlog.read(connection)
            if waiting.outbox_rows:
                moving.append(f"{waiting.outbox_rows} events in the outbox of {name}")
            positions[name] = [
                (row["topic"], row["partition"], row["position"]) for row in await offsets.show(connection)
            ]
            if name == "order-ingest" and await received_ids(connection, limit=1):
                moving.append("deliveries that are not read")
            if name == "notification" and await queue.oldest_due(connection, datetime.now(UTC) + timedelta(days=1)):
                moving.append("messages that are not sent")
        finally:
            await connection.close(timeout=5)
    ends = await bounds(state.kafka, {(topic, number) for rows in positions.values() for topic, number, _ in rows})
    for name, held in positions.items():
        lag = sum(max(0, ends[topic, number][1] - position) for topic, number, position in held)
        if lag:
            moving.append(f"{lag} records before {name}")
    return moving
