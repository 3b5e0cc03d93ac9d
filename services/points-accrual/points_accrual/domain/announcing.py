"""What a decision tells the world: one event per kind, with the transfers, and the balances after it."""

from collections.abc import Callable
from datetime import datetime
from typing import Any
from uuid import UUID

from contracts.base import Event
from contracts.ids import derived_id
from contracts.points import (
    BaseStep,
    Cause,
    OrderBase,
    PointsActivatedV1,
    PointsClawedBackV1,
    PointsEvent,
    PointsExpiredV1,
    PointsGrantedV1,
    PointsRedeemedV1,
    Transfer,
)

from .account import Account, Decision, Posting
from .claims import Order, Referral

HashOf = Callable[[str, int], str]
"""The hash of a program's version."""
Announcement = tuple[Event, UUID, datetime]
"""The event, its id, and when it happened."""


def announce_time(account: Account, decision: Decision, hash_of: HashOf) -> list[Announcement]:
    """What became active and what ran out while the account was advanced. Their cause is their due moment."""
    events: list[Announcement] = []
    for kind, test in ((PointsActivatedV1, _activated), (PointsExpiredV1, _expired)):
        postings = [posting for posting in decision.postings if test(posting)]
        if postings:
            due = max(posting.effective_at for posting in postings)
            cause = Cause(kind="sweep", id=due.isoformat())
            common = _common(account, decision, postings, hash_of) | {"cause": cause, "occurred_at": due}
            events.append(_announcement(kind(**common)))
    return events


def announce_claim(
    account: Account, decision: Decision, claim: Order | Referral, old_base: tuple[BaseStep, ...], hash_of: HashOf
) -> list[Announcement]:
    """What an order or referral was granted or had taken back; also when only its base points changed."""
    taken = [posting for posting in decision.postings if posting.credit == "clawed_back"]
    granted = [posting for posting in decision.postings if posting.debit in ("source", "clawed_back")]
    base = _base(claim) if isinstance(claim, Order) and (claim.base or old_base) else None
    same = not isinstance(claim, Order) or claim.base == old_base
    fell = base is not None and not same and old_base and base.steps[-1].base_points < old_base[-1].base_points
    assert claim.program_version is not None or not (taken or granted)
    events: list[Announcement] = []
    if taken or (fell and not granted):
        common = _common(account, decision, taken, hash_of, claim)
        events.append(_announcement(PointsClawedBackV1(**common, base=base)))
    if granted or not (same or taken or fell):
        lot = account.lots[claim.lot_id] if claim.lot_id else None
        activates_at = lot.activates_at if lot and lot.state == "pending" else None
        common = _common(account, decision, granted, hash_of, claim)
        events.append(_announcement(PointsGrantedV1(**common, base=base, activates_at=activates_at)))
    return events


def announce_redemption(
    account: Account, decision: Decision, reward_id: str, coupon_id: UUID, hash_of: HashOf
) -> Announcement:
    """Points were spent."""
    postings = [posting for posting in decision.postings if posting.credit == "redeemed"]
    common = _common(account, decision, postings, hash_of)
    return _announcement(PointsRedeemedV1(**common, reward_id=reward_id, coupon_id=coupon_id))


def _activated(posting: Posting) -> bool:
    return posting.debit == "pending" and posting.credit != "clawed_back"


def _expired(posting: Posting) -> bool:
    return posting.debit == "active" and posting.credit == "expired"


def _base(order: Order) -> OrderBase:
    """The base points as they are now; an order that earns nothing counts for none."""
    steps = order.base or (BaseStep(acts_from=order.placed_at, base_points=0),)
    return OrderBase(order=order.ref(), steps=steps)


def _announcement(event: PointsEvent) -> Announcement:
    event_id = derived_id(event.occurred_at, event.TYPE, event.member_id, event.sequence)
    return event, event_id, event.occurred_at


def _common(
    account: Account,
    decision: Decision,
    postings: list[Posting],
    hash_of: HashOf,
    claim: Order | Referral | None = None,
) -> dict[str, Any]:
    """The fields that all points events share. Several versions of the program: the newest is named."""
    version = max((posting.program_version for posting in postings), default=claim.program_version if claim else None)
    assert version is not None
    return {
        "program_id": account.program_id,
        "member_id": account.member_id,
        "program_version": version,
        "program_hash": hash_of(account.program_id, version),
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
    return Transfer(
        transfer_id=posting.transfer_id,
        debit=posting.debit,
        credit=posting.credit,
        points=posting.points,
        rule_id=posting.rule_id,
        lot_id=posting.lot_id,
        effective_at=posting.effective_at,
    )
