"""Whatever had happened: a restored database of tier ends as it was."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.testing import harness
from tests.integration.restored import MANY, Story, tell
from tests.integration.tier.test_tier import MIGRATIONS, points, profile
from tests.unit.tier.samples import DAY, T0, fact, issued, program, published, returned
from tier.app import build

pytestmark = pytest.mark.integration
MEMBERS = (UUID(int=1), UUID(int=2))
TABLES = {
    "members": """SELECT member_id, profile_version, status, program_version, version, intervals, memberships, tier_id,
                      next_change_at, adopted_at FROM members ORDER BY 1""",
    "orders": "SELECT * FROM order_bases ORDER BY member_id, source, order_id",
    "coupons": "SELECT * FROM membership_coupons ORDER BY member_id, coupon_id",
    "changes": "SELECT * FROM standing_changes ORDER BY member_id, version",
}  # fmt: skip


class Shop(Story):
    tables = TABLES

    def __init__(self, *told: Any) -> None:
        super().__init__(*told)
        self.orders: dict[str, tuple[Any, ...]] = {}
        self.counts["program"] = 1
        self.steps = [
            self.tell_nothing, self.order, self.order, self.order_changes, self.order_changes, self.profile,
            self.membership, self.membership_ends, self.repeat, self.program,
        ]  # fmt: skip

    def order(self) -> None:
        name = str(len(self.orders))
        placed_at = self.now - self.one(0, 1, 40, 200, 380) * DAY
        self._tell(name, self.one(*MEMBERS), 1, ((placed_at, self.one(30, 99, 100, 150, 300)),))

    def order_changes(self) -> None:
        if not self.orders:
            return
        name = self.one(*self.orders)
        member_id, revision, steps = self.orders[name]
        at = max(steps[-1][0] + timedelta(seconds=1), self.now - self.one(0, 3, 60) * DAY)
        left = self.number(0, steps[-1][1])
        change = ((at, left),) if left < steps[-1][1] else ()
        self._tell(name, member_id, revision + self.one(0, 1), (*steps, *change))

    def _tell(self, name: str, member_id: UUID, revision: int, steps: tuple[Any, ...]) -> None:
        self.orders[name] = (member_id, revision, steps)
        (placed_at, counts), *refunds = steps
        one = fact(name, placed_at, counts, *refunds, revision=revision, sequence=self.next("sequence"))
        self.tell(points(one, member_id, back=bool(refunds)))

    def profile(self) -> None:
        self.tell(profile(self.one(*MEMBERS), version=self.next("profile"), status=self.one("member", "shopper")))

    def membership(self) -> None:
        coupon = self.next("coupon")
        at, kind = self.now - self.one(0, 20) * DAY, self.one("plus", "club")
        self.tell(issued(coupon, at, self.one(10, 30), kind, MEMBERS[coupon % 2]))

    def membership_ends(self) -> None:
        coupon = self.number(1, self.counts["coupon"] + 1)
        self.tell(returned(coupon, self.now, void=self.one(True, False), points=250, member_id=MEMBERS[coupon % 2]))

    def program(self) -> None:
        if self.counts["program"] < 3:
            ladder = self.one({"basic": 0, "silver": 120, "gold": 250}, {"basic": 0, "gold": 200})
            reference = self.served.service.reference
            assert reference is not None
            effective = self.now + timedelta(hours=self.one(1, 100))
            reference.apply(published(program(ladder, version=self.next("program"), effective_from=effective)))


@MANY
@given(data=st.data())
def test_a_restored_database_ends_as_it_was(module_database: str, data: st.DataObject) -> None:
    opened = harness(
        build, module_database, MIGRATIONS, name="tier", now=T0 + 500 * DAY, reference=[published(program())]
    )
    tell(Shop, opened, data, "members")
