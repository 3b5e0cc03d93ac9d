"""What a decision tells the world: one event per kind and claim, with the transfers, and the balances after it.

Events are built from values that are valid already, so pydantic is not asked to check them again.
"""

from collections.abc import Callable, Mapping
from typing import Any

from contracts.ids import derived_id
from contracts.points import (
    BaseStep,
    Cause,
    OrderBase,
    PointsActivatedV1,
    PointsClawedBackV1,
    PointsEvent,
    PointsExpiredV1,
    PointsExpiringV1,
    PointsGrantedV1,
    PointsReinstatedV1,
    RuleShare,
    Transfer,
)

from .account import Account, Decision, Posting
from .calendar import told_expiry
from .claims import Claim
from .judging import Verdict
from .limits import Limited
from .world import Announcement, World


def announce_time(world: World, account: Account, decision: Decision) -> list[Announcement]:
    """What became active, will run out, and did while the account was advanced. The cause is the due moment."""
    events: list[Announcement] = []
    for kind, test in ((PointsActivatedV1, _activated), (PointsExpiredV1, _expired)):
        postings = [posting for posting in decision.postings if test(posting)]
        if postings:
            due = max(posting.effective_at for posting in postings)
            cause = Cause(kind="sweep", id=due.isoformat())
            values = common(world, account, decision, postings) | {"cause": cause, "occurred_at": due}
            events.append(announcement(kind.model_construct(**values)))
    events += [_expiring(world, account, decision, place) for place in range(len(decision.warned))]
    return events


def announce_revived(world: World, account: Account, decision: Decision) -> list[Announcement]:
    """What had run out and can be spent again: by hand, or by something that the member turns out to have done. It says
    when the first of it runs out anew.
    """
    lots = [account.lots[item.lot_id] for item in decision.postings if item.lot_id is not None and _revived(item)]
    if not lots:
        return []
    ends = min((lot.expires_at for lot in lots if lot.expires_at is not None), default=None)
    version = lots[0].program_version
    return [told(world, account, decision, PointsReinstatedV1, _revived, version, expires_at=ends)]


def _expiring(world: World, account: Account, decision: Decision, place: int) -> Announcement:
    notice = decision.warned[place]
    book = world.book(account.program_id, notice.lot.program_version)
    _, rule = book.terms(notice.lot.terms, notice.lot.claim.kind)
    told = told_expiry(notice.expires_at, rule.grace_days, book.zone)
    values = common(world, account, decision, [], notice.lot.program_version) | {
        "cause": Cause(kind="sweep", id=notice.at.isoformat()),
        "occurred_at": notice.at, "effective_at": notice.at, "points": notice.points,
        "days": max(1, round((told - notice.at).total_seconds() / 86_400)), "expires_at": told,
    }  # fmt: skip
    event = PointsExpiringV1.model_construct(**values)
    return event, derived_id(notice.at, event.TYPE, account.member_id, notice.lot.lot_id, notice.at), notice.at


def announce_claim(
    world: World, account: Account, decision: Decision, claim: Claim, verdict: Verdict, limited: Limited,
    old_base: tuple[BaseStep, ...], cause: Cause,
) -> list[Announcement]:  # fmt: skip
    """What a claim was granted or had taken back; also when only its base points changed."""
    own = [posting for posting in decision.postings if posting.claim == claim.key]
    taken = [posting for posting in own if posting.credit == "clawed_back"]
    granted = [posting for posting in own if posting.debit in ("source", "clawed_back")]
    base = _base(claim) if claim.key.kind == "order" and (claim.base or old_base) else None
    same = claim.base == old_base
    fell = base is not None and not same and old_base and base.steps[-1].base_points < old_base[-1].base_points
    assert claim.program_version is not None or not (taken or granted)
    more: dict[str, Any] = {
        "cause": cause, "claim_kind": claim.key.kind, "claim_id": claim.key.id, "base": base,
        "rules": rule_shares(verdict, limited, claim.granted),
    }  # fmt: skip
    events: list[Announcement] = []
    if taken or (fell and not granted):
        values = common(world, account, decision, taken, claim.program_version) | more
        events.append(announcement(PointsClawedBackV1.model_construct(**values), claim.key))
    if granted or not (same or taken or fell):
        pending = [account.lots[lot_id] for lot_id in claim.lots.values() if account.lots[lot_id].state == "pending"]
        activates_at = min((lot.activates_at for lot in pending if lot.activates_at is not None), default=None)
        values = common(world, account, decision, granted, claim.program_version) | more
        event = PointsGrantedV1.model_construct(**values, activates_at=activates_at)
        events.append(announcement(event, claim.key))
    return events


def rule_shares(verdict: Verdict, limited: Limited, granted: Mapping[str, int]) -> tuple[RuleShare, ...]:
    """What each rule makes of the claim as it stands."""
    return tuple(
        RuleShare.model_construct(
            rule_id=rule_id, wanted=points, granted=granted.get(rule_id, 0), cut_by=limited.cuts.get(rule_id, ()),
            lines=verdict.lines.get(rule_id),
        )
        for rule_id, points in verdict.wanted.items()
        if points
    )  # fmt: skip


def _activated(posting: Posting) -> bool:
    return posting.debit == "pending" and posting.credit not in ("clawed_back", "transferred")


def _expired(posting: Posting) -> bool:
    return posting.debit == "active" and posting.credit == "expired"


def is_waived(posting: Posting) -> bool:
    """Whether it forgives what was owed."""
    return (posting.debit, posting.credit) == ("waived", "deficit")


def _revived(posting: Posting) -> bool:
    return posting.debit == "expired" and posting.credit in ("active", "deficit")


def _base(claim: Claim) -> OrderBase:
    """The base points as they are now; an order that earns nothing counts for none."""
    steps = claim.base or (BaseStep.model_construct(acts_from=claim.at, base_points=0),)
    return OrderBase.model_construct(order=claim.order_ref(), steps=steps)


def announcement(event: PointsEvent, *facts: object) -> Announcement:
    """An event with its id: of the decision, and of what in it."""
    event_id = derived_id(event.occurred_at, event.TYPE, event.member_id, event.sequence, *facts)
    return event, event_id, event.occurred_at


def told(
    world: World, account: Account, decision: Decision, kind: type[PointsEvent], test: Callable[[Posting], bool],
    program_version: int, **values: Any,
) -> Announcement:  # fmt: skip
    """An event about those transfers of a decision that pass a test."""
    postings = [posting for posting in decision.postings if test(posting)]
    return announcement(
        kind.model_construct(**common(world, account, decision, postings, program_version), **values),
        values.get("coupon_id"),
    )


def common(
    world: World, account: Account, decision: Decision, postings: list[Posting], program_version: int | None = None
) -> dict[str, Any]:
    """The fields that all points events share. Several versions of the program: the newest is named."""
    version = max((posting.program_version for posting in postings), default=program_version)
    assert version is not None
    return {
        "program_id": account.program_id,
        "member_id": account.member_id,
        "program_version": version,
        "program_hash": world.programs.hash_of(account.program_id, version),
        "sequence": decision.sequence,
        "account_version": account.sequence,
        "occurred_at": decision.occurred_at,
        "effective_at": max((posting.effective_at for posting in postings), default=decision.effective_at),
        "cause": decision.cause,
        "transfers": tuple(_transfer(posting) for posting in postings),
        "points": sum(posting.points for posting in postings),
        "balances": account.balances(),
    }


def _transfer(posting: Posting) -> Transfer:
    return Transfer.model_construct(
        transfer_id=posting.transfer_id,
        debit=posting.debit,
        credit=posting.credit,
        points=posting.points,
        rule_id=posting.rule_id,
        lot_id=posting.lot_id,
        effective_at=posting.effective_at,
    )
