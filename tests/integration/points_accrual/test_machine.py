"""The service on PostgreSQL beside the core in memory: whatever is done to both, both hold the same ledger.

The core has everything in memory; the store loads only what a batch can need. So what the loading misses shows here.
The database may be set back to an earlier state: after its own topic was read and what came since then came again,
both must agree once more. In the end the kept decisions are made again, and must make the same rows.
"""

import asyncio
from collections.abc import Coroutine
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from contracts.activities import ActivityRecordedV1
from contracts.base import Event
from contracts.decisions import DecisionsMadeV1
from contracts.members import MemberChangedV1
from contracts.orders import Dispute, OrderChangedV1
from contracts.program import Program
from contracts.segments import SegmentsChangedV1
from points_accrual import store
from points_accrual.domain import adjusting, commands, sharing, spending
from points_accrual.domain.catalogue import RefusedError
from points_accrual.domain.coupons import Coupon
from points_accrual.rebuild import check
from shared.db import plain
from shared.testing import Harness
from tests.integration.points_accrual.conftest import service
from tests.integration.points_accrual.test_restoring import adopt
from tests.integration.restored import as_partitions_are_read, portions, restore, save, take_published
from tests.unit.points_accrual.programs import EVERYBODY, programs
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
    published,
    reversed_,
    standing,
)

pytestmark = pytest.mark.integration
T = TypeVar("T")
DAN = UUID("00000000-0000-8000-8000-00000000000d")
"""Seen, and not enrolled at first."""
PEOPLE = (*EVERYBODY, DAN)
members = st.sampled_from(PEOPLE)
amounts = st.integers(100, 15000)


class Twins(RuleBasedStateMachine):
    """Every step is taken by both."""

    dsn: str
    thorough = False

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.at = T0
        self.orders: dict[str, OrderChangedV1] = {}
        self.activities: dict[str, ActivityRecordedV1] = {}
        self.versions: dict[tuple[str, UUID], int] = {}
        self.merged_into: dict[UUID, UUID] = {}
        self.enrolled: dict[UUID, MemberChangedV1] = {}
        self.told: list[Event] = []
        self.waiting: list[Event] = []
        self.together = 1
        self.commands = 0
        self.saved: int | None = None
        """So many facts were told when the database was saved."""
        self.journal: list[DecisionsMadeV1] = []
        """The decisions that its topic has since then."""
        self.published: set[UUID] = set()
        """The ids of all other events that it told since then."""
        self.codes: dict[UUID, str] = {}
        """By coupon."""
        self.events: dict[UUID, Event] = {}
        """All that was ever told to others."""

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    @initialize(document=programs, together=st.sampled_from([1, 4]))
    def begin(self, document: Program, together: int) -> None:
        self.opened = service(self.dsn, document)
        self.served: Harness = self.run(self.opened.__aenter__())
        self.served.clock.at = self.at
        self.core = Ledger(document)
        for member_id in PEOPLE:
            self.is_known(enrolled(T0, member_id=member_id, status="shopper" if member_id == DAN else "member"))
        self.deliver()
        self.together = together

    def teardown(self) -> None:
        if hasattr(self, "opened"):
            self.deliver()
            self.both_hold_the_same()
            outcome = self.run(check(self.dsn, self.core.world.programs))
            assert (outcome.stuck, outcome.differences) == ([], [])
            if self.thorough:
                self.sends_it_all_again()
            self.run(self.opened.__aexit__(None, None, None))
        self.runner.close()

    def tell(self, *events: Event) -> None:
        """Deliver events, some of them in one batch."""
        self.waiting += events
        self.told += events
        if len(self.waiting) >= self.together:
            self.deliver()

    def deliver(self) -> None:
        """Deliver what waits as a batch; the core takes it one by one, in the same order."""
        if not self.waiting:
            return
        messages = [self.served.message(event, id=UUID(int=1)) for event in self.waiting]
        self.waiting = []
        rank = {topic.name: place for place, topic in enumerate(self.served.service.consumes)}
        messages.sort(key=lambda item: (rank[item.topic], item.partition, item.offset))
        self.run(self.served.deliver(*messages))
        self.core.world.now = self.at
        self.core.send(*(message.data for message in messages))

    def ask(
        self, path: str, body: dict[str, Any], act: Any, member_id: UUID, command: Any, scope: Any = "admin"
    ) -> None:
        """A command over HTTP, and the same to the core: both do it, or both refuse it for the same reason."""
        self.deliver()
        self.commands += 1
        key = f"key-{self.commands}"
        headers = self.served.token(scope) | {"Idempotency-Key": key}
        answer = self.run(
            self.served.client.post(f"/v1/members/{member_id}/{path}", json=body, headers=headers)
        )  # fmt: skip
        refusal = None
        try:
            if act is sharing.send:
                self.core.give(member_id, command, self.at)
            else:
                self.core.do(act, member_id, command, self.at, key)
        except RefusedError as error:
            refusal = f"urn:laurel:{error.reason}"
        assert (answer.json().get("type") if answer.status_code >= 400 else None) == refusal, answer.text

    def next_version(self, kind: str, member_id: UUID) -> int:
        found = self.versions[kind, member_id] = self.versions.get((kind, member_id), 1) + 1
        return found

    # What happens to the database.

    @rule()
    def save(self) -> None:
        self.deliver()
        self.take_published()
        self.saved, self.journal, self.published = len(self.told), [], set()
        self.run(save(self.served))

    @precondition(lambda self: self.saved is not None)
    @rule(size=st.sampled_from([1, 5, 500]), data=st.data())
    def restore(self, size: int, data: st.DataObject) -> None:
        """It is as it was; what was published since then is read back, and what was told since then comes again."""
        self.deliver()
        self.take_published()
        before, self.published = self.published, set()
        self.run(restore(self.served))
        for decisions in portions(self.journal, size):
            self.run(adopt(self.served, list(decisions)))
        for facts in portions(as_partitions_are_read(self.told[self.saved :], Event.key, data), size):
            self.run(self.served.deliver(*facts))
        self.take_published()
        assert before <= self.published

    def take_published(self) -> None:
        messages = self.run(take_published(self.served))
        self.journal += [item.data for item in messages if isinstance(item.data, DecisionsMadeV1)]
        events = {item.envelope.id: item.data for item in messages if not isinstance(item.data, DecisionsMadeV1)}
        self.published |= events.keys()
        for event_id, event in events.items():
            assert self.events.setdefault(event_id, event) == event

    def sends_it_all_again(self) -> None:
        """Should Kafka be lost: every event that ever was, as it was, and nothing else."""
        self.take_published()
        known, self.events = self.events, {}
        for sending in self.served.service.republish:
            after, more = None, True
            while more:
                after, _ = self.run(self.served.context.execute(lambda tx, s=sending, a=after: s(tx, a, 2)))  # type: ignore[misc]
                more = after is not None
        self.take_published()
        differ = [(known.get(key), self.events.get(key)) for key in known.keys() | self.events.keys()]
        assert [(one, other) for one, other in differ if one != other] == []

    # What happens in the shop.

    @rule(hours=st.sampled_from([1, 5, 24, 24 * 7, 24 * 16, 24 * 33]))
    def time_passes(self, hours: int) -> None:
        self.deliver()
        self.at += timedelta(hours=hours)
        self.served.clock.at = self.core.world.now = self.at

    @rule()
    def sweep(self) -> None:
        self.deliver()
        self.run(self.served.sweep(self.at))
        self.core.world.now = self.at
        self.core.sweep(self.at)

    @rule(
        member_id=members,
        grosses=st.lists(amounts, min_size=1, max_size=3),
        ago=st.sampled_from([0, 0, 1, 3, 6, 40]),
        data=st.data(),
    )
    def order(self, member_id: UUID, grosses: list[int], ago: int, data: st.DataObject) -> None:
        placed_at = max(T0, self.at - ago * DAY)
        lines = [
            line(str(n), gross, quantity=2, categories=(("wine", "book", "toy")[n],)) for n, gross in enumerate(grosses)
        ]
        codes = [item.code for item in self.coupons() if item.code and item.state == "issued"]
        used = data.draw(st.sampled_from([None, *codes])) if codes else None
        event = order(
            *lines, order_id=str(len(self.orders)), member_id=member_id, placed_at=placed_at, recorded_at=self.at,
            discount_codes=(used,) if used else (),
        )  # fmt: skip
        self.orders[event.order_id] = event
        self.tell(event)

    def coupons(self) -> list[Coupon]:
        return sorted(self.core.world.coupons.values(), key=lambda item: item.coupon_id)

    @precondition(lambda self: self.orders)
    @rule(
        data=st.data(), kind=st.sampled_from(["refund", "refund", "amount", "cancel", "dispute", "fulfil", "goodwill"])
    )
    def order_changes(self, data: st.DataObject, kind: str) -> None:
        number = data.draw(st.sampled_from(sorted(self.orders)))
        known = self.orders[number]
        at = max(known.placed_at, self.at - data.draw(st.sampled_from([0, 0, 0, 2, 20])) * DAY)
        change: dict[str, Any] = {"revision": known.revision + 1, "recorded_at": self.at, "updated_at": self.at}
        name = f"r{known.revision}"
        if kind == "refund":
            chosen = data.draw(st.sampled_from(known.lines)).line_id
            change["refunds"] = (*known.refunds, back(name, at, {chosen: data.draw(amounts)}))
        elif kind in ("amount", "goodwill"):
            refund = back(name, at, paid=data.draw(amounts)).model_copy(update={"goodwill": kind == "goodwill"})
            change["refunds"] = (*known.refunds, refund)
        elif kind == "cancel":
            change["cancelled_at"] = at
        elif kind == "fulfil":
            change["fulfilled_at"] = at
        else:
            outcome = data.draw(st.sampled_from(["open", "won", "lost"]))
            change["disputes"] = (Dispute(dispute_id="d", opened_at=at, outcome=outcome),)
        self.orders[number] = known.model_copy(update=change)
        self.tell(self.orders[number])

    @rule(member_id=members, thing=st.sampled_from("abc"), revoked=st.booleans())
    def review(self, member_id: UUID, thing: str, revoked: bool) -> None:
        number = str(len(self.activities) // (2 if revoked else 1))
        if revoked and number in self.activities:
            gone = {"revision": 2, "revoked_at": self.at, "recorded_at": self.at}
            event = self.activities[number].model_copy(update=gone)
        else:
            number = str(len(self.activities))
            event = activity("review", number, at=self.at, object_id=thing, member_id=member_id)
        self.activities[number] = event
        self.tell(event)

    @rule(member_id=members, tier=st.sampled_from(["silver", "gold"]), ago=st.integers(0, 40))
    def standing_changes(self, member_id: UUID, tier: str, ago: int) -> None:
        version = self.next_version("standing", member_id)
        self.tell(standing(interval(tier, self.at - ago * DAY), version=version, at=self.at, member_id=member_id))

    @precondition(lambda self: self.told)
    @rule(data=st.data())
    def repeats(self, data: st.DataObject) -> None:
        self.tell(*data.draw(st.lists(st.sampled_from(self.told), min_size=1, max_size=3)))

    @rule(size=st.sampled_from([1, 1, 4, 12]))
    def batches_are_of(self, size: int) -> None:
        self.together = size

    @rule(member_id=members, day=st.sampled_from([None, "03-08", "03-30", "04-12"]), enrols=st.booleans())
    def profile_changes(self, member_id: UUID, day: str | None, enrols: bool) -> None:
        known = self.enrolled[member_id]
        if member_id in self.merged_into:
            return
        change: dict[str, Any] = {"birthday": known.birthday or day, "recorded_at": self.at}
        if enrols and known.status == "shopper":
            change |= {"status": "member", "enrolled_at": self.at}
        self.is_known(known.model_copy(update={"version": known.version + 1, **change}))

    def is_known(self, event: MemberChangedV1) -> None:
        self.enrolled[event.member_id] = event
        self.tell(event)

    @rule(member_id=members, segments=st.sampled_from([(), ("vip",), ("vip", "new")]))
    def segments_change(self, member_id: UUID, segments: tuple[str, ...]) -> None:
        version = self.next_version("segments", member_id)
        self.tell(
            SegmentsChangedV1(
                program_id="aurora", member_id=member_id, version=version, segments=segments, recorded_at=self.at
            )
        )

    @rule(role=st.sampled_from(["advocate", "friend"]), good=st.booleans())
    def referral_changes(self, role: str, good: bool) -> None:
        member_id = ANN if role == "advocate" else BOB
        made = confirmed if good else reversed_
        version = self.next_version("referral", member_id)
        event = made(version, role=role, at=self.at, member_id=member_id)
        self.tell(event.model_copy(update={"recorded_at": self.at}))

    @precondition(lambda self: self.core.world.programs.version("aurora", 2) is None)
    @rule(days=st.integers(0, 10), now=st.integers(0, 3))
    def program_changes(self, days: int, now: int) -> None:
        if now:
            return
        self.deliver()
        known = self.core.world.programs.version("aurora", 1)
        assert known is not None
        document = known.model_dump(mode="json")
        document |= {"version": 2, "effective_from": (self.at + days * DAY).isoformat()}
        document["earning"]["rules"][0]["points_per_unit"] = "2.1"
        event = published(Program.model_validate(document))
        assert self.served.service.reference is not None
        self.served.service.reference.apply(event)
        self.core.send(event)

    @rule(loser=members, survivor=members, now=st.integers(0, 7))
    def two_are_one(self, loser: UUID, survivor: UUID, now: int) -> None:
        if now or survivor >= loser or {loser, survivor} & self.merged_into.keys():
            return
        self.merged_into[loser] = survivor
        known = self.enrolled[loser]
        change = {"version": known.version + 1, "recorded_at": self.at, "merged_into": survivor}
        self.is_known(known.model_copy(update=change))

    def one(self, member_id: UUID) -> UUID:
        """Who they are by now."""
        while member_id in self.merged_into:
            member_id = self.merged_into[member_id]
        return member_id

    # What members and people of the shop ask for.

    @rule(member_id=members, reward=st.sampled_from(["ten-off", "half", "ship"]), hold=st.booleans())
    def redeem(self, member_id: UUID, reward: str, hold: bool) -> None:
        command = commands.Redeem(reward_id=reward, hold=hold)
        self.ask("redemptions", {"reward_id": reward, "hold": hold}, spending.redeem, member_id, command)

    @rule(member_id=members, amount=st.integers(1, 2000))
    def pay(self, member_id: UUID, amount: int) -> None:
        command = commands.Redeem(reward_id="pay", amount_minor=amount)
        self.ask("redemptions", {"reward_id": "pay", "amount_minor": amount}, spending.redeem, member_id, command)

    @precondition(lambda self: self.core.world.coupons)
    @rule(data=st.data(), what=st.sampled_from(["capture", "release", "reversal"]))
    def step(self, data: st.DataObject, what: str) -> None:
        coupon = data.draw(st.sampled_from(self.coupons()))
        name, act = {
            "capture": (commands.Capture, spending.capture), "release": (commands.Release, spending.release),
            "reversal": (commands.Reverse, spending.reverse),
        }[what]  # fmt: skip
        body = {"points": data.draw(st.integers(1, 60))} if what == "reversal" and data.draw(st.booleans()) else {}
        self.ask(
            f"redemptions/{coupon.coupon_id}/{what}", body, act, coupon.member_id,
            name(coupon_id=coupon.coupon_id, **body),
        )  # fmt: skip

    @rule(member_id=members, to=members, points=st.integers(1, 80))
    def give(self, member_id: UUID, to: UUID, points: int) -> None:
        if self.one(member_id) == self.one(to) or self.enrolled[self.one(to)].status != "member":
            return
        command = commands.Send(to_member_id=to, points=points)
        self.ask("transfers", {"to_member_id": str(to), "points": points}, sharing.send, member_id, command)

    @rule(member_id=members, points=st.integers(-80, 80))
    def adjust(self, member_id: UUID, points: int) -> None:
        command = commands.Adjust(points=points, actor="test", reason="because")
        self.ask("adjustments", {"points": points, "reason": "because"}, adjusting.adjust, member_id, command)

    @rule(member_id=members, act=st.sampled_from(["freeze", "unfreeze"]))
    def freeze(self, member_id: UUID, act: str) -> None:
        kind = commands.Freeze if act == "freeze" else commands.Unfreeze
        self.ask(act, {"reason": "because"}, adjusting.freeze, member_id, kind(actor="test", reason="because"))

    @rule(member_id=members, days=st.integers(1, 100))
    def extend(self, member_id: UUID, days: int) -> None:
        until = self.at + days * DAY
        command = commands.Extend(actor="test", reason="because", until=until)
        self.ask("extensions", {"reason": "because", "until": until.isoformat()}, adjusting.extend, member_id, command)

    @precondition(
        lambda self: any(lot.expired for account in self.core.world.accounts.values() for lot in account.lots.values())
    )
    @rule(data=st.data())
    def reinstate(self, data: st.DataObject) -> None:
        gone = [lot for account in self.core.world.accounts.values() for lot in account.lots.values() if lot.expired]
        lot, owner = data.draw(st.sampled_from(sorted(gone, key=lambda lot: lot.lot_id))), data.draw(members)
        until = self.at + 20 * DAY
        command = commands.Reinstate(actor="test", reason="because", until=until, lot_id=lot.lot_id)
        body = {"reason": "because", "until": until.isoformat(), "lot_id": str(lot.lot_id)}
        self.ask("reinstatements", body, adjusting.reinstate, owner, command)

    @rule(member_id=members, home=st.sampled_from([1, 2]))
    def join(self, member_id: UUID, home: int) -> None:
        self.deliver()
        self.commands += 1
        headers = self.served.token("admin") | {"Idempotency-Key": f"key-{self.commands}"}
        body = {"household_id": str(UUID(int=home))}
        url = f"/v1/members/{member_id}/household"
        answer = self.run(self.served.client.put(url, json=body, headers=headers))
        assert answer.status_code == 200, answer.text
        self.core.do(sharing.join, member_id, commands.Join(household_id=UUID(int=home)), self.at)

    @invariant()
    def both_hold_the_same(self) -> None:
        if not hasattr(self, "core") or self.waiting:
            return
        self.core.check()
        assert self.run(self._problems()) == []
        accounts, lots, coupons, transfers, uses = self.run(self._rows())
        core = self.core.world
        for coupon_id, (*_, code) in coupons.items():  # Codes are random: the core takes over those of the service.
            assert code is None or self.codes.setdefault(coupon_id, code) == code
            core.coupons[coupon_id].code = code
        assert accounts == {
            key: (item.pending, item.active, item.held, item.deficit, item.sequence, item.clock, item.frozen)
            for key, item in core.accounts.items() if item.sequence
        }  # fmt: skip
        assert transfers == {
            (account.member_id, decision.sequence, item.ordinal):
                (item.debit, item.credit, item.points, item.effective_at, item.rule_id, item.lot_id)
            for account in core.accounts.values() for decision in account.decisions for item in decision.postings
        }  # fmt: skip
        # An empty lot is not looked up when it is due: it ends when it is needed next.
        assert {
            lot_id: (owner, state if left else "", left, *rest) for lot_id, (owner, state, left, *rest) in lots.items()
        } == {
            lot.lot_id: (
                account.member_id, lot.state if lot.remaining else "", lot.remaining, lot.expired, lot.expires_at
            )
            for account in core.accounts.values() for lot in account.lots.values()
        }  # fmt: skip
        assert coupons == {
            item.coupon_id: (item.member_id, item.state, item.points, item.returned, item.order, item.code)
            for item in core.coupons.values()
        }  # fmt: skip
        assert uses == {tuple(key): count for key, count in core.uses.items() if count}

    async def _problems(self) -> list[str]:
        async with self.served.context.pool.acquire() as connection:
            return await store.imbalances(plain(connection))

    async def _rows(self) -> tuple[dict[Any, Any], ...]:
        async with self.served.context.pool.acquire() as connection:

            async def read(statement: str, width: int) -> dict[Any, Any]:
                rows = await connection.fetch(statement)
                return {(tuple(row[:width]) if width > 1 else row[0]): tuple(row[width:]) for row in map(tuple, rows)}

            uses = await read("SELECT program_id, member_id, name, time_window, used FROM uses WHERE used > 0", 4)
            return (
                await read(
                    "SELECT member_id, pending, active, held, deficit, sequence, clock, frozen FROM accounts", 1
                ),
                await read("SELECT lot_id, member_id, state, remaining, expired, expires_at FROM lots", 1),
                await read("SELECT coupon_id, member_id, state, points, returned, order_id, code FROM coupons", 1),
                await read(
                    "SELECT member_id, sequence, ordinal, debit, credit, points, effective_at, rule_id, lot_id"
                    " FROM transfers",
                    3,
                ),
                {key: count for key, (count,) in uses.items()},
            )


# Without shrinking: on a database that takes longer than to read the steps.
_SETTINGS = settings(
    stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
)  # fmt: skip


@pytest.fixture(autouse=True)
def _database(database: str) -> None:
    Twins.dsn = database


class Thorough(Twins):
    """And all is sent again in the end."""

    thorough = True


class TestTwins(Twins.TestCase):  # type: ignore[valid-type, misc]
    settings = settings(_SETTINGS, max_examples=15)


@pytest.mark.long
@pytest.mark.timeout(1200)
class TestManyTwins(Thorough.TestCase):  # type: ignore[valid-type, misc]
    settings = settings(_SETTINGS, max_examples=300)
