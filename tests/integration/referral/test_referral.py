"""The referral service on PostgreSQL: codes, both parties told, facts in any order across batches and partitions."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

import referral
from contracts.base import Event
from contracts.referrals import (
    ReferralCodeAssignedV1,
    ReferralConfirmedV1,
    ReferralEvent,
    ReferralRejectedV1,
    ReferralReversedV1,
)
from referral.app import build
from shared.testing import Harness, harness
from shared.transaction import Permanent, Transaction
from tests.unit.referral.samples import ADVOCATE, FRIEND, HOUR, OTHER, T0, order, profile, program, published, refund

MIGRATIONS = Path(referral.__file__).parent / "migrations"
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
pytestmark = pytest.mark.integration


@pytest.fixture
async def service(database: str) -> AsyncIterator[Harness]:
    async with harness(
        build, database, MIGRATIONS, name="referral", now=NOW, reference=[published(program())]
    ) as ready:
        yield ready


async def code_of(service: Harness, member_id: UUID = ADVOCATE, **values: Any) -> str:
    """Enrol a member, and take the code from what is published."""
    await service.deliver(profile(member_id, **values))
    ((_, event),) = await service.outbox()
    assert isinstance(event, ReferralCodeAssignedV1)
    assert event.member_id == member_id
    return event.code


async def told(service: Harness) -> list[tuple[type[Event], str, int]]:
    """What was published of referrals: the type, the role and the version."""
    events = [event for _, event in await service.outbox()]
    return [(type(event), event.role, event.version) for event in events if isinstance(event, ReferralEvent)]


def both(kind: type[ReferralEvent], version: int) -> list[tuple[type[ReferralEvent], str, int]]:
    return [(kind, "advocate", version), (kind, "friend", version)]


async def republish(service: Harness) -> None:
    async def send(tx: Transaction) -> None:
        for part in service.service.republish:
            await part(tx, None, 100)

    await service.context.execute(send)


async def get(service: Harness, member_id: UUID, **params: object) -> dict[str, Any]:
    path = f"/v1/members/{member_id}/referral"
    response = await service.client.get(path, params=params, headers=service.token())  # type: ignore[arg-type]
    assert response.status_code == 200, response.text
    return dict(response.json())


async def confirmed(service: Harness) -> list[tuple[UUID, str, UUID]]:
    async def read(connection: asyncpg.Connection) -> list[tuple[UUID, str, UUID]]:
        rows = await connection.fetch(
            "SELECT friend_id, order_id, advocate_id FROM referrals WHERE state = 'confirmed' ORDER BY friend_id"
        )
        return [tuple(row) for row in rows]

    return await service.context.read(read)


async def test_everyone_gets_one_code_of_their_own(service: Harness) -> None:
    members = [uuid4() for _ in range(200)]
    await service.deliver(*(profile(member_id) for member_id in members))
    codes = {
        event.member_id: event.code for _, event in await service.outbox() if isinstance(event, ReferralCodeAssignedV1)
    }
    assert set(codes) == set(members)
    assert len(set(codes.values())) == 200
    await service.deliver(*(profile(member_id, version=version) for member_id in members for version in (1, 2)))
    assert await service.outbox() == []


async def test_a_shopper_gets_a_code_when_enrolled(service: Harness) -> None:
    await service.deliver(profile(ADVOCATE, status="shopper"))
    assert await service.outbox() == []
    assert len(await code_of(service, version=2)) == 8


async def test_both_are_told_once(service: Harness) -> None:
    code = await code_of(service)
    message = service.message(order(FRIEND, "1", code=f" {code.lower()[:4]}-{code.lower()[4:]}"))
    await service.deliver(message)
    published_now = await service.outbox()
    assert [(type(event), envelope.subject, envelope.causation_id) for envelope, event in published_now] == [
        (ReferralConfirmedV1, str(ADVOCATE), str(message.envelope.id)),
        (ReferralConfirmedV1, str(FRIEND), str(message.envelope.id)),
    ]
    assert len({envelope.id for envelope, _ in published_now}) == 2
    await service.deliver(message)
    await service.deliver(order(FRIEND, "1", code=code), order(FRIEND, "1", code=code))
    assert await service.outbox() == []


async def test_refunds_reverse_and_a_better_revision_confirms_again(service: Harness) -> None:
    code = await code_of(service)
    await service.deliver(
        order(FRIEND, "1", code=code),
        order(FRIEND, "1", revision=2, code=code, payment="partially_refunded", refunds=(refund("a", 5000),)),
    )
    assert await told(service) == both(ReferralConfirmedV1, 1) + both(ReferralReversedV1, 2)
    await service.deliver(order(FRIEND, "1", revision=3, code=code))
    assert await told(service) == both(ReferralConfirmedV1, 3)
    # Older revisions are no news.
    await service.deliver(order(FRIEND, "1", revision=2, code=code, payment="refunded"))
    assert await told(service) == []


async def test_an_earlier_order_of_another_partition_of_time(service: Harness) -> None:
    code, other = await code_of(service), await code_of(service, OTHER)
    await service.deliver(order(FRIEND, "2", at=2, code=code))
    assert await told(service) == both(ReferralConfirmedV1, 1)
    await service.deliver(order(FRIEND, "1", at=1, code=other))
    assert await told(service) == both(ReferralReversedV1, 2) + both(ReferralConfirmedV1, 1)
    assert await confirmed(service) == [(FRIEND, "1", OTHER)]


async def test_fingerprints_of_the_advocate_that_arrive_later(service: Harness) -> None:
    code = await code_of(service)
    strangers = [uuid4() for _ in range(5)]
    await service.deliver(
        order(FRIEND, "1", code=code, prints={"address": "a1", "email": "e1"}),
        *(order(member_id, "1", code=code, prints={"address": "elsewhere"}) for member_id in strangers),
    )
    await service.outbox()
    await service.deliver(order(ADVOCATE, "own", prints={"address": "a1"}))
    assert await told(service) == both(ReferralReversedV1, 2)
    # The order turns out to have gone elsewhere; then the profile says that the e-mail is the same.
    await service.deliver(order(ADVOCATE, "own", revision=2, prints={"address": "a2"}))
    assert await told(service) == both(ReferralConfirmedV1, 3)
    await service.deliver(profile(ADVOCATE, version=2, email="e1"))
    assert await told(service) == both(ReferralReversedV1, 4)
    assert {member_id for member_id, _, _ in await confirmed(service)} == set(strangers)


async def test_self_referral_is_told_to_the_friend_alone(service: Harness) -> None:
    code = await code_of(service, email="e1")
    await service.deliver(order(FRIEND, "1", code=code, prints={"email": "e1"}))
    ((_, event),) = await service.outbox()
    assert isinstance(event, ReferralRejectedV1)
    assert (event.reason, event.member_id, event.role) == ("self_email", FRIEND, "friend")


async def test_a_code_that_becomes_known_after_the_order(service: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    await service.deliver(order(FRIEND, "1", code="7KQ2M9XA"), order(OTHER, "1", code="7KQ2M9XB"))
    letters = iter("7KQ2M9XA")
    monkeypatch.setattr("secrets.choice", lambda _: next(letters))
    await service.deliver(profile(ADVOCATE))
    assert await told(service) == both(ReferralConfirmedV1, 1)
    assert await confirmed(service) == [(FRIEND, "1", ADVOCATE)]


async def test_any_split_into_batches_ends_the_same(service: Harness) -> None:
    advocates = [uuid4() for _ in range(3)]
    codes = [await code_of(service, member_id, email=f"mail-{n}") for n, member_id in enumerate(advocates)]
    outcomes = set()
    for seed in range(6):
        chance = random.Random(seed)
        friends = [UUID(int=100 * (seed + 1) + n) for n in range(4)]
        facts: Sequence[Event] = [
            *(profile(friend, status="shopper", version=1) for friend in friends),
            order(friends[0], "1", at=1, code=codes[0]),
            order(friends[0], "1", at=1, revision=2, code=codes[0], payment="refunded"),
            order(friends[0], "2", at=2, code=codes[1]),
            order(friends[1], "1", at=1, code=codes[1]),
            order(friends[1], "2", at=2, code=codes[2]),
            order(friends[2], "1", at=1),
            order(friends[2], "2", at=2, code=codes[2]),
            order(friends[3], "1", at=1, code=codes[2], prints={"email": f"mail-{2}"}),
        ]
        mixed = [*facts, *chance.sample(facts, 4)]
        chance.shuffle(mixed)
        while mixed:
            size = chance.randint(1, 4)
            batch, mixed = mixed[:size], mixed[size:]
            await service.deliver(*batch)
        rows = [row for row in await confirmed(service) if row[0] in friends]
        outcomes.add(tuple((friends.index(friend), number, advocates.index(by)) for friend, number, by in rows))
    assert outcomes == {((0, "2", 1), (1, "1", 1))}


async def test_friend_and_advocate_at_the_same_time(service: Harness) -> None:
    """Their partitions may be read by two processes: whoever comes second sees what the first wrote."""
    pairs = [(uuid4(), uuid4(), f"home-{n}") for n in range(30)]
    codes = {advocate: await code_of(service, advocate) for advocate, _, _ in pairs}
    facts = [order(friend, "1", code=codes[advocate], prints={"address": home}) for advocate, friend, home in pairs]
    facts += [order(advocate, "own", prints={"address": home}) for advocate, _, home in pairs]
    random.Random(1).shuffle(facts)
    await asyncio.gather(*(service.deliver(*facts[n::4]) for n in range(4)))
    assert await confirmed(service) == []

    async def read(connection: asyncpg.Connection) -> int:
        return int(await connection.fetchval("SELECT count(*) FROM referrals"))

    assert await service.context.read(read) == 30


async def test_a_program_that_gets_referrals_later(database: str) -> None:
    without = program(referral=False)
    async with harness(
        build, database, MIGRATIONS, name="referral", now=NOW, reference=[published(without)]
    ) as service:
        await service.deliver(profile(ADVOCATE), profile(OTHER, status="shopper"))
        assert await service.sweep() == 0
        assert await service.outbox() == []
        assert (await get(service, ADVOCATE))["code"] is None
        assert service.service.reference is not None
        service.service.reference.apply(published(program(version=2, effective_from=NOW + HOUR)))
        service.clock.at = NOW + HOUR
        assert await service.sweep() == 2
        ((_, event),) = await service.outbox()
        assert isinstance(event, ReferralCodeAssignedV1)
        assert (event.member_id, event.assigned_at) == (ADVOCATE, NOW + HOUR)
        assert await service.sweep() == 0


async def test_it_is_told_again_as_it_was_told_last(service: Harness) -> None:
    code = await code_of(service, email="e1")
    await service.deliver(order(FRIEND, "1", at=1, code=code, prints={"email": "e1"}))
    await service.deliver(order(FRIEND, "0"))
    await service.deliver(order(FRIEND, "0", revision=2), order(FRIEND, "1", at=1, revision=2, code=code, test=True))
    first = await service.outbox()
    assert [type(event) for _, event in first] == [ReferralRejectedV1]
    await service.deliver(order(FRIEND, "0", revision=3, test=True), order(FRIEND, "1", at=1, revision=3, code=code))
    again = await service.outbox()
    assert [event.version for _, event in again if isinstance(event, ReferralEvent)] == [2, 2]
    await republish(service)
    told_again = [envelope.id for envelope, event in await service.outbox() if isinstance(event, ReferralEvent)]
    assert told_again == [envelope.id for envelope, _ in again]


async def test_what_was_taken_back_before_a_rejection_is_told_again_too(service: Harness) -> None:
    code = await code_of(service)
    await service.deliver(order(FRIEND, "2", at=2, code=code))
    await service.deliver(order(FRIEND, "2", at=2, revision=2, code=code, payment="refunded"))
    await service.deliver(order(FRIEND, "1", at=1), order(FRIEND, "2", at=2, revision=3, code=code))
    rejected = (ReferralRejectedV1, "friend", 3)
    assert await told(service) == [*both(ReferralConfirmedV1, 1), *both(ReferralReversedV1, 2), rejected]
    # Who read no more than the confirmation takes the reversal, under a version between; its reason is not kept.
    await republish(service)
    assert await told(service) == [*both(ReferralReversedV1, 2), rejected]


async def test_a_rejection_that_nothing_can_have_been_before_is_told_alone(service: Harness) -> None:
    code = await code_of(service, email="e1")
    await service.deliver(order(FRIEND, "1", at=1, code=code, prints={"email": "e1"}))
    await service.deliver(order(FRIEND, "0"), order(FRIEND, "1", at=1, revision=2, code=code))
    assert [version for _, _, version in await told(service)] == [1, 2]
    await republish(service)
    assert await told(service) == [(ReferralRejectedV1, "friend", 2)]


async def test_what_is_confirmed_no_more_but_rejected_is_reversed(service: Harness) -> None:
    code = await code_of(service, email="e1")
    await service.deliver(order(FRIEND, "1", code=code))
    assert await told(service) == both(ReferralConfirmedV1, 1)
    await service.deliver(profile(FRIEND, email="e1"))
    assert await told(service) == both(ReferralReversedV1, 2)


async def test_a_friend_taken_over_whose_order_lost_the_code(service: Harness) -> None:
    code = await code_of(service)
    await service.deliver(order(FRIEND, "1", code=code))
    told_before = [event for _, event in await service.outbox()]

    async def forget(tx: Transaction) -> None:
        await tx.connection.execute("TRUNCATE orders, referrals")
        assert service.service.adopt is not None
        await service.service.adopt(tx, [service.message(event) for event in told_before])

    await service.context.execute(forget)
    await service.deliver(order(FRIEND, "1", revision=2))
    assert await told(service) == []
    service.clock.at += HOUR
    await service.sweep()
    assert await told(service) == both(ReferralReversedV1, 2)


async def test_a_program_that_does_not_exist_is_an_error(service: Harness) -> None:
    with pytest.raises(Permanent, match="program nowhere does not exist"):
        await service.deliver(order(FRIEND, "1", program_id="nowhere"))


async def test_codes_of_another_program_mean_nothing(service: Harness) -> None:
    code = await code_of(service)
    assert service.service.reference is not None
    elsewhere = program().model_copy(update={"id": "borealis"})
    service.service.reference.apply(published(elsewhere))
    await service.deliver(order(FRIEND, "1", code=code, program_id="borealis"))
    assert await service.outbox() == []


async def test_api_of_the_advocate_and_of_the_friend(service: Harness) -> None:
    code = await code_of(service)
    second = uuid4()
    await service.deliver(
        profile(FRIEND),
        order(FRIEND, "1", code=code),
        order(FRIEND, "2", at=1, code=code),
        order(second, "1", at=2, code=code),
        order(ADVOCATE, "1", at=3, code=code),
    )
    await service.deliver(order(second, "1", at=2, revision=2, code=code, cancelled=True))
    body = await get(service, ADVOCATE)
    assert (body["code"], body["share_url"]) == (code, f"https://shop.example/?utm=laurel&ref={code}")
    assert body["friends"] == {"confirmed": 1, "unqualified": 1, "rejected": 0}
    assert [(item["state"], item["reason"]) for item in body["referrals"]] == [
        ("unqualified", "cancelled"),
        ("rejected", "already_referred"),
        ("confirmed", None),
    ]
    assert str(FRIEND) not in str(body)
    friend = await get(service, FRIEND)
    assert (friend["brought_by"]["state"], friend["brought_by"]["placed_at"]) == (
        "confirmed",
        f"{T0:%Y-%m-%dT%H:%M:%SZ}",
    )
    assert (friend["referrals"], friend["friends"]["confirmed"]) == ([], 0)
    page = await get(service, ADVOCATE, limit=2)
    rest = await get(service, ADVOCATE, limit=2, before=page["next_before"])
    assert page["referrals"] + rest["referrals"] == body["referrals"]
    assert rest["next_before"] is None


async def test_api_knows_its_program_and_its_members(service: Harness) -> None:
    await service.deliver(profile(ADVOCATE), profile(OTHER, status="erased"))

    async def status(member_id: UUID, headers: dict[str, str]) -> int:
        return (await service.client.get(f"/v1/members/{member_id}/referral", headers=headers)).status_code

    assert await status(uuid4(), service.token()) == 404
    assert await status(OTHER, service.token()) == 404
    assert await status(ADVOCATE, service.token(program_id="other")) == 404
    assert await status(ADVOCATE, {}) == 401
    assert await status(ADVOCATE, service.token("member", member_id=FRIEND)) == 403
    assert await status(ADVOCATE, service.token("member", member_id=ADVOCATE)) == 200
