"""What was published is taken over after a restore, and sent again when Kafka lost it."""

import itertools

import pytest

from contracts.activities import ActivityRecordedV1
from contracts.base import Event
from contracts.members import ContactChangedV1, MemberChangedV1
from contracts.orders import OrderChangedV1
from shared.service import Republish

from .conftest import Edge
from .test_api import activity, amount, order, post

pytestmark = pytest.mark.integration


async def adopt(edge: Edge, *events: Event) -> None:
    adopting, batch = edge.harness.service.adopt, [edge.harness.message(event) for event in events]
    assert adopting is not None
    await edge.harness.context.execute(lambda tx: adopting(tx, batch))


async def send_again(edge: Edge, sending: Republish, after: str | None) -> tuple[str | None, int]:
    return await edge.harness.context.execute(lambda tx: sending(tx, after, 1))


async def test_an_older_state_that_is_read_again_changes_nothing(edge: Edge) -> None:
    """By the platform's own version, which counts before its clock: so it is published with the order."""
    await post(edge, "orders", order(version=7))
    await edge.read()
    [event] = await edge.published(OrderChangedV1)
    assert event.version == 7
    await edge.fetch("TRUNCATE orders")
    await adopt(edge, event)
    await post(edge, "orders", order(version=6, updated_at="2026-11-22T10:00:00Z", total=amount(1)))
    await edge.read()
    assert await edge.published(OrderChangedV1) == []
    await post(edge, "orders", order(version=8, total=amount(2)))
    await edge.read()
    [newer] = await edge.published(OrderChangedV1)
    assert (newer.revision, newer.version, newer.total.shop_minor) == (2, 8, 2)


async def test_platforms_without_versions_have_none(edge: Edge) -> None:
    await post(edge, "orders", order())
    await edge.read()
    [event] = await edge.published(OrderChangedV1)
    assert event.version is None
    await edge.fetch("TRUNCATE orders")
    await adopt(edge, event)
    await post(edge, "orders", order(updated_at="2026-11-22T10:00:00Z", total=amount(1)))
    await edge.read()
    [newer] = await edge.published(OrderChangedV1)
    assert (newer.revision, newer.version, newer.total.shop_minor) == (2, None, 1)


async def test_all_is_sent_again_whatever_it_is_called(edge: Edge) -> None:
    names = {"a", "a\x1fb", "a\x1fb\x1fc", "b/c"}
    for name in sorted(names):
        assert (await post(edge, "orders", order(order_id=name)))[0] == 202
        assert (await post(edge, "activities", activity(activity_id=name)))[0] == 202
    await edge.read()
    await edge.harness.outbox()
    for sending in edge.harness.service.republish[1:]:
        after, count = await send_again(edge, sending, None)
        while count:
            after, count = await send_again(edge, sending, after)
    outbox = [event for _, event in await edge.harness.outbox()]
    assert {event.order_id for event in outbox if isinstance(event, OrderChangedV1)} == names
    assert {event.activity_id for event in outbox if isinstance(event, ActivityRecordedV1)} == names
    assert len(outbox) == 2 * len(names)


async def test_a_guest_by_the_verified_address_of_an_account_is_nobody_new_after_a_restore(edge: Edge) -> None:
    """Neither when the order comes again before the account's own, nor with a new one."""
    account, guest = order(), order(order_id="A/2", customer={"email": "ada@example.com"})
    await post(edge, "orders", account)
    await post(edge, "orders", guest)
    await edge.read()
    published = [event for _, event in await edge.harness.outbox()]
    identities = "SELECT kind, value, member_id FROM identities WHERE member_id IS NOT NULL ORDER BY 1, 2"
    before = await edge.fetch(identities)
    await edge.fetch("TRUNCATE orders, members, identities")
    await adopt(edge, *published)
    for told in (guest, account):
        await post(edge, "orders", told)
        await edge.read()
    assert await edge.harness.outbox() == []
    await post(edge, "orders", order(order_id="A/3", customer={"email": "Ada@example.com "}))
    await edge.read()
    [new] = await edge.published(OrderChangedV1)
    assert await edge.fetch(identities) == before
    assert {row["member_id"] for row in before} == {new.member_id}


async def test_an_address_leads_to_who_has_it_since_later_in_whichever_order_that_is_read(edge: Edge) -> None:
    moved = {"customer_id": "c-1", "email": "ada@example.org", "email_verified": True}
    other = {"customer_id": "c-2", "email": "ada@example.com", "email_verified": True}
    await post(edge, "orders", order())
    await post(edge, "orders", order(order_id="A/2", customer=moved, updated_at="2026-11-23T10:00:00Z"))
    await post(edge, "orders", order(order_id="A/3", customer=other, updated_at="2026-11-24T10:00:00Z"))
    await edge.read()
    published = [event for _, event in await edge.harness.outbox()]
    identities = "SELECT kind, value, member_id FROM identities WHERE member_id IS NOT NULL ORDER BY 1, 2"
    before = await edge.fetch(identities)
    assert len({row["member_id"] for row in before}) == 2
    members = [event for event in published if isinstance(event, MemberChangedV1)]
    contacts = [event for event in published if isinstance(event, ContactChangedV1)]
    for told in itertools.permutations(contacts):
        await edge.fetch("TRUNCATE orders, members, identities")
        await adopt(edge, *members)
        for event in told:
            await adopt(edge, event)
        assert await edge.fetch(identities) == before


async def test_an_address_leads_to_nobody_of_whom_only_the_contact_is_known(edge: Edge) -> None:
    """The record of the member was lost: who comes next by that address is somebody new, and gets it."""
    await post(edge, "orders", order())
    await edge.read()
    [contact] = await edge.published(ContactChangedV1)
    await edge.fetch("TRUNCATE orders, members, identities")
    await adopt(edge, contact)
    assert await edge.fetch("SELECT * FROM identities WHERE member_id IS NOT NULL") == []
    await post(edge, "orders", order())
    await edge.read()
    [event] = await edge.published(OrderChangedV1)
    assert event.member_id != contact.member_id


async def test_what_an_earlier_version_did_not_keep_is_told_when_they_are_seen_next(edge: Edge) -> None:
    await post(edge, "orders", order())
    await edge.read()
    [before] = await edge.published(ContactChangedV1)
    older = "convert_to((convert_from(state, 'UTF8')::jsonb - 'identity_emails')::text, 'UTF8')"
    await edge.fetch(f"UPDATE members SET state = {older}")
    for number in (2, 3):
        await post(edge, "orders", order(order_id=f"A/{number}"))
        await edge.read()
    [after] = await edge.published(ContactChangedV1)
    assert (after.version, after.identity_emails) == (2, before.identity_emails)
