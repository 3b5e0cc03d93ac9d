"""The tier service on PostgreSQL: facts in any order, announcements once, downgrades by the clock."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest

import tier
from contracts.base import Event
from contracts.members import MemberChangedV1
from contracts.points import (
    Balances,
    Cause,
    ClaimEvent,
    ClaimKind,
    OrderBase,
    OrderRef,
    PointsClawedBackV1,
    PointsGrantedV1,
    PointsImportedV1,
)
from contracts.tiers import StandingChangedV1
from shared.testing import Harness, harness
from shared.transaction import Permanent
from tests.unit.tier.samples import DAY, LADDER, MEMBER, fact, issued, program, published, returned
from tier.app import build
from tier.domain.standing import Fact

MIGRATIONS = Path(tier.__file__).parent / "migrations"
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
pytestmark = pytest.mark.integration


@pytest.fixture
async def service(database: str) -> AsyncIterator[Harness]:
    async with harness(build, database, MIGRATIONS, name="tier", now=NOW, reference=[published(program())]) as ready:
        yield ready


def profile(member_id: UUID = MEMBER, *, version: int = 1, status: str = "member") -> MemberChangedV1:
    return MemberChangedV1.model_validate(
        {"program_id": "aurora", "member_id": member_id, "version": version, "status": status,
         "seen_at": NOW, "recorded_at": NOW}
    )  # fmt: skip


def points(
    one: Fact,
    member_id: UUID = MEMBER,
    *,
    back: bool = False,
    program_id: str = "aurora",
    of: type[ClaimEvent] | None = None,
    kind: ClaimKind = "order",
) -> Event:
    ref = OrderRef(source=one.source, order_id=one.order_id, revision=one.revision, placed_at=one.placed_at)
    return (of or (PointsClawedBackV1 if back else PointsGrantedV1))(
        program_id=program_id,
        member_id=member_id,
        program_version=1,
        program_hash="x",
        sequence=one.sequence,
        account_version=one.sequence,
        occurred_at=one.steps[-1].acts_from,
        effective_at=NOW,
        cause=Cause(kind="order", id="x", order=ref),
        transfers=(),
        points=0,
        balances=Balances(pending=0, active=0, held=0, deficit=0),
        claim_kind=kind,
        claim_id=one.key,
        base=OrderBase(order=ref, steps=one.steps),
    )


async def standings(service: Harness) -> list[StandingChangedV1]:
    events = [event for _, event in await service.outbox()]
    assert all(isinstance(event, StandingChangedV1) for event in events)
    return events  # type: ignore[return-value]


async def get(service: Harness, path: str = "/tier", member_id: UUID = MEMBER, **params: int) -> dict[str, object]:
    response = await service.client.get(f"/v1/members/{member_id}{path}", params=params, headers=service.token())
    assert response.status_code == 200, response.text
    return dict(response.json())


async def test_an_upgrade_is_published_once(service: Harness) -> None:
    message = service.message(points(fact("1", NOW, 150)))
    await service.deliver(profile(), message)
    ((envelope, event),) = await service.outbox()
    assert isinstance(event, StandingChangedV1)
    assert (event.change, event.from_tier_id, event.to_tier_id, event.version) == ("upgraded", "basic", "silver", 1)
    assert (envelope.subject, envelope.causation_id) == (str(MEMBER), str(message.envelope.id))
    # The same record again, and the same fact as another record.
    await service.deliver(message)
    await service.deliver(points(fact("1", NOW, 150)))
    assert await service.outbox() == []


async def test_points_before_the_profile_and_a_batch_of_many(service: Harness) -> None:
    members = [uuid4() for _ in range(40)]
    facts = [points(fact("1", NOW - DAY, 150), member_id) for member_id in members]
    await service.deliver(*facts, *facts)
    assert {(event.member_id, event.to_tier_id) for event in await standings(service)} == {
        (member_id, "silver") for member_id in members
    }
    await service.deliver(*(profile(member_id) for member_id in members))
    assert await service.outbox() == []


@pytest.mark.parametrize("split", [1, 2, 3, 7])
async def test_any_order_and_batches_end_with_the_same_intervals(service: Harness, split: int) -> None:
    refunded = fact("1", NOW - 40 * DAY, 150, (NOW - 5 * DAY, 60), revision=2, sequence=4)
    facts = [
        points(fact("1", NOW - 40 * DAY, 150)),
        points(fact("2", NOW - 20 * DAY, 200, sequence=2)),
        points(fact("3", NOW - 400 * DAY, 120, sequence=3)),
        points(refunded, back=True),
    ]
    mixed: list[Event] = [*reversed(facts), profile(), *facts, *facts[2:]]
    for start in range(0, len(mixed), split):
        await service.deliver(*mixed[start : start + split])
    last = (await standings(service))[-1]
    assert [(item.tier_id, item.starts_at) for item in last.intervals] == [
        ("silver", NOW - 400 * DAY),
        ("gold", NOW - 20 * DAY),
        ("silver", NOW - 5 * DAY),
        ("basic", datetime(2027, 11, 3, 12, tzinfo=UTC)),
    ]
    body = await get(service)
    assert body["tier"] == {"id": "silver", "name": {"en": "silver"}}
    assert body["tier_points"] == 260


async def test_tier_points_of_an_earlier_program_count(service: Harness) -> None:
    opening = points(fact("old", NOW - 30 * DAY, 250), of=PointsImportedV1, kind="import")
    await service.deliver(opening, points(fact("1", NOW, 60, sequence=2)))
    told = [(event.version, event.change, event.from_tier_id, event.to_tier_id) for event in await standings(service)]
    assert told == [(1, "upgraded", "basic", "gold")], "where they stand after the batch, and no step between"
    body = await get(service)
    assert body["tier_points"] == 310


async def test_a_membership_is_announced_and_shown(service: Harness) -> None:
    message = service.message(issued(1, NOW - DAY, 90))
    await service.deliver(profile(), points(fact("1", NOW - 2 * DAY, 150)))
    await service.deliver(message)
    first, second = await service.outbox()
    assert isinstance(first[1], StandingChangedV1)
    assert isinstance(second[1], StandingChangedV1)
    assert first[1].memberships == ()
    assert (second[1].version, second[1].change, second[1].to_tier_id) == (2, "unchanged", "silver")
    assert [(item.membership_id, item.ends_at) for item in second[1].memberships] == [("plus", NOW + 89 * DAY)]
    assert second[0].causation_id == str(message.envelope.id)
    await service.deliver(message, issued(1, NOW - DAY, 90), issued(2, NOW, 30))
    (event,) = await standings(service)
    assert [item.starts_at for item in event.memberships] == [NOW - DAY, NOW + 89 * DAY]
    body = await get(service)
    assert body["memberships"] == [
        {"id": "plus", "name": {"en": "Plus"}, "starts_at": "2026-11-22T12:00:00Z",
         "ends_at": "2027-02-20T12:00:00Z", "held": True},
        {"id": "plus", "name": {"en": "Plus"}, "starts_at": "2027-02-20T12:00:00Z",
         "ends_at": "2027-03-22T12:00:00Z", "held": False},
    ]  # fmt: skip
    service.clock.at = NOW + 100 * DAY
    assert [item["held"] for item in (await get(service))["memberships"]] == [True]  # type: ignore[attr-defined]


@pytest.mark.parametrize("split", [1, 2, 5])
async def test_memberships_in_any_order_of_deliveries(service: Harness, split: int) -> None:
    mixed: list[Event] = [returned(1, NOW), issued(2, NOW - DAY), issued(1, NOW - 3 * DAY), returned(1, NOW), profile()]
    for start in range(0, len(mixed), split):
        await service.deliver(*mixed[start : start + split])
    last = (await standings(service))[-1]
    assert [(item.starts_at, item.ends_at) for item in last.memberships] == [
        (NOW - 3 * DAY, NOW),
        (NOW, NOW + 30 * DAY),
    ]
    assert last.occurred_at in (NOW, NOW - DAY, NOW - 3 * DAY)


async def test_other_rewards_are_no_memberships(service: Harness) -> None:
    other = {"kind": "money_off", "membership_id": None, "membership_days": None, "code": "ABC"}
    await service.deliver(
        issued(1, NOW).model_copy(update=other), returned(1, NOW).model_copy(update={"kind": "money_off"})
    )
    assert await service.outbox() == []
    with pytest.raises(Permanent, match="names none"):
        await service.deliver(issued(2, NOW).model_copy(update={"membership_id": None}))


async def test_the_sweeper_announces_what_has_come_true(service: Harness) -> None:
    await service.deliver(profile(), points(fact("1", NOW - 364 * DAY, 150)))
    await service.deliver(points(fact("2", NOW, 200, sequence=2)))
    assert [event.to_tier_id for event in await standings(service)] == ["silver", "gold"]
    assert await service.sweep() == 0
    first, second = datetime(2026, 11, 24, 12, tzinfo=UTC), datetime(2027, 11, 23, 12, tzinfo=UTC)
    service.clock.at = first - timedelta(microseconds=1)
    assert await service.sweep() == 0
    service.clock.at = first
    assert await service.sweep() == 1
    ((envelope, event),) = await service.outbox()
    assert isinstance(event, StandingChangedV1)
    assert (event.version, event.change, event.from_tier_id, event.to_tier_id) == (3, "downgraded", "gold", "silver")
    assert (event.occurred_at, event.tier_points, envelope.causation_id) == (first, 200, None)
    assert await service.sweep() == 0
    service.clock.at = second + DAY
    assert await service.sweep() == 1
    assert [(event.change, event.occurred_at) for event in await standings(service)] == [("downgraded", second)]
    assert (await get(service))["tier"] == {"id": "basic", "name": {"en": "basic"}}


async def test_a_new_ladder_waits_until_the_sweeper_may_go_so_far(service: Harness) -> None:
    """It began while the service was down, and what was published before that is still to be read."""
    await service.deliver(profile(), points(fact("1", NOW - DAY, 110)))
    reference = service.service.reference
    assert reference is not None
    reference.apply(published(program({**LADDER, "silver": 160}, version=2, effective_from=NOW + DAY)))
    service.clock.at = NOW + 2 * DAY
    assert await service.sweep(NOW) == 0
    await service.outbox()
    assert await service.sweep(NOW + 2 * DAY) == 1
    assert [event.to_tier_id for event in await standings(service)] == ["basic"]


async def test_the_sweeper_goes_no_further_than_the_horizon(service: Harness) -> None:
    await service.deliver(points(fact("1", NOW, 150)))
    await service.outbox()
    service.clock.at = NOW + 500 * DAY
    assert await service.sweep(NOW + 300 * DAY) == 0
    assert await service.sweep(NOW + 400 * DAY) == 1


async def test_a_new_ladder_is_held_against_everybody(service: Harness) -> None:
    other = uuid4()
    await service.deliver(profile(), points(fact("1", NOW, 150)), points(fact("1", NOW, 90), other))
    await service.outbox()
    steeper = program({**LADDER, "silver": 160}, version=2, effective_from=NOW + DAY)
    assert service.service.reference is not None
    service.service.reference.apply(published(steeper))
    assert await service.sweep() == 0
    service.clock.at = NOW + DAY
    assert await service.sweep() == 2
    (event,) = await standings(service)
    assert (event.member_id, event.change) == (MEMBER, "downgraded")
    held = [(item.tier_id, item.starts_at, item.valid_until) for item in event.intervals]
    assert held == [("silver", NOW, NOW + DAY), ("basic", NOW + DAY, None)], "what was held until then stays"
    assert await service.sweep() == 0


async def test_facts_wait_for_a_version_in_force(database: str) -> None:
    later = program(effective_from=NOW + DAY)
    async with harness(build, database, MIGRATIONS, name="tier", now=NOW, reference=[published(later)]) as service:
        await service.deliver(profile(), points(fact("1", NOW, 150)))
        assert await service.outbox() == []
        response = await service.client.get(f"/v1/members/{MEMBER}/tier", headers=service.token())
        assert response.status_code == 409
        service.clock.at = NOW + DAY
        assert await service.sweep() == 1
        assert [event.to_tier_id for event in await standings(service)] == ["silver"]


async def test_a_program_that_does_not_exist_is_an_error(service: Harness) -> None:
    with pytest.raises(Permanent, match="program nowhere does not exist"):
        await service.deliver(points(fact("1", NOW, 150), program_id="nowhere"))


async def test_api_of_a_member_without_facts(service: Harness) -> None:
    await service.deliver(profile())
    body = await get(service)
    assert body["tier"] == {"id": "basic", "name": {"en": "basic"}}
    assert body["next_tier"] == {"id": "silver", "name": {"en": "silver"}, "threshold": 100, "missing": 100}
    assert (body["since"], body["valid_until"], body["upcoming"], body["tier_points"]) == (None, None, [], 0)


async def test_api_says_what_is_missing_and_what_comes(service: Harness) -> None:
    await service.deliver(points(fact("1", NOW - 10 * DAY, 150)), points(fact("2", NOW, 200, sequence=2)))
    body = await get(service)
    assert body["tier"] == {"id": "gold", "name": {"en": "gold"}}
    assert (body["since"], body["valid_until"]) == ("2026-11-23T12:00:00Z", "2027-11-13T12:00:00Z")
    assert (body["tier_points"], body["window_months"], body["next_tier"]) == (350, 12, None)
    assert body["upcoming"] == [
        {"tier": {"id": "silver", "name": {"en": "silver"}}, "starts_at": "2027-11-13T12:00:00Z",
         "valid_until": "2027-11-23T12:00:00Z"},
        {"tier": {"id": "basic", "name": {"en": "basic"}}, "starts_at": "2027-11-23T12:00:00Z", "valid_until": None},
    ]  # fmt: skip


async def test_api_history_comes_in_pages(service: Harness) -> None:
    for number in range(3):
        at = NOW - (10 - number) * DAY
        await service.deliver(points(fact(str(number), at, 100, sequence=number + 1)))
    first = await get(service, "/tier/history", limit=2)
    second = await get(service, "/tier/history", limit=2, before=2)
    assert isinstance(first["changes"], list)
    assert isinstance(second["changes"], list)
    assert [item["version"] for item in first["changes"]] == [3, 2]
    assert (first["next_before"], second["next_before"]) == (2, None)
    assert [(item["change"], item["to_tier_id"]) for item in second["changes"]] == [("upgraded", "silver")]
    beyond = await service.client.get(
        f"/v1/members/{MEMBER}/tier/history", params={"before": 10**20}, headers=service.token()
    )
    assert beyond.status_code == 422, beyond.text


async def test_api_knows_its_program_and_its_members(service: Harness) -> None:
    await service.deliver(profile(), profile(erased := uuid4(), status="erased"))

    async def status(member_id: UUID, headers: dict[str, str]) -> set[int]:
        paths = (f"/v1/members/{member_id}/tier", f"/v1/members/{member_id}/tier/history")
        return {(await service.client.get(path, headers=headers)).status_code for path in paths}

    assert await status(uuid4(), service.token()) == {404}
    assert await status(erased, service.token()) == {404}
    assert await status(MEMBER, service.token(program_id="other")) == {404}
    assert await status(MEMBER, {}) == {401}
    assert await status(MEMBER, service.token("member", member_id=uuid4())) == {403}
    assert await status(MEMBER, service.token("member", member_id=MEMBER)) == {200}
