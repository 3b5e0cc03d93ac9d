"""One order, one document: facts join in any order, any number of times, in any grouping, to the same state."""

import hashlib
import re
from collections.abc import Iterable
from datetime import datetime
from typing import TypeVar

from contracts.base import EARLIEST, Instant, Model
from contracts.orders import Dispute, OrderLine, Refund
from contracts.program import ProgramBook

from .facts import LooseDispute, LooseRefund, Scale, Snapshot, contested, earliest, settle

_AnyDispute = TypeVar("_AnyDispute", Dispute, LooseDispute)

_PAYMENT_RANKS = {
    "pending": 0,
    "authorized": 1,
    "voided": 2,
    "partially_paid": 3,
    "paid": 4,
    "partially_refunded": 5,
    "refunded": 6,
}


READING = 1
"""Raised whenever an adapter is mended so that it reads the same delivery otherwise: what is read again then counts.
States from before this number have none; what was taken over after a restore counts as read by now."""


class Rank(Model):
    """How much a snapshot counts: the platform's version, its time, how far it got, how it was read, and its content
    or the revision it was published at."""

    version: int
    updated_at: Instant
    progress: int
    """A tie in time never takes back a payment or a cancellation."""
    reading: int = 0
    digest: str

    def key(self) -> tuple[int, Instant, int, int, str]:
        return self.version, self.updated_at, self.progress, self.reading, self.digest


class SeenLine(Model):
    """A line and the rank of the snapshot that told it."""

    line: OrderLine
    rank: Rank


class SeenRefund(Model):
    """A refund and the rank of the snapshot that told it."""

    refund: Refund
    rank: Rank


class SeenDispute(Model):
    """What snapshots say of a dispute together, and the rank of the one that told its amount."""

    dispute: Dispute
    rank: Rank


class OrderState(Model):
    """All that is known of an order. A join semilattice: `join` is commutative, associative and idempotent."""

    latest: Snapshot | None = None
    rank: Rank | None = None
    """Of `latest`."""
    placed_at: Instant | None = None
    paid_at: Instant | None = None
    fulfilled_at: Instant | None = None
    cancelled_at: Instant | None = None
    lines: tuple[SeenLine, ...] = ()
    refunds: tuple[SeenRefund, ...] = ()
    loose: tuple[LooseRefund, ...] = ()
    """Refunds told alone; they wait here for their order, and for its currency."""
    disputes: tuple[SeenDispute, ...] = ()
    loose_disputes: tuple[LooseDispute, ...] = ()
    """Disputes told alone."""


EMPTY = OrderState()


def of_snapshot(snapshot: Snapshot, reading: int = READING) -> OrderState:
    """The state that one snapshot alone makes. `reading`: how its adapter read then."""
    return _of(snapshot, reading, digest(snapshot))


def of_published(order: Snapshot, revision: int) -> OrderState:
    """The state of an order that was published at this revision: it counts before the facts that it was made of, and
    before earlier revisions, also where these tie in all that facts are compared by.
    """
    return _of(order, READING, f"~{revision:019}")  # Greater than all digests, which are hexadecimal.


def _of(snapshot: Snapshot, reading: int, last: str) -> OrderState:
    rank = Rank(
        version=snapshot.version,
        updated_at=snapshot.updated_at,
        progress=_PAYMENT_RANKS[snapshot.payment] * 4
        + 2 * (snapshot.cancelled_at is not None)
        + (snapshot.fulfilled_at is not None),
        reading=reading,
        digest=last,
    )
    return OrderState(
        latest=snapshot,
        rank=rank,
        placed_at=snapshot.placed_at,
        paid_at=snapshot.paid_at,
        fulfilled_at=snapshot.fulfilled_at,
        cancelled_at=snapshot.cancelled_at,
        lines=_sorted_lines(SeenLine(line=line, rank=rank) for line in snapshot.lines),
        refunds=_sorted_refunds(SeenRefund(refund=refund, rank=rank) for refund in snapshot.refunds),
        disputes=_sorted_disputes(SeenDispute(dispute=dispute, rank=rank) for dispute in snapshot.disputes),
    )


def of_refund(refund: LooseRefund) -> OrderState:
    """The state that one refund alone makes."""
    return OrderState(loose=(refund,))


def of_dispute(dispute: LooseDispute) -> OrderState:
    """The state that one dispute alone makes."""
    return OrderState(loose_disputes=(dispute,))


def join(one: OrderState, other: OrderState) -> OrderState:
    """What both know together."""
    newest = max((one, other), key=lambda state: (state.rank is not None, state.rank.key() if state.rank else ()))
    return OrderState(
        latest=newest.latest,
        rank=newest.rank,
        placed_at=earliest(one.placed_at, other.placed_at),
        paid_at=earliest(one.paid_at, other.paid_at),
        fulfilled_at=earliest(one.fulfilled_at, other.fulfilled_at),
        cancelled_at=earliest(one.cancelled_at, other.cancelled_at),
        lines=_sorted_lines((*one.lines, *other.lines)),
        refunds=_sorted_refunds((*one.refunds, *other.refunds)),
        loose=_sorted_loose((*one.loose, *other.loose)),
        disputes=_sorted_disputes((*one.disputes, *other.disputes)),
        loose_disputes=_sorted_loose_disputes((*one.loose_disputes, *other.loose_disputes)),
    )


def _sorted_lines(seen: Iterable[SeenLine]) -> tuple[SeenLine, ...]:
    """Each line with the greatest quantity ever ordered; among equals as the highest rank told it."""
    best: dict[str, SeenLine] = {}
    for item in seen:
        known = best.setdefault(item.line.line_id, item)
        if (item.line.quantity, item.rank.key()) > (known.line.quantity, known.rank.key()):
            best[item.line.line_id] = item
    return tuple(best[line_id] for line_id in sorted(best))


def _sorted_refunds(seen: Iterable[SeenRefund]) -> tuple[SeenRefund, ...]:
    best: dict[str, SeenRefund] = {}
    for item in seen:
        known = best.setdefault(item.refund.refund_id, item)
        if item.rank.key() > known.rank.key():
            best[item.refund.refund_id] = item
    return tuple(best[refund_id] for refund_id in sorted(best))


def _sorted_loose(refunds: Iterable[LooseRefund]) -> tuple[LooseRefund, ...]:
    """Each refund as the one tells it that knows what was paid; among equals the greater text."""
    best: dict[str, LooseRefund] = {}
    for refund in refunds:
        known = best.setdefault(refund.refund_id, refund)
        best[refund.refund_id] = max(known, refund, key=lambda item: (item.paid is not None, item.model_dump_json()))
    return tuple(best[refund_id] for refund_id in sorted(best))


def _sorted_disputes(seen: Iterable[SeenDispute]) -> tuple[SeenDispute, ...]:
    """Each dispute with the amount that the highest rank told."""
    best: dict[str, SeenDispute] = {}
    for item in seen:
        known = best.setdefault(item.dispute.dispute_id, item)
        low, high = sorted((known, item), key=lambda each: each.rank.key())
        best[item.dispute.dispute_id] = SeenDispute(dispute=_united(high.dispute, low.dispute), rank=high.rank)
    return tuple(best[dispute_id] for dispute_id in sorted(best))


def _sorted_loose_disputes(disputes: Iterable[LooseDispute]) -> tuple[LooseDispute, ...]:
    """Each dispute as the one tells it that knows most of its end; among equals the greater text."""
    best: dict[str, LooseDispute] = {}
    for item in disputes:
        known = best.setdefault(item.dispute_id, item)
        low, high = sorted((known, item), key=lambda each: (_end(each), each.model_dump_json(exclude={"opened_at"})))
        best[item.dispute_id] = _united(high, low)
    return tuple(best[dispute_id] for dispute_id in sorted(best))


def _united(told: _AnyDispute, other: Dispute | LooseDispute) -> _AnyDispute:
    """One dispute, told twice: opened at the earlier time, ended as it last did, about the amount of the first."""
    end = told if _end(told) >= _end(other) else other
    opened_at = min(told.opened_at, other.opened_at)
    return told.model_copy(update={"opened_at": opened_at, "outcome": end.outcome, "closed_at": end.closed_at})


def _end(dispute: Dispute | LooseDispute) -> tuple[bool, bool, datetime, str]:
    """What counts more as the end of a dispute: any than none, a dated one, a later one, the greater text."""
    closed_at = dispute.closed_at
    return dispute.outcome != "open", closed_at is not None, closed_at or EARLIEST, dispute.outcome


def digest(model: Model) -> str:
    """SHA-256 of the content, in hex."""
    return hashlib.sha256(model.model_dump_json().encode()).hexdigest()


def render(state: OrderState) -> Snapshot | None:
    """The canonical order; None while no snapshot of it is known.

    Scalars are the latest snapshot's; lines are as placed, those of the latest snapshot first. A refund told by a
    snapshot counts before the same one told alone, because a snapshot is younger or says as much.
    """
    if state.latest is None:
        return None
    seen = {item.line.line_id: item.line for item in state.lines}
    order = dict.fromkeys([*(line.line_id for line in state.latest.lines), *seen])
    told = {item.refund.refund_id: item.refund for item in state.refunds}
    scale = Scale.of(state.latest)
    loose = [
        settle(refund, scale, state.latest.taxes_included, seen)
        for refund in state.loose
        if refund.refund_id not in told
    ]
    return state.latest.model_copy(
        update={
            "placed_at": state.placed_at,
            "paid_at": state.paid_at,
            "fulfilled_at": state.fulfilled_at,
            "cancelled_at": state.cancelled_at,
            "lines": tuple(seen[line_id] for line_id in order),
            "refunds": tuple(sorted((*told.values(), *loose), key=lambda item: (item.occurred_at, item.refund_id))),
            "disputes": _disputes(state, scale),
        }
    )


_MAY_BE_A_CODE = re.compile(r"[0-9A-Za-z -]{1,32}")


def told(state: OrderState, programs: ProgramBook, program_id: str) -> Snapshot | None:
    """The canonical order as everybody may know it; None while no snapshot of it is known.

    A cart's attributes may be about anybody: only those go on that a version of the program asks for. While none is
    known that asks for any, those that may be a code: one may come that covers the order.
    """
    facts = render(state)
    if facts is None or not facts.attributes:
        return facts
    versions = [event.document for event in programs.versions(program_id)]
    asked = {version.referral.attribute for version in versions if version.referral}
    kept = {
        name: text
        for name, text in facts.attributes.items()
        if name in asked or (not asked and _MAY_BE_A_CODE.fullmatch(text))
    }
    return facts.model_copy(update={"attributes": kept})


def _disputes(state: OrderState, scale: Scale) -> tuple[Dispute, ...]:
    """All that is known of each; its amount by a snapshot rather than alone, because a snapshot has both currencies."""
    known = {item.dispute.dispute_id: item.dispute for item in state.disputes}
    for loose in state.loose_disputes:
        dispute = contested(loose, scale)
        known[loose.dispute_id] = _united(known.get(loose.dispute_id, dispute), dispute)
    return tuple(sorted(known.values(), key=lambda item: (item.opened_at, item.dispute_id)))
