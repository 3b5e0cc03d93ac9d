"""Accounts and what all share, locked in one order: accounts by member, then uses by name."""

from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

import asyncpg

from shared.transaction import Retry, Transaction

from ..domain.claims import Member
from ..domain.world import UseKey, World
from .rows import columns, to_account, to_continuation, to_member

_ACCOUNTS = "SELECT * FROM accounts WHERE member_id = ANY($1::uuid[]) ORDER BY member_id FOR UPDATE"
_MEMBERS = "SELECT * FROM members WHERE member_id = ANY($1::uuid[])"


async def lock(tx: Transaction, world: World, parties: Mapping[UUID, tuple[str, int] | None]) -> None:
    """Lock the accounts of these members, sorted; who is new and came with a program gets one.

    Accounts that others were merged into are locked too. Their ids may sort before those locked already, so they are
    not waited for: when somebody else has one, all is rolled back and done again.
    """
    ids = sorted(parties)
    rows = await tx.connection.fetch(_ACCOUNTS, ids)
    found = {row["member_id"] for row in rows}
    new = [(member_id, *party) for member_id in ids if member_id not in found and (party := parties[member_id])]
    if new:
        await tx.connection.execute(
            "INSERT INTO accounts (member_id, program_id, partition)"
            " SELECT * FROM unnest($1::uuid[], $2::text[], $3::int[]) ON CONFLICT DO NOTHING",
            *columns(new, 3),
        )
        rows += await tx.connection.fetch(_ACCOUNTS, [row[0] for row in new])
    await _keep(tx, world, rows)
    while missing := sorted(set(world.aliases.values()) - world.accounts.keys()):
        try:
            await _keep(tx, world, await tx.connection.fetch(_ACCOUNTS + " NOWAIT", missing))
        except asyncpg.LockNotAvailableError as error:
            raise Retry(f"accounts that others were merged into are in use: {missing}") from error
    for member_id in world.aliases:
        world.aliases[member_id] = world.succession(member_id)[-1]
    tx.mark_locked(world.accounts)


async def move(tx: Transaction, world: World, partitions: Mapping[UUID, int]) -> None:
    """Accounts are swept where their member's events are read. A survivor that was first heard of by a merge was put
    where those of the other are.
    """
    moved = {key: number for key, number in partitions.items() if world.accounts[key].partition != number}
    for table in ("accounts", "lots", "coupons") if moved else ():
        await tx.connection.execute(
            f"UPDATE {table} t SET partition = r.number FROM unnest($1::uuid[], $2::int[]) AS r (member_id, number)"
            " WHERE t.member_id = r.member_id",
            list(moved), list(moved.values()),
        )  # fmt: skip
    for member_id, number in moved.items():
        world.accounts[member_id].partition = number


async def _keep(tx: Transaction, world: World, rows: Sequence[asyncpg.Record]) -> None:
    """Members are read when their accounts are locked: of what is joined to a row that was waited for, PostgreSQL gives
    what it was before the wait.
    """
    ids = [row["member_id"] for row in rows]
    known = {row["member_id"]: row for row in await tx.connection.fetch(_MEMBERS, ids)}
    for row in rows:
        member_id = row["member_id"]
        other = known.get(member_id)
        member = to_member(other) if other else Member(member_id)
        world.accounts[member_id], world.members[member_id] = to_account(row), member
        world.continuations[member_id] = to_continuation(other["continuation"]) if other else None
        if member.merged_into is not None:
            world.aliases[member_id] = member.merged_into


async def load_uses(tx: Transaction, world: World, keys: Iterable[UseKey]) -> None:
    """What was counted against these limits; rows that all members share are locked, and made first if need be."""
    wanted = sorted(set(keys) - world.uses.keys(), key=lambda key: (str(key.member_id or ""), key))
    if not wanted:
        return
    shared = [key for key in wanted if key.member_id is None]
    names = [[key[place] for key in wanted] for place in range(4)]
    if shared:
        await tx.connection.execute(
            "INSERT INTO uses (program_id, member_id, name, time_window, used)"
            " SELECT p, NULL, n, w, 0 FROM unnest($1::text[], $2::text[], $3::text[]) AS k (p, n, w)"
            " ORDER BY p, n, w ON CONFLICT DO NOTHING",
            [key.program_id for key in shared], [key.name for key in shared], [key.window for key in shared],
        )  # fmt: skip
        rows = await tx.connection.fetch(
            "SELECT u.program_id, u.name, u.time_window, u.used FROM uses u"
            " JOIN unnest($1::text[], $2::text[], $3::text[]) AS k (p, n, w)"
            " ON u.member_id IS NULL AND (u.program_id, u.name, u.time_window) = (k.p, k.n, k.w)"
            " ORDER BY u.program_id, u.name, u.time_window FOR UPDATE OF u",
            [key.program_id for key in shared], [key.name for key in shared], [key.window for key in shared],
        )  # fmt: skip
        for row in rows:
            world.uses[UseKey(row["program_id"], None, row["name"], row["time_window"])] = row["used"]
    world.uses |= dict.fromkeys((key for key in wanted if key.member_id is not None), 0)
    rows = await tx.connection.fetch(
        "SELECT u.program_id, u.member_id, u.name, u.time_window, u.used FROM uses u"
        " JOIN unnest($1::text[], $2::uuid[], $3::text[], $4::text[]) AS k (p, m, n, w)"
        " ON (u.member_id, u.program_id, u.name, u.time_window) = (k.m, k.p, k.n, k.w)",
        *names,
    )  # fmt: skip
    for row in rows:
        world.uses[UseKey(row["program_id"], row["member_id"], row["name"], row["time_window"])] = row["used"]
