"""Webhooks: checked, stored, answered, read later; hostile ones get a 4xx and leave nothing."""

import asyncio
import base64
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from contracts.orders import OrderChangedV1
from order_ingest import store
from order_ingest.store import DeliveryInfo
from tests.unit.order_ingest.payloads import body, genuine, line, order

from .conftest import SECRET, Edge, later, sign

pytestmark = pytest.mark.integration
BODY = body(order())


async def stored(edge: Edge) -> int:
    return int((await edge.fetch("SELECT count(*) FROM deliveries"))[0][0])


async def listed(edge: Edge, delivery_id: int) -> DeliveryInfo:
    found = await edge.db(lambda connection: store.show_delivery(connection, delivery_id))
    assert found is not None
    return found[0]


async def test_a_signed_webhook_is_stored_as_it_came(edge: Edge) -> None:
    response = await edge.webhook(BODY, topic="orders/paid", webhook_id="w-1")
    assert (response.status_code, response.json()) == (200, {"stored": True})
    [row] = await edge.fetch("SELECT * FROM deliveries")
    assert (row["body"], row["topic"], row["webhook_id"], row["status"]) == (BODY, "orders/paid", "w-1", "received")
    assert row["received_at"] == edge.harness.clock.now()


@pytest.mark.parametrize(
    "signature",
    [
        "", "x", "=", "====", "a,b", "v1,abc", "\u00fc".encode(), b"\xff\xfe\x00", "A" * 100_000, "é",
        sign(BODY, "shpss_other"), sign(BODY).lower(), sign(BODY)[:-1], sign(BODY) + "=", sign(BODY) + "\x00",
        base64.b64encode(b"\x00" * 32).decode(), sign(b""), sign(BODY + b" "),
    ],
    ids=lambda value: repr(value)[:20],
)  # fmt: skip
async def test_hostile_signatures_are_refused_and_nothing_is_kept(edge: Edge, signature: str | bytes) -> None:
    raw = signature if isinstance(signature, bytes) else signature.encode()
    response = await edge.webhook(BODY, x_shopify_hmac_sha256=raw)
    assert response.status_code == 401
    assert response.headers["content-type"] == "application/problem+json"
    assert await stored(edge) == 0


async def test_no_signature_at_all(edge: Edge) -> None:
    path = f"/v1/connections/{edge.connection_id}/webhooks"
    response = await edge.client.post(path, content=BODY, headers={"content-type": "application/json"})
    assert response.status_code == 401


@pytest.mark.parametrize("connection_id", ["unknown", "%00", "..%2f..", "%ff", "x" * 5000, "é"])
async def test_unknown_connections(edge: Edge, connection_id: str) -> None:
    response = await edge.client.post(
        f"/v1/connections/{connection_id}/webhooks", content=BODY, headers={"content-type": "application/json"}
    )
    assert response.status_code == 404


async def test_a_connection_that_is_switched_off_is_unknown(edge: Edge) -> None:
    assert await edge.db(lambda connection: store.set_active(connection, edge.connection_id, False))
    assert (await edge.webhook(BODY)).status_code == 404


@pytest.mark.parametrize("media_type", ["text/plain", "", "application/x-www-form-urlencoded", "application/jsonp"])
async def test_wrong_media_type(edge: Edge, media_type: str) -> None:
    assert (await edge.webhook(BODY, content_type=media_type)).status_code == 415


async def test_a_charset_beside_the_media_type_is_fine(edge: Edge) -> None:
    assert (await edge.webhook(BODY, content_type="Application/JSON; charset=utf-8")).status_code == 200


async def test_too_large_told_or_streamed(edge: Edge) -> None:
    large = b'"' + b"x" * 1024 * 1024 + b'"'
    assert (await edge.webhook(large)).status_code == 413

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(large), 65536):
            yield large[start : start + 65536]

    path = f"/v1/connections/{edge.connection_id}/webhooks"
    headers = {"content-type": "application/json", "x-shopify-hmac-sha256": sign(large)}
    assert (await edge.client.post(path, content=chunks(), headers=headers)).status_code == 413
    assert await stored(edge) == 0


async def test_the_checks_come_in_order(edge: Edge) -> None:
    path, wrong = "/v1/connections/unknown/webhooks", {"content-type": "text/plain"}
    assert (await edge.client.post(path, content=b"x", headers=wrong)).status_code == 404
    assert (await edge.webhook(b"x", content_type="text/plain", x_shopify_hmac_sha256="bad")).status_code == 415


async def test_the_same_delivery_again_is_stored_once_and_another_id_does_no_harm(edge: Edge) -> None:
    for webhook_id in ("w-1", "w-1", "w-2"):
        assert (await edge.webhook(BODY, webhook_id=webhook_id)).status_code == 200
    assert await stored(edge) == 2
    await edge.read()
    assert len(await edge.published(OrderChangedV1)) == 1


async def test_secrets_overlap_while_they_are_rotated(edge: Edge) -> None:
    rotated = await edge.db(
        lambda connection: store.rotate_secret(
            connection, edge.connection_id, "shpss_second", timedelta(hours=1), now=edge.harness.clock.now()
        )
    )
    assert rotated
    later(edge, seconds=3)
    for secret in (SECRET, "shpss_second"):
        assert (await edge.webhook(BODY, x_shopify_hmac_sha256=sign(BODY, secret))).status_code == 200
    later(edge, hours=1)
    assert (await edge.webhook(BODY, x_shopify_hmac_sha256=sign(BODY, SECRET))).status_code == 401
    assert (await edge.webhook(BODY, x_shopify_hmac_sha256=sign(BODY, "shpss_second"))).status_code == 200
    [info] = await edge.db(lambda connection: store.list_connections(connection, now=edge.harness.clock.now()))
    assert (info.connection_id, info.source, info.secrets_valid) == (edge.connection_id, "shop", 1)


async def test_nothing_is_answered_200_that_is_not_stored(edge: Edge) -> None:
    assert (await edge.webhook(BODY)).status_code == 200
    await edge.fetch("ALTER TABLE deliveries RENAME TO away")
    assert (await edge.webhook(body(order(id=2)))).status_code >= 500
    await edge.fetch("ALTER TABLE away RENAME TO deliveries")
    assert await stored(edge) == 1
    await edge.harness.context.pool.close()
    response = await edge.webhook(body(order(id=3)))
    assert response.status_code == 503
    assert response.headers["content-type"] == "application/problem+json"


async def test_many_at_once_share_their_commits_and_all_are_stored(edge: Edge) -> None:
    bodies = [body(order(id=number)) for number in range(1, 251)]
    # Some come twice, which is no reason to refuse them.
    responses = await asyncio.gather(*(edge.webhook(one) for one in (*bodies, *bodies[:20])))
    assert {response.status_code for response in responses} == {200}
    assert await stored(edge) == len(bodies)
    [commits] = await edge.fetch("SELECT count(DISTINCT xmin::text) FROM deliveries")
    assert commits[0] < len(bodies) / 4


async def test_what_cannot_be_stored_does_not_take_its_neighbours_along(edge: Edge) -> None:
    now = edge.harness.clock.now()
    other = await edge.db(
        lambda connection: store.create_connection(connection, "aurora", "shop", "shopify", SECRET, now=now)
    )
    path, headers = f"/v1/connections/{other}/webhooks", {"content-type": "application/json"}

    async def to_other(number: int) -> int:
        sent = body(order(id=number))
        signed = headers | {"x-shopify-hmac-sha256": sign(sent)}
        return (await edge.client.post(path, content=sent, headers=signed)).status_code

    assert await to_other(1) == 200
    for table in ("deliveries", "connection_secrets", "connections"):  # Gone, while it is still known for a moment.
        await edge.fetch(f"DELETE FROM {table} WHERE connection_id = $1", other)
    mine = [edge.webhook(body(order(id=number))) for number in range(10, 30)]
    answers = await asyncio.gather(*mine[:10], to_other(2), *mine[10:])
    assert [getattr(answer, "status_code", answer) for answer in answers] == [200] * 10 + [500] + [200] * 10
    assert await stored(edge) == 20


async def test_two_instances_that_take_the_same_in_do_not_stand_in_each_others_way(edge: Edge) -> None:
    now = edge.harness.clock.now()
    same = [
        store.NewDelivery(
            program_id="aurora", source="shop", connection_id=edge.connection_id, platform="shopify", topic="",
            webhook_id=f"w-{number}", headers={}, body=b"{}", body_sha256=bytes(32), traceparent=None, received_at=now,
        )
        for number in range(200)
    ]  # fmt: skip
    execute = edge.harness.context.execute
    kept = await asyncio.gather(
        *(
            execute(lambda tx, some=some: store.insert_deliveries(tx.connection, some), tries=1)  # type: ignore[misc]
            for some in [same, same[::-1]] * 4
        )
    )
    assert sorted(map(len, kept)) == [0] * 7 + [200]


async def test_who_waits_too_long_is_told_to_send_again(edge: Edge) -> None:
    await stored(edge)
    async with edge.harness.context.pool.acquire() as other, other.transaction():
        await other.execute("LOCK TABLE deliveries")
        response = await edge.webhook(BODY)
        assert (response.status_code, response.headers["retry-after"]) == (503, "1")
    assert (await edge.webhook(BODY)).status_code == 200
    assert await stored(edge) == 1


HOSTILE = [
    b"", b"null", b"[]", b"\xff", b"{", b'{"a":' * 5000, b'{"id": NaN, "line_items": []}', b'{"id": 1}',
    body(order(line_items="x")), body(order(total_price={"a": 1})), body(order(id="a\x00b")),
    body(order(customer={"id": "7\x00"})), body(order(email="a\x00@b.c", customer=None)),
    body(order(note_attributes=[{"name": "a\x00", "value": "b"}])), body(order(name="\ud800")),
]  # fmt: skip


async def test_what_cannot_be_read_is_set_aside_and_stops_nobody(edge: Edge) -> None:
    for number, raw in enumerate(HOSTILE):
        assert (await edge.webhook(raw, webhook_id=f"h-{number}")).status_code == 200
    await edge.send(BODY)
    rows = await edge.fetch("SELECT status, reason FROM deliveries ORDER BY delivery_id")
    assert [row["status"] for row in rows] == ["quarantined"] * len(HOSTILE) + ["processed"]
    assert rows[8]["reason"] == "line_items is not a list of objects"
    assert [event.order_id for event in await edge.published(OrderChangedV1)] == ["4001"]


async def test_one_that_fails_only_when_it_is_kept_is_found(edge: Edge) -> None:
    """Its canonical order is larger than a record may be, which only the outbox can say."""
    await edge.send(body(order(id=2)), body(order(id=3)))
    # One character of a text may take six in JSON, so that what came in under the limit may go out above it.
    lines = [line(number, price="0.10", title="\x01" * 900) for number in range(300)]
    await edge.fetch(
        """INSERT INTO deliveries (program_id, source, connection_id, platform, topic, headers, body, body_sha256,
               received_at)
           VALUES ('aurora', 'shop', $1, 'shopify', '', '{}', $2, sha256($2), now())""",
        edge.connection_id,
        body(order(id=1, line_items=lines)),
    )
    await edge.send(body(order(id=4)))
    rows = await edge.fetch("SELECT status, reason FROM deliveries ORDER BY delivery_id")
    assert [row["status"] for row in rows] == ["processed", "processed", "quarantined", "processed"]
    assert rows[2]["reason"] == "it was read but could not be kept: TooLargeError"
    assert sorted(event.order_id for event in await edge.published(OrderChangedV1)) == ["2", "3", "4"]


async def test_set_aside_deliveries_are_shown_masked_and_read_again(edge: Edge) -> None:
    await edge.send(body(order(financial_status="haggled")))
    [info] = await edge.db(lambda connection: store.list_deliveries(connection, status="quarantined"))
    assert info.reason == "financial_status is 'haggled', which is not known"
    shown = await edge.db(lambda connection: store.show_delivery(connection, info.delivery_id))
    clear = await edge.db(lambda connection: store.show_delivery(connection, info.delivery_id, clear=True))
    assert shown is not None
    assert clear is not None
    assert "ada@example.com" not in shown[1]
    assert "ada@example.com" in clear[1]
    # As if the adapter had been mended.
    await edge.fetch("UPDATE deliveries SET body = $1", BODY)
    assert await edge.db(lambda connection: store.reparse(connection, source="shop")) == 1
    await edge.read()
    assert (await listed(edge, info.delivery_id)).status == "processed"
    assert len(await edge.published(OrderChangedV1)) == 1
    assert await edge.db(lambda connection: store.reparse(connection, delivery_ids=[info.delivery_id])) == 1
    await edge.read()
    assert await edge.published(OrderChangedV1) == [], "read again, it changes nothing"


async def test_deliveries_are_forgotten_after_thirty_days_but_never_unread(edge: Edge) -> None:
    from order_ingest.deliveries import purge_some

    await edge.send(BODY, b"{}")
    later(edge, days=29)
    await purge_some(edge.harness.context)
    assert await stored(edge) == 2
    await edge.webhook(body(order(id=2)))
    later(edge, days=31)
    await purge_some(edge.harness.context)
    assert [row["status"] for row in await edge.fetch("SELECT status FROM deliveries")] == ["received"]


async def test_the_genuine_samples_go_all_the_way(edge: Edge) -> None:
    await edge.send(genuine("shopify-refund.json"), genuine("shopify-order.json"))
    [event] = await edge.published(OrderChangedV1)
    assert (event.order_id, event.revision, event.payment) == ("450789469", 1, "authorized")
    assert event.refunds[0].paid is not None
    assert event.refunds[0].paid.shop_minor == 20900
    assert event.fingerprints.email is not None
