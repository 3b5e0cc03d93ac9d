"""Whatever had happened: a restored database of referral ends as it was."""

from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.orders import OrderChangedV1
from referral.app import build
from shared.testing import harness
from tests.integration.referral.test_referral import MIGRATIONS
from tests.integration.restored import MANY, Story, tell
from tests.unit.referral.samples import HOUR, T0, order, profile, program, published, refund

pytestmark = pytest.mark.integration
MEMBERS = tuple(UUID(int=number) for number in range(1, 5))
PRINTS: tuple[dict[str, str], ...] = ({}, {"address": "a1"}, {"email": "e1"}, {"payment": "c1", "address": "a2"})
TABLES = {
    "members": """SELECT member_id, partition, version, status, email, code, code_assigned_at, program_version,
                      adopted_at FROM members ORDER BY 1""",
    "orders": "SELECT * FROM orders ORDER BY member_id, source, order_id",
    "referrals": """SELECT referral_id, friend_id, advocate_id, source, order_id, state, reason, told, told_reason,
                        version FROM referrals WHERE version > 0 OR reason <> 'superseded' ORDER BY 1""",
}  # fmt: skip
"""But referrals of which nothing was told before their order lost its code."""


class Shop(Story):
    tables = TABLES
    sizes, in_order = (1,), True
    """What is told in between depends on the order, and how it ends in any is seen elsewhere."""

    def __init__(self, *told: Any) -> None:
        super().__init__(*told)
        self.orders: list[OrderChangedV1] = []
        self.enrolled = set(MEMBERS[:2])
        self.tell(*(profile(member_id) for member_id in MEMBERS[:2]))
        self.counts.update(profile=1, program=1)
        self.steps = [
            self.tell_nothing, self.profile, self.profile, self.order, self.order, self.order, self.order_changes,
            self.order_changes, self.repeat, self.program,
        ]  # fmt: skip

    def profile(self) -> None:
        member_id, email = self.one(*MEMBERS), self.one(None, "e1", "e2")
        if self.one(True, True, False):
            self.enrolled.add(member_id)
        status = "member" if member_id in self.enrolled else "shopper"
        self.tell(profile(member_id, version=self.next("profile"), status=status, email=email))

    def order(self) -> None:
        codes = [row[0] for row in self.run(self.rows("SELECT code FROM members WHERE code IS NOT NULL ORDER BY 1"))]
        made = order(
            self.one(*MEMBERS), str(len(self.orders)), at=self.number(0, 300), minor=self.one(3000, 8000, 8000),
            code=self.one(None, "N0B0DY00", *codes, *codes, *codes), prints=self.one(*PRINTS),
            payment=self.one("paid", "paid", "paid", "pending"),
        )  # fmt: skip
        self.orders.append(made)
        self.tell(made)

    def order_changes(self) -> None:
        if not self.orders:
            return
        place = self.number(0, len(self.orders) - 1)
        known = self.orders[place]
        revision = known.revision + 1
        change = self.one(
            {"payment": "paid"}, {"cancelled_at": known.placed_at + HOUR}, {"discount_codes": ()},
            {"refunds": (*known.refunds, refund(f"r{revision}", 5000))}, {"payment": "refunded"},
        )  # fmt: skip
        at = known.placed_at + revision * HOUR
        self.orders[place] = known.model_copy(
            update={"revision": revision, "updated_at": at, "recorded_at": at, **change}
        )
        self.tell(self.orders[place])

    def program(self) -> None:
        if self.counts["program"] < 3:
            reference = self.served.service.reference
            assert reference is not None
            since = self.now + self.one(1, 100) * HOUR
            reference.apply(published(program(version=self.next("program"), effective_from=since)))


@MANY
@given(data=st.data(), begins=st.booleans())
def test_a_restored_database_ends_as_it_was(module_database: str, data: st.DataObject, begins: bool) -> None:
    """`begins`: the program has referrals from its first version on."""
    first = published(program(referral=begins))
    opened = harness(build, module_database, MIGRATIONS, name="referral", now=T0 + 5000 * HOUR, reference=[first])
    tell(Shop, opened, data, "members")
