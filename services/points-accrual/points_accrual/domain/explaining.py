"""Why a claim has what it has: every rule of its version, applied or not, with the numbers that went in."""

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from functools import partial
from typing import Any

from contracts.activities import ActivityRecordedV1

from .amounts import Exact
from .claims import Claim, Member
from .conditions import Fits
from .earning import order_pieces, why_not
from .judging import Verdict, judge_activity, judge_order, lapsed_of, purchase_of, situation_of, why_not_order
from .limits import limited, pinned
from .lots import Lot
from .money import Counted
from .rulebook import TIER, Rulebook
from .weighing import Purchase, failing


def explain_order(claim: Claim, member: Member, book: Rulebook, lots: list[Lot]) -> dict[str, Any]:
    """An order: what counted, each rule, each campaign, the tier, the caps, and what became of the points."""
    situation, purchase = situation_of(member, claim, book), purchase_of(claim.facts, book)
    level = book.program.tiers.level(situation.tier_id)
    verdict = judge_order(member, claim, book)
    rule = partial(_rule, verdict, claim, _cuts(claim, book, verdict), book.unit)
    lapsed = lapsed_of(claim, book)
    found = order_pieces(purchase, situation, book.tiers[level.id], lapsed=lapsed)
    pieces = {piece.rule_id: piece.wanted for piece in found}
    rules = []
    for giver in [*book.rules, *book.campaigns]:
        placed, now = purchase.placed(giver.basis), purchase.current(giver.basis)
        reason = verdict.reason if not verdict.wanted else why_not_order(giver, purchase, situation)
        if reason is None and giver.terms in lapsed:
            reason = "never_fulfilled"
        rules.append(
            rule(giver.id, giver.kind, reason, pieces.get(giver.id, 0))
            | {
                "basis_placed_minor": number(_fitting(purchase, giver.fits, placed)),
                "basis_minor": number(_fitting(purchase, giver.fits, now)),
                "order_basis_minor": number(now.total),
                "lines": list(verdict.lines.get(giver.id) or ()) or None,
            }
        )
    if level.multiplier != 1:
        reason = verdict.reason if not verdict.wanted else "never_fulfilled" if "" in lapsed else None
        rules.append(rule(TIER, "multiplier", reason, pieces.get(TIER, 0)))
    common = _common(claim, book, verdict, lots, rules)
    tier = {"tier_id": level.id, "multiplier": str(level.multiplier)}
    return common | tier | {"base": [step.model_dump(mode="json") for step in claim.base]}


def _fitting(purchase: Purchase, fits: Fits | None, money: Counted) -> Exact:
    if fits is None:
        return money.total
    lines = zip(purchase.order.lines, money.lines, strict=True)
    return sum(value for line, value in lines if fits(line))


def explain_activity(claim: Claim, member: Member, book: Rulebook, lots: list[Lot]) -> dict[str, Any]:
    """An activity: each rule on activities of its kind, the caps, and what became of the points."""
    facts: ActivityRecordedV1 = claim.facts
    situation, verdict = situation_of(member, claim, book), judge_activity(member, claim, book)
    rule = partial(_rule, verdict, claim, _cuts(claim, book, verdict), book.unit)
    rules = []
    for giver in book.activities.get(facts.kind, ()):
        reason = verdict.reason if not verdict.wanted else why_not(giver, facts, situation)
        wanted = giver.rule.points * book.unit if reason is None else 0
        rules.append(rule(giver.rule.id, "activity", reason, wanted))
    for campaign in book.campaigns:
        if campaign.id in verdict.wanted:
            wanted = verdict.wanted[campaign.id] * book.unit
            rules.append(rule(campaign.id, campaign.kind, None, wanted))
        elif failing(campaign.tests, situation) is not None and campaign.multiplies & book.activity_rules:
            reason = failing(campaign.tests, situation)
            rules.append(rule(campaign.id, campaign.kind, reason, 0))
    return _common(claim, book, verdict, lots, rules)


def _cuts(claim: Claim, book: Rulebook, verdict: Verdict) -> dict[str, tuple[str, ...]]:
    """By rule, what cut it: the room that the claim was given is pinned, so nobody else's use is looked at."""
    return limited(claim, book, verdict, lambda *_: 0).cuts


def _rule(
    verdict: Verdict, claim: Claim, cuts: Mapping[str, tuple[str, ...]], unit: int, rule_id: str, kind: str,
    reason: str | None, wanted: Exact,
) -> dict[str, Any]:  # fmt: skip
    """One rule: what it wanted exactly and in whole points, what was granted, and what cut it."""
    return {
        "rule_id": rule_id,
        "kind": kind,
        "applied": reason is None and rule_id in verdict.wanted,
        "reason": reason,
        "exact": number(wanted, unit),
        "wanted": verdict.wanted.get(rule_id, 0),
        "granted": claim.granted.get(rule_id, 0),
        "cut_by": list(cuts.get(rule_id, ())),
    }


def _common(
    claim: Claim, book: Rulebook, verdict: Verdict, lots: list[Lot], rules: list[dict[str, Any]]
) -> dict[str, Any]:
    taken = sum(taking.points for lot in lots for taking in lot.takings)
    return {
        "reason": claim.reason,
        "rules": rules,
        "rounding": book.program.earning.rounding,
        "wanted": sum(verdict.wanted.values()),
        "granted": claim.total,
        "granted_at_most": claim.total + taken,
        "clawed_back": taken,
        "caps": [
            {"name": name, "window": window, "asked": asked, "allowed": allowed}
            for name, (window, asked, allowed) in sorted(pinned(claim).items())
        ],
        "lots": [describe_lot(lot) for lot in lots],
    }


def describe_lot(lot: Lot) -> dict[str, Any]:
    """A lot, with what was taken back of its claim and from where."""
    return {
        "lot_id": lot.lot_id,
        "claim_kind": lot.claim.kind,
        "claim_id": lot.claim.id,
        "terms": lot.terms or None,
        "state": lot.state,
        "remaining": lot.remaining,
        "expired": lot.expired,
        "activates_at": lot.activates_at,
        "expires_at": lot.expires_at,
        "clawed_back": [
            {"from": taking.kind, "points": taking.points, "lot_id": taking.lot_id} for taking in lot.takings
        ],
    }


def number(value: Exact, unit: int = 1) -> str:
    """An exact amount, in `unit`-ths, as people read it, to six decimals."""
    exact = Fraction(value) / unit
    if exact.denominator == 1:
        return str(exact.numerator)
    ratio = Decimal(exact.numerator) / exact.denominator
    return f"{ratio.quantize(Decimal('0.000001')):f}".rstrip("0").rstrip(".")
