"""Mails over a real SMTP server: nothing lost, nothing invented, always the same Message-ID."""

import asyncio
from datetime import timedelta

import pytest

from contracts.notifications import NotificationFailedV1, NotificationSentV1, NotificationSuppressedV1

from .parts import MEMBER, NOW, Desk, code, contact, granted, member, reward, upgraded

pytestmark = pytest.mark.integration


async def test_a_mail_as_it_arrives(here: Desk) -> None:
    event = here.harness.message(granted())
    await here.harness.deliver(contact(), member(locale="ar-EG"), event)
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    await here.harness.context.execute(lambda tx: tx.connection.execute("UPDATE messages SET traceparent = $1", trace))
    await here.send()
    (row,) = [row for row in await here.rows() if row["template"] == "points_earned"]
    (mail,) = here.mailbox.mails
    assert here.mailbox.recipients == ["leyla@example.com"]
    assert mail["To"] == "Leyla <leyla@example.com>"
    assert mail["From"] == "Aurora Club <club@aurora.example>"
    assert mail["Message-ID"] == f"<{row['message_id']}@aurora.example>"
    assert mail["traceparent"] == trace
    assert mail["X-Correlation-Id"] == event.envelope.correlation_id
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert mail["List-Unsubscribe"].startswith("<http://127.0.0.1:8105/v1/opt-out/")
    # As bytes: a mail program's one-click reads no encoded words.
    assert f"List-Unsubscribe: {mail['List-Unsubscribe']}\r\n".encode() in here.mailbox.raw[0]
    assert "250 نقطة" in mail["Subject"]
    assert mail.get_content_type() == "multipart/alternative"
    text, html = mail.iter_parts()
    assert (text.get_content_type(), html.get_content_type()) == ("text/plain", "text/html")
    assert 'dir="rtl"' in html.get_content()
    link = mail["List-Unsubscribe"].strip("<>")
    assert link in text.get_content()
    assert link in html.get_content()


async def test_what_was_sent_is_told_and_forgets_its_parameters(here: Desk) -> None:
    event = here.harness.message(reward())
    await here.harness.deliver(contact(), event)
    await here.send()
    assert not await here.send()
    (row,) = await here.rows()
    assert (row["state"], row["locale"], row["parameters"], row["attempts"]) == ("sent", "en", "{}", 1)
    ((envelope, told),) = await here.harness.outbox()
    assert isinstance(told, NotificationSentV1)
    assert (told.message_id, told.event_id, told.channel) == (row["message_id"], event.envelope.id, "email")
    assert (envelope.correlation_id, envelope.causation_id) == (event.envelope.correlation_id, str(event.envelope.id))
    assert "7K3M9QW2XHTB" in here.mailbox.mails[0].as_string()


async def test_the_mail_server_down_delays_and_loses_nothing(here: Desk) -> None:
    await here.mailbox.stop()
    await here.harness.deliver(contact(), *(granted(points) for points in range(1, 26)))
    for _ in range(4):
        await here.send()
        here.later(minutes=10)
    assert set(await here.states()) == {"points_earned due"}
    assert {row["attempts"] for row in await here.rows()} == {4}
    assert {row["reason"] for row in await here.rows()} == {"the mail server is not usable for now"}
    assert await here.harness.outbox() == []
    await here.mailbox.start()
    await here.send()
    assert set(await here.states()) == {"points_earned sent"}
    assert len(here.mailbox.mails) == 25
    assert len({mail["Message-ID"] for mail in here.mailbox.mails}) == 25
    assert here.mailbox.connections <= 4


async def test_a_pause_is_kept_and_grows(here: Desk) -> None:
    await here.mailbox.stop()
    await here.harness.deliver(contact(), granted())
    pauses = []
    for _ in range(12):
        await here.send()
        (row,) = await here.rows()
        assert isinstance(row["next_attempt_at"], type(NOW))
        pauses.append(row["next_attempt_at"] - here.harness.clock.at)
        before = row["attempts"]
        await here.send()
        assert (await here.rows())[0]["attempts"] == before
        here.harness.clock.at = row["next_attempt_at"]
    assert timedelta(seconds=1) <= pauses[0] <= timedelta(seconds=2)
    assert timedelta(seconds=150) <= pauses[-1] <= timedelta(seconds=300)


async def test_a_process_that_dies_before_marking_sends_the_same_again(here: Desk) -> None:
    await here.harness.deliver(contact(), granted())
    # The row's lock keeps the mark from being made; the process "dies" when the server has the mail.
    async with here.harness.context.pool.acquire() as other, other.transaction():
        await other.execute("SELECT 1 FROM members WHERE member_id = $1 FOR UPDATE", MEMBER)
        dying = asyncio.create_task(here.send())
        await asyncio.wait_for(here.mailbox.got.wait(), 10)
        await asyncio.sleep(0.2)
        dying.cancel()
        with pytest.raises(asyncio.CancelledError):
            await dying
    assert await here.states() == ["points_earned due"]
    await here.send()
    assert len(here.mailbox.mails) == 1  # The lease of the dead one holds.
    here.later(seconds=61)
    await here.send()
    first, second = here.mailbox.mails
    assert first["Message-ID"] == second["Message-ID"]
    assert first["Date"] == second["Date"]
    assert await here.states() == ["points_earned sent"]
    assert len(await here.harness.outbox()) == 1


async def test_two_processes_share_the_work(here: Desk) -> None:
    await here.harness.deliver(contact(), *(granted(points) for points in range(1, 61)))
    await asyncio.gather(here.send(), here.send(), here.send())
    await here.send()
    assert len(here.mailbox.mails) == 60
    assert len({mail["Message-ID"] for mail in here.mailbox.mails}) == 60


@pytest.mark.parametrize("stage", ["refuse_rcpt", "refuse_data"])
async def test_a_refusal_for_good_fails_that_mail_alone(here: Desk, stage: str) -> None:
    await here.harness.deliver(contact(), granted())
    setattr(here.mailbox, stage, "550 5.1.1 leyla@example.com: no such user")
    await here.send()
    (row,) = await here.rows()
    assert row["state"] == "failed"
    ((_, told),) = await here.harness.outbox()
    assert isinstance(told, NotificationFailedV1)
    assert told.reason.startswith("550 5.1.1")
    assert "leyla" not in told.reason
    here.later(days=1)
    await here.send()
    assert (await here.rows())[0]["attempts"] == 1


@pytest.mark.parametrize("stage", ["refuse_rcpt", "refuse_data"])
async def test_a_passing_refusal_delays(here: Desk, stage: str) -> None:
    await here.harness.deliver(contact(), granted(), granted(300))
    setattr(here.mailbox, stage, "451 4.7.1 greylisted")
    await here.send()
    assert await here.states() == ["points_earned due"] * 2
    assert here.mailbox.connections == 2  # Two mails, two connections at once; a refusal closes none.
    setattr(here.mailbox, stage, None)
    here.later(minutes=5)
    await here.send()
    assert len(here.mailbox.mails) == 2


async def test_a_passing_refusal_that_does_not_pass_is_one_for_good(here: Desk) -> None:
    await here.harness.deliver(contact(), granted())
    here.mailbox.refuse_rcpt = "450 4.1.2 Domain not found"
    await here.send()
    here.later(days=4)
    await here.send()
    assert await here.states() == ["points_earned due"]
    here.later(days=2)
    await here.send()
    assert await here.states() == ["points_earned failed"]


async def test_a_refusal_tells_no_address_in_whatever_form_and_code_page(here: Desk) -> None:
    await here.harness.deliver(contact(1, "Leyla@müller.example"), granted())
    here.mailbox.refuse_rcpt = "550 <leyla@xn--mller-kva.example>: Empf\udce4nger unbekannt"
    await here.send()
    ((_, told),) = await here.harness.outbox()
    assert isinstance(told, NotificationFailedV1)
    assert told.reason == "550 <…>: Empf?nger unbekannt"


async def test_a_message_waits_for_an_address(here: Desk) -> None:
    await here.harness.deliver(granted())
    here.later(minutes=59)
    await here.send()
    assert await here.states() == ["points_earned due"]
    await here.harness.deliver(contact())
    await here.send()
    assert await here.states() == ["points_earned sent"]


@pytest.mark.parametrize("known", [False, True])
async def test_without_an_address_it_is_suppressed_in_the_end(here: Desk, known: bool) -> None:
    await here.harness.deliver(granted(), *([contact(email=None)] if known else []))
    here.later(minutes=61)
    await here.send()
    ((_, told),) = await here.harness.outbox()
    assert isinstance(told, NotificationSuppressedV1)
    assert told.reason == "no_address"
    assert await here.states() == ["points_earned suppressed"]


async def test_who_was_erased_gets_nothing_more_whatever_is_replayed(here: Desk) -> None:
    """Neither mails that were due then, nor for dead letters that are replayed later, nor by an older contact."""
    await here.harness.deliver(member(), contact(), granted(1))
    await here.harness.deliver(member(version=2, status="erased"))
    await here.harness.deliver(contact(version=2), granted(2))
    here.later(hours=2)
    await here.send()
    assert here.mailbox.mails == []
    assert set(await here.states()) == {"welcome suppressed", "points_earned suppressed"}
    personal = "SELECT email, first_name, last_name FROM members"
    assert [tuple(row) for row in await here.harness.context.read(lambda c: c.fetch(personal))] == [(None, None, None)]


async def test_the_welcome_waits_a_moment_for_the_code(here: Desk) -> None:
    await here.harness.deliver(contact(), member())
    await here.send()
    assert here.mailbox.mails == []
    await here.harness.deliver(code())
    await here.send()
    assert "LEYLA7K3" in here.mailbox.mails[0].as_string()


async def test_the_welcome_goes_without_the_code_when_none_comes(here: Desk) -> None:
    await here.harness.deliver(member())
    await here.harness.deliver(contact())
    here.later(seconds=31)
    await here.send()
    assert len(here.mailbox.mails) == 1


async def test_who_opted_out_gets_nothing_more(here: Desk) -> None:
    await here.harness.deliver(contact(), granted())
    await here.harness.context.execute(lambda tx: tx.connection.execute("UPDATE members SET opted_out_at = $1", tx.now))
    await here.harness.deliver(upgraded())
    await here.send()
    assert sorted(await here.states()) == ["points_earned suppressed", "tier_reached suppressed"]
    assert {told.reason for _, told in await here.harness.outbox()} == {"opted_out"}  # type: ignore[attr-defined]
    assert here.mailbox.mails == []


@pytest.mark.parametrize(
    "email",
    ["a@example.com\r\nBcc: all@example.com", "a b@example.com", "a@example.com, b@example.com", "nobody", "@", ""],
)
async def test_addresses_that_are_none_fail_and_inject_nothing(here: Desk, email: str) -> None:
    await here.harness.deliver(contact(email=email), granted(), granted(7))
    await here.send()
    assert set(await here.states()) == {"points_earned failed"}
    assert here.mailbox.mails == []


async def test_a_name_injects_no_header(here: Desk) -> None:
    await here.harness.deliver(contact(first_name="Eve\r\nBcc: all@example.com"), granted())
    await here.send()
    (mail,) = here.mailbox.mails
    assert mail["Bcc"] is None
    assert here.mailbox.recipients == ["leyla@example.com"]


async def test_an_international_domain_is_reached(here: Desk) -> None:
    await here.harness.deliver(contact(email="leyla@bücher.example"), granted())
    await here.send()
    assert here.mailbox.recipients == ["leyla@xn--bcher-kva.example"]


async def test_a_local_part_that_the_server_cannot_take_fails(here: Desk) -> None:
    await here.harness.deliver(contact(email="léyla@example.com"), granted(), granted(7))
    await here.send()
    assert set(await here.states()) == {"points_earned failed"}


async def test_a_program_not_known_yet_delays(here: Desk) -> None:
    await here.harness.deliver(contact(), granted())
    here.programs = type(here.programs)()
    await here.send()
    assert await here.states() == ["points_earned due"]


async def test_a_message_that_cannot_be_rendered_stops_no_other(here: Desk) -> None:
    await here.harness.deliver(contact(), granted(), upgraded())
    await here.harness.context.execute(
        lambda tx: tx.connection.execute("UPDATE messages SET parameters = '{}' WHERE template = 'points_earned'")
    )
    await here.send()
    assert sorted(await here.states()) == ["points_earned due", "tier_reached sent"]
    assert "not rendered" in str(next(row["reason"] for row in await here.rows() if row["state"] == "due"))
