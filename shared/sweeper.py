"""What time alone makes due, done where the member's partition is consumed and no further than it has been read."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from . import offsets
from .bus import Shell
from .clock import Clock
from .db import is_transient
from .decoding import describe
from .log import log
from .telemetry import LOOP_ERRORS, set_traceparent
from .transaction import Transaction

Sweep = Callable[[Transaction, int, datetime], Awaitable[int]]
"""(transaction, partition, horizon) → how many were handled, at most some hundreds; 0 when nothing is due any more."""
_ROUNDS_MAX = 1000


class Sweeper:
    """Sweeps the partitions that the shell owns."""

    def __init__(self, shell: Shell, sweep: Sweep, clock: Clock, name: str, committed: Callable[[], None]) -> None:
        self._shell, self._sweep, self._clock, self._name = shell, sweep, clock, name
        self._committed = committed

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
        for _ in range(_ROUNDS_MAX):
            if not await self._sweep_partition(partition, ends, now):
                return False
            await asyncio.sleep(0)  # batches go first
        return True

    async def _sweep_partition(self, partition: int, ends: dict[TopicPartition, int], now: datetime) -> int:
        shell = self._shell
        async with shell.lock:
            ours = {item: at for item, at in shell.expected.items() if item.partition == partition and item in ends}
            if not ours or any(item.partition == partition for item in shell.stopped):
                return 0
            async with shell.connection() as connection, connection.transaction():
                stored = await offsets.lock(connection, ours)
                if any(stored[item].position != at for item, at in ours.items()):
                    return 0
                horizon = now
                for item, row in stored.items():
                    if row.position < ends[item]:
                        if row.record_at is None:
                            return 0
                        horizon = min(horizon, row.record_at)
                set_traceparent(None)
                tx = Transaction(connection, self._clock.now(), self._name)
                handled = await self._sweep(tx, partition, horizon)
                published = await tx.flush()
        if published:
            self._committed()
        return handled
