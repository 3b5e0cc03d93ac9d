"""Commands on real servers, as a person types them."""

import asyncio
import uuid
from pathlib import Path

import asyncpg
import pytest
from typer.testing import CliRunner, Result

from contracts.topics import NOTIFICATION
from laurel.cli.app import with_commands
from laurel.services import SERVICES
from shared import dead_letters
from shared.admin import Wanted, apply_topics, bounds
from shared.db import MIGRATIONS, migrate
from shared.sending import pack_headers
from tests.integration.shared.toy import until

pytestmark = pytest.mark.integration
APP = with_commands()


def laurel(*arguments: str) -> Result:
    return CliRunner().invoke(APP, list(arguments))


@pytest.fixture
def tier(database: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """The address of tier's database, empty, as the environment names it."""
    monkeypatch.setenv("LAUREL_DATABASE_URL", database)
    monkeypatch.setenv("LAUREL_HOME", str(tmp_path))
    return database


async def letter(dsn: str, offset: int, error_class: str) -> None:
    connection = await asyncpg.connect(dsn)
    await connection.execute(
        """INSERT INTO dead_letters (topic, partition, "offset", cluster_id, value, headers, error_class, error)
           VALUES ('loyalty.members.v1', 0, $1, 'c', $2, $3, $4, 'no a@b.example')""",
        offset, b'{"email": "a@b.example"}', pack_headers([("ce_type", b"x")]), error_class,
    )  # fmt: skip
    await connection.close()


def test_migrations_are_applied_once(tier: str) -> None:
    assert "0001_tier" in laurel("migrate", "tier").output
    assert "nothing to do" in laurel("migrate", "tier").output
    assert "each service has its own" in str(laurel("migrate").exception)


async def test_dead_letters_are_listed_masked_and_discarded_once(tier: str) -> None:
    migrate(tier, [MIGRATIONS])
    await letter(tier, 1, "ValueError")
    await letter(tier, 2, "KeyError")
    listed = await asyncio.to_thread(laurel, "dlq", "list", "tier", "--error", "KeyError")
    assert "KeyError" in listed.output
    assert "ValueError" not in listed.output
    shown = await asyncio.to_thread(laurel, "dlq", "show", "tier", "1")
    assert "a@b.example" not in shown.output
    dry = await asyncio.to_thread(laurel, "dlq", "discard", "tier", "1", "--reason", "test", "--dry-run")
    assert "Would discard 1" in dry.output
    done = await asyncio.to_thread(laurel, "dlq", "discard", "tier", "1", "--reason", "test", "--yes")
    assert "1 discarded" in done.output
    again = await asyncio.to_thread(laurel, "dlq", "discard", "tier", "1", "--reason", "test", "--yes")
    assert "Nothing of that kind is open" in again.output
    connection = await asyncpg.connect(tier)
    assert await dead_letters.numbers(connection, dead_letters.Selection()) == [2]
    audited = await connection.fetchrow("SELECT actor, action, subject, detail FROM audit_log")
    await connection.close()
    assert audited is not None
    assert audited["actor"]
    assert tuple(audited)[1:] == ("dlq.discarded", "dead letter 1", "test")


async def test_all_dead_letters_that_match_are_settled(tier: str, monkeypatch: pytest.MonkeyPatch) -> None:
    migrate(tier, [MIGRATIONS])
    connection = await asyncpg.connect(tier)
    await connection.execute(
        """INSERT INTO dead_letters (topic, partition, "offset", cluster_id, headers, error_class, error)
           SELECT 'loyalty.members.v1', 0, n, 'c', '', 'ValueError', '' FROM generate_series(1, 2500) AS n"""
    )
    states = "SELECT jsonb_object_agg(state, count) FROM (SELECT state, count(*) FROM dead_letters GROUP BY state) AS n"
    monkeypatch.setattr("laurel.cli.dlq.WAIT_SECONDS", 0.5)
    asked = await asyncio.to_thread(laurel, "dlq", "replay", "tier", "--error", "ValueError", "--yes")
    assert asked.exit_code == 1, "no service runs"
    assert "2500 are still waiting" in asked.output
    assert await connection.fetchval(states) == '{"replaying": 2500}'
    done = await asyncio.to_thread(laurel, "dlq", "discard", "tier", "--error", "ValueError", "--reason", "t", "--yes")
    assert "2500 discarded" in done.output
    assert await connection.fetchval(states) == '{"discarded": 2500}'
    await connection.close()


async def test_what_became_of_replayed_letters_is_told(tier: str) -> None:
    migrate(tier, [MIGRATIONS])
    for number in (1, 2, 3):
        await letter(tier, number, "ValueError")
    connection = await asyncpg.connect(tier)
    asked = asyncio.create_task(asyncio.to_thread(laurel, "dlq", "replay", "tier", "--yes"))

    async def marked() -> bool:
        count = "SELECT count(*) FROM dead_letters WHERE state = 'replaying'"
        return bool(await connection.fetchval(count) == 3)

    await until(marked)
    # As the service does.
    await connection.execute("UPDATE dead_letters SET state = CASE id WHEN 2 THEN 'open' ELSE 'replayed' END")
    await connection.close()
    told = await asked
    assert told.exit_code == 1
    assert "2: failed again, ValueError" in told.output
    assert "2 of 3 applied" in told.output


async def test_the_breaker_is_cleared_once(tier: str) -> None:
    migrate(tier, [MIGRATIONS])
    connection = await asyncpg.connect(tier)
    await connection.execute("INSERT INTO breaker (opened_at, why) VALUES (now(), 'too many')")
    assert "too many" in (await asyncio.to_thread(laurel, "breaker", "show", "tier")).output
    assert "too many" in (await asyncio.to_thread(laurel, "breaker", "clear", "tier")).output
    assert "was not open" in (await asyncio.to_thread(laurel, "breaker", "clear", "tier")).output
    assert await connection.fetchval("SELECT count(*) FROM audit_log") == 1
    await connection.close()


async def test_an_endpoint_that_would_never_be_called_is_refused(tier: str, monkeypatch: pytest.MonkeyPatch) -> None:
    migrate(tier, [MIGRATIONS, SERVICES[NOTIFICATION].migrations])
    monkeypatch.delenv("LAUREL_WEBHOOK_ALLOW_HOSTS", raising=False)
    for url, why in (
        ("http://shop.lan/hook", "must be https, or its host named in LAUREL_WEBHOOK_ALLOW_HOSTS"),
        ("https://10.0.0.1/hook", "an inner address"),
        ("shop.lan/hook", "no http(s) URL"),
    ):
        refused = await asyncio.to_thread(laurel, "endpoint", "set", url, "--program", "aurora")
        assert refused.exit_code == 1
        assert why in str(refused.exception)
    assert "no endpoints yet" in (await asyncio.to_thread(laurel, "endpoint", "list")).output
    monkeypatch.setenv("LAUREL_WEBHOOK_ALLOW_HOSTS", "Shop.lan, other")
    made = await asyncio.to_thread(laurel, "endpoint", "set", "http://shop.lan/hook", "--program", "aurora")
    assert made.exit_code == 0, made.exception
    assert "http://shop.lan/hook" in (await asyncio.to_thread(laurel, "endpoint", "list")).output


async def test_topics_are_made_once_and_never_changed(kafka: str) -> None:
    name = f"test.{uuid.uuid4().hex}"
    wanted = [Wanted(name, 3, 86_400_000, 1024 * 1024), Wanted(f"{name}.compacted", 1, None, 1024 * 1024)]
    assert (await apply_topics(kafka, wanted, check=True)).missing == [item.name for item in wanted]
    assert (await apply_topics(kafka, wanted, check=False)).created == [item.name for item in wanted]
    again = await apply_topics(kafka, wanted, check=False)
    assert (again.created, again.missing, again.wrong) == ([], [], [])
    more = await apply_topics(kafka, [Wanted(name, 4, 86_400_000, 1024 * 1024)], check=False)
    assert "fixed at install" in more.wrong[0]
    kept = await apply_topics(kafka, [Wanted(name, 3, None, 1024 * 1024)], check=False)
    assert "cleanup.policy" in kept.wrong[0]
    longer = await apply_topics(kafka, [Wanted(name, 3, 2 * 86_400_000, 2 * 1024 * 1024)], check=False)
    assert len(longer.wrong) == 2
    assert await bounds(kafka, [(name, 2), (name, 9), ("test.unknown", 0)]) == {(name, 2): (0, 0)}


async def test_kafka_away_is_told() -> None:
    with pytest.raises(ConnectionError, match="cannot be asked"):
        await apply_topics("127.0.0.1:1", [], check=True)
