"""From deliveries to orders and people: any order, any number, any concurrency, the same result."""

import asyncio
import itertools
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from contracts.members import ContactChangedV1, MemberChangedV1
from contracts.orders import OrderChangedV1
from order_ingest import deliveries
from tests.unit.order_ingest.payloads import body, dispute, order, refund

from .conftest import Edge, later, program

pytestmark = pytest.mark.integration

CREATED = order(financial_status="pending", updated_at="2024-05-01T08:00:01Z")
PAID = order(updated_at="2024-05-01T08:00:02Z")
REFUND = refund(lines=((11, 1, "40.00", "0.00"),))
REFUNDED = order(updated_at="2024-05-03T08:00:01Z", financial_status="partially_refunded", refunds=[REFUND])
DISPUTE = dispute(amount="60.00")
LOST = dispute(amount="60.00", status="lost", finalized_on="2024-06-01T00:00:00Z")
GUEST: dict[str, Any] = {"customer": None, "email": "eve@example.com", "contact_email": None}
NAMELESS: dict[str, Any] = {"customer": None, "email": None, "contact_email": None}
ACCOUNT = {
    "id": 90, "email": "Eve@example.com", "verified_email": True, "state": "enabled", "first_name": "Eve",
    "updated_at": "2024-06-01T00:00:00Z",
}  # fmt: skip


async def test_a_paid_order_makes_a_member_a_contact_and_an_order(edge: Edge) -> None:
    await edge.send(body(PAID))
    outbox = await edge.harness.outbox()
    [member] = [event for _, event in outbox if isinstance(event, MemberChangedV1)]
    [contact] = [event for _, event in outbox if isinstance(event, ContactChangedV1)]
    [changed] = [event for _, event in outbox if isinstance(event, OrderChangedV1)]
    assert (member.status, member.version, member.enrolled_at) == ("member", 1, changed.placed_at)
    assert [(ref.source, ref.customer_id) for ref in member.customers] == [("shop", "77")]
    assert (contact.email, contact.first_name) == ("ada@example.com", "Ada")
    assert changed.member_id == member.member_id == contact.member_id
    assert (changed.revision, changed.payment, changed.recorded_at) == (1, "paid", edge.harness.clock.now())
    assert member.email_fingerprint == changed.fingerprints.email
    assert all(envelope.correlation_id.startswith("delivery-") for envelope, _ in outbox)
    assert all(envelope.traceparent for envelope, _ in outbox), "the trace leads from the webhook to the event"


async def test_repeats_change_nothing(edge: Edge) -> None:
    await edge.send(body(PAID))
    await edge.harness.outbox()
    later(edge, hours=1)
    await edge.send(body(PAID | {"new_field": 1}), body(PAID))
    assert await edge.harness.outbox() == []


async def test_a_refund_before_its_order_waits_and_is_in_the_first_revision(edge: Edge) -> None:
    await edge.send(body(REFUND))
    assert await edge.harness.outbox() == []
    path = "/v1/orders/shop/4001"
    assert (await edge.client.get(path, headers=edge.store_token)).status_code == 404
    await edge.send(body(PAID))
    [event] = await edge.published(OrderChangedV1)
    assert (event.revision, [item.refund_id for item in event.refunds]) == (1, ["9001"])
    assert await edge.get(path) == event.model_dump(mode="json")


@pytest.mark.parametrize("together", [False, True], ids=["one by one", "in one batch"])
async def test_all_permutations_end_with_the_same_document(edge: Edge, together: bool) -> None:
    documents = []
    for number, facts in enumerate(itertools.permutations((CREATED, PAID, REFUND, REFUNDED))):
        changed = [fact | {"order_id" if "order_id" in fact else "id": number} for fact in (*facts, facts[0])]
        if together:
            await edge.send(*map(body, changed))
        else:
            for fact in changed:
                await edge.send(body(fact))
        document = await edge.get(f"/v1/orders/shop/{number}")
        assert document.pop("order_id") == str(number)
        documents.append({name: value for name, value in document.items() if name != "revision"})
    assert all(document == documents[0] for document in documents)
    assert documents[0]["payment"] == "partially_refunded"
    revisions: dict[str, list[int]] = {}
    for event in await edge.published(OrderChangedV1):
        revisions.setdefault(event.order_id, []).append(event.revision)
    assert all(seen == list(range(1, len(seen) + 1)) for seen in revisions.values())


async def test_a_dispute_before_its_order_waits_and_what_becomes_of_it_is_a_revision(edge: Edge) -> None:
    await edge.send(body(DISPUTE), body(dispute(7002, type="inquiry")))
    assert await edge.harness.outbox() == []
    await edge.send(body(PAID))
    await edge.send(body(LOST))
    await edge.send(body(DISPUTE), body(LOST | {"reason": "general"}))
    first, second = await edge.published(OrderChangedV1)
    assert [(item.dispute_id, item.outcome) for item in first.disputes] == [("7001", "open")], (
        "the inquiry says nothing"
    )
    assert (second.revision, second.disputes[0].outcome, second.disputes[0].closed_at) == (
        2, "lost", datetime(2024, 6, 1, tzinfo=UTC),
    )  # fmt: skip
    states = await edge.fetch("SELECT status, count(*) FROM deliveries GROUP BY status")
    assert [tuple(row) for row in states] == [("processed", 5)]


@pytest.mark.parametrize("together", [False, True], ids=["one by one", "in one batch"])
async def test_disputes_end_with_the_same_document_too(edge: Edge, together: bool) -> None:
    documents = []
    for number, facts in enumerate(itertools.permutations((PAID, DISPUTE, LOST, REFUND))):
        told = [fact | {"order_id" if "order_id" in fact else "id": number} for fact in (*facts, facts[0])]
        for group in [told] if together else [[fact] for fact in told]:
            await edge.send(*map(body, group))
        document = await edge.get(f"/v1/orders/shop/{number}")
        documents.append((document["disputes"], document["refunds"]))
    assert all(document == documents[0] for document in documents)
    assert documents[0][0] == [
        {
            "dispute_id": "7001", "opened_at": "2024-05-10T00:00:00Z", "outcome": "lost",
            "amount": {"shop_minor": 6000, "presentment_minor": 6000}, "closed_at": "2024-06-01T00:00:00Z",
        }
    ]  # fmt: skip


async def test_a_guest_who_registers_with_a_verified_address_is_the_same_member(edge: Edge) -> None:
    await edge.send(body(order(**GUEST)))
    [shopper] = await edge.published(MemberChangedV1)
    assert (shopper.status, shopper.enrolled_at, shopper.customers) == ("shopper", None, ())
    await edge.send(body(ACCOUNT))
    [member] = await edge.published(MemberChangedV1)
    assert (member.member_id, member.status, member.version) == (shopper.member_id, "member", 2)
    assert member.enrolled_at is not None
    assert member.enrolled_at.isoformat() == "2024-06-01T00:00:00+00:00"
    await edge.send(body(order(id=4002, **GUEST)))
    [again] = await edge.published(OrderChangedV1)
    assert again.member_id == shopper.member_id
    assert await edge.get("/v1/members?email=EVE@example.com") == await edge.get(f"/v1/members/{shopper.member_id}")


async def test_an_unverified_account_does_not_get_the_guests_orders(edge: Edge) -> None:
    await edge.send(body(order(**GUEST)), body(ACCOUNT | {"verified_email": False}))
    guest, account = sorted(await edge.published(MemberChangedV1), key=lambda event: len(event.customers))
    assert guest.member_id != account.member_id
    by_id = await edge.get("/v1/members?source=shop&customer_id=90")
    assert by_id["member_id"] == str(account.member_id)
    assert (await edge.get("/v1/members?email=eve@example.com"))["member_id"] == str(guest.member_id)


@pytest.mark.parametrize("together", [False, True], ids=["one by one", "in one batch"])
async def test_an_address_that_moved_to_another_account_leads_to_that(edge: Edge, together: bool) -> None:
    facts = [
        body(ACCOUNT),
        body(ACCOUNT | {"email": "eve@new.example.com", "updated_at": "2024-07-01T00:00:00Z"}),
        body(ACCOUNT | {"id": 91, "updated_at": "2024-08-01T00:00:00Z"}),
        body(order(**GUEST)),
    ]
    for group in [facts] if together else [[fact] for fact in facts]:
        await edge.send(*group)
    by_id = [await edge.get(f"/v1/members?source=shop&customer_id={number}") for number in (90, 91)]
    [changed] = await edge.published(OrderChangedV1)
    assert str(changed.member_id) == by_id[1]["member_id"]
    for address, member in (("eve@new.example.com", by_id[0]), ("eve@example.com", by_id[1])):
        assert await edge.get(f"/v1/members?email={address}") == member


async def test_an_order_keeps_the_member_it_was_first_published_with(edge: Edge) -> None:
    await edge.send(body(order(**GUEST)))
    await edge.send(body(order(customer={"id": 90, "email": "eve@example.com", "verified_email": False})))
    await edge.send(body(order(updated_at="2024-07-01T00:00:00Z")))
    events = await edge.published(OrderChangedV1)
    assert len({event.member_id for event in events}) == 1


async def test_a_name_that_comes_later_belongs_to_the_nameless_order(edge: Edge) -> None:
    await edge.send(body(order(**NAMELESS)))
    [first] = await edge.published(OrderChangedV1)
    await edge.send(body(order(updated_at="2024-07-01T00:00:00Z")))
    [member] = await edge.published(MemberChangedV1)
    assert (member.member_id, member.status) == (first.member_id, "member")
    await edge.send(body(order(**NAMELESS, updated_at="2024-08-01T00:00:00Z")))
    assert len(await edge.fetch("SELECT FROM members")) == 1


async def test_of_what_a_cart_says_only_what_the_program_asks_for_goes_on(edge: Edge) -> None:
    said = [{"name": "gift message", "value": "for Mrs Smith"}, {"name": "brought_by", "value": "7KQ2M9XA"}]
    await edge.send(body(order(note_attributes=said)))
    [event] = await edge.published(OrderChangedV1)
    assert event.attributes == {"brought_by": "7KQ2M9XA"}
    said[0]["value"] = "for Mrs Jones"
    await edge.send(body(order(note_attributes=said)))
    assert await edge.published(OrderChangedV1) == []


async def test_a_nameless_order_that_is_later_a_known_customers_enrols_nobody(edge: Edge) -> None:
    """It stays with the nameless shopper, so that it would make somebody a member by an order that is not theirs."""
    await edge.send(body(ACCOUNT | {"state": "disabled"}))
    [known] = await edge.published(MemberChangedV1)
    await edge.send(body(order(**NAMELESS)))
    [first] = await edge.published(OrderChangedV1)
    await edge.send(body(order(customer=ACCOUNT, updated_at="2024-05-01T08:00:09Z", note_attributes=[])))
    await edge.send(body(order(customer=ACCOUNT, updated_at="2024-05-01T08:00:10Z", tags="x")))
    assert {event.member_id for event in await edge.published(OrderChangedV1)} == {first.member_id}
    rows = await edge.fetch("SELECT member_id, status FROM members")
    assert {tuple(row) for row in rows} == {(known.member_id, "shopper"), (first.member_id, "shopper")}
    await edge.send(body(order(id=4002, customer=ACCOUNT)))
    [member] = await edge.published(MemberChangedV1)
    assert (member.member_id, member.status) == (known.member_id, "member"), "their own order does"


async def test_an_earlier_order_that_arrives_later_moves_the_enrolment(edge: Edge) -> None:
    await edge.send(body(order(id=2, created_at="2024-05-10T00:00:00Z", processed_at=None)))
    await edge.send(body(order(id=1, created_at="2024-05-02T00:00:00Z", processed_at=None)))
    first, second = await edge.published(MemberChangedV1)
    assert (first.version, second.version) == (1, 2)
    assert first.enrolled_at is not None
    assert second.enrolled_at is not None
    assert second.enrolled_at < first.enrolled_at


async def test_an_old_order_that_is_touched_does_not_date_the_account_back(unprogrammed: Edge) -> None:
    edge = unprogrammed
    edge.programs.add(program(on=("account",)))
    await edge.send(body(order(customer=ACCOUNT | {"state": "disabled"})))
    await edge.send(body(order(customer=ACCOUNT, updated_at="2024-12-24T00:00:00Z")))
    shopper, member = await edge.published(MemberChangedV1)
    assert (shopper.status, member.status) == ("shopper", "member")
    assert member.enrolled_at == datetime(2024, 12, 24, tzinfo=UTC)


async def test_a_test_order_enrols_nobody(edge: Edge) -> None:
    await edge.send(body(order(test=True)))
    [member] = await edge.published(MemberChangedV1)
    assert member.status == "shopper"


async def test_orders_flow_before_the_program_is_known_and_enrolment_follows(unprogrammed: Edge) -> None:
    edge = unprogrammed
    await edge.send(body(PAID))
    [shopper] = await edge.published(MemberChangedV1)
    assert shopper.status == "shopper"
    await edge.decide()
    assert await edge.harness.outbox() == []
    edge.programs.add(program())
    await edge.decide()
    [member] = await edge.published(MemberChangedV1)
    assert (member.member_id, member.status, member.version) == (shopper.member_id, "member", 2)
    await edge.decide()
    assert await edge.harness.outbox() == []


async def test_nobody_is_judged_by_a_program_that_may_be_out_of_date(unprogrammed: Edge) -> None:
    edge, context = unprogrammed, unprogrammed.harness.context
    edge.programs.add(program(on=()))
    context.reference_current = lambda: False
    await edge.webhook(body(PAID))
    for name in ("deliveries", "undecided"):
        await edge.loop(name)
    outbox = [event for _, event in await edge.harness.outbox()]
    [shopper] = [event for event in outbox if isinstance(event, MemberChangedV1)]
    [changed] = [event for event in outbox if isinstance(event, OrderChangedV1)]
    assert (shopper.status, changed.member_id) == ("shopper", shopper.member_id), "orders flow all the while"
    edge.programs.add(program(version=2))
    context.reference_current = lambda: True
    await edge.loop("undecided")
    [member] = await edge.published(MemberChangedV1)
    assert (member.member_id, member.enrolled_at) == (shopper.member_id, changed.placed_at)


async def test_concurrent_deliveries_of_one_new_person_make_one_member(edge: Edge) -> None:
    """Eight readers at once, over deliveries that share people and orders in every way."""
    for number in range(120):
        who: dict[str, Any] = GUEST if number % 3 == 0 else {"customer": ACCOUNT} if number % 3 == 1 else {}
        document = order(id=number % 10, updated_at=f"2024-05-01T08:{number % 60:02}:00Z", **who)
        await edge.webhook(body(document), webhook_id=str(number))
    await edge.webhook(body(ACCOUNT))

    async def reader() -> None:
        from order_ingest import handlers, store
        from shared.transaction import Cause, Transaction

        async def some(tx: Transaction) -> int:
            taken = await store.take_received(tx.connection, limit=3, bytes_max=10**6)
            facts = [
                store.Fact(d.program_id, report, d.received_at, Cause.fresh("test"))
                for d in taken
                if (report := deliveries.read(d))
            ]  # fmt: skip
            await handlers.apply(edge.programs, edge.salt, tx, facts)
            await store.finish_deliveries(tx.connection, [d.delivery_id for d in taken], {}, now=tx.now)
            return len(taken)

        while await edge.harness.context.execute(some, tries=20):
            pass

    await asyncio.gather(*(reader() for _ in range(8)))
    members = await edge.fetch("SELECT member_id, version FROM members")
    assert len(members) == 2, "Ada, and Eve who is guest and account"
    states = await edge.fetch("SELECT status, count(*) FROM deliveries GROUP BY status")
    assert [tuple(row) for row in states] == [("processed", 121)]
    latest: dict[UUID, int] = {}
    for event in await edge.published(MemberChangedV1):
        assert event.version == latest.get(event.member_id, 0) + 1, "versions in the outbox are in order"
        latest[event.member_id] = event.version
    assert latest == {row["member_id"]: row["version"] for row in members}
