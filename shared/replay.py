"""Replays of dead letters, in the service itself: each in a transaction of its own, under the shell's rules."""

from functools import partial

from aiokafka import ConsumerRecord

from .db import is_transient
from .decoding import decode, describe
from .log import log
from .sending import unpack_headers
from .service import Context, Service
from .transaction import Transaction

_PORTION = 50


class Replays:
    """What operators asked for, in turns: a letter that fails for a passing reason lets all others go first."""

    def __init__(self, context: Context, service: Service) -> None:
        self._context, self._service = context, service
        self._last = 0
        """The letter whose turn it was."""

    async def some(self) -> bool:
        """Replay a portion. Returns whether there may be more; raises what fails for a passing reason."""
        rows = await self._context.read(
            lambda connection: connection.fetch(
                "SELECT id FROM dead_letters WHERE state = 'replaying' ORDER BY id <= $1, id LIMIT $2",
                self._last, _PORTION,
            )
        )  # fmt: skip
        for row in rows:
            self._last = row["id"]
            await self._replay(row["id"])
        return len(rows) == _PORTION

    async def _replay(self, number: int) -> None:
        try:
            if await self._context.execute(partial(self._apply, number)):
                log.info("dead letter replayed", dead_letter=number)
        except Exception as error:
            kind, text = type(error).__name__, describe(error)[:2000]
            if is_transient(error):
                log.warning("dead letter is replayed later", dead_letter=number, error=kind, why=text)
                raise
            log.error("dead letter failed again", dead_letter=number, error=text)
            await self._context.execute(partial(self._put_back, number, kind, text))

    async def _apply(self, number: int, tx: Transaction) -> bool:
        """False if another process is at it, or it is not asked for any more."""
        letter = await tx.connection.fetchrow(
            "SELECT * FROM dead_letters WHERE id = $1 AND state = 'replaying' FOR UPDATE SKIP LOCKED", number
        )
        if letter is None:
            return False
        record: ConsumerRecord[bytes, bytes] = ConsumerRecord(
            letter["topic"], letter["partition"], letter["offset"], 0, 0, letter["key"], letter["value"], None, 0, 0,
            tuple(unpack_headers(letter["headers"])),
        )  # fmt: skip
        decoded = decode(record, self._service.handled, self._service.ignored)
        if decoded.failure is not None:
            raise ValueError(f"{decoded.failure.error_class}: {decoded.failure.error}")
        if decoded.message is not None:
            await self._service.process(tx, [decoded.message])
        await tx.connection.execute(
            "UPDATE dead_letters SET state = 'replayed', resolved_at = now() WHERE id = $1", number
        )
        return True

    async def _put_back(self, number: int, kind: str, text: str, tx: Transaction) -> None:
        # Unless it was discarded meanwhile.
        await tx.connection.execute(
            """UPDATE dead_letters SET state = 'open', attempts = attempts + 1, error_class = $2, error = $3
               WHERE id = $1 AND state = 'replaying'""",
            number, kind, text,
        )  # fmt: skip
