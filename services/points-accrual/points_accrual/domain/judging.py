"""What an order or referral should have, why, and the posting of the difference to what it was granted."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from contracts.ids import derived_id
from contracts.points import BaseStep
from contracts.program import Program

from .account import Account, Lot
from .amounts import Exact
from .calendar import activation, expiry
from .claims import Claim, Member, Order, Referral
from .clawback import lower_by, raise_by
from .earning import PAID, Entitlement, base_steps, entitlement
from .standing import tier_at

REFERRAL_RULE = "referral"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a claim should have now, by rule."""

    reason: str | None
    target: dict[str, int]
    explanation: dict[str, Any]
    base: tuple[BaseStep, ...] = ()

    def settles(self, claim: Claim) -> bool:
        """Nothing would change."""
        base = claim.base if isinstance(claim, Order) else ()
        return (claim.reason, _positive(claim.granted), claim.explanation, base) == (
            self.reason, _positive(self.target), self.explanation, self.base
        )  # fmt: skip


def _positive(points: dict[str, int]) -> dict[str, int]:
    return {rule_id: value for rule_id, value in points.items() if value}


def judge_order(member: Member, order: Order, program: Program | None) -> Verdict:
    """The cumulative target of an order under the version pinned for it (None: there is none in force)."""
    if program is None:
        return Verdict("no_program_in_force", {}, {})
    tier_id = tier_at(member.intervals, order.placed_at, str(order.origin))
    level = program.tiers.level(tier_id)
    explanation: dict[str, Any] = {"tier_id": level.id, "multiplier": str(level.multiplier)}
    reason = _ineligible(member, order, program)
    if reason:
        return Verdict(reason, {}, explanation)
    due = entitlement(order.facts, program, level.multiplier)
    explanation |= {"exact": _text(due.exact), "points": due.points, "rules": _rules(due)}
    steps = base_steps(order.facts, program, due)
    base = steps if steps[0].base_points else ()
    return Verdict(None if due.points else _worthless(order, due), due.by_rule, explanation, base)


def _ineligible(member: Member, order: Order, program: Program) -> str | None:
    """Why an order earns nothing whatever is in it; None when it may earn."""
    facts, earning = order.facts, program.earning
    if facts.test and not earning.test_orders:
        return "test_order"
    if facts.currency != program.currency:
        return "other_currency"
    if facts.payment not in PAID:
        return "not_paid"
    if order.first_recorded_at - order.placed_at > timedelta(days=earning.max_age_days):
        return "too_old"
    if member.status != "member":
        return "not_a_member"
    window = timedelta(days=program.enrolment.window_days)
    if member.enrolled_at is not None and member.enrolled_at - order.placed_at > window:
        return "outside_enrolment_window"
    return None


def _worthless(order: Order, due: Entitlement) -> str:
    """Why an order that may earn has no points."""
    if order.facts.cancelled_at is not None:
        return "cancelled"
    if order.facts.refunds or order.facts.payment == "refunded":
        return "refunded"
    return "below_minimum" if any(share.placed_minor for share in due.shares) else "nothing_counts"


def _rules(due: Entitlement) -> list[dict[str, Any]]:
    return [
        {
            "rule_id": share.rule_id,
            "basis_placed_minor": _text(share.placed_minor),
            "basis_minor": _text(share.now_minor),
            "wanted": _text(share.points),
            "points": due.by_rule[share.rule_id],
        }
        for share in due.shares
    ]


def _text(value: Exact) -> str:
    """An exact amount as people read it, to six decimals."""
    if isinstance(value, int) or value.denominator == 1:
        return str(int(value))
    return f"{(Decimal(value.numerator) / value.denominator).quantize(Decimal('0.000001')):f}".rstrip("0").rstrip(".")


def judge_referral(member: Member, referral: Referral, program: Program | None) -> Verdict:
    """The fixed target of one party: nothing when reversed, and nothing yet for who has not enrolled."""
    if program is None:
        return Verdict("no_program_in_force", {}, {})
    if not referral.confirmed:
        return Verdict("reversed", {}, {})
    if program.referral is None:
        return Verdict("no_referral_reward", {}, {})
    if member.status != "member":
        return Verdict("not_a_member", {}, {})
    advocate = referral.origin.role == "advocate"
    points = program.referral.advocate_points if advocate else program.referral.friend_points
    return Verdict(None if points else "no_referral_reward", {REFERRAL_RULE: points}, {"points": points})


def settle(account: Account, claim: Order | Referral, program: Program | None, verdict: Verdict, at: datetime) -> None:
    """Post the difference between what the claim should have and has, within the open decision.

    Rules that lose come before rules that gain, in the order of their ids.
    """
    claim.changed = True
    claim.reason, claim.explanation = verdict.reason, verdict.explanation
    if isinstance(claim, Order):
        claim.base = verdict.base
    if program is None:
        return
    lot = account.lots[claim.lot_id] if claim.lot_id else None
    if lot:
        lot.program_version = program.version
        _redate(account, lot, claim, program, at)
    changes = [
        (rule_id, verdict.target.get(rule_id, 0) - claim.granted.get(rule_id, 0))
        for rule_id in sorted({*claim.granted, *verdict.target})
    ]
    if lot:
        in_time = _in_time(lot, claim, program, verdict)
        for rule_id, change in changes:
            if change < 0:
                policy = program.earning.clawback
                lower_by(account, lot, -change, rule_id=rule_id, policy=policy, in_time=in_time, at=at)
                in_time = max(0, in_time + change)
    for rule_id, change in changes:
        if change > 0:
            lot = lot or _open(account, claim, program, at)
            raise_by(account, lot, change, rule_id=rule_id, at=at)
    claim.granted = {**dict.fromkeys(claim.granted, 0), **verdict.target}


def _due(claim: Order | Referral, program: Program, at: datetime) -> datetime:
    """When the points of a claim become active: those of a referral at once."""
    if isinstance(claim, Referral):
        return at
    paid_at = claim.facts.paid_at or claim.placed_at
    return activation(paid_at, program.earning.pending_days, program.time_zone)


def _open(account: Account, claim: Order | Referral, program: Program, at: datetime) -> Lot:
    """The lot of a claim, posted for the first time. After its due activation it is active at once, and keeps its
    length of validity from then: it is never born expired.
    """
    lot_id = derived_id(at, "lot", account.member_id, claim.origin)
    active_at = max(_due(claim, program, at), at)
    expires_at = expiry(active_at, program.earning.validity_months, program.time_zone)
    lot = Lot(lot_id, claim.origin, program.version, at, active_at, expires_at)
    if active_at <= at:
        lot.state = "active"
    account.lots[lot_id] = lot
    claim.lot_id = lot_id
    return lot


def _redate(account: Account, lot: Lot, claim: Order | Referral, program: Program, at: datetime) -> None:
    """Points that are still pending follow what is known of the payment; what is active keeps the dates it was told."""
    if lot.state != "pending" or isinstance(claim, Referral):
        return
    lot.activates_at = max(_due(claim, program, at), at)
    lot.expires_at = expiry(lot.activates_at, program.earning.validity_months, program.time_zone)
    account.touched.add(lot.lot_id)


def _in_time(lot: Lot, claim: Order | Referral, program: Program, verdict: Verdict) -> int:
    """How many points should never have become active: a policy treats them as pending.

    Every cause but a refund or cancellation is judged as if it had been known in time; these count by their own time
    against the activation.
    """
    booked = sum(claim.granted.values()) + sum(taking.points for taking in lot.takings if taking.kind == "waived")
    if program.earning.clawback != "only_pending" or lot.state == "pending" or isinstance(claim, Referral):
        return 0
    if "rules" not in verdict.explanation:
        return booked
    multiplier = Decimal(verdict.explanation["multiplier"])
    return max(0, booked - entitlement(claim.facts, program, multiplier, before=lot.activates_at).points)
