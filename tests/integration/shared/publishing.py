"""The toy that also publishes; as a program it is a process of its own: KAFKA DSN NAME PORT."""

import asyncio
import sys

from contracts.activities import ActivityRecordedV1
from contracts.ids import derived_id
from contracts.topics import ACTIVITIES
from shared.transaction import Cause, Message, Transaction

from .toy import AT, Toy


class Publishing(Toy):
    """Also publishes an event for each that it consumes, so that the relay has work."""

    async def create(self) -> None:
        await super().create()
        await self.create_topics(ACTIVITIES.name)

    async def handle(self, tx: Transaction, batch: list[Message]) -> None:
        await super().handle(tx, batch)
        for message in batch:
            assert isinstance(message.data, ActivityRecordedV1)
            tx.mark_locked([message.data.member_id])
            tx.publish(
                message.data, id=derived_id(AT, "out", message.data.activity_id), time=AT, cause=Cause.of(message)
            )


if __name__ == "__main__":
    kafka, dsn, name, port = sys.argv[1:]
    toy = Publishing(kafka, dsn, name)
    toy.slow_seconds = 0.004
    asyncio.run(toy.build(batch_records_max=40, http_port=int(port)).run())
