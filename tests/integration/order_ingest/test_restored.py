"""Whatever had been reported: a restored database of the edge ends as it was, once the platforms reported it again."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.commerce import ActivityReportedV1, OrderReportedV1
from contracts.orders import OrderChangedV1
from order_ingest.app import build
from order_ingest.store import create_source
from shared.testing import harness
from tests.integration.order_ingest.conftest import MIGRATIONS, NOW, program
from tests.integration.order_ingest.test_api import activity, amount, order
from tests.integration.restored import MANY, Story, take_published, tell

pytestmark = pytest.mark.integration
CUSTOMERS = (
    {"customer_id": "c-1", "email": "ada@example.com", "email_verified": True, "account": True},
    {"customer_id": "c-2", "email": "bob@example.com", "email_verified": True, "locale": "az"},
    {"customer_id": "c-2", "first_name": "Bob", "birthday": "12-10"},
    {"customer_id": "c-1", "email": "ada@example.org", "email_verified": True},
    {"customer_id": "c-3", "email": "ada@example.com", "email_verified": True},
    {"customer_id": "c-3", "email": "ada@example.org", "email_verified": True},
    {"customer_id": "c-4", "email": "eve@example.com"},
    {"email": "ada@example.com", "first_name": "Eve"},
    {"email": "ada@example.org"},
    {"email": "eve@example.com"},
)
IDENTITIES = "SELECT * FROM identities WHERE member_id IS NOT NULL ORDER BY kind, source, value"


class Shop(Story):
    def __init__(self, *told: Any) -> None:
        super().__init__(*told)
        self.run(self.served.context.execute(lambda tx: create_source(tx.connection, "aurora", "shop", now=NOW)))
        self.orders: dict[str, dict[str, Any]] = {}
        self.activities = 0
        self.steps = [
            self.tell_nothing, self.order, self.order, self.order_changes, self.order_changes, self.order_changes,
            self.activity, self.repeat,
        ]  # fmt: skip

    def seen(self) -> dict[str, Any]:
        """What is sent when Kafka has lost it: all orders, people and activities as they stand; and who is who."""
        self.run(take_published(self.served))
        for sending in self.served.service.republish:
            after, count = None, 1
            while count:
                after, count = self.run(
                    self.served.context.execute(lambda tx, s=sending, a=after: s(tx, a, 100))  # type: ignore[misc]
                )
                count = count if after else 0
        events = [message.data for message in self.run(take_published(self.served))]
        # When somebody last said something of a person is not on the topic, nor is it of an activity. So what was said
        # before that may count for a while, when it comes again before it.
        shown = [
            event.model_dump(exclude=set() if isinstance(event, OrderChangedV1) else {"recorded_at", "version"})
            for event in events
        ]
        return {"state": shown, "identities": self.run(self.rows(IDENTITIES))}

    def order(self) -> None:
        number = str(len(self.orders))
        at = self.now - timedelta(hours=self.one(0, 1, 50))
        self.orders[number] = order(
            order_id=number, customer=self.one(*CUSTOMERS), placed_at=at.isoformat(), updated_at=at.isoformat(),
            payment=self.one("pending", "paid"), version=self.one(0, 0, 1),
        )  # fmt: skip
        self._report(number)

    def order_changes(self) -> None:
        if not self.orders:
            return
        number = self.one(*self.orders)
        known = self.orders[number]
        at = (self.now - timedelta(hours=self.one(0, 0, 1, 200))).isoformat()
        refund = {"refund_id": f"r{self.number(1, 3)}", "occurred_at": at, "paid": amount(self.one(500, 1000))}
        refunds = [item for item in known.get("refunds", ()) if item["refund_id"] != refund["refund_id"]]
        change = self.one(
            {"payment": self.one("paid", "refunded", "voided")}, {"cancelled_at": at}, {"fulfilled_at": at},
            {"refunds": [*refunds, refund]}, {"refunds": []}, {"total": amount(self.one(4000, 5000))},
            {"lines": [known["lines"][0] | {"quantity": self.number(0, 2)}]},
        )  # fmt: skip
        told = self.one({"updated_at": at}, {"updated_at": at}, {}, {"version": known["version"] + 1})
        self.orders[number] = known | change | told
        self._report(number)

    def _report(self, number: str) -> None:
        self.tell(OrderReportedV1.model_validate(self.orders[number] | {"program_id": "aurora"}))

    def activity(self) -> None:
        self.activities += 1
        told = activity(activity_id=str(self.activities), customer=self.one(*CUSTOMERS)) | {"program_id": "aurora"}
        self.tell(ActivityReportedV1.model_validate(told))


@MANY
@given(data=st.data())
def test_a_restored_database_ends_as_it_was(module_database: str, data: st.DataObject) -> None:
    opened = harness(build, module_database, MIGRATIONS, name="order-ingest", now=NOW, reference=[program()])
    tell(Shop, opened, data, "members", "identities", "orders", "activities", "sources")
