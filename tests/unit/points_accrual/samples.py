"""Programs, orders and an in-memory ledger for the tests of points-accrual."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from contracts.activities import ActivityRecordedV1
from contracts.base import Event
from contracts.ids import derived_id
from contracts.members import MemberChangedV1
from contracts.orders import Amount, OrderChangedV1, OrderLine, Refund, RefundLine
from contracts.points import PointsEvent
from contracts.program import Basis, Program, ProgramBook, ProgramPublishedV1, SpendRule
from contracts.referrals import ReferralConfirmedV1, ReferralReversedV1
from contracts.tiers import StandingChangedV1, StandingInterval
from points_accrual.domain import ledger
from points_accrual.domain.account import Account
from points_accrual.domain.claims import Claim
from points_accrual.handlers import HANDLERS

T0 = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
ANN = UUID("00000000-0000-8000-8000-00000000000a")
BOB = UUID("00000000-0000-8000-8000-00000000000b")
QUIET = {"type": "activity", "id": "none", "activity": "nothing", "points": 1}
"""The one rule of a program whose orders bring nothing."""
CREDIT = {
    "type": "store_credit", "id": "credit", "name": {"en": "Credit"}, "points_per_unit": 1, "amount_minor_max": 10**9,
}  # fmt: skip
"""A reward that takes any number of points."""


def spend(rule_id: str = "spend", rate: str = "1", minimum: int = 0, **basis: bool) -> SpendRule:
    return SpendRule(
        type="spend", id=rule_id, points_per_unit=Decimal(rate), minimum_minor=minimum, basis=Basis(**basis)
    )


def program(
    *rules: Any, version: int = 1, effective_from: datetime = datetime(2020, 1, 1, tzinfo=UTC),
    zone: str = "UTC", currency: str = "EUR", codes: str = "generated", program_id: str = "aurora",
    pending_days: int = 14, validity_months: int | None = 12, rest: dict[str, Any] | None = None, **earning: Any,
) -> Program:  # fmt: skip
    """A program with three tiers and a coupon; `rest` replaces parts of the document, `earning` of the earning."""
    earning.setdefault("pending", {"days": pending_days})
    earning.setdefault("expiry", {"months": validity_months})
    ladder = {"basic": "1", "silver": "1.25", "gold": "1.5"}
    levels = tuple(
        {"id": name, "name": {"en": name}, "threshold": place * 1000, "multiplier": Decimal(rate)}
        for place, (name, rate) in enumerate(ladder.items())
    )
    reward = {"type": "money_off", "id": "ten-off", "name": {"en": "10 off"}, "cost": 100, "value_minor": 1000}
    document = {
        "id": program_id, "version": version, "name": {"en": "Aurora"}, "currency": currency, "zone": zone,
        "effective_from": effective_from, "point": {"name": {"en": "points"}, "value_minor": 1},
        "earning": {"rules": rules or (spend(),), **earning}, "tiers": {"levels": levels},
        "referral": {"advocate_points": 500, "friend_points": 250},
        "rewards": (reward | {"codes": codes, "valid_days": 30},), "messages": {"sender_name": "Aurora"},
    }  # fmt: skip
    return Program.model_validate(document | (rest or {}))


def published(document: Program) -> ProgramPublishedV1:
    return ProgramPublishedV1(
        program_id=document.id, version=document.version, hash=document.hash(), published_at=document.effective_from,
        document=document,
    )  # fmt: skip


def book(*documents: Program) -> ProgramBook:
    programs = ProgramBook()
    for document in documents:
        programs.add(published(document))
    return programs


def money(shop: int, presentment: int | None = None) -> Amount:
    return Amount(shop_minor=shop, presentment_minor=shop if presentment is None else presentment)


def line(line_id: str, gross: int, *, quantity: int = 1, discount: int = 0, tax: int = 0, **rest: Any) -> OrderLine:
    return OrderLine(
        line_id=line_id, quantity=quantity, gross=money(gross), discount=money(discount), tax=money(tax), **rest
    )  # fmt: skip


def back(refund_id: str, at: datetime, lines: dict[str, int | None] | None = None, **values: Any) -> Refund:
    """A refund; `lines` gives the money per line, None for one piece of it."""
    items = tuple(
        RefundLine(line_id=key, quantity=1, subtotal=None if value is None else money(value))
        for key, value in (lines or {}).items()
    )
    amounts = {key: money(value) for key, value in values.items()}
    return Refund(refund_id=refund_id, occurred_at=at, lines=items, **amounts)


def order(*lines: OrderLine, **values: Any) -> OrderChangedV1:
    """A paid order of 100.00 unless told otherwise; integers become amounts."""
    lines = lines or (line("1", 10000),)
    nets = sum(item.gross.shop_minor - item.discount.shop_minor for item in lines)
    placed_at = values.pop("placed_at", T0)
    known: dict[str, Any] = {
        "program_id": "aurora", "member_id": ANN, "source": "shop", "order_id": "1", "revision": 1, "currency": "EUR",
        "presentment_currency": "EUR", "placed_at": placed_at, "paid_at": placed_at, "updated_at": placed_at,
        "recorded_at": placed_at, "payment": "paid", "lines": lines, "subtotal": nets,
    }  # fmt: skip
    known |= values
    known.setdefault("total", known["subtotal"])
    for name in ("subtotal", "total", "shipping", "tax", "tip", "gift_card_paid", "points_paid"):
        if isinstance(known.get(name), int):
            known[name] = money(known[name])
    return OrderChangedV1(**known)


def activity(kind: str, activity_id: str = "1", *, at: datetime = T0, **values: Any) -> ActivityRecordedV1:
    """A verified activity."""
    known = {
        "program_id": "aurora", "member_id": ANN, "source": "shop", "activity_id": activity_id, "kind": kind,
        "occurred_at": at, "recorded_at": at, "verified": True,
    }  # fmt: skip
    return ActivityRecordedV1.model_validate(known | values)


def enrolled(
    at: datetime = T0,
    *,
    version: int = 1,
    member_id: UUID = ANN,
    status: str = "member",
    recorded: datetime | None = None,
) -> MemberChangedV1:
    return MemberChangedV1.model_validate(
        {
            "program_id": "aurora",
            "member_id": member_id,
            "version": version,
            "status": status,
            "seen_at": at,
            "enrolled_at": at if status == "member" else None,
            "recorded_at": recorded or at,
        }
    )


def merge(loser: UUID, survivor: UUID, at: datetime, *, version: int = 2) -> MemberChangedV1:
    """One turns out to be the other."""
    event = enrolled(T0, version=version, member_id=loser, recorded=at)
    return event.model_copy(update={"merged_into": survivor})


def interval(
    tier_id: str, starts_at: datetime, *, order: str | None = None, until: datetime | None = None
) -> StandingInterval:
    return StandingInterval(tier_id=tier_id, starts_at=starts_at, starts_with=order, valid_until=until)


def standing(
    *intervals: StandingInterval, version: int = 1, at: datetime = T0, member_id: UUID = ANN
) -> StandingChangedV1:
    return StandingChangedV1(
        program_id="aurora", member_id=member_id, version=version, intervals=intervals, change="upgraded",
        from_tier_id="basic", to_tier_id="silver", tier_points=0, occurred_at=at, recorded_at=at,
    )  # fmt: skip


def confirmed(
    version: int = 1, *, role: str = "advocate", at: datetime = T0, member_id: UUID = ANN
) -> ReferralConfirmedV1:
    return ReferralConfirmedV1.model_validate(_referral(version, role, at, member_id) | {"order_minor": 5000})


def reversed_(
    version: int = 2, *, role: str = "advocate", at: datetime = T0, member_id: UUID = ANN
) -> ReferralReversedV1:
    return ReferralReversedV1.model_validate(_referral(version, role, at, member_id) | {"reason": "refunded"})


def _referral(version: int, role: str, at: datetime, member_id: UUID) -> dict[str, Any]:
    return {
        "program_id": "aurora", "member_id": member_id, "referral_id": derived_id(T0, "referral"), "version": version,
        "role": role, "advocate_id": ANN, "friend_id": BOB, "source": "shop", "order_id": "77", "order_revision": 1,
        "placed_at": T0, "occurred_at": at, "recorded_at": at,
    }  # fmt: skip


class Ledger(ledger.Ledger):
    """The core in memory, with questions that tests ask."""

    def __init__(self, *programs: Program) -> None:
        super().__init__(book(*(programs or (program(),))), "aurora", HANDLERS, T0)

    def account(self, member_id: UUID = ANN) -> Account:
        return super().account(member_id)

    def send(self, *events: Event) -> "Ledger":
        super().send(*events)
        return self

    def sweep(self, horizon: datetime) -> "Ledger":
        super().sweep(horizon)
        super().sweep(horizon)
        return self

    def buckets(self, member_id: UUID = ANN) -> tuple[int, int, int]:
        """Pending, active, owed."""
        account = self.account(member_id)
        self.check()
        return account.pending, account.active, account.deficit

    def granted(self) -> dict[str, dict[str, int]]:
        return {
            key.id: {rule: points for rule, points in found.granted.items() if points}
            for (_, key), found in sorted(self.world.claims.items())
            if key.kind == "order"
        }

    def check(self) -> None:
        """Everything adds up: transfers to balances, lots to buckets, claims to transfers, nothing below zero."""
        self._check_claims()
        for account in self.world.accounts.values():
            sums: dict[str, int] = {}
            for decision in account.decisions:
                for posting in decision.postings:
                    sums[posting.debit] = sums.get(posting.debit, 0) - posting.points
                    sums[posting.credit] = sums.get(posting.credit, 0) + posting.points
            keys = [decision.key for decision in account.decisions]
            assert len(set(keys)) == len(keys), "a decision is known by its key"
            assert sum(sums.values()) == 0
            assert sums.get("pending", 0) == account.pending >= 0
            assert sums.get("active", 0) == account.active >= 0
            assert -sums.get("deficit", 0) == account.deficit >= 0
            assert not (account.active and account.deficit)
            by_state = {"pending": 0, "active": 0, "ended": 0}
            for lot in account.lots.values():
                assert lot.remaining >= 0
                assert lot.expired >= 0
                assert not (lot.expires_at and lot.activates_at) or lot.activates_at <= lot.expires_at
                by_state[lot.state] += lot.remaining
            assert by_state == {"pending": account.pending, "active": account.active, "ended": 0}

    def check_told(self) -> None:
        """Each transfer is told by one event, each event has an id of its own, and the last tells what is there."""
        made = {
            item.transfer_id: (item.debit, item.credit, item.points)
            for account in self.world.accounts.values() for decision in account.decisions for item in decision.postings
        }  # fmt: skip
        events = [event for event in self.events() if isinstance(event, PointsEvent)]
        told = [(item.transfer_id, (item.debit, item.credit, item.points)) for event in events
                for item in event.transfers]  # fmt: skip
        assert dict(told) == made
        assert set(Counter(transfer_id for transfer_id, _ in told).values()) <= {1}
        assert set(Counter(event_id for (_, event_id, _), _ in self.world.outbox).values()) <= {1}
        for member_id, balances in {event.member_id: event.balances for event in events}.items():
            assert balances == self.world.accounts[member_id].balances()

    def _check_claims(self) -> None:
        """By order and rule, the transfers made what the claim says."""
        made: dict[tuple[str, str | None], int] = {}
        for account in self.world.accounts.values():
            for posting in (posting for decision in account.decisions for posting in decision.postings):
                sign = (posting.debit in ("source", "clawed_back")) - (posting.credit == "clawed_back")
                key = (str(posting.claim), posting.rule_id)
                made[key] = made.get(key, 0) + sign * posting.points
        claims = {
            (str(item.key), rule): points
            for item in self.world.claims.values()
            for rule, points in item.granted.items()
        }
        assert {key: points for key, points in made.items() if points} == {
            key: points for key, points in claims.items() if points
        }


def outcome(ledger: Ledger) -> tuple[object, ...]:
    """What must not depend on the order of deliveries."""
    return (ledger.granted(), ledger.buckets(), [item.base for item in _sorted_orders(ledger)])


def _sorted_orders(ledger: Ledger) -> Sequence[Claim]:
    return [found for (_, key), found in sorted(ledger.world.claims.items()) if key.kind == "order"]
