"""Replays of dead letters, in the service itself: each in a transaction of its own, under the shell's rules."""

from aiokafka import ConsumerRecord

from contracts.base import Event

from .db import is_transient
from .decoding import decode, describe
from .log import log
from .sending import unpack_headers
from .service import Context
from .transaction import Process, Transaction

_PORTION = 50


async def replay_some(
    context: Context, process: Process, handled: frozenset[type[Event]], ignored: frozenset[type[Event]]
) -> bool:
    """Replay what an operator asked for. Returns whether there may be more."""
    ids = await context.read(
        lambda connection: connection.fetch(
            "SELECT id FROM dead_letters WHERE state = 'replaying' ORDER BY id LIMIT $1", _PORTION
        )
    )
    for row in ids:
        await _replay(context, process, handled, ignored, row["id"])
    return len(ids) == _PORTION


async def _replay(
    context: Context, process: Process, handled: frozenset[type[Event]], ignored: frozenset[type[Event]], number: int
) -> None:
    async def work(tx: Transaction) -> None:
        letter = await tx.connection.fetchrow(
            "SELECT * FROM dead_letters WHERE id = $1 AND state = 'replaying' FOR UPDATE", number
        )
        if letter is None:
            return
        record: ConsumerRecord[bytes, bytes] = ConsumerRecord(
            letter["topic"], letter["partition"], letter["offset"], 0, 0, letter["key"], letter["value"], None, 0, 0,
            tuple(unpack_headers(letter["headers"])),
        )  # fmt: skip
        decoded = decode(record, handled, ignored)
        if decoded.failure is not None:
            raise ValueError(f"{decoded.failure.error_class}: {decoded.failure.error}")
        if decoded.message is not None:
            await process(tx, [decoded.message])
        await tx.connection.execute(
            "UPDATE dead_letters SET state = 'replayed', resolved_at = now() WHERE id = $1", number
        )

    try:
        await context.execute(work)
        log.info("dead letter replayed", dead_letter=number)
    except Exception as error:
        if is_transient(error):
            raise
        kind, text = type(error).__name__, describe(error)[:2000]
        log.error("dead letter failed again", dead_letter=number, error=text)

        async def back(tx: Transaction) -> None:
            await tx.connection.execute(
                """UPDATE dead_letters SET state = 'open', attempts = attempts + 1, error_class = $2, error = $3
                   WHERE id = $1""",
                number, kind, text,
            )  # fmt: skip

        await context.execute(back)
