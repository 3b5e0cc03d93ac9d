"""A backup that is older than what Kafka keeps: nothing is passed over in silence."""

import asyncio
from pathlib import Path

import asyncpg
import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic, RecordsToDelete

from contracts.notifications import NotificationSentV1
from contracts.topics import NOTIFICATION, NOTIFICATIONS
from laurel.embedded import EmbeddedKafka
from shared import learning, published
from shared.admin import cluster
from shared.clock import SystemClock
from shared.db import MIGRATIONS, migrate
from shared.history import History
from shared.learning import Learner
from shared.published import Restored
from shared.settings import Settings
from shared.transaction import Message, Transaction
from tests.conftest import PostgresServer

from .toy import until

ITEM = TopicPartition(NOTIFICATIONS.name, 0)
EXAMPLES = Path(__file__).parents[3] / "contracts" / "examples" / NotificationSentV1.TYPE
EXAMPLE = next(EXAMPLES.glob("*.json")).read_bytes()


async def _published(kafka: str, count: int, gone: int) -> None:
    """So many events, the first of which retention has taken away."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    producer = AIOKafkaProducer(bootstrap_servers=kafka, acks="all")
    await admin.start()
    await producer.start()
    try:
        await admin.create_topics([NewTopic(ITEM.topic, 1, 1)])
        for number in range(count):
            headers = [("ce_id", str(number).encode()), ("ce_source", NOTIFICATION.encode())]
            await producer.send_and_wait(ITEM.topic, EXAMPLE, b"key", headers=headers)
        await admin.delete_records({ITEM: RecordsToDelete(before_offset=gone)})
    finally:
        await producer.stop()
        await admin.close()


@pytest.mark.parametrize("known", [0, 1], ids=["an empty database", "an old backup"])
async def test_what_neither_database_nor_kafka_has_stops_the_service(
    postgres: PostgresServer, server_dir: Path, known: int
) -> None:
    dsn = postgres.create("learning")
    migrate(dsn, [MIGRATIONS])
    connection = await asyncpg.connect(dsn)
    adopted: list[Message] = []

    async def adopt(tx: Transaction, batch: list[Message]) -> None:
        adopted.extend(batch)

    with EmbeddedKafka(server_dir / f"kafka-learning-{known}") as kafka:
        try:
            await _published(kafka.bootstrap, 5, 3)
            cluster_id = await cluster(kafka.bootstrap)
            if known:
                await published.sent(connection, [], {(ITEM.topic, 0): known}, cluster_id)
            settings = Settings.model_validate({"kafka": kafka.bootstrap, "database_url": dsn})
            learner, stopping = Learner(settings, SystemClock(), NOTIFICATION, adopt, History()), asyncio.Event()
            task = asyncio.create_task(learner.run(stopping))
            await asyncio.sleep(3)
            assert (learner.done, adopted) == (False, [])

            lost = await learning.lost_for_good(connection, kafka.bootstrap, NOTIFICATION, cluster_id)
            assert lost == {(ITEM.topic, 0): (known, 3)}
            with pytest.raises(Restored):  # Nor does a relay send what the database still has in its outbox.
                await learner.check()
            await published.accept(connection, lost, cluster_id=cluster_id, actor="operator")

            async def done() -> bool:
                return learner.done

            await until(done, seconds=20)
            await task
            assert await published.positions(connection) == {(ITEM.topic, 0): (5, cluster_id)}
            said = await connection.fetchrow("SELECT actor, action, subject, detail FROM audit_log")
            assert said is not None
            assert tuple(said) == ("operator", "published.accept", f"{ITEM.topic}-0", f"{known} -> 3")
        finally:
            await connection.close()
            postgres.drop(dsn)
