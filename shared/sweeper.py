"""What time alone makes due, done where the member's partition is consumed and no further than it has been read."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from . import offsets
from .bus import Shell
from .clock import Clock
from .db import is_transient
from .decoding import describe
from .log import log
from .telemetry import LOOP_ERRORS, SWEEP_SPARED, set_traceparent
from .transaction import Transaction

KEYS_MAX = 500
"""At once."""
_ROUNDS_MAX = 1000
_SPARED_MAX = 20
_SPARED_SECONDS = 600.0
"""A key that cannot be swept is left out for so long."""


@dataclass
class Round:
    """What one transaction of a sweep is about."""

    partition: int
    horizon: datetime
    most: int = KEYS_MAX
    """So many keys, and no more."""
    spared: Collection[UUID] = ()
    """Keys to be left out."""
    keys: Sequence[UUID] = ()
    """Who was chosen; the sweep says so before it does anything to them."""


Sweep = Callable[[Transaction, Round], Awaitable[int]]
"""Returns how many were handled; 0 when nothing is due any more."""


class Sweeper:
    """Sweeps the partitions that the shell owns."""

    def __init__(self, shell: Shell, sweep: Sweep, clock: Clock, name: str, committed: Callable[[], None]) -> None:
        self._shell, self._sweep, self._clock, self._name = shell, sweep, clock, name
        self._committed = committed
        self._spared: dict[UUID, float] = {}
        """Until when, by the loop's clock."""

    async def run_once(self) -> bool:
        """One round over all partitions. Returns whether one of them may have more to do at once."""
        consumer = self._shell.find_consumer()
        ours = dict(self._shell.expected)
        if consumer is None or not ours or self._shell.breaker.why is not None:
            return False
        now = self._clock.now()
        try:
            # Asked before the rows are locked: what is published after this moment is not older than `now`.
            ends = await consumer.end_offsets(list(ours))
        except KafkaError:
            return False
        more = False
        for partition in sorted({item.partition for item in ours}):
            try:
                more = await self._sweep_all(partition, ends, now) or more
            except Exception as error:  # noqa: BLE001 - one partition's trouble must not keep the others waiting
                LOOP_ERRORS.labels("sweep").inc()
                say = log.warning if is_transient(error) else log.error
                say("sweep failed", partition=partition, error=type(error).__name__, why=describe(error))
        return more

    async def _sweep_all(self, partition: int, ends: dict[TopicPartition, int], now: datetime) -> bool:
        most = KEYS_MAX
        for _ in range(_ROUNDS_MAX):
            one = Round(partition, now, most, self._left_out())
            try:
                if not await self._sweep_partition(one, ends):
                    return False
            except Exception as error:
                # Whichever is at fault must not keep the others waiting: it is found by going one by one. If it is not
                # that of a few, nothing is gained.
                if is_transient(error) or not one.keys or len(self._spared) >= _SPARED_MAX:
                    raise
                if len(one.keys) == 1:
                    self._spare(one.keys[0], error)
                    most = KEYS_MAX
                else:
                    most = 1
            await asyncio.sleep(0)  # batches go first
        return True

    def _left_out(self) -> list[UUID]:
        now = asyncio.get_running_loop().time()
        self._spared = {key: until for key, until in self._spared.items() if until > now}
        SWEEP_SPARED.set(len(self._spared))
        return list(self._spared)

    def _spare(self, key: UUID, error: Exception) -> None:
        LOOP_ERRORS.labels("sweep").inc()
        log.error("key not swept", key=str(key), error=type(error).__name__, why=describe(error))
        self._spared[key] = asyncio.get_running_loop().time() + _SPARED_SECONDS

    async def _sweep_partition(self, one: Round, ends: dict[TopicPartition, int]) -> int:
        shell, partition = self._shell, one.partition
        async with shell.lock:
            ours = {item: at for item, at in shell.expected.items() if item.partition == partition}
            # One that came or goes on since the ends were asked for waits for the next round.
            if not ours or not ours.keys() <= ends.keys() or any(item.partition == partition for item in shell.stopped):
                return 0
            async with shell.connection() as connection, connection.transaction():
                stored = await offsets.lock(connection, ours)
                if any(stored[item].position != at for item, at in ours.items()):
                    return 0
                for item, row in stored.items():
                    if row.position < ends[item]:
                        if row.record_at is None:
                            return 0
                        one.horizon = min(one.horizon, row.record_at)
                set_traceparent(None)
                tx = Transaction(connection, self._clock.now(), self._name)
                handled = await self._sweep(tx, one)
                published = await tx.flush()
        if published:
            self._committed()
        return handled
