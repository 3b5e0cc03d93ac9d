"""After a restore: decisions that were published and are not known any more are made again, as they were."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple
from uuid import UUID

import asyncpg
import orjson

from contracts.decisions import Decided, DecisionsMadeV1
from contracts.members import MemberChangedV1
from contracts.program import ProgramBook
from shared.transaction import Message, Transaction

from . import store
from .domain.rebuilding import caught_up, emptied, families
from .domain.replaying import Kept
from .domain.world import World
from .store import adopting, rebuilding
from .store.journal import unpack
from .store.rows import to_continuation


class _Told(NamedTuple):
    """What was read back."""

    program_id: str
    member_id: UUID
    kept: Kept


async def adopt(programs: ProgramBook, tx: Transaction, batch: list[Message]) -> None:
    """Bring the ledger to what its own decisions say. What it knows already changes nothing."""
    events = [message.data for message in batch if isinstance(message.data, DecisionsMadeV1)]
    if not events:
        return
    for event in events:
        await adopting.add_accounts(tx, event.program_id, event.accounts)
    told = [_Told(event.program_id, item.member_id, _kept(item)) for event in events for item in event.decisions]
    merged = {item.member_id: into for item in told if (into := _merged_into(item.kept)) is not None}
    named = {item.member_id for event in events for item in event.accounts} | set(merged.values())
    rows = await adopting.lock_families(tx, named)
    world = await _remade(programs, tx, rows, told, merged)
    for event in events:
        for account in event.accounts:
            continuation = to_continuation(account.continuation)
            if continuation != world.continuations[account.member_id]:
                world.continuations[account.member_id] = continuation
                world.moved.add(account.member_id)
        world.commands += event.commands
    await adopting.note_stored(tx, world)
    await store.write(tx, world, store.decided(world))
    await store.write_commands(tx, world)
    await adopting.add_shared_uses(tx, world.shared_uses)
    await adopting.take_codes(tx, world, world.coupons.values())
    await adopting.plan_again(tx, sorted(world.members))
    tx.mark_locked(world.accounts)
    # They may have been published or not; those who read them know their ids.
    await store.publish_events(tx, world)


async def republish(programs: ProgramBook, tx: Transaction, after: str | None, limit: int) -> tuple[str | None, int]:
    """Send again all that was ever told of some members, under the ids of then: their decisions are made again.

    Who knows an event takes no notice; only balances would not do, since others count and tell by what happened.
    """
    heads = await adopting.heads(tx, UUID(after) if after else None, limit)
    rows = await adopting.lock_families(tx, heads)
    world = await _remade(programs, tx, rows, (), {}, anew=True)
    tx.mark_locked(world.accounts)
    await store.publish_events(tx, world)
    return (str(heads[-1]) if heads else None), len(world.outbox)


async def _remade(
    programs: ProgramBook, tx: Transaction, rows: Sequence[asyncpg.Record], told: Iterable[_Told],
    merged: dict[UUID, UUID], *, anew: bool = False,
) -> World:  # fmt: skip
    """The accounts of these rows after what is told, with only that as their changes; `anew`: with all their past."""
    known = {row["member_id"]: 0 if anew else row["sequence"] for row in rows}
    programs_of = {row["member_id"]: row["program_id"] for row in rows}
    merged = merged | {row["member_id"]: row["merged_into"] for row in rows if row["merged_into"] in known}
    order = [member_id for family in families(sorted(known), merged) for member_id in family]
    kept = await rebuilding.decisions_of(tx.connection, order)
    for item in told:
        if item.kept.sequence > known[item.member_id]:
            kept.setdefault(item.member_id, []).append(item.kept)
    seeds = await rebuilding.all_seeds(tx.connection)
    world = emptied(programs, seeds, [(member_id, programs_of[member_id]) for member_id in order])
    for row in rows:
        world.continuations[row["member_id"]] = to_continuation(row["continuation"])
        world.accounts[row["member_id"]].partition = row["partition"]
    for member_id in order:
        history = sorted(kept.get(member_id, ()), key=lambda item: item.sequence)
        caught_up(world, member_id, known[member_id], history)
    return world


def _kept(item: Decided) -> Kept:
    return Kept(
        item.sequence, item.kind, item.key, item.cause, item.occurred_at, item.effective_at,
        unpack(item.input, item.packed), orjson.loads(unpack(item.pinned, item.packed)),
    )  # fmt: skip


def _merged_into(kept: Kept) -> UUID | None:
    found: UUID | None = kept.read(MemberChangedV1).merged_into if kept.kind == "member" else None
    return found
