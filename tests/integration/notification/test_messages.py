"""Events in, messages stored: once per event and channel, whatever is repeated or late."""

from datetime import timedelta
from uuid import uuid4

import asyncpg
import pytest

from contracts.notifications import NotificationSuppressedV1

from .parts import MEMBER, NOW, Desk, code, contact, granted, member, reward, upgraded

pytestmark = pytest.mark.integration


async def test_every_event_that_calls_for_a_message_has_one(here: Desk) -> None:
    await here.harness.deliver(granted(), member(), contact(), upgraded(), reward(), code(), granted(points=0))
    assert sorted(await here.states()) == ["coupon due", "points_earned due", "tier_reached due", "welcome due"]


async def test_repeats_make_no_second_message(here: Desk) -> None:
    events = [here.harness.message(event) for event in (member(), contact(), granted(), upgraded(), reward())]
    await here.harness.deliver(*events, *events)
    await here.harness.deliver(*events)
    await here.harness.deliver(events[2], here.harness.message(granted()))
    assert len(await here.rows()) == 5  # The last grant is another event with the same content.


async def test_a_member_is_welcomed_once_for_ever(here: Desk) -> None:
    await here.harness.deliver(member(1, "shopper"))
    await here.harness.deliver(member(2), member(3, locale="ar"))
    await here.harness.deliver(member(4, "shopper"), member(5))
    await here.harness.deliver(member(2), contact(), member(6))
    assert await here.states() == ["welcome due"]


async def test_a_new_database_on_the_old_topic_welcomes_nobody_again(here: Desk) -> None:
    await here.harness.deliver(member(7, enrolled_at=NOW - timedelta(days=300)))
    assert await here.states() == ["welcome suppressed"]


async def test_older_versions_change_nothing(here: Desk) -> None:
    await here.harness.deliver(contact(2, "new@example.com"), member(3, locale="az"))
    await here.harness.deliver(contact(1, "old@example.com"), member(2, locale="ar"))
    row = await here.harness.context.read(lambda c: c.fetchrow("SELECT * FROM members"))
    assert row is not None
    assert (row["email"], row["locale"], row["version"], row["contact_version"]) == ("new@example.com", "az", 3, 2)


async def test_old_news_are_recorded_told_and_not_sent(here: Desk) -> None:
    old = here.harness.message(granted(at=NOW - timedelta(hours=49)))
    await here.harness.deliver(contact(), old, granted(at=NOW - timedelta(hours=47)))
    await here.harness.deliver(old)
    assert await here.states() == ["points_earned suppressed", "points_earned due"]
    ((envelope, event),) = await here.harness.outbox()
    assert isinstance(event, NotificationSuppressedV1)
    assert (event.reason, event.event_id, event.member_id) == ("too_old", old.envelope.id, MEMBER)
    assert envelope.causation_id == str(old.envelope.id)
    await here.send()
    assert len(here.mailbox.mails) == 1


async def test_without_an_endpoint_no_webhook_is_called_for(here: Desk) -> None:
    await here.harness.deliver(contact(), reward())
    assert [row["channel"] for row in await here.rows()] == ["email"]


async def test_many_members_in_one_batch(here: Desk) -> None:
    await here.harness.deliver(*(granted(member_id=uuid4()) for _ in range(200)))
    assert len(await here.rows()) == 200


async def test_the_database_refuses_a_second_message_itself(here: Desk) -> None:
    await here.harness.deliver(contact(), granted())
    with pytest.raises(asyncpg.UniqueViolationError):
        await here.harness.context.execute(
            lambda tx: tx.connection.execute(
                """INSERT INTO messages (message_id, program_id, member_id, event_id, channel, template, parameters,
                       recorded_at, created_at, correlation_id, state, next_attempt_at)
                   SELECT gen_random_uuid(), program_id, member_id, event_id, channel, template, parameters,
                       recorded_at, created_at, correlation_id, state, next_attempt_at FROM messages"""
            )
        )
