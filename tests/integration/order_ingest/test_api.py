"""Reports over HTTP and Kafka, lookups, tokens."""

import json
from typing import Any
from uuid import UUID, uuid4

import pytest

from contracts.activities import ActivityRecordedV1
from contracts.commerce import ActivityReportedV1, OrderReportedV1
from contracts.members import MemberChangedV1
from contracts.orders import Amount, OrderChangedV1
from shared.transaction import Permanent

from .conftest import Edge, program

pytestmark = pytest.mark.integration


def amount(minor: int) -> dict[str, int]:
    return {"shop_minor": minor, "presentment_minor": minor}


def order(**fields: Any) -> dict[str, Any]:
    return {
        "source": "shop", "order_id": "A/1", "currency": "USD", "presentment_currency": "USD",
        "placed_at": "2026-11-20T10:00:00+04:00", "updated_at": "2026-11-20T10:00:00+04:00", "payment": "paid",
        "lines": [{"line_id": "1", "quantity": 1, "gross": amount(5000)}],
        "subtotal": amount(5000), "total": amount(5000),
        "customer": {"customer_id": "c-1", "email": "Ada@Example.com", "email_verified": True},
    } | fields  # fmt: skip


def activity(**fields: Any) -> dict[str, Any]:
    return {
        "source": "shop", "activity_id": "rev-1", "kind": "review", "occurred_at": "2026-11-20T10:00:00Z",
        "customer": {"customer_id": "c-1"}, "attributes": {"stars": "5", "a": "b"},
    } | fields  # fmt: skip


def person(**fields: Any) -> dict[str, Any]:
    return {"source": "shop", "customer": {"customer_id": "c-1"}, "updated_at": "2026-11-20T10:00:00Z"} | fields


async def post(edge: Edge, path: str, document: dict[str, Any], key: str | None = None) -> tuple[int, dict[str, Any]]:
    headers = edge.store_token | {"content-type": "application/json"} | ({"Idempotency-Key": key} if key else {})
    response = await edge.client.post(f"/v1/{path}", content=json.dumps(document), headers=headers)
    return response.status_code, response.json()


async def test_an_order_is_accepted_and_read(edge: Edge) -> None:
    status, answer = await post(edge, "orders", order())
    assert status == 202
    assert (answer["source"], answer["order_id"], answer["customer_id"]) == ("shop", "A/1", "c-1")
    assert edge.harness.context.wake("deliveries").is_set()
    await edge.read()
    [event] = await edge.published(OrderChangedV1)
    assert await edge.get("/v1/orders/shop/A/1") == event.model_dump(mode="json")


async def test_an_order_carries_its_disputes(edge: Edge) -> None:
    told = {"dispute_id": "d-1", "opened_at": "2026-11-21T10:00:00Z", "amount": amount(500)}
    await post(edge, "orders", order(disputes=[told | {"outcome": "won", "closed_at": "2026-11-22T10:00:00Z"}]))
    await post(edge, "orders", order(disputes=[told], updated_at="2026-11-23T10:00:00Z"))
    await edge.read()
    [event] = await edge.published(OrderChangedV1)
    [dispute] = event.disputes
    assert (dispute.outcome, dispute.amount) == ("won", Amount(shop_minor=500, presentment_minor=500))
    assert (await post(edge, "orders", order(disputes=[told, told])))[0] == 422


async def test_all_that_a_platform_says_of_an_order_is_kept(edge: Edge) -> None:
    """Also while snapshots of it are joined: nothing of a line or a refund is lost on the way."""
    line = order()["lines"][0] | {"categories": ["tea"], "collections": ["spring", "gifts"], "tags": ["vegan"]}
    told = {"refund_id": "r-1", "occurred_at": "2026-11-21T10:00:00Z", "paid": amount(500), "goodwill": True}
    await post(edge, "orders", order(lines=[line], country="AZ"))
    await edge.read()
    await post(edge, "orders", order(lines=[line], country="AZ", updated_at="2026-11-21T10:00:00Z", refunds=[told]))
    await edge.read()
    reported = order(order_id="A/2", lines=[line], country="AZ", refunds=[told]) | {"program_id": "aurora"}
    await edge.harness.deliver(OrderReportedV1.model_validate(reported))
    first, *others = await edge.published(OrderChangedV1)
    assert (first.refunds, len(others)) == ((), 2)
    for event in others:
        [kept] = event.lines
        assert (kept.categories, kept.collections, kept.tags) == (("tea",), ("spring", "gifts"), ("vegan",))
        assert (event.country, [refund.goodwill for refund in event.refunds]) == ("AZ", [True])


@pytest.mark.parametrize(
    ("path", "document", "field"),
    [
        ("orders", order(country="az"), "country"),
        ("orders", order(currency="dollars"), "currency"),
        ("orders", order(payment="maybe"), "payment"),
        ("orders", order(lines=[{"line_id": "1", "quantity": -1, "gross": amount(1)}]), "lines.0.quantity"),
        ("orders", order(placed_at="2026-11-20T10:00:00"), "placed_at"),
        ("orders", order(total={"shop_minor": 2**60, "presentment_minor": 0}), "total.shop_minor"),
        ("orders", order(source="outlet"), "source"),
        ("members", person(customer={}), "customer"),
        ("members", person(customer={"customer_id": "1", "birthday": "1990-12-10"}), "customer.birthday"),
        ("activities", activity(customer={}), "customer"),
        ("activities", activity(kind="A Review"), "kind"),
    ],
)
async def test_wrong_reports_name_the_field(edge: Edge, path: str, document: dict[str, Any], field: str) -> None:
    status, problem = await post(edge, path, document)
    assert status == 422
    assert field in [item["field"] for item in problem["errors"]]
    assert await edge.fetch("SELECT FROM deliveries") == []


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff", b"[" * 100_000, b'{"source": NaN}', b"null"])
async def test_bodies_that_are_no_json(edge: Edge, raw: bytes) -> None:
    headers = edge.store_token | {"content-type": "application/json"}
    for path in ("orders", "members", "activities", "member-tokens"):
        assert (await edge.client.post(f"/v1/{path}", content=raw, headers=headers)).status_code in (400, 422)


@pytest.mark.parametrize("text", ["a\x00b", "\ud800"])
async def test_texts_that_cannot_be_kept(edge: Edge, text: str) -> None:
    for document in (order(order_id=text), order(customer={"customer_id": text}), order(attributes={text: text})):
        status, _ = await post(edge, "orders", document)
        assert status in (400, 422)


async def test_an_idempotency_key_counts_once_for_ever(edge: Edge) -> None:
    first = await post(edge, "orders", order(), "k-1")
    assert first[0] == 202
    assert await post(edge, "orders", order(), "k-1") == first
    assert len(await edge.fetch("SELECT FROM deliveries")) == 1
    assert (await post(edge, "orders", order(total=amount(1)), "k-1"))[0] == 422
    assert (await post(edge, "members", person(), "k-1"))[0] == 422, "nor for another route"
    status, answer = await post(edge, "orders", order(), "k-2")
    assert (status, answer["delivery_id"] != first[1]["delivery_id"]) == (202, True)


async def test_a_refused_request_does_not_use_its_key_up(edge: Edge) -> None:
    await post(edge, "activities", activity())
    assert (await post(edge, "activities", activity(kind="visit"), "k-1"))[0] == 409
    assert (await post(edge, "activities", activity(activity_id="rev-2"), "k-1"))[0] == 202


async def test_an_activity_is_told_once(edge: Edge) -> None:
    assert (await post(edge, "activities", activity()))[0] == 202
    assert (await post(edge, "activities", activity(attributes={"a": "b", "stars": "5"})))[0] == 202
    status, problem = await post(edge, "activities", activity(attributes={"stars": "1"}))
    assert (status, problem["title"]) == (409, "Other content")
    await edge.read()
    [event] = await edge.published(ActivityRecordedV1)
    assert (event.activity_id, event.attributes) == ("rev-1", {"stars": "5", "a": "b"})


async def test_a_member_opts_in(unprogrammed: Edge) -> None:
    edge = unprogrammed
    edge.programs.add(program(on=()))
    await post(edge, "orders", order())
    await edge.read()
    [shopper] = await edge.published(MemberChangedV1)
    assert shopper.status == "shopper"
    await post(edge, "members", person(enrol=True, attributes={"size": "M"}))
    await edge.read()
    [member] = await edge.published(MemberChangedV1)
    assert (member.member_id, member.status, member.attributes) == (shopper.member_id, "member", {"size": "M"})


async def test_a_birthday_is_locked_once_it_is_told(edge: Edge) -> None:
    for day, birthday in ((20, "12-10"), (21, "12-11"), (22, None)):
        customer = {"customer_id": "c-1", "birthday": birthday}
        assert (await post(edge, "members", person(customer=customer, updated_at=f"2026-11-{day}T10:00:00Z")))[0] == 202
        await edge.read()
    [event] = await edge.published(MemberChangedV1)
    assert (event.version, event.birthday) == (1, "12-10")
    assert (await edge.get("/v1/members?source=shop&customer_id=c-1"))["birthday"] == "12-10"


async def test_orders_and_activities_from_kafka(edge: Edge) -> None:
    reported = OrderReportedV1.model_validate(order() | {"program_id": "aurora"})
    told = ActivityReportedV1.model_validate(activity() | {"program_id": "aurora"})
    await edge.harness.deliver(reported, reported, told)
    outbox = [event for _, event in await edge.harness.outbox()]
    [changed] = [event for event in outbox if isinstance(event, OrderChangedV1)]
    [recorded] = [event for event in outbox if isinstance(event, ActivityRecordedV1)]
    assert changed.member_id == recorded.member_id
    await edge.harness.deliver(reported, told)
    assert await edge.harness.outbox() == []
    other = ActivityReportedV1.model_validate(activity(kind="visit") | {"program_id": "aurora"})
    with pytest.raises(Permanent, match="activity rev-1 of source shop was told before with other content"):
        await edge.harness.deliver(other)


@pytest.mark.parametrize(("program_id", "source"), [("aurora", "outlet"), ("nowhere", "shop")])
async def test_unknown_programs_and_sources_from_kafka_are_refused(edge: Edge, program_id: str, source: str) -> None:
    with pytest.raises(Permanent, match=f"program {program_id} has no source {source}"):
        await edge.harness.deliver(OrderReportedV1.model_validate(order(source=source) | {"program_id": program_id}))


async def test_lookups_see_their_own_program_alone(edge: Edge) -> None:
    await post(edge, "orders", order())
    await edge.read()
    member = await edge.get("/v1/members?email=ada@example.com")
    assert (member["status"], member["email"]) == ("member", "Ada@Example.com")
    assert member == await edge.get("/v1/members?source=shop&customer_id=c-1")
    other = edge.harness.token("store", program_id="other")
    for path in (
        "/v1/members?email=ada@example.com", f"/v1/members/{member['member_id']}", "/v1/orders/shop/A/1",
        "/v1/members?source=shop&customer_id=c-1",
    ):  # fmt: skip
        assert (await edge.client.get(path, headers=other)).status_code == 404
        own = edge.harness.token("member", member_id=UUID(member["member_id"]))
        assert (await edge.client.get(path, headers=own)).status_code == 403, "a member's token opens nothing here"


@pytest.mark.parametrize(
    "query",
    ["", "email=a@b.c&source=shop&customer_id=1", "source=shop", "customer_id=1", "email=a%00b", "source=A%20B"],
)
async def test_lookups_that_name_nobody_clearly(edge: Edge, query: str) -> None:
    assert (await edge.client.get(f"/v1/members?{query}", headers=edge.store_token)).status_code == 422


async def test_a_store_makes_tokens_for_its_members(edge: Edge) -> None:
    await post(edge, "orders", order())
    await edge.read()
    member_id = UUID((await edge.get("/v1/members?email=ada@example.com"))["member_id"])
    for named in (
        {"member_id": str(member_id)},
        {"email": "ADA@example.com"},
        {"source": "shop", "customer_id": "c-1"},
    ):
        status, answer = await post(edge, "member-tokens", named)
        assert status == 201
        principal = edge.harness.context.tokens.verify(answer["token"], edge.harness.clock.now())
        assert (principal.scope, principal.program_id, principal.member_id) == ("member", "aurora", member_id)
    assert (await post(edge, "member-tokens", {"email": "a@b.c", "ttl_seconds": 901}))[0] == 422
    assert (await post(edge, "member-tokens", {"member_id": str(uuid4())}))[0] == 404
    assert (await post(edge, "member-tokens", {}))[0] == 422


async def test_before_all_was_read_back_an_address_gives_nobody_a_token(edge: Edge) -> None:
    """It may have gone to somebody else since the backup."""
    await post(edge, "orders", order())
    await edge.read()
    edge.harness.context.learnt = lambda: False
    assert (await post(edge, "member-tokens", {"email": "ada@example.com"}))[0] == 503
    answer = await edge.client.get("/v1/members?email=ada@example.com", headers=edge.store_token)
    assert answer.status_code == 503
    assert (await post(edge, "member-tokens", {"source": "shop", "customer_id": "c-1"}))[0] == 201


async def test_an_address_that_an_account_merely_typed_leads_to_nobody(edge: Edge) -> None:
    await post(edge, "members", person(customer={"customer_id": "c-1", "email": "eve@example.com", "account": True}))
    await edge.read()
    assert (await edge.get("/v1/members?source=shop&customer_id=c-1"))["email"] == "eve@example.com"
    found = await edge.client.get("/v1/members?email=eve@example.com", headers=edge.store_token)
    assert found.status_code == 404
    assert (await post(edge, "member-tokens", {"email": "eve@example.com"}))[0] == 404
    assert (await edge.get("/v1/members?email=eve@example.com&typed=true"))["customers"] != []
    await post(edge, "members", person(customer={"email": "eve@example.com"}))
    await edge.read()
    assert (await edge.get("/v1/members?email=eve@example.com"))["customers"] == []
