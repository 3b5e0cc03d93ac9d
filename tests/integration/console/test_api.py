"""Publishing over HTTP: once, rising, for ever."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from console import api, app
from console.document import check
from contracts.program import Program, ProgramPublishedV1
from shared.testing import Harness, harness

pytestmark = pytest.mark.integration
ROOT = Path(__file__).parents[3]
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.fixture
async def stuck(database: str) -> AsyncIterator[Harness]:
    """Without a relay: nothing leaves the outbox."""
    migrations = ROOT / "services/console/console/migrations"
    async with harness(app.build, database, migrations, name="console", now=NOW) as made:
        yield made


@pytest.fixture
async def here(stuck: Harness) -> AsyncIterator[Harness]:
    """What is published comes back at once, as from Kafka."""

    async def come_back() -> None:
        while True:
            await read_topic(stuck)
            await asyncio.sleep(0.02)

    kafka = asyncio.create_task(come_back())
    yield stuck
    kafka.cancel()


async def read_topic(here: Harness) -> None:
    """As if what is in the outbox had been sent, and read."""
    assert here.service.reference is not None
    rows = await here.context.read(lambda connection: connection.fetch("SELECT value FROM outbox ORDER BY id"))
    for row in rows:
        here.service.reference.apply(ProgramPublishedV1.model_validate_json(row["value"]))


def aurora(version: int = 1, after: timedelta = timedelta(hours=1), **changes: object) -> dict[str, Any]:
    program, findings = check((ROOT / "programs/aurora.yaml").read_text("utf-8"))
    assert program is not None, findings
    document: dict[str, Any] = json.loads(program.model_dump_json())
    return document | {"version": version, "effective_from": (NOW + after).isoformat()} | changes


async def publish(here: Harness, document: object, *, backdate: bool = False, scope: Any = "admin") -> httpx.Response:
    return await here.client.post(
        "/v1/programs", params={"backdate": backdate}, json=document, headers=here.token(scope)
    )


async def test_a_version_is_published_and_can_be_read(here: Harness) -> None:
    answer = await publish(here, aurora())
    assert answer.status_code == 201, answer.text
    assert answer.json()["outcome"] == "published"
    ((envelope, event),) = await here.outbox()
    assert isinstance(event, ProgramPublishedV1)
    assert envelope.subject == "aurora:1"
    assert event.hash == event.document.hash() == answer.json()["hash"]
    listed = await here.client.get("/v1/programs", headers=here.token("store"))
    assert [item["version"] for item in listed.json()["items"]] == [1]
    one = await here.client.get("/v1/programs/aurora/versions/1", headers=here.token("store"))
    assert Program.model_validate(one.json()["document"]) == event.document
    assert (await here.client.get("/v1/programs/aurora/versions/2", headers=here.token())).status_code == 404


async def test_nothing_is_published_while_what_was_before_it_does_not_leave(here: Harness) -> None:
    await publish(here, aurora())
    await here.context.execute(
        lambda tx: tx.connection.execute("UPDATE outbox SET created_at = now() - interval '1 minute'")
    )
    refused = await publish(here, aurora(2))
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
    assert "nothing was published" in refused.json()["detail"]
    listed = await here.client.get("/v1/programs", headers=here.token())
    assert [item["version"] for item in listed.json()["items"]] == [1]
    await here.outbox()
    assert (await publish(here, aurora(2))).status_code == 201


async def test_it_counts_as_published_once_it_has_come_back_from_the_topic(
    stuck: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "COMES_BACK_SECONDS_MAX", 0.2)
    answer = await publish(stuck, aurora())
    assert answer.status_code == 503
    assert "publish the same again" in answer.json()["detail"]
    assert (await publish(stuck, aurora())).status_code == 503
    await read_topic(stuck)
    assert (await publish(stuck, aurora())).status_code == 200


async def test_a_backdated_version_has_no_notice_to_keep(stuck: Harness) -> None:
    assert (await publish(stuck, aurora(), backdate=True)).status_code == 201
    await stuck.context.execute(
        lambda tx: tx.connection.execute("UPDATE outbox SET created_at = now() - interval '1 minute'")
    )
    assert (await publish(stuck, aurora(2), backdate=True)).status_code == 201


async def test_the_preset_is_published_with_backdate_alone(here: Harness) -> None:
    document = aurora(effective_from="2020-01-01T00:00:00Z")
    refused = await publish(here, document)
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["field"] == "effective_from"
    assert "backdate" in refused.json()["detail"]
    assert await here.outbox() == []
    assert (await publish(here, document, backdate=True)).status_code == 201


async def test_the_same_again_is_no_op_and_other_content_a_conflict(here: Harness) -> None:
    document = aurora()
    await publish(here, document)
    here.clock.at += timedelta(days=30)
    again = await publish(here, document)
    assert (again.status_code, again.json()["outcome"]) == (200, "known")
    changed = await publish(here, aurora(zone="Europe/Berlin"), backdate=True)
    assert changed.status_code == 409
    assert "version 2" in changed.json()["detail"]
    assert len(await here.outbox()) == 1


async def test_numbers_only_rise(here: Harness) -> None:
    assert (await publish(here, aurora(3))).status_code == 201
    assert (await publish(here, aurora(2))).status_code == 409
    assert (await publish(here, aurora(4))).status_code == 201
    assert [event.key() for _, event in await here.outbox()] == ["aurora:3", "aurora:4"]


async def test_only_its_own_admin_publishes(here: Harness) -> None:
    assert (await publish(here, aurora(id="other"))).status_code == 403
    assert (await publish(here, aurora(), scope="store")).status_code == 403
    foreign = here.token("store", program_id="other")
    assert (await here.client.get("/v1/programs/aurora/versions/1", headers=foreign)).status_code == 403
    await publish(here, aurora())
    assert (await here.client.get("/v1/programs", headers=foreign)).json() == {"items": []}


async def test_mistakes_name_their_field(here: Harness) -> None:
    document = aurora()
    document["earning"]["rules"][0]["points_per_unit"] = "ten"
    document["messags"] = document.pop("messages")
    answer = await publish(here, document)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    fields = {error["field"] for error in answer.json()["errors"]}
    assert fields >= {"earning.rules.0.points_per_unit", "messages", "messags"}


async def test_what_is_on_the_topic_counts_after_a_restore(here: Harness) -> None:
    await publish(here, aurora(5))
    ((_, event),) = await here.outbox()
    assert here.service.reference is not None
    here.service.reference.apply(event)
    await here.context.execute(
        lambda tx: tx.connection.execute(
            "ALTER TABLE program_versions DISABLE TRIGGER ALL; DELETE FROM program_versions"
        )
    )
    assert (await publish(here, aurora(4))).status_code == 409
    assert (await publish(here, aurora(5, zone="Europe/Berlin"))).status_code == 409
    assert (await publish(here, aurora(5))).status_code == 200


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE program_versions SET document = '{}'",
        "DELETE FROM program_versions",
        "TRUNCATE program_versions",
    ],
)
async def test_the_database_itself_keeps_what_is_published(here: Harness, statement: str) -> None:
    await publish(here, aurora())
    with pytest.raises(asyncpg.RaiseError, match="never changes"):
        await here.context.execute(lambda tx: tx.connection.execute(statement))


async def test_two_at_a_time_are_judged_one_after_the_other(here: Harness) -> None:
    answers = await asyncio.gather(*(publish(here, aurora(zone=zone)) for zone in ("Asia/Baku", "Europe/Berlin")))
    assert sorted(answer.status_code for answer in answers) == [201, 409]
    assert len(await here.outbox()) == 1
