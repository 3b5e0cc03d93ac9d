"""What a claim should have now, and why: a function of the newest facts, the member, and the version that judges it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from contracts.activities import ActivityRecordedV1
from contracts.orders import OrderFacts, Refund
from contracts.points import BaseStep

from .amounts import Exact, rounded, rounded_apart
from .claims import Claim, Counts, Member
from .conditions import Situation
from .counting import activity_counts, order_counts
from .earning import activity_pieces, order_pieces
from .money import PAID, is_gone, returns
from .rulebook import REFERRAL, Giver, Rulebook
from .standing import memberships_at, points_at, tier_at
from .terms import due
from .weighing import Multiple, Piece, Purchase, applies, failing


@dataclass(slots=True)
class Verdict:
    """What a claim should have now."""

    reason: str | None = None
    """Why it should have nothing."""
    wanted: dict[str, int] = field(default_factory=dict)
    """Whole points by rule, before caps."""
    lines: dict[str, tuple[str, ...] | None] = field(default_factory=dict)
    """Which lines a rule counted; None: all."""
    multiples: dict[str, Multiple] = field(default_factory=dict)
    """Of what multiplies, where a ceiling may cut what it multiplies."""
    base: tuple[BaseStep, ...] = ()
    counts: Counts = field(default_factory=dict)


def situation_of(member: Member, claim: Claim, book: Rulebook) -> Situation:
    """What conditions may ask of an order or activity. People are as they were pinned, if they were."""
    level = book.program.tiers.level(tier_at(member.intervals, claim.at, claim.key.id))
    situation = Situation(claim.at, book.zone, level.id)
    situation.memberships = memberships_at(member.memberships, claim.at)
    situation.segments = frozenset(claim.pins.get("segments", ()))
    situation.attributes = claim.pins.get("attributes")
    situation.birthday = claim.pins.get("birthday", member.birthday)
    situation.source = claim.key.id.partition(":")[0]
    if claim.key.kind == "order":
        facts: OrderFacts = claim.facts
        situation.currency, situation.country = facts.presentment_currency, facts.country
        situation.channel = facts.channel
    return situation


def ineligible(member: Member, claim: Claim, book: Rulebook) -> str | None:
    """Why an order or activity earns nothing whatever the rules say; None when it may earn."""
    earning = book.program.earning
    if claim.key.kind == "order":
        facts: OrderFacts = claim.facts
        if facts.test and not earning.test_orders:
            return "test_order"
        if facts.currency != book.program.currency:
            return "other_currency"
        if facts.payment not in PAID:
            return "not_paid"
    if claim.first_recorded_at - claim.at > timedelta(days=earning.max_age_days):
        return "too_old"
    if member.status != "member":
        return "not_a_member"
    window = timedelta(days=book.program.enrolment.window_days)
    if member.enrolled_at is not None and member.enrolled_at - claim.at > window:
        return "outside_enrolment_window"
    return None


def judge_order(member: Member, claim: Claim, book: Rulebook, *, before: datetime | None = None) -> Verdict:
    """The cumulative target of an order: the sum over its rules as it stands now, rounded once, then split.

    `before` leaves out refunds, disputes and a cancellation that happened at or after that moment.
    """
    reason = ineligible(member, claim, book)
    if reason:
        return Verdict(reason)
    facts, situation = claim.facts, situation_of(member, claim, book)
    purchase = purchase_of(facts, book, before)
    multiplier = book.tiers[situation.tier_id]
    lapsed = lapsed_of(claim, book)
    pieces = order_pieces(purchase, situation, multiplier, lapsed=lapsed)
    verdict = _rounded(pieces, book)
    known = book.all_base and multiplier >= 0 and not lapsed
    plain = sum(piece.wanted for piece in pieces if piece.base) if known else None
    without = _uncounted(purchase, situation, lapsed) if lapsed else frozenset()
    steps = base_steps(purchase, situation, without, plain)
    verdict.base = steps if steps[0].base_points else ()
    verdict.counts = order_counts(purchase, situation) if book.goals else {}
    if not any(verdict.wanted.values()):
        verdict.reason = _worthless(claim, purchase, pieces, situation)
    return verdict


def purchase_of(facts: OrderFacts, book: Rulebook, before: datetime | None = None) -> Purchase:
    """An order with what came back of it."""
    back = returns(facts, book.program.earning.disputes)
    if before is not None:
        back = tuple(refund for refund in back if refund.occurred_at < before)
    return Purchase(facts, book, back, is_gone(facts, before))


def _rounded(pieces: list[Piece], book: Rulebook) -> Verdict:
    split = rounded_apart([piece.wanted for piece in pieces], book.program.earning.rounding, book.unit)
    wanted = {piece.rule_id: part for piece, part in zip(pieces, split, strict=True)}
    verdict = Verdict(wanted=wanted, lines={piece.rule_id: piece.lines for piece in pieces})
    if book.apart:
        verdict.multiples = {piece.rule_id: piece.multiple for piece in pieces if piece.multiple is not None}
    return verdict


def lapsed_of(claim: Claim, book: Rulebook) -> dict[str, datetime]:
    """The terms whose time for fulfilment ran out, and when: told when the time came, and untrue again if fulfilment
    in time is learnt later, or a payment that gives more time.
    """
    found: dict[str, datetime] = {}
    for terms, told in claim.pins.get("lapsed", {}).items():
        _, deadline = due(claim, book, terms)
        if deadline is not None and deadline <= datetime.fromisoformat(told):
            found[terms] = deadline
    return found


def _worthless(claim: Claim, purchase: Purchase, pieces: list[Piece], situation: Situation) -> str:
    """Why an order that may earn has no points."""
    facts: OrderFacts = claim.facts
    if facts.cancelled_at is not None:
        return "cancelled"
    if purchase.back or facts.payment == "refunded":
        return "refunded"
    if claim.pins.get("lapsed"):
        return "never_fulfilled"
    if pieces:
        return "nothing_counts"
    whys = {why_not_order(giver, purchase, situation) for giver in purchase.book.rules}
    return whys.pop() or "no_rule_applies" if len(whys) == 1 else "no_rule_applies"


def why_not_order(giver: Giver, purchase: Purchase, situation: Situation) -> str | None:
    """Why a rule does not apply to an order as placed; None when it does."""
    failed = failing(giver.tests, situation)
    if failed:
        return failed
    found = applies(giver, purchase)
    return found if isinstance(found, str) else None


def _uncounted(purchase: Purchase, situation: Situation, lapsed: Mapping[str, datetime]) -> frozenset[str]:
    """The terms whose base points never count: their time ran out. What was gone before that counted until it was."""
    every = frozenset(giver.terms for giver in purchase.book.rules)
    found = set()
    for terms, deadline in lapsed.items():
        steps = base_steps(purchase, situation, every - {terms})
        if points_at(steps, max(deadline, steps[0].acts_from)):
            found.add(terms)
    return frozenset(found)


def base_steps(
    purchase: Purchase, situation: Situation, without: frozenset[str] = frozenset(), plain: Exact | None = None
) -> tuple[BaseStep, ...]:
    """The base points of a paid order over time: as placed, lower from the moment of each refund, 0 when cancelled.

    Base points know no multiplier. What is dated before the order acts from the order's own moment. `without`: terms
    whose rules do not count. `plain`: what base rules give for the order as it stands, in units, where that is known.
    """
    order, rounding = purchase.order, purchase.book.program.earning.rounding
    if not purchase.back and not purchase.gone:
        exact = _base(purchase, situation, without) if plain is None else plain
        base = rounded(exact, rounding, purchase.book.unit)
        return (BaseStep.model_construct(acts_from=order.placed_at, base_points=base),)
    moments = {refund.occurred_at for refund in purchase.back}
    if order.cancelled_at is not None:
        moments.add(order.cancelled_at)
    steps = [BaseStep(acts_from=order.placed_at, base_points=_base_at(purchase, situation, without, (), gone=False))]
    for moment in sorted(moments):
        known = tuple(refund for refund in purchase.back if refund.occurred_at <= moment)
        gone = order.cancelled_at is not None and order.cancelled_at <= moment
        _step_down(steps, moment, _base_at(purchase, situation, without, known, gone=gone))
    if purchase.gone:
        _step_down(steps, max(moments, default=order.updated_at), 0)
    return tuple(steps)


def _base_at(
    purchase: Purchase, situation: Situation, without: frozenset[str], back: Sequence[Refund], *, gone: bool
) -> int:
    exact = _base(Purchase(purchase.order, purchase.book, tuple(back), gone), situation, without)
    return rounded(exact, purchase.book.program.earning.rounding, purchase.book.unit)


def _base(purchase: Purchase, situation: Situation, without: frozenset[str]) -> Exact:
    pieces = order_pieces(purchase, situation, 0, base_only=True)
    return sum(piece.wanted for piece in pieces if piece.terms not in without)


def _step_down(steps: list[BaseStep], moment: datetime, points: int) -> None:
    """Add a step, if it is one; base points never rise again."""
    last = steps[-1]
    if points >= last.base_points:
        return
    if moment <= last.acts_from:
        steps.pop()
        moment = last.acts_from
    steps.append(BaseStep(acts_from=moment, base_points=points))


def judge_activity(member: Member, claim: Claim, book: Rulebook) -> Verdict:
    """What an activity should have: nothing once it was revoked."""
    facts: ActivityRecordedV1 = claim.facts
    if facts.revoked_at is not None:
        return Verdict("revoked")
    reason = ineligible(member, claim, book)
    if reason:
        return Verdict(reason)
    situation = situation_of(member, claim, book)
    pieces = activity_pieces(facts, book, situation)
    verdict = _rounded(pieces, book)
    verdict.counts = activity_counts(facts, book, situation) if book.goals else {}
    if not any(verdict.wanted.values()):
        verdict.reason = "no_rule_applies"
    return verdict


def judge_referral(member: Member, claim: Claim, book: Rulebook) -> Verdict:
    """The fixed target of one party: nothing when reversed, and nothing yet for who has not enrolled."""
    rule = book.program.referral
    if not claim.detail["confirmed"]:
        return Verdict("reversed")
    if rule is None:
        return Verdict("no_referral_reward")
    if member.status != "member":
        return Verdict("not_a_member")
    points = rule.advocate_points if claim.key.id.endswith(":advocate") else rule.friend_points
    return Verdict(None if points else "no_referral_reward", {REFERRAL: points})


def judge_given(member: Member, claim: Claim, book: Rulebook) -> Verdict:  # noqa: ARG001 - all judges are alike
    """What was fixed when it was given: days of the member's life, and challenges as long as they are reached."""
    wanted: dict[str, Any] = claim.detail.get("wanted", {})
    return Verdict(None if any(wanted.values()) else "not_reached", dict(wanted))


JUDGES = {
    "order": judge_order,
    "activity": judge_activity,
    "referral": judge_referral,
    "date": judge_given,
    "challenge": judge_given,
}
