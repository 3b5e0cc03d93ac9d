"""A ledger made again from its kept decisions is the same, to the last transfer, whatever happened."""

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any
from uuid import UUID

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from points_accrual.domain import adjusting, commands, sharing, spending
from points_accrual.domain.account import Decision
from points_accrual.domain.catalogue import RefusedError
from points_accrual.domain.rebuilding import families, rebuilt
from points_accrual.domain.replaying import REPLAYS, Kept
from points_accrual.domain.world import World
from tests.unit.points_accrual.programs import CAT, EVERYBODY, programs
from tests.unit.points_accrual.samples import (
    ANN,
    BOB,
    DAY,
    T0,
    Ledger,
    activity,
    back,
    confirmed,
    enrolled,
    interval,
    line,
    order,
    program,
    published,
    reversed_,
    standing,
)

LATER = T0 + 800 * DAY


def kept(decision: Decision) -> Kept:
    """A decision as the database gives it back."""
    return Kept(
        decision.sequence, decision.kind, decision.key, decision.cause, decision.occurred_at, decision.effective_at,
        decision.input, decision.pinned,
    )  # fmt: skip


def again(ledger: Ledger) -> World:
    world = ledger.world
    histories = {key: [kept(item) for item in account.decisions] for key, account in world.accounts.items()}
    order_of = families(sorted(world.accounts), world.aliases)
    accounts = [(key, "aurora") for family in order_of for key in family]
    fresh, stuck = rebuilt(world.programs, world.seeds, accounts, histories)
    assert stuck == []
    return fresh


def state(world: World) -> dict[str, Any]:
    """Everything that the check compares."""
    accounts = world.accounts.values()
    return {
        "accounts": {
            item.member_id: (
                item.balances(), item.clock, item.sequence, item.deficit_since, item.active_at, item.frozen,
                item.household_id,
            )
            for item in accounts
        },
        "decisions": sorted(
            (item.member_id, item.sequence, item.kind, item.key, item.effective_at, item.input, item.pinned)
            for account in accounts for item in account.decisions
        ),
        "transfers": {account.member_id: [item.postings for item in account.decisions] for account in accounts},
        "lots": {account.member_id: account.lots for account in accounts},
        "claims": {
            key: (claim.granted, claim.reason, claim.base, claim.counts, claim.pins, claim.lots, claim.program_version,
                  claim.detail, claim.version, claim.member_id)
            for key, claim in world.claims.items()
        },
        "coupons": world.coupons,
    }  # fmt: skip


def same(ledger: Ledger) -> None:
    before, after = state(ledger.world), state(again(ledger))
    for name, rows in before.items():
        assert after[name] == rows, name


def test_a_version_that_is_backdated_changes_no_decision_that_was_made_before() -> None:
    """An order was moved to where no version covered it, and stayed with its own; later one covers that time."""
    ledger = Ledger(program(effective_from=T0 - 10 * DAY)).send(enrolled(T0 - 300 * DAY))
    ledger.send(order(placed_at=T0 - 9 * DAY), order(placed_at=T0 - 11 * DAY, revision=2, updated_at=T0))
    ledger.send(published(program(version=2, effective_from=T0 - 100 * DAY)))
    same(ledger)


def test_what_a_member_did_counts_also_before_points_could_run_out_for_want_of_it() -> None:
    ledger = Ledger(program()).send(enrolled(T0 - 300 * DAY), order())
    ledger.send(published(program(version=2, effective_from=T0 + DAY, expiry={"inactive_months": 3})))
    assert ledger.account().active_at == T0
    same(ledger)


class Shop:
    """Random steps, each at a later moment."""

    def __init__(self, data: st.DataObject) -> None:
        self.data = data
        self.ledger = Ledger(data.draw(programs))
        self.at = T0
        self.orders: dict[str, Any] = {}
        self.versions: dict[str, int] = {}
        for member_id in EVERYBODY:
            self.ledger.send(enrolled(T0, member_id=member_id))

    def one(self, *things: Any) -> Any:
        return self.data.draw(st.sampled_from(things))

    def number(self, least: int, most: int) -> int:
        return self.data.draw(st.integers(least, most))

    def version(self, name: str) -> int:
        self.versions[name] = self.versions.get(name, 1) + 1
        return self.versions[name]

    def step(self) -> None:
        self.at += timedelta(hours=self.one(0, 1, 30, 200, 700))
        self.one(
            self.order, self.order, self.change, self.change, self.do, self.do, self.do, self.give, self.standing,
            self.review, self.sweep, self.rare,
        )()  # fmt: skip

    def order(self) -> None:
        found = [item.code for item in self.ledger.world.coupons.values() if item.code and item.state == "issued"]
        code = self.one(None, *found)
        lines = [
            line(str(n), self.number(100, 15000), categories=(self.one("wine", "book", "toy"),))
            for n in range(self.number(1, 2))
        ]
        placed_at = max(T0, self.at - self.number(0, 5) * DAY)
        event = order(
            *lines, order_id=str(len(self.orders)), member_id=self.one(*EVERYBODY), placed_at=placed_at,
            recorded_at=self.at, discount_codes=(code,) if code else (),
        )  # fmt: skip
        self.orders[event.order_id] = event
        self.ledger.send(event)

    def change(self) -> None:
        if not self.orders:
            return
        known = self.orders[self.one(*sorted(self.orders))]
        values: dict[str, Any] = {"revision": known.revision + 1, "recorded_at": self.at, "updated_at": self.at}
        refund = back(f"r{known.revision}", self.at, {known.lines[0].line_id: self.number(1, 9000)})
        values |= self.one(
            {"refunds": (*known.refunds, refund)}, {"refunds": (*known.refunds, refund)}, {"cancelled_at": self.at},
            {"fulfilled_at": self.at},
        )  # fmt: skip
        self.orders[known.order_id] = known.model_copy(update=values)
        self.ledger.send(self.orders[known.order_id])

    def do(self) -> None:
        member_id = self.one(*EVERYBODY)
        who = {"actor": "test", "reason": "because"}
        coupons = sorted(self.ledger.world.coupons)
        lots = sorted(lot for account in self.ledger.world.accounts.values() for lot in account.lots)
        reward = self.one("ten-off", "half", "ship")
        choices: list[tuple[Callable[..., Any], Any]] = [
            (spending.redeem, commands.Redeem(reward_id=reward, hold=self.one(True, False))),
            (spending.redeem, commands.Redeem(reward_id="pay", amount_minor=self.number(1, 900))),
            (adjusting.adjust, commands.Adjust(points=self.number(-90, 200), **who)),
            (adjusting.extend, commands.Extend(until=self.at + 90 * DAY, **who)),
            (adjusting.freeze, self.one(commands.Freeze, commands.Unfreeze, commands.Unfreeze)(**who)),
            (sharing.join, commands.Join(household_id=self.one(None, UUID(int=7), UUID(int=7)))),
            (adjusting.bring_in, commands.Import(
                import_id=f"i{self.number(0, 10**9)}", as_of=self.at, lots=(
                    commands.OpeningLot(points=self.number(1, 200), expires_at=self.at + 20 * DAY),
                    commands.OpeningLot(points=30, activates_at=self.at + 3 * DAY),
                ), counts=(commands.OpeningCount(challenge_id="second", value=1),), tier_points=5,
            )),
        ]  # fmt: skip
        if coupons:
            coupon_id = self.one(*coupons)
            member_id = self.ledger.world.coupons[coupon_id].member_id
            choices = [
                (spending.capture, commands.Capture(coupon_id=coupon_id)),
                (spending.release, commands.Release(coupon_id=coupon_id)),
                (spending.reverse, commands.Reverse(coupon_id=coupon_id, points=self.one(None, 1, 20))),
                *choices,
            ]
        if lots:
            lot_id = self.one(*lots)
            choices.append((adjusting.reinstate, commands.Reinstate(lot_id=lot_id, until=self.at + 9 * DAY, **who)))
        act, command = self.one(*choices)
        with suppress(RefusedError):
            self.ledger.do(act, member_id, command, self.at)

    def give(self) -> None:
        member_id, to = self.one((ANN, BOB), (BOB, ANN), (BOB, CAT))
        with suppress(RefusedError):
            self.ledger.give(member_id, commands.Send(to_member_id=to, points=self.number(1, 60)), self.at)

    def standing(self) -> None:
        member_id = self.one(*EVERYBODY)
        found = interval(self.one("silver", "gold"), max(T0, self.at - self.number(0, 30) * DAY))
        self.ledger.send(
            standing(found, version=self.version(f"s{member_id}"), at=self.at, member_id=member_id)
        )  # fmt: skip

    def review(self) -> None:
        number = str(self.version("review"))
        event = activity("review", number, at=self.at, object_id=number, member_id=self.one(*EVERYBODY))
        self.ledger.send(event)
        if self.one(True, False):
            self.ledger.send(event.model_copy(update={"revision": 2, "revoked_at": self.at, "recorded_at": self.at}))

    def sweep(self) -> None:
        self.ledger.sweep(self.at)

    def rare(self) -> None:
        what = self.one("merge", "confirmed", "reversed", "shopper")
        if what == "merge":
            event = enrolled(T0, version=self.version("c"), member_id=CAT, recorded=self.at)
            self.ledger.send(event.model_copy(update={"merged_into": ANN}))
        elif what == "shopper":
            status = self.one("member", "shopper")
            self.ledger.send(enrolled(T0, version=self.version("b"), member_id=BOB, status=status, recorded=self.at))
        else:
            make = confirmed if what == "confirmed" else reversed_
            self.ledger.send(make(self.version("r"), at=self.at))


# Without shrinking: with as many draws as here that takes longer than to read the steps.
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), phases=(Phase.reuse, Phase.generate))
@given(st.data(), st.integers(5, 40))
def test_kept_decisions_make_the_same_ledger(data: st.DataObject, steps: int) -> None:
    shop = Shop(data)
    for _ in range(steps):
        shop.step()
    same(shop.ledger)
    shop.ledger.sweep(LATER)
    same(shop.ledger)
    shop.ledger.check_told()


def test_every_kind_of_decision_can_be_made_again() -> None:
    """But `hand_over`, which is made with the member's event that calls for it."""
    found = set(REPLAYS)
    assert {"redeem", "take_over", "receive", "hand_out", "coupon", "write_off", "import", "date"} <= found
