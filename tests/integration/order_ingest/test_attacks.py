"""Input that must be refused, and is not."""

import base64
import json
from typing import Any

import pytest

from .conftest import Edge
from .test_api import order, person, post

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-05:00"])
@pytest.mark.parametrize(
    ("path", "document", "field"), [("orders", order(), "placed_at"), ("members", person(), "updated_at")]
)
async def test_a_time_outside_of_time_is_refused(
    edge: Edge, path: str, document: dict[str, Any], field: str, moment: str
) -> None:
    status, _ = await post(edge, path, document | {field: moment})
    assert status == 422


async def test_a_long_key_id_is_a_bad_token(edge: Edge) -> None:
    head = base64.urlsafe_b64encode(json.dumps({"alg": "EdDSA", "kid": "a" * 300}).encode()).rstrip(b"=").decode()
    response = await edge.client.get("/v1/members?email=a@b", headers={"Authorization": f"Bearer {head}.e30.AAAA"})
    assert response.status_code == 401


async def test_an_edited_order_may_have_had_more_lines_than_one_snapshot(edge: Edge) -> None:
    # Lines of an edited order: the union of its snapshots passes the contract's bound of 1,000 lines.
    def with_lines(start: int, at: str) -> dict[str, Any]:
        lines = [
            {"line_id": str(n), "quantity": 1, "gross": {"shop_minor": 1, "presentment_minor": 1}}
            for n in range(start, start + 600)
        ]
        return order(lines=lines, updated_at=at)

    await post(edge, "orders", with_lines(0, "2026-11-20T10:00:00Z"))
    await post(edge, "orders", with_lines(600, "2026-11-21T10:00:00Z"))
    await edge.read()
    rows = await edge.fetch("SELECT status, reason FROM deliveries ORDER BY delivery_id")
    assert [row["status"] for row in rows] == ["processed", "processed"], rows
