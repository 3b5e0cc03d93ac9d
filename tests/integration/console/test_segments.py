"""Segments over HTTP: kept, told once, gone with the person."""

from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID

import pytest

from console import app
from contracts.members import MemberChangedV1
from contracts.segments import SegmentsChangedV1
from shared.testing import Harness, harness
from tests.integration.console.test_api import NOW, ROOT

pytestmark = pytest.mark.integration
MEMBER = UUID("00000000-0000-8000-8000-00000000000a")
PATH = f"/v1/members/{MEMBER}/segments"


@pytest.fixture
async def here(database: str) -> AsyncIterator[Harness]:
    migrations = Path(ROOT / "services/console/console/migrations")
    async with harness(app.build, database, migrations, name="console", now=NOW) as made:
        yield made


def member(version: int = 1, status: str = "member") -> MemberChangedV1:
    return MemberChangedV1.model_validate(
        {"program_id": "aurora", "member_id": MEMBER, "version": version, "status": status, "seen_at": NOW,
         "enrolled_at": NOW, "recorded_at": NOW}
    )  # fmt: skip


async def test_a_member_is_put_into_segments(here: Harness) -> None:
    assert (await here.client.put(PATH, json={"segments": ["vip"]}, headers=here.token("store"))).status_code == 404
    await here.deliver(member())
    answer = await here.client.put(PATH, json={"segments": ["vip", "loyal"]}, headers=here.token("store"))
    assert (answer.status_code, answer.json()["segments"], answer.json()["version"]) == (200, ["loyal", "vip"], 1)
    again = await here.client.put(PATH, json={"segments": ["loyal", "vip"]}, headers=here.token("store"))
    assert again.json() == answer.json()
    ((envelope, event),) = await here.outbox()
    assert isinstance(event, SegmentsChangedV1)
    assert (envelope.subject, event.segments, event.version) == (str(MEMBER), ("loyal", "vip"), 1)
    read = await here.client.get(PATH, headers=here.token("store"))
    assert read.json() == answer.json()


async def test_wrong_names_and_foreign_programs_are_refused(here: Harness) -> None:
    await here.deliver(member())
    wrong = await here.client.put(PATH, json={"segments": ["Not a slug"]}, headers=here.token("store"))
    assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (422, "segments.0")
    foreign = await here.client.get(PATH, headers=here.token("store", program_id="another"))
    assert foreign.status_code == 404


async def test_who_is_erased_is_in_no_segment(here: Harness) -> None:
    await here.deliver(member())
    await here.client.put(PATH, json={"segments": ["vip"]}, headers=here.token("store"))
    await here.outbox()
    await here.deliver(member(2, "erased"))
    ((_, event),) = await here.outbox()
    assert isinstance(event, SegmentsChangedV1)
    assert (event.segments, event.version) == ((), 2)
