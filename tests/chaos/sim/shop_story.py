"""A shop's year in a few acts, for all services: what is asked of each of them, and what a platform puts on Kafka."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from contracts.commerce import OrderReportedV1
from contracts.topics import COMMERCE_ORDERS, CONSOLE, INGEST, NOTIFICATION, POINTS
from laurel import shopify
from shared.access import Scope
from tests.integration.notification.parts import aurora
from tests.unit.order_ingest import payloads

from .kafka import Cluster
from .ledger_facts import Fact

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
ANN, BOB, CEM = (f"{name}@example.com" for name in ("ann", "bob", "cem"))
SOURCE, SECRET = "shop", "the shop's secret"


@dataclass(frozen=True)
class Request:
    """What a client asks of a service, again and again until it is answered."""

    service: str
    method: str
    path: str
    body: Any
    """JSON, or the bytes of a webhook."""
    headers: dict[str, str] = field(default_factory=dict)
    scope: Scope | None = "store"
    wanted: tuple[int, ...] = (200, 201, 202)


@dataclass
class Known:
    """What clients know of earlier acts."""

    connection_id: str
    members: dict[str, UUID] = field(default_factory=dict)
    """By e-mail address."""
    codes: dict[UUID, str] = field(default_factory=dict)
    """Referral codes by member."""


@dataclass(frozen=True)
class Act:
    """What happens at one time."""

    at: datetime
    requests: Callable[[Known], Sequence[Request]] = lambda _: ()
    records: Callable[[Cluster], None] = lambda _: None


def _webhook(known: Known, topic: str, webhook_id: str, payload: Any) -> Request:
    body = json.dumps(payload).encode()
    path = f"/v1/connections/{known.connection_id}/webhooks"
    return Request(INGEST, "POST", path, body, shopify.headers(SECRET, body, topic, webhook_id), scope=None)


def _order(number: int, email: str, at: datetime, price: str = "100.00", **fields: Any) -> dict[str, Any]:
    moment = at.isoformat()
    customer = {"id": number, "email": email, "verified_email": True, "state": "enabled", "first_name": email[:3]}
    return payloads.order(
        id=number, name=f"#{number}", email=email, contact_email=email, created_at=moment, processed_at=moment,
        updated_at=moment, customer=customer, line_items=[payloads.line(line_id=number, price=price)],
        subtotal_price=price, total_price=price, **fields,
    )  # fmt: skip


def _opening(known: Known) -> list[Request]:
    member = {"source": SOURCE, "customer": {"email": ANN, "email_verified": True}, "enrol": True}
    return [
        Request(CONSOLE, "POST", "/v1/programs?backdate=true", json.loads(aurora().model_dump_json()), scope="admin"),
        Request(INGEST, "POST", "/v1/members", member | {"updated_at": START.isoformat()}),
        _webhook(known, "orders/create", "first", _order(1, ANN, START, "300.00")),
        _webhook(known, "orders/create", "unreadable", {"id": 9}),
    ]


def _friends(known: Known) -> list[Request]:
    ann, at = known.members[ANN], START + HOUR
    activity = {
        "source": SOURCE, "activity_id": "review-1", "kind": "review", "occurred_at": at.isoformat(),
        "customer": {"email": ANN, "email_verified": True},
    }  # fmt: skip
    carried = [{"name": "referral_code", "value": known.codes[ann]}]
    return [
        _webhook(known, "orders/create", "second", _order(2, BOB, at, note_attributes=carried)),
        _webhook(known, "orders/create", "first", _order(1, ANN, START, "300.00")),
        Request(INGEST, "POST", "/v1/activities", activity, {"Idempotency-Key": "review"}),
        Request(CONSOLE, "PUT", f"/v1/members/{ann}/segments", {"segments": ["regulars"]}),
        Request(NOTIFICATION, "PUT", f"/v1/members/{known.members[CEM]}/preferences", {"email": False}),
    ]


def _returns(known: Known) -> list[Request]:
    at = START + 2 * DAY
    back = payloads.refund(id=5, order_id=2, created_at=at.isoformat(), lines=((2, 1, "100.00", "0.00"),))
    return [_webhook(known, "refunds/create", "returned", back)]


def _spending(known: Known) -> list[Request]:
    path = f"/v1/members/{known.members[ANN]}/redemptions"
    return [Request(POINTS, "POST", path, {"reward_id": "five-off"}, {"Idempotency-Key": "spend"})]


def _reported(cluster: Cluster) -> None:
    """A platform that publishes straight to Kafka tells an order, and something that nobody can read."""
    amount = {"shop_minor": 3000, "presentment_minor": 3000}
    report = OrderReportedV1.model_validate(
        {
            "program_id": "aurora", "source": SOURCE, "order_id": "3", "currency": "USD",
            "presentment_currency": "USD", "placed_at": cluster.now, "paid_at": cluster.now,
            "updated_at": cluster.now, "payment": "paid", "subtotal": amount, "total": amount,
            "lines": [{"line_id": "1", "quantity": 1, "gross": amount}],
            "customer": {"customer_id": "cem", "email": CEM, "email_verified": True, "account": True},
        }
    )  # fmt: skip
    Fact(cluster.now, report).publish(cluster)
    cluster.append(COMMERCE_ORDERS.name, report.key().encode(), b"{", [])


ACTS = (
    Act(START, _opening, _reported),
    Act(START + HOUR, _friends),
    Act(START + 2 * DAY, _returns),
    Act(START + 20 * DAY, _spending),
    Act(START + 400 * DAY),
    Act(START + 401 * DAY),
)
"""Points are granted, taken back, become active, are spent and run out; tiers are reached and lost; a friend is brought
and is no friend any more; members are welcomed, told and left in peace. In the last one nothing happens but what a
death has held up."""
