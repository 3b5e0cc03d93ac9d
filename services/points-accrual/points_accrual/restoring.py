"""After a restore: decisions that were published and are not known any more are made again, as they were."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from uuid import UUID

import asyncpg
import orjson

from contracts.decisions import CommandDone, Decided, DecidedAccount, DecisionsMadeV1
from contracts.members import MemberChangedV1
from contracts.program import ProgramBook
from shared.transaction import Message, Transaction

from . import store
from .domain.rebuilding import caught_up, emptied, families, in_portions
from .domain.replaying import Kept
from .domain.world import World
from .store import adopting, chance, rebuilding
from .store.journal import unpack
from .store.rows import to_continuation

Told = Mapping[UUID, Sequence[Kept]]
"""What was read back, by member."""


async def adopt(programs: ProgramBook, tx: Transaction, batch: list[Message]) -> None:
    """Bring the ledger to what its own decisions say. What it knows already changes nothing.

    Raises LookupError when it has other decisions under the numbers of those, or lacks some between.
    """
    events = [message.data for message in batch if isinstance(message.data, DecisionsMadeV1)]
    told, commands = defaultdict[UUID, list[Kept]](list), defaultdict[UUID, list[CommandDone]](list)
    left: dict[UUID, DecidedAccount] = {}
    for event in events:
        await chance.adopt(tx, event)
        await adopting.add_accounts(tx, event.program_id, event.accounts)
        left |= {account.member_id: account for account in event.accounts}
        for item in event.decisions:
            told[item.member_id].append(_kept(item))
        for command in event.commands:
            commands[command.member_id].append(command)
    merged = {key: into for key, items in told.items() for item in items if (into := _merged_into(item)) is not None}
    rows = {row["member_id"]: row for row in await adopting.lock_families(tx, {*left, *merged.values()})}
    sizes = {member_id: row["sequence"] + len(told[member_id]) for member_id, row in rows.items()}
    for members in in_portions(families(sorted(rows), merged | _merged(rows)), sizes):
        world = await _remade(programs, tx, [rows[member_id] for member_id in members], told)
        for member_id in left.keys() & world.accounts.keys():
            _leave(world, left[member_id])
        world.commands += [command for member_id in members for command in commands[member_id]]
        await _save(tx, world)


def _leave(world: World, told: DecidedAccount) -> None:
    """What is not by decisions is as it was left."""
    member, continuation = world.members[told.member_id], to_continuation(told.continuation)
    known = (world.continuations[told.member_id], member.dates_version, member.next_date_at)
    if known != (continuation, told.dates_version, told.next_date_at):
        world.continuations[told.member_id] = continuation
        member.dates_version, member.next_date_at = told.dates_version, told.next_date_at
        world.moved.add(told.member_id)


async def _save(tx: Transaction, world: World) -> None:
    await adopting.note_stored(tx, world)
    await store.write(tx, world, store.decided(world))
    await store.write_commands(tx, world)
    await adopting.close_approvals(tx, world.commands)
    await adopting.add_shared_uses(tx, world.shared_uses)
    await adopting.take_codes(tx, world, world.coupons.values())
    tx.mark_locked(world.accounts)
    # They may have been published or not; those who read them know their ids.
    await store.publish_events(tx, world)


async def republish(programs: ProgramBook, tx: Transaction, after: str | None, limit: int) -> tuple[str | None, int]:
    """Send again all that was ever told of some members, under the ids of then: their decisions are made again.

    Who knows an event takes no notice; only balances would not do, since others count and tell by what happened.
    """
    heads = await adopting.heads(tx, UUID(after) if after else None, limit)
    rows = {row["member_id"]: row for row in await adopting.lock_families(tx, heads)}
    members = [member_id for family in families(sorted(rows), _merged(rows)) for member_id in family]
    world = await _remade(programs, tx, [rows[member_id] for member_id in members], {}, anew=True)
    tx.mark_locked(world.accounts)
    await store.publish_events(tx, world)
    return (str(heads[-1]) if heads else None), len(world.outbox)


def _merged(rows: Mapping[UUID, asyncpg.Record]) -> dict[UUID, UUID]:
    return {key: row["merged_into"] for key, row in rows.items() if row["merged_into"] in rows}


async def _remade(
    programs: ProgramBook, tx: Transaction, rows: Sequence[asyncpg.Record], told: Told, *, anew: bool = False
) -> World:
    """The accounts of these rows, in the order of `families`, after what is told, with only that as their changes;
    `anew`: with all their past.
    """
    kept = await rebuilding.decisions_of(tx.connection, [row["member_id"] for row in rows])
    seeds = await rebuilding.all_seeds(tx.connection)
    world = emptied(programs, seeds, [(row["member_id"], row["program_id"]) for row in rows])
    for row in rows:
        world.continuations[row["member_id"]] = to_continuation(row["continuation"])
        world.accounts[row["member_id"]].partition = row["partition"]
    for row in rows:
        member_id = row["member_id"]
        history = _together(member_id, kept.get(member_id, ()), told.get(member_id, ()))
        caught_up(
            world, member_id, 0 if anew else row["sequence"], (row["dates_version"], row["next_date_at"]), history
        )
    return world


def _together(member_id: UUID, kept: Sequence[Kept], told: Sequence[Kept]) -> list[Kept]:
    """All decisions of a member in their order."""
    found = {item.sequence: item for item in kept}
    for item in told:
        if found.setdefault(item.sequence, item).key != item.key:
            raise LookupError(
                f"decision {item.sequence} of {member_id} was published as {item.key!r}, but the database has another "
                f"under this number, {found[item.sequence].key!r}: it was written to before this was read back. "
                "Restore it to a time before that"
            )
    return [found[sequence] for sequence in sorted(found)]


def _kept(item: Decided) -> Kept:
    return Kept(
        item.sequence, item.kind, item.key, item.cause, item.occurred_at, item.effective_at,
        unpack(item.input, item.packed), orjson.loads(unpack(item.pinned, item.packed)),
    )  # fmt: skip


def _merged_into(kept: Kept) -> UUID | None:
    found: UUID | None = kept.read(MemberChangedV1).merged_into if kept.kind == "member" else None
    return found
