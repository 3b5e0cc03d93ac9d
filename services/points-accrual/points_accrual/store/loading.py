"""What a batch can need of its members, in a few set-based statements; accounts are locked in member order."""

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from contracts.activities import ActivityRecordedV1
from contracts.members import MemberChangedV1
from contracts.orders import OrderChangedV1
from contracts.program import ProgramBook
from contracts.referrals import ReferralConfirmedV1, ReferralReversedV1
from contracts.tiers import StandingChangedV1
from shared.transaction import Message, Transaction

from ..domain.claims import concerns_claims
from ..domain.standing import EVER, Span, changed_memberships, changed_span, hull
from ..domain.world import SKEW_MAX, UseKey, World
from . import claims, coupons
from .locking import load_uses, lock, move
from .lots import load_all_lots, load_lots, load_renewing

Parties = dict[UUID, tuple[str, int] | None]


async def load(tx: Transaction, programs: ProgramBook, batch: Sequence[Message]) -> World:
    """The state of every member in a batch, and the claims that its events are about or have judged again."""
    world = World(programs, tx.now)
    parties: Parties = {}
    for message in batch:
        member_id: UUID = message.data.member_id  # type: ignore[attr-defined]
        parties.setdefault(member_id, (message.data.program_id, message.partition))
    mergers = [event for event in _of(batch, MemberChangedV1) if event.merged_into is not None]
    for event in mergers:
        parties.setdefault(event.merged_into, (event.program_id, _partition_of(batch, event)))
    orders = list(_of(batch, OrderChangedV1))
    told = [*orders, *_of(batch, ActivityRecordedV1)]
    owners = await coupons.owners(tx.connection, orders)
    for member_id in owners:
        parties.setdefault(member_id, None)
    await lock(tx, world, parties)
    # A dry run's event comes from no topic.
    await move(tx, world, {item.data.member_id: item.partition for item in batch if item.topic})  # type: ignore[attr-defined]
    await claims.load_merged(tx, world)
    counting = await _load_claims(tx, world, batch, told, mergers)
    if orders:
        codes = {(order.program_id, code) for order in orders for code in order.discount_codes}
        keys = {(order.program_id, claims.key_of(order).id) for order in orders}
        await coupons.load_for_orders(tx, world, codes, keys)
    await coupons.load_gifts(tx, world)
    await claims.load_claim_uses(tx, world, told)
    await coupons.load_stock(tx, world, counting)
    await coupons.prepare_codes(tx, world)
    await _load_lots(tx, world, mergers)
    return world


async def _load_claims(
    tx: Transaction, world: World, batch: Sequence[Message], told: Sequence[OrderChangedV1 | ActivityRecordedV1],
    mergers: Sequence[MemberChangedV1],
) -> set[UUID]:  # fmt: skip
    """Returns the accounts for which something may count for challenges."""
    spans = _spans(world, batch)
    await claims.load_told(tx, world, told)
    await claims.load_spans(tx, world, spans)
    referrals = list(_of(batch, (ReferralConfirmedV1, ReferralReversedV1)))
    named = {(event.program_id, "referral", f"{event.referral_id}:{event.role}") for event in referrals}
    await claims.load_keys(tx, world, named)
    enrolling = {world.owner(event.member_id) for event in _of(batch, MemberChangedV1)} & spans.keys()
    if enrolling:
        await claims.load_kinds(tx, world, enrolling, ("referral", "date"))
    counting = {world.owner(event.member_id) for event in told} | spans.keys()
    if mergers:
        both = _both(world, mergers)
        everything = ("order", "activity", "referral", "date", "challenge", "import", "adjustment", "transfer")
        await claims.load_kinds(tx, world, both, everything)
        counting |= both
        await _load_merging(tx, world, both)
    await claims.load_counted(tx, world, counting)
    return counting


async def _load_merging(tx: Transaction, world: World, members: Iterable[UUID]) -> None:
    """Who is merged hands everything over: coupons, what was counted against limits."""
    await coupons.load_of_members(tx, world, members)
    rows = await tx.connection.fetch(
        "SELECT program_id, member_id, name, time_window FROM uses WHERE member_id = ANY($1::uuid[])", sorted(members)
    )
    keys = [UseKey(row["program_id"], row["member_id"], row["name"], row["time_window"]) for row in rows]
    both = [UseKey(key.program_id, member_id, key.name, key.window) for key in keys for member_id in members]
    await load_uses(tx, world, both)


async def _load_lots(tx: Transaction, world: World, mergers: Sequence[MemberChangedV1]) -> None:
    if mergers:
        await load_all_lots(tx, world, _both(world, mergers), ended=True)
    await load_renewing(tx, world)
    await load_lots(tx, world, tx.now + SKEW_MAX)


def _both(world: World, mergers: Sequence[MemberChangedV1]) -> set[UUID]:
    """The accounts on both sides of these mergers."""
    named = {member_id for event in mergers for member_id in (event.member_id, event.merged_into)}
    return {world.owner(member_id) for member_id in named if member_id in world.accounts}


def _of(batch: Sequence[Message], kind: type | tuple[type, ...]) -> Iterable[Any]:
    return (message.data for message in batch if isinstance(message.data, kind))


def _partition_of(batch: Sequence[Message], event: MemberChangedV1) -> int:
    """A survivor that was never heard of gets the partition of who merges into it, until it is heard of."""
    return next(message.partition for message in batch if message.data is event)


def _spans(world: World, batch: Sequence[Message]) -> dict[UUID, Span]:
    """In which time the claims of which accounts may have to be judged again."""
    spans: dict[UUID, Span] = {}
    for event in _of(batch, (MemberChangedV1, StandingChangedV1)):
        member = world.members[event.member_id]
        account_id = world.owner(event.member_id)
        span: Span | None = None
        if isinstance(event, MemberChangedV1):
            span = EVER if concerns_claims(member, event) or event.merged_into is not None else None
            account_id = event.merged_into or account_id
        elif event.version > member.standing_version:
            span = hull(
                changed_span(member.intervals, event.intervals),
                changed_memberships(member.memberships, event.memberships),
            )
        if span and account_id in world.accounts:
            waiting = world.continuations.get(account_id)
            span = hull(span, (waiting.after.at, waiting.until) if waiting else None)
            whole = hull(span, spans.get(account_id))
            assert whole is not None
            spans[account_id] = whole
    return spans
