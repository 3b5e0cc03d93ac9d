"""A member's account: four buckets, the lots behind them, a clock, and the decisions made in this batch.

Points move by double entry alone (`post`), so that the member's and the program's buckets always add up to zero.
"""

from dataclasses import dataclass, field
from datetime import datetime
from heapq import heapify, heappop, heappush
from typing import Any, Literal, NamedTuple
from uuid import UUID

from contracts.ids import derived_id
from contracts.points import Balances, Bucket, Cause


class OrderKey(NamedTuple):
    """An order within its program."""

    source: str
    order_id: str

    def __str__(self) -> str:
        return f"{self.source}:{self.order_id}"


class ReferralKey(NamedTuple):
    """One party's reward for a referral."""

    referral_id: UUID
    role: Literal["advocate", "friend"]

    def __str__(self) -> str:
        return f"{self.referral_id}:{self.role}"


Origin = OrderKey | ReferralKey


@dataclass(slots=True)
class Taking:
    """Points taken back of what a lot's origin was granted, and from where: a clawback that can be undone."""

    kind: Literal["pending", "active", "expired", "deficit", "waived"]
    points: int
    lot_id: UUID | None = None
    """Of the lot that active points came from; it may be another's."""


@dataclass(slots=True)
class Lot:
    """What one order or referral brought: pending, then active until it ends."""

    lot_id: UUID
    origin: Origin
    program_version: int
    opened_at: datetime
    activates_at: datetime
    expires_at: datetime | None
    state: Literal["pending", "active", "ended"] = "pending"
    remaining: int = 0
    expired: int = 0
    """Points of it that ran out and were not taken back since."""
    takings: list[Taking] = field(default_factory=list)
    """What was taken back of the origin's grant, last at the end."""

    @property
    def due_at(self) -> datetime | None:
        """When its state changes by itself."""
        if self.state == "ended":
            return None
        return self.activates_at if self.state == "pending" else self.expires_at

    def consumed_before(self) -> tuple[bool, datetime, datetime, UUID]:
        """Soonest-expiring first, those that never do last, then the oldest, then by id."""
        return self.expires_at is None, self.expires_at or self.opened_at, self.opened_at, self.lot_id


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
    origin: Origin | None = None
    lot_id: UUID | None = None
    uses: tuple[tuple[UUID, int], ...] = ()
    """Which lots a debit of active points took how many from."""


@dataclass(slots=True)
class Decision:
    """One accepted input, what was pinned for it, and the transfers it made."""

    member_id: UUID
    sequence: int
    key: str
    cause: Cause
    occurred_at: datetime
    effective_at: datetime
    input: str
    """The event or command as JSON."""
    pinned: dict[str, Any]
    postings: list[Posting] = field(default_factory=list)


@dataclass(slots=True)
class Account:
    """The state of one member in the ledger; `lots` holds those that this batch can need."""

    member_id: UUID
    program_id: str
    clock: datetime
    pending: int = 0
    active: int = 0
    held: int = 0
    deficit: int = 0
    sequence: int = 0
    """Of the last decision; the account's version."""
    lots: dict[UUID, Lot] = field(default_factory=dict)
    touched: set[UUID] = field(default_factory=set)
    """Lots changed in this batch."""
    decisions: list[Decision] = field(default_factory=list)
    nothing_due: bool = False
    """It was to be swept in vain: what it said was due is not any more."""

    def balances(self) -> Balances:
        """The member's buckets as told to the world."""
        return Balances(pending=self.pending, active=self.active, held=self.held, deficit=self.deficit)


def begin(
    account: Account,
    key: str,
    cause: Cause,
    *,
    occurred_at: datetime,
    recorded_at: datetime,
    input: str,
    pinned: dict[str, Any],
) -> Decision:
    """Open the next decision; the account is first advanced to when it is posted: never before its clock."""
    account.sequence += 1
    effective_at = max(recorded_at, account.clock)
    decision = Decision(account.member_id, account.sequence, key, cause, occurred_at, effective_at, input, pinned)
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
    origin: Origin | None = None,
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
            origin or (lot.origin if lot else None),
            lot.lot_id if lot else None,
            uses,
        )
    )
    _move(account, debit, -points)
    _move(account, credit, points)
    assert account.active == 0 or account.deficit == 0


def _move(account: Account, bucket: Bucket, points: int) -> None:
    if bucket == "deficit":  # Kept as what is owed: the negative of a balance.
        account.deficit -= points
        assert account.deficit >= 0
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
    due = [(lot.due_at, lot.lot_id) for lot in account.lots.values() if lot.due_at is not None and lot.due_at <= to]
    heapify(due)
    while due:
        at, lot_id = heappop(due)
        lot = account.lots[lot_id]
        _mature(account, lot, max(at, account.clock))
        if lot.due_at is not None and lot.due_at <= to:
            heappush(due, (lot.due_at, lot_id))
    account.clock = max(account.clock, to)


def _mature(account: Account, lot: Lot, at: datetime) -> None:
    account.touched.add(lot.lot_id)
    if lot.state == "pending":
        points, lot.remaining = lot.remaining, 0
        lot.state = "active"
        if points:
            credit_active(account, lot, points, debit="pending", at=at)
    else:
        _expire(account, lot, at)


def _expire(account: Account, lot: Lot, at: datetime) -> None:
    lot.state = "ended"
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
    claim = by or lot
    settled = min(points, account.deficit)
    parts: tuple[tuple[Bucket, int], ...] = (("deficit", settled), ("active", points - settled))
    for credit, part in parts:
        if part:
            post(
                account, debit, credit, part,
                at=at, program_version=claim.program_version, lot=lot, rule_id=rule_id, origin=claim.origin,
            )  # fmt: skip
    lot.remaining += points - settled
    account.touched.add(lot.lot_id)
    if lot.state == "ended":
        _expire(account, lot, at)


def debit_active(
    account: Account,
    points: int,
    *,
    credit: Bucket,
    at: datetime,
    program_version: int,
    rule_id: str | None = None,
    origin: Origin | None = None,
) -> tuple[tuple[UUID, int], ...]:
    """Take spendable points, soonest-expiring lots first. Returns how many were used of which lots."""
    left = points
    uses: list[tuple[UUID, int]] = []
    for lot in sorted((lot for lot in account.lots.values() if lot.state == "active"), key=Lot.consumed_before):
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
        at=at, program_version=program_version, rule_id=rule_id, origin=origin, uses=tuple(uses),
    )  # fmt: skip
    return tuple(uses)
