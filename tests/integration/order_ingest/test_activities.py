"""Activities are told once, and may be undone once, for good."""

import asyncio
import itertools
import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from contracts.activities import ActivityRecordedV1
from contracts.commerce import ActivityReportedV1
from order_ingest import store
from order_ingest.domain.activity import content_of
from order_ingest.store.activities import LOST
from shared.db import migrate
from shared.transaction import Permanent
from tests.conftest import PostgresServer

from .conftest import MIGRATIONS, Edge
from .test_api import activity, post

pytestmark = pytest.mark.integration

AT, LATER = "2026-11-21T10:00:00Z", "2026-11-22T10:00:00Z"
REVOKED = datetime(2026, 11, 21, 10, tzinfo=UTC)
ROUTE = "activities/shop/rev-1/revocation"


async def told(edge: Edge, path: str, document: dict[str, Any]) -> None:
    status, problem = await post(edge, path, document)
    assert status == 202, problem


async def recorded(edge: Edge) -> list[tuple[int, datetime | None]]:
    """Revisions published since, of which each says all that the first did."""
    events = await edge.published(ActivityRecordedV1)
    assert all((event.kind, event.attributes) == ("review", {"stars": "5", "a": "b"}) for event in events)
    assert len({event.member_id for event in events}) <= 1
    return [(event.revision, event.revoked_at) for event in events]


@pytest.mark.parametrize("together", [False, True], ids=["one by one", "in one batch"])
@pytest.mark.parametrize(
    ("path", "document"), [("activities", activity(revoked_at=AT)), (ROUTE, {"revoked_at": AT})], ids=["whole", "route"]
)
async def test_what_was_told_is_undone_once(edge: Edge, path: str, document: dict[str, Any], together: bool) -> None:
    await told(edge, "activities", activity())
    if not together:
        await edge.read()
        assert await recorded(edge) == [(1, None)]
    await told(edge, path, document)
    await edge.read()
    assert await recorded(edge) == [*([(1, None)] if together else []), (2, REVOKED)]
    for again, repeat in (
        (path, document), ("activities", activity()), ("activities", activity(revoked_at=LATER)),
        (ROUTE, {"revoked_at": LATER}),
    ):  # fmt: skip
        await told(edge, again, repeat)
        await edge.read()
        assert await recorded(edge) == [], "revoked is final"


async def test_what_was_never_told_can_be_told_as_undone(edge: Edge) -> None:
    await told(edge, "activities", activity(revoked_at=AT))
    await told(edge, "activities", activity())
    await edge.read()
    assert await recorded(edge) == [(1, REVOKED)]
    await told(edge, "activities", activity())
    await edge.read()
    assert await recorded(edge) == []


async def test_a_revocation_that_is_read_first_waits_for_its_activity(edge: Edge) -> None:
    """Deliveries are read by several at once."""
    await told(edge, "activities", activity())
    await told(edge, ROUTE, {"revoked_at": AT})
    await edge.fetch("DELETE FROM deliveries WHERE topic = 'activities'")
    await edge.read()
    assert await recorded(edge) == []
    await told(edge, "activities", activity())
    await edge.read()
    assert await recorded(edge) == [(1, REVOKED)]


async def test_any_order_ends_revoked(edge: Edge) -> None:
    for number, facts in enumerate(itertools.permutations(({}, {"revoked_at": AT}, {}))):
        for fact in facts:
            await told(edge, "activities", activity(activity_id=str(number), **fact))
            await edge.read()
        last = (await edge.published(ActivityRecordedV1))[-1]
        assert (last.activity_id, last.revoked_at) == (str(number), REVOKED)


async def test_other_content_stays_an_error(edge: Edge) -> None:
    await told(edge, "activities", activity())
    assert (await post(edge, "activities", activity(revoked_at=AT, kind="visit")))[0] == 409
    await edge.read()
    other = ActivityReportedV1.model_validate(activity(revoked_at=AT, kind="visit") | {"program_id": "aurora"})
    with pytest.raises(Permanent, match="told before with other content"):
        await edge.harness.deliver(other)
    assert await recorded(edge) == [(1, None)]


async def test_from_kafka_too(edge: Edge) -> None:
    first = ActivityReportedV1.model_validate(activity() | {"program_id": "aurora"})
    undone = ActivityReportedV1.model_validate(activity(revoked_at=AT) | {"program_id": "aurora"})
    await edge.harness.deliver(first)
    await edge.harness.deliver(undone, first, undone)
    outbox = await edge.harness.outbox()
    events = [event for _, event in outbox if isinstance(event, ActivityRecordedV1)]
    assert [(event.revision, event.revoked_at) for event in events] == [(1, None), (2, REVOKED)]
    assert len({envelope.id for envelope, _ in outbox}) == len(outbox), "each revision is an event of its own"


async def test_the_route_takes_what_the_others_take(edge: Edge) -> None:
    await told(edge, "activities", activity(activity_id="a/b"))
    path = "activities/shop/a/b/revocation"
    first = await post(edge, path, {"revoked_at": AT}, "k-1")
    assert first[0] == 202
    assert (first[1]["source"], first[1]["activity_id"]) == ("shop", "a/b")
    assert await post(edge, path, {"revoked_at": AT}, "k-1") == first
    assert (await post(edge, path, {"revoked_at": LATER}, "k-1"))[0] == 422, "the key belongs to another request"
    for wrong in ({}, {"revoked_at": "yesterday"}, {"revoked_at": "2026-11-21T10:00:00"}, {"revoked_at": None}):
        assert (await post(edge, path, wrong))[0] == 422
    member = edge.harness.token("member", member_id=(await edge.fetch("SELECT gen_random_uuid() AS id"))[0]["id"])
    headers = member | {"content-type": "application/json"}
    content = json.dumps({"revoked_at": AT})
    assert (await edge.client.post(f"/v1/{path}", content=content, headers=headers)).status_code == 403
    assert (await edge.client.post(f"/v1/{path}", content=content)).status_code in (401, 422)


@pytest.mark.parametrize(
    "path", ["activities/shop/unknown/revocation", "activities/nowhere/rev-1/revocation"], ids=["activity", "source"]
)
async def test_nothing_is_undone_that_nobody_told(edge: Edge, path: str) -> None:
    await told(edge, "activities", activity())
    assert (await post(edge, path, {"revoked_at": AT}, "k-1"))[0] == 404
    other = edge.harness.token("store", program_id="other") | {"content-type": "application/json"}
    answer = await edge.client.post(f"/v1/{ROUTE}", content=json.dumps({"revoked_at": AT}), headers=other)
    assert answer.status_code == 404, "another program's"
    assert len(await edge.fetch("SELECT FROM deliveries")) == 1


async def test_what_may_only_be_forgotten_is_not_told_to_be_unknown(edge: Edge) -> None:
    edge.harness.context.learnt = lambda: False
    for path, document in (
        ("activities/shop/unknown/revocation", {"revoked_at": AT}), ("member-tokens", {"email": "a@b.c"}),
    ):  # fmt: skip
        assert (await post(edge, path, document))[0] == 503, path


@pytest.mark.parametrize("activity_id", ["a%00b", "x" * 256, "x" * 5000], ids=["zero", "long", "very long"])
async def test_names_that_no_activity_has(edge: Edge, activity_id: str) -> None:
    assert (await post(edge, f"activities/shop/{activity_id}/revocation", {"revoked_at": AT}))[0] == 422


async def test_what_was_published_before_its_content_was_kept_is_undone_whole_alone(edge: Edge) -> None:
    await told(edge, "activities", activity())
    await edge.read()
    assert await recorded(edge) == [(1, None)]
    await edge.fetch("UPDATE activities SET facts = NULL")
    assert (await post(edge, ROUTE, {"revoked_at": AT}))[0] == 404
    await told(edge, "activities", activity(revoked_at=AT))
    await edge.read()
    assert await recorded(edge) == [(2, REVOKED)]


async def test_activities_are_locked_in_their_order(edge: Edge) -> None:
    """Whether they are told or undone: else two batches may each wait for what the other has."""
    for activity_id in ("rev-1", "rev-2"):
        await told(edge, "activities", activity(activity_id=activity_id))
    await edge.read()
    await told(edge, ROUTE, {"revoked_at": AT})
    await told(edge, "activities", activity(activity_id="rev-2"))
    free = "SELECT activity_id FROM activities WHERE activity_id = $1 FOR UPDATE SKIP LOCKED"
    waiting = "SELECT FROM pg_locks WHERE NOT granted"
    async with edge.harness.context.pool.acquire() as connection, connection.transaction():
        assert await connection.fetch(free, "rev-1")
        reading = asyncio.create_task(edge.read())
        while not await connection.fetch(waiting):  # noqa: ASYNC110 - a lock that is waited for sets no event
            await asyncio.sleep(0.01)
        assert await connection.fetch(free, "rev-2"), "it waits for the first before it takes the second"
    await reading
    assert await recorded(edge) == [(1, None), (1, None), (2, REVOKED)]


async def test_words_that_a_restore_lost_are_those_told_again(edge: Edge) -> None:
    reported = ActivityReportedV1.model_validate(activity() | {"program_id": "aurora"})
    await edge.harness.deliver(reported)
    await edge.fetch("UPDATE activities SET content_sha256 = $1", LOST)
    assert await recorded(edge) == [(1, None)]
    await edge.harness.deliver(reported)
    assert await recorded(edge) == []
    [row] = await edge.fetch("SELECT content_sha256 FROM activities")
    assert row["content_sha256"] == content_of(reported)


async def test_a_revocation_of_nothing_is_set_aside(edge: Edge) -> None:
    """As after a restore that lost the activity and kept the delivery."""
    await told(edge, "activities", activity())
    await told(edge, ROUTE, {"revoked_at": AT})
    await edge.fetch("DELETE FROM activities")
    await edge.fetch("DELETE FROM deliveries WHERE topic = 'activities'")
    await edge.read()
    [row] = await edge.fetch("SELECT status, reason FROM deliveries")
    assert row["status"] == "quarantined"
    assert row["reason"] == "source shop has told no activity rev-1 that is kept whole"


async def test_activities_told_before_they_could_be_undone_stay(postgres: PostgresServer, tmp_path: Path) -> None:
    dsn = postgres.create("activities")
    shutil.copy(MIGRATIONS / "0001_ingest.sql", tmp_path)
    migrate(dsn, [tmp_path])
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(
            """INSERT INTO activities VALUES ('aurora', 'shop', 'published', sha256('a'), gen_random_uuid()),
                   ('aurora', 'shop', 'claimed', sha256('b'), NULL)"""
        )
        assert migrate(dsn, [MIGRATIONS]) == ["0002_revoked_activities"]
        rows = await connection.fetch("SELECT activity_id, revoked_at, facts FROM activities ORDER BY 1")
        assert [tuple(row) for row in rows] == [("claimed", None, None), ("published", None, None)]
        known = [await store.is_revocable(connection, "aurora", "shop", row["activity_id"]) for row in rows]
        assert known == [True, False], "what was published is not kept"
        # As the version before publishes, which goes on until it is replaced.
        await connection.execute("UPDATE activities SET member_id = gen_random_uuid() WHERE member_id IS NULL")
        assert not await store.is_revocable(connection, "aurora", "shop", "claimed")
    finally:
        await connection.close()
        postgres.drop(dsn)
