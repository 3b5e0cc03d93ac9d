"""Posting the difference between what a claim should have and has."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

from .account import Account
from .claims import Claim, Member
from .clawback import Policy, lower_by, raise_by
from .judging import Verdict, judge_order
from .lots import Lot
from .rulebook import Rulebook
from .terms import date, open_lot
from .world import World


def settle(
    world: World,
    account: Account,
    member: Member,
    claim: Claim,
    book: Rulebook,
    verdict: Verdict,
    granted: Mapping[str, int],
    at: datetime,
) -> None:
    """Post the difference within the open decision. Rules that lose come before rules that gain, by their ids."""
    lots = {terms: account.lots[lot_id] for terms, lot_id in claim.lots.items()}
    for lot in lots.values():
        if lot.program_version != book.program.version:
            lot.program_version = book.program.version
            account.touched.add(lot.lot_id)
        if lot.state == "pending" and claim.key.kind == "order":
            # Points that are still pending follow what is known of the payment; what is active keeps its dates.
            date(account, lot, claim, book, at)
            account.touched.add(lot.lot_id)
    changes = {
        rule_id: granted.get(rule_id, 0) - claim.granted.get(rule_id, 0)
        for rule_id in sorted({*claim.granted, *granted})
    }
    policy: Policy = "own" if claim.key.kind == "challenge" else book.program.earning.clawback
    in_time = {lot.lot_id: _in_time(lot, claim, member, book, verdict, policy) for lot in lots.values()}
    strays = _strays(lots, changes, book)
    for rule_id, change in changes.items():
        for lot, points in _places(lots, strays, book.terms_of(rule_id), -change):
            lower_by(account, lot, points, rule_id=rule_id, policy=policy, in_time=in_time[lot.lot_id], at=at)
            in_time[lot.lot_id] = max(0, in_time[lot.lot_id] - points)
    for rule_id, change in changes.items():
        if change > 0:
            terms = book.terms_of(rule_id)
            if terms not in lots:
                lots[terms] = open_lot(account, claim, book, terms, at)
            raise_by(world, account, lots[terms], change, rule_id=rule_id, at=at)
    claim.granted = {**dict.fromkeys(claim.granted, 0), **granted}


def _strays(lots: Mapping[str, Lot], rules: Iterable[str], book: Rulebook) -> list[Lot]:
    """Lots on terms that none of the rules has by this version: an earlier one put points there."""
    known = {book.terms_of(rule_id) for rule_id in rules} if len(lots) > 1 else lots.keys()
    return [lot for terms, lot in sorted(lots.items()) if terms not in known]


def _places(lots: dict[str, Lot], strays: list[Lot], terms: str, points: int) -> Iterator[tuple[Lot, int]]:
    """Where so many points of a rule are taken back: where they belong, but for what only strays still have of them."""
    if points <= 0:
        return
    home = _home(lots, terms)
    left = points - home.remaining - home.expired
    for lot in strays:
        part = min(left, lot.remaining + lot.expired)
        if part > 0 and lot is not home:
            left, points = left - part, points - part
            yield lot, part
    if points:
        yield home, points


def _home(lots: dict[str, Lot], terms: str) -> Lot:
    """The lot that a rule's points are in; of a rule that another version of the program knew, any of the claim."""
    return lots[terms] if terms in lots else lots[min(lots)]


def _in_time(lot: Lot, claim: Claim, member: Member, book: Rulebook, verdict: Verdict, policy: Policy) -> int:
    """How many points should never have become active: the policy that takes only pending points takes these too.

    Every cause but a refund or cancellation is judged as if it had been known in time; these count by their own time
    against the activation.
    """
    if policy != "only_pending" or lot.state == "pending" or lot.activates_at is None:
        return 0
    waived = sum(taking.points for taking in lot.takings if taking.kind == "waived")
    booked = waived + sum(
        points for rule_id, points in claim.granted.items() if book.terms_of(rule_id) == lot.terms
    )  # fmt: skip
    if claim.key.kind == "order" and not verdict.wanted:
        return booked
    if claim.key.kind == "order":
        earlier = judge_order(member, claim, book, before=lot.activates_at).wanted
        return max(0, booked - sum(points for rule, points in earlier.items() if book.terms_of(rule) == lot.terms))
    if claim.key.kind == "activity":
        revoked: datetime | None = claim.facts.revoked_at
        return booked if revoked is None or revoked < lot.activates_at else 0
    return 0
