"""A member's account: four buckets, the lots behind them, a clock, and the decisions made in this batch.

Points move by double entry alone (`post`), so that the member's and the program's buckets always add up to zero.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from heapq import heapify, heappop, heappush
from typing import Any, NamedTuple
from uuid import UUID

from contracts.base import EARLIEST
from contracts.ids import derived_id
from contracts.points import Balances, Bucket, Cause

from .lots import ClaimKey, Lot


@dataclass(slots=True)
class Posting:
    """One transfer."""

    transfer_id: UUID
    ordinal: int
    debit: Bucket
    credit: Bucket
    points: int
    effective_at: datetime
    program_version: int
    rule_id: str | None = None
    claim: ClaimKey | None = None
    lot_id: UUID | None = None
    uses: tuple[tuple[UUID, int], ...] = ()
    """Which lots a debit of active points took how many from."""


class Notice(NamedTuple):
    """Points of a lot that will run out."""

    lot: Lot
    points: int
    at: datetime
    expires_at: datetime


@dataclass(slots=True)
class Decision:
    """One accepted input, what was pinned for it, and the transfers it made."""

    member_id: UUID
    sequence: int
    kind: str
    key: str
    cause: Cause
    occurred_at: datetime
    effective_at: datetime
    input: str
    """The event or command as JSON."""
    pinned: dict[str, Any] = field(default_factory=dict)
    """What the outcome depended on beside the ledger itself."""
    postings: list[Posting] = field(default_factory=list)
    warned: list[Notice] = field(default_factory=list)
    recorded: dict[str, Any] | None = None
    """On a replay: what was pinned then."""

    def pin(self, name: str, now: Callable[[], Any]) -> Any:
        """A value from outside the ledger: taken now and written down, or, on a replay, as it was then."""
        if name not in self.pinned:
            self.pinned[name] = now() if self.recorded is None else self.recorded[name]
        return self.pinned[name]


@dataclass(slots=True)
class Account:
    """The state of one member in the ledger; `lots` holds those that this batch can need."""

    member_id: UUID
    program_id: str
    clock: datetime
    partition: int = 0
    pending: int = 0
    active: int = 0
    held: int = 0
    deficit: int = 0
    sequence: int = 0
    """Of the last decision; the account's version."""
    deficit_since: datetime | None = None
    active_at: datetime | None = None
    """When the member last did something that keeps points alive."""
    frozen: bool = False
    household_id: UUID | None = None
    lots: dict[UUID, Lot] = field(default_factory=dict)
    touched: set[UUID] = field(default_factory=set)
    """Lots changed in this batch."""
    decisions: list[Decision] = field(default_factory=list)
    changed: bool = False
    """Something else of it than its balances."""
    recorded: dict[str, Any] | None = None
    """On a replay: what was pinned for the decision that comes next."""

    def balances(self) -> Balances:
        """The member's buckets as told to the world."""
        return Balances.model_construct(pending=self.pending, active=self.active, held=self.held, deficit=self.deficit)


def begin(
    account: Account,
    kind: str,
    key: str,
    cause: Cause,
    *,
    occurred_at: datetime,
    recorded_at: datetime,
    input: str,
) -> Decision:
    """Open the next decision; the account is first advanced to when it is posted: never before its clock."""
    account.sequence += 1
    effective_at = max(recorded_at, account.clock)
    decision = Decision(account.member_id, account.sequence, kind, key, cause, occurred_at, effective_at, input)
    decision.recorded, account.recorded = account.recorded, None
    account.decisions.append(decision)
    advance(account, effective_at)
    return decision


def post(
    account: Account,
    debit: Bucket,
    credit: Bucket,
    points: int,
    *,
    at: datetime,
    program_version: int,
    lot: Lot | None = None,
    rule_id: str | None = None,
    claim: ClaimKey | None = None,
    uses: tuple[tuple[UUID, int], ...] = (),
) -> None:
    """Move points from one bucket to another within the open decision."""
    assert points > 0
    assert debit != credit
    decision = account.decisions[-1]
    ordinal = len(decision.postings) + 1
    transfer_id = derived_id(decision.occurred_at, "transfer", account.member_id, decision.sequence, ordinal)
    decision.postings.append(
        Posting(
            transfer_id,
            ordinal,
            debit,
            credit,
            points,
            at,
            program_version,
            rule_id,
            claim or (lot.claim if lot else None),
            lot.lot_id if lot else None,
            uses,
        )
    )
    _move(account, debit, -points, at)
    _move(account, credit, points, at)
    assert account.active == 0 or account.deficit == 0


def _move(account: Account, bucket: Bucket, points: int, at: datetime) -> None:
    if bucket == "deficit":  # Kept as what is owed: the negative of a balance.
        account.deficit -= points
        assert account.deficit >= 0
        account.deficit_since = (account.deficit_since or at) if account.deficit else None
    elif bucket == "pending":
        account.pending += points
        assert account.pending >= 0
    elif bucket == "active":
        account.active += points
        assert account.active >= 0
    elif bucket == "held":
        account.held += points
        assert account.held >= 0


def advance(account: Account, to: datetime) -> None:
    """Activate what was due and expire what ran out until then, in due order, each dated at its own due moment."""
    due = [(lot.due_at, lot.lot_id) for lot in account.lots.values() if _is_due(lot, to)]
    heapify(due)
    while due:
        at, lot_id = heappop(due)
        lot = account.lots[lot_id]
        assert at is not None
        _mature(account, lot, max(at, account.clock))
        if _is_due(lot, to):
            heappush(due, (lot.due_at, lot_id))
    account.clock = max(account.clock, to)


def _is_due(lot: Lot, to: datetime) -> bool:
    """An order that was never fulfilled is judged again instead: that takes more than the account."""
    return not lot.awaiting and lot.due_at is not None and lot.due_at <= to


def _mature(account: Account, lot: Lot, at: datetime) -> None:
    account.touched.add(lot.lot_id)
    if lot.state == "pending":
        points, lot.remaining = lot.remaining, 0
        lot.state = "active"
        if points:
            credit_active(account, lot, points, debit="pending", at=at)
    elif lot.warnings:
        lot.warnings = lot.warnings[1:]
        if lot.remaining:
            assert lot.expires_at is not None
            account.decisions[-1].warned.append(Notice(lot, lot.remaining, at, lot.expires_at))
    else:
        expire(account, lot, at)


def expire(account: Account, lot: Lot, at: datetime) -> None:
    """End a lot; what remains in it is gone."""
    lot.state, lot.warnings = "ended", ()
    account.touched.add(lot.lot_id)
    if lot.remaining:
        post(account, "active", "expired", lot.remaining, at=at, program_version=lot.program_version, lot=lot)
        lot.expired += lot.remaining
        lot.remaining = 0


def credit_active(
    account: Account,
    lot: Lot,
    points: int,
    *,
    debit: Bucket,
    at: datetime,
    rule_id: str | None = None,
    by: Lot | None = None,
) -> None:
    """Make points spendable in a lot that is not pending; `by` is the lot of the claim that does so, if another.

    What the member owes is settled first, as its own transfer; a lot that has ended expires them at once.
    """
    cause = by or lot
    settled = min(points, account.deficit)
    parts: tuple[tuple[Bucket, int], ...] = (("deficit", settled), ("active", points - settled))
    for credit, part in parts:
        if part:
            post(
                account, debit, credit, part,
                at=at, program_version=cause.program_version, lot=lot, rule_id=rule_id, claim=cause.claim,
            )  # fmt: skip
    lot.remaining += points - settled
    account.touched.add(lot.lot_id)
    if lot.state == "ended":
        expire(account, lot, at)


def spendable(account: Account, outlasting: datetime = EARLIEST) -> list[Lot]:
    """The lots whose points can be spent and do not run out by then."""
    return [lot for lot in account.lots.values() if lot.state == "active" and lot.outlasts(outlasting)]


def debit_active(
    account: Account,
    points: int,
    *,
    credit: Bucket,
    at: datetime,
    program_version: int,
    rule_id: str | None = None,
    claim: ClaimKey | None = None,
    outlasting: datetime = EARLIEST,
) -> tuple[tuple[UUID, int], ...]:
    """Take spendable points that do not run out by then, soonest-expiring lots first. Returns how many were used of
    which lots.
    """
    left = points
    uses: list[tuple[UUID, int]] = []
    for lot in sorted(spendable(account, outlasting), key=Lot.consumed_before):
        used = min(left, lot.remaining)
        if used:
            lot.remaining -= used
            left -= used
            uses.append((lot.lot_id, used))
            account.touched.add(lot.lot_id)
        if not left:
            break
    assert left == 0, "the lots that were loaded cover every debit"
    post(
        account, "active", credit, points,
        at=at, program_version=program_version, rule_id=rule_id, claim=claim, uses=tuple(uses),
    )  # fmt: skip
    return tuple(uses)
