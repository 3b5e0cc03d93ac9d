"""Every SQL statement of the service: what a batch is about, what is due, and what a member may see."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

import asyncpg
from pydantic import TypeAdapter

from contracts.ids import derived_id
from contracts.points import BaseStep
from contracts.program import ProgramBook
from contracts.tiers import MembershipInterval, StandingChangedV1, StandingInterval
from shared.sweeper import Round
from shared.transaction import Cause, Message, Transaction

from ..domain.member import Member
from ..domain.membership import Coupon, Issue, Return
from ..domain.standing import Fact

_INTERVALS = TypeAdapter(tuple[StandingInterval, ...])
_STEPS = TypeAdapter(tuple[BaseStep, ...])
_MEMBERSHIPS = TypeAdapter(tuple[MembershipInterval, ...])
_MEMBER = (
    "member_id, program_id, partition, profile_version, status, program_version, version, intervals, memberships,"
    " tier_id, evaluated_at, next_change_at, adopted_at"
)


@dataclass
class World:
    """The members of a batch, all locked, and what was announced so far."""

    programs: ProgramBook
    now: datetime
    members: dict[UUID, Member]
    announced: list[tuple[StandingChangedV1, Member, Cause]] = field(default_factory=list)

    def announce(self, event: StandingChangedV1 | None, cause: Cause) -> None:
        """Note what is to be published, if anything."""
        if event is not None:
            self.announced.append((event, self.members[event.member_id], cause))


async def load(tx: Transaction, programs: ProgramBook, batch: list[Message]) -> World:
    """The members of the batch, made if new, with all their facts."""
    firsts: dict[UUID, Message] = {}
    for message in batch:
        firsts.setdefault(UUID(message.data.key()), message)
    ids = sorted(firsts)
    await tx.connection.execute(
        """INSERT INTO members (member_id, program_id, partition)
           SELECT * FROM unnest($1::uuid[], $2::text[], $3::int[]) ON CONFLICT DO NOTHING""",
        ids,
        [firsts[member_id].data.program_id for member_id in ids],
        [firsts[member_id].partition for member_id in ids],
    )
    return await _locked(tx, programs, ids)


async def load_due(tx: Transaction, programs: ProgramBook, due: Round) -> World:
    """Members whose tier changes by then, and those last held against an older version of their program.

    Of members who were adopted after a restore only those for whom all has been read again.
    """
    names = sorted({event.program_id for event in programs})
    in_force = {name: programs.in_force(name, due.horizon) for name in names}
    versions = [program for program in in_force.values() if program is not None]
    rows = await tx.connection.fetch(
        """SELECT member_id FROM (
               (SELECT m.member_id FROM unnest($3::text[]) p(program_id) JOIN members m USING (program_id)
                WHERE m.partition = $1 AND m.adopted_at <= $2 AND m.member_id <> ALL($6::uuid[]) LIMIT $5)
               UNION
               (SELECT m.member_id FROM unnest($3::text[]) p(program_id) JOIN members m USING (program_id)
                WHERE m.partition = $1 AND m.next_change_at <= $2 AND m.adopted_at IS NULL
                    AND m.member_id <> ALL($6::uuid[]) LIMIT $5)
               UNION
               (SELECT m.member_id FROM unnest($3::text[], $4::int[]) p(program_id, version)
                    JOIN members m ON m.program_id = p.program_id AND m.program_version < p.version
                WHERE m.partition = $1 AND m.adopted_at IS NULL AND m.member_id <> ALL($6::uuid[]) LIMIT $5)) due
           LIMIT $5""",
        due.partition,
        due.horizon,
        [program.id for program in versions],
        [program.version for program in versions],
        due.most,
        due.spared,
    )
    due.keys = sorted(row["member_id"] for row in rows)
    return await _locked(tx, programs, due.keys)


async def _locked(tx: Transaction, programs: ProgramBook, ids: Sequence[UUID]) -> World:
    rows = await tx.connection.fetch(
        f"SELECT {_MEMBER} FROM members WHERE member_id = ANY($1::uuid[]) ORDER BY member_id FOR UPDATE", ids
    )
    tx.mark_locked(ids)
    facts = await _facts(tx.connection, ids)
    coupons = await _coupons(tx.connection, ids)
    members = {
        member_id: _member(row, facts[member_id], coupons[member_id])
        for member_id, row in ((row["member_id"], row) for row in rows)
    }
    return World(programs, tx.now, members)


async def _facts(connection: asyncpg.Connection, ids: Sequence[UUID]) -> dict[UUID, dict[str, Fact]]:
    rows = await connection.fetch(
        """SELECT member_id, source, order_id, placed_at, revision, sequence, steps
           FROM order_bases WHERE member_id = ANY($1::uuid[])""",
        ids,
    )
    facts: dict[UUID, dict[str, Fact]] = defaultdict(dict)
    for member_id, source, order_id, placed_at, revision, sequence, steps in rows:
        fact = Fact(source, order_id, placed_at, revision, sequence, _STEPS.validate_json(steps))
        facts[member_id][fact.key] = fact
    return facts


async def _coupons(connection: asyncpg.Connection, ids: Sequence[UUID]) -> dict[UUID, dict[UUID, Coupon]]:
    rows = await connection.fetch(
        """SELECT member_id, coupon_id, membership_id, days, issued_at, returned_at, returned_points, void
           FROM membership_coupons WHERE member_id = ANY($1::uuid[])""",
        ids,
    )
    coupons: dict[UUID, dict[UUID, Coupon]] = defaultdict(dict)
    for member_id, coupon_id, membership_id, days, issued_at, returned_at, points, void in rows:
        issue = Issue(membership_id, days, issued_at) if issued_at else None
        returned = Return(returned_at, points, void) if returned_at else None
        coupons[member_id][coupon_id] = Coupon(coupon_id, issue, returned)
    return coupons


def _member(row: asyncpg.Record, facts: dict[str, Fact], coupons: dict[UUID, Coupon]) -> Member:
    columns = dict(row)
    columns["intervals"] = _INTERVALS.validate_json(columns["intervals"])
    columns["memberships"] = _MEMBERSHIPS.validate_json(columns["memberships"])
    return Member(**columns, facts=facts, coupons=coupons)


async def save(tx: Transaction, world: World) -> None:
    """Write what changed, and publish what was announced."""
    changed = [member for member in world.members.values() if member.changed]
    if changed:
        await _save_members(tx, changed)
    facts = [(member, fact) for member in world.members.values() for fact in member.changed_facts.values()]
    if facts:
        await _save_facts(tx, facts)
    coupons = [(member, coupon) for member in world.members.values() for coupon in member.changed_coupons.values()]
    if coupons:
        await _save_coupons(tx, coupons)
    if world.announced:
        await save_changes(tx, [(event, member.program_version) for event, member, _ in world.announced])
    for event, _, cause in world.announced:
        event_id = derived_id(event.occurred_at, event.TYPE, event.member_id, event.version)
        tx.publish(event, id=event_id, time=event.occurred_at, cause=cause)


async def _save_members(tx: Transaction, changed: list[Member]) -> None:
    await tx.connection.execute(
        """UPDATE members m SET profile_version = n.profile_version, status = n.status,
               program_version = n.program_version, version = n.version, intervals = n.intervals::jsonb,
               memberships = n.memberships::jsonb, tier_id = n.tier_id,
               evaluated_at = n.evaluated_at, next_change_at = n.next_change_at, adopted_at = n.adopted_at
           FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::int[], $5::bigint[], $6::text[], $7::text[],
               $8::text[], $9::timestamptz[], $10::timestamptz[], $11::timestamptz[])
               n (member_id, profile_version, status, program_version, version, intervals, memberships, tier_id,
                  evaluated_at, next_change_at, adopted_at)
           WHERE m.member_id = n.member_id""",
        [one.member_id for one in changed],
        [one.profile_version for one in changed],
        [one.status for one in changed],
        [one.program_version for one in changed],
        [one.version for one in changed],
        [_INTERVALS.dump_json(one.intervals).decode() for one in changed],
        [_MEMBERSHIPS.dump_json(one.memberships).decode() for one in changed],
        [one.tier_id for one in changed],
        [one.evaluated_at for one in changed],
        [one.next_change_at for one in changed],
        [one.adopted_at for one in changed],
    )


async def _save_facts(tx: Transaction, facts: list[tuple[Member, Fact]]) -> None:
    await tx.connection.execute(
        """INSERT INTO order_bases (member_id, source, order_id, placed_at, revision, sequence, steps)
           SELECT n.member_id, n.source, n.order_id, n.placed_at, n.revision, n.sequence, n.steps::jsonb
           FROM unnest($1::uuid[], $2::text[], $3::text[], $4::timestamptz[], $5::bigint[], $6::bigint[], $7::text[])
               n (member_id, source, order_id, placed_at, revision, sequence, steps)
           ON CONFLICT (member_id, source, order_id) DO UPDATE SET placed_at = excluded.placed_at,
               revision = excluded.revision, sequence = excluded.sequence, steps = excluded.steps""",
        [member.member_id for member, _ in facts],
        [fact.source for _, fact in facts],
        [fact.order_id for _, fact in facts],
        [fact.placed_at for _, fact in facts],
        [fact.revision for _, fact in facts],
        [fact.sequence for _, fact in facts],
        [_STEPS.dump_json(fact.steps).decode() for _, fact in facts],
    )


async def _save_coupons(tx: Transaction, coupons: list[tuple[Member, Coupon]]) -> None:
    await tx.connection.execute(
        """INSERT INTO membership_coupons
               (member_id, coupon_id, membership_id, days, issued_at, returned_at, returned_points, void)
           SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::int[], $5::timestamptz[], $6::timestamptz[],
               $7::bigint[], $8::boolean[])
           ON CONFLICT (member_id, coupon_id) DO UPDATE SET membership_id = excluded.membership_id,
               days = excluded.days, issued_at = excluded.issued_at, returned_at = excluded.returned_at,
               returned_points = excluded.returned_points, void = excluded.void""",
        [member.member_id for member, _ in coupons],
        [coupon.coupon_id for _, coupon in coupons],
        [coupon.issue.membership_id if coupon.issue else None for _, coupon in coupons],
        [coupon.issue.days if coupon.issue else None for _, coupon in coupons],
        [coupon.issue.at if coupon.issue else None for _, coupon in coupons],
        [coupon.returned.at if coupon.returned else None for _, coupon in coupons],
        [coupon.returned.points if coupon.returned else None for _, coupon in coupons],
        [coupon.returned.void if coupon.returned else None for _, coupon in coupons],
    )


async def save_changes(tx: Transaction, changes: list[tuple[StandingChangedV1, int]]) -> None:
    """Keep what was announced, each with the version of the program that it was held against."""
    await tx.connection.execute(
        """INSERT INTO standing_changes (member_id, version, program_version, change, from_tier_id, to_tier_id,
               tier_points, occurred_at, recorded_at)
           SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::int[], $4::text[], $5::text[], $6::text[], $7::bigint[],
               $8::timestamptz[], $9::timestamptz[])""",
        [event.member_id for event, _ in changes],
        [event.version for event, _ in changes],
        [program_version for _, program_version in changes],
        [event.change for event, _ in changes],
        [event.from_tier_id for event, _ in changes],
        [event.to_tier_id for event, _ in changes],
        [event.tier_points for event, _ in changes],
        [event.occurred_at for event, _ in changes],
        [event.recorded_at for event, _ in changes],
    )


async def read_facts(
    connection: asyncpg.Connection, program_id: str, member_id: UUID
) -> tuple[list[Fact], list[Coupon]] | None:
    """What each order of a member counts for, and the coupons for memberships; None without such a member."""
    if not await _exists(connection, program_id, member_id):
        return None
    facts = (await _facts(connection, [member_id]))[member_id]
    coupons = (await _coupons(connection, [member_id]))[member_id]
    return list(facts.values()), list(coupons.values())


async def read_changes(
    connection: asyncpg.Connection, program_id: str, member_id: UUID, *, before: int | None, limit: int
) -> list[asyncpg.Record] | None:
    """Announcements with a version below `before`, newest first; None when the program has no such member."""
    if not await _exists(connection, program_id, member_id):
        return None
    return await connection.fetch(
        """SELECT version, program_version, change, from_tier_id, to_tier_id, tier_points, occurred_at, recorded_at
           FROM standing_changes WHERE member_id = $1 AND ($2::bigint IS NULL OR version < $2)
           ORDER BY version DESC LIMIT $3""",
        member_id,
        before,
        limit,
    )


async def _exists(connection: asyncpg.Connection, program_id: str, member_id: UUID) -> bool:
    return bool(
        await connection.fetchval(
            "SELECT true FROM members WHERE member_id = $1 AND program_id = $2 AND status IS DISTINCT FROM 'erased'",
            member_id,
            program_id,
        )
    )
