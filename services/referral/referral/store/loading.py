"""Loads, locked in member order, whom a batch can concern: its members, their friends, and the advocates of both."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

import asyncpg

from contracts.members import MemberChangedV1
from contracts.orders import OrderChangedV1
from contracts.program import ProgramBook
from shared.sweeper import Round
from shared.transaction import Message, Retry, Transaction

from ..domain.codes import ALPHABET, LENGTH, candidates
from ..domain.members import Member, Referral, ReferralKey, Verdict
from ..domain.orders import Order
from ..domain.world import World

_MEMBER = "member_id, program_id, version, status, email, code, code_assigned_at, program_version, adopted_at"
_ORDER = (
    "source, order_id, revision, placed_at, payment, cancelled, test, currency, net_minor, codes, email, address, card,"
    " program_version, waiting"
)
_REFERRAL = (
    "friend_id, source, order_id, advocate_id, referral_id, state, reason, told, told_reason, version,"
    " order_revision, order_minor, placed_at, changed_at"
)
Code = tuple[str, str]
"""Program and code."""


@dataclass(frozen=True)
class _Batch:
    """What a batch brings that is not in the tables yet."""

    members: list[UUID]
    enrolled: frozenset[UUID]
    codes: frozenset[Code]
    """Carried by the batch's orders."""
    fingerprints: Sequence[tuple[UUID, str]]


@dataclass(frozen=True)
class _Circle:
    """Who is to be judged, whose the codes are that they carried, and who is told when a referral of theirs changes."""

    friends: frozenset[UUID]
    owners: dict[Code, UUID]
    advocates: frozenset[UUID]

    @property
    def members(self) -> set[UUID]:
        return {*self.friends, *self.owners.values(), *self.advocates}


async def load(tx: Transaction, programs: ProgramBook, messages: list[Message]) -> World:
    """The world of a batch; its members are made if new. Raises `Retry` when somebody came in while it was locked."""
    firsts: dict[UUID, Message] = {}
    for message in messages:
        firsts.setdefault(UUID(message.data.key()), message)
    ids = sorted(firsts)
    await tx.connection.execute(
        """INSERT INTO members (member_id, program_id, partition)
           SELECT * FROM unnest($1::uuid[], $2::text[], $3::int[])
           ON CONFLICT (member_id) DO UPDATE SET partition = excluded.partition
               WHERE members.partition <> excluded.partition""",
        ids,
        [firsts[member_id].data.program_id for member_id in ids],
        [firsts[member_id].partition for member_id in ids],
    )
    return await _load(tx, programs, _read_batch(ids, messages))


async def load_unseen(tx: Transaction, programs: ProgramBook, due: Round) -> World:
    """The world around members last looked at under an older version of their program than the one in force.

    And around those adopted after a restore for whom all has been read again.
    """
    names = sorted({event.program_id for event in programs})
    in_force = [program for name in names if (program := programs.in_force(name, tx.now)) is not None]
    rows = await tx.connection.fetch(
        """SELECT member_id FROM (
               SELECT m.member_id FROM unnest($2::text[], $3::int[]) p(program_id, version)
                   JOIN members m ON m.program_id = p.program_id AND m.program_version < p.version
               WHERE m.partition = $1 AND m.adopted_at IS NULL
               UNION SELECT member_id FROM members WHERE partition = $1 AND adopted_at <= $5) u
           WHERE member_id <> ALL($6::uuid[]) LIMIT $4""",
        due.partition,
        [program.id for program in in_force],
        [program.version for program in in_force],
        due.most,
        due.horizon,
        due.spared,
    )
    due.keys = sorted(row["member_id"] for row in rows)
    return await _load(tx, programs, _read_batch(due.keys, []))


def _read_batch(ids: Sequence[UUID], messages: list[Message]) -> _Batch:
    enrolled, codes, fingerprints = set(), set(), set()
    for message in messages:
        event = message.data
        if isinstance(event, MemberChangedV1):
            fingerprints.add((event.member_id, event.email_fingerprint))
            if event.status == "member":
                enrolled.add(event.member_id)
        elif isinstance(event, OrderChangedV1):
            prints = event.fingerprints
            fingerprints |= {(event.member_id, value) for value in (prints.email, prints.address, prints.payment)}
            texts = [*event.discount_codes, *event.attributes.values()]
            codes |= {(event.program_id, code) for code in candidates(texts)}
    known = [(member_id, value) for member_id, value in fingerprints if value is not None]
    return _Batch(list(ids), frozenset(enrolled), frozenset(codes), known)


async def _load(tx: Transaction, programs: ProgramBook, batch: _Batch) -> World:
    drawn = await _draw(tx, programs, batch)
    ids = sorted((await _circle(tx.connection, batch, drawn)).members)
    rows = await tx.connection.fetch(
        f"SELECT {_MEMBER} FROM members WHERE member_id = ANY($1::uuid[]) ORDER BY member_id FOR UPDATE", ids
    )
    tx.mark_locked(ids)
    # Read again now that nobody else can change them: until then somebody may have got a code, or carried one.
    circle = await _circle(tx.connection, batch, drawn)
    if not circle.members <= set(ids):
        raise Retry("the members whom the batch concerns became more while they were locked")
    members = {row["member_id"]: Member(**dict(row)) for row in rows}
    await _add_orders(tx.connection, ids, members)
    await _add_referrals(tx.connection, sorted(circle.friends), members)
    return World(
        programs,
        tx.now,
        members,
        circle.friends,
        circle.owners,
        {member_id: code for (_, code), member_id in drawn.items()},
    )


async def _draw(tx: Transaction, programs: ProgramBook, batch: _Batch) -> dict[Code, UUID]:
    """A fresh code for everybody who may need one. One that is taken is refused by the table, and drawn again."""
    rows = await tx.connection.fetch(
        """SELECT member_id, program_id FROM members WHERE member_id = ANY($1::uuid[]) AND code IS NULL
               AND (status = 'member' OR member_id = ANY($2::uuid[])) ORDER BY member_id""",
        batch.members,
        sorted(batch.enrolled),
    )
    drawn: dict[Code, UUID] = {}
    for member_id, program_id in rows:
        program = programs.in_force(program_id, tx.now)
        if program is not None and program.referral is not None:
            drawn[program_id, "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))] = member_id
    return drawn


async def _circle(connection: asyncpg.Connection, batch: _Batch, drawn: Mapping[Code, UUID]) -> _Circle:
    friends = {*batch.members, *await _concerned(connection, batch, drawn)}
    carried = await connection.fetch(
        """SELECT DISTINCT program_id, unnest(codes) FROM orders
           WHERE member_id = ANY($1::uuid[]) AND codes <> '{}'""",
        sorted(friends),
    )
    codes = sorted(batch.codes | {(program_id, code) for program_id, code in carried})
    rows = await connection.fetch(
        """SELECT m.program_id, m.code, m.member_id FROM unnest($1::text[], $2::text[]) c(program_id, code)
               JOIN members m USING (program_id, code)""",
        [program_id for program_id, _ in codes],
        [code for _, code in codes],
    )
    owners = {(program_id, code): member_id for program_id, code, member_id in rows}
    # An order may not carry the code any more, and after a restore it may never have been seen with it.
    advocates = await connection.fetch(
        "SELECT DISTINCT advocate_id FROM referrals WHERE friend_id = ANY($1::uuid[])", sorted(friends)
    )
    return _Circle(frozenset(friends), owners, frozenset(row["advocate_id"] for row in advocates))


async def _concerned(connection: asyncpg.Connection, batch: _Batch, drawn: Mapping[Code, UUID]) -> set[UUID]:
    """Who carried a drawn code; and of those who carried another code of the batch's members, who looks like them.

    Only these can be judged otherwise than before, and an advocate may have brought thousands.
    """
    early = await connection.fetch(
        """SELECT DISTINCT o.member_id FROM unnest($1::text[], $2::text[]) c(program_id, code)
               JOIN orders o ON o.program_id = c.program_id AND o.codes @> ARRAY[c.code]
           WHERE o.codes <> '{}'""",
        [program_id for program_id, _ in drawn],
        [code for _, code in drawn],
    )
    alike = await connection.fetch(
        """WITH advocates AS (
               SELECT member_id, program_id, code, email FROM members
               WHERE member_id = ANY($1::uuid[]) AND code IS NOT NULL),
           prints (member_id, value) AS (
               SELECT * FROM unnest($2::uuid[], $3::text[])
               UNION SELECT member_id, email FROM advocates
               UNION SELECT member_id, unnest(ARRAY[email, address, card]) FROM orders
               WHERE member_id = ANY($1::uuid[]))
           SELECT DISTINCT o.member_id FROM orders o
               JOIN advocates a ON a.program_id = o.program_id AND a.code = ANY(o.codes)
               JOIN members f ON f.member_id = o.member_id
               JOIN prints p ON p.member_id = a.member_id AND p.value IN (o.email, o.address, o.card, f.email)
           WHERE o.codes <> '{}' AND o.codes && (SELECT array_agg(code) FROM advocates)""",
        batch.members,
        [member_id for member_id, _ in batch.fingerprints],
        [value for _, value in batch.fingerprints],
    )
    return {row["member_id"] for row in (*early, *alike)}


async def _add_orders(connection: asyncpg.Connection, ids: list[UUID], members: dict[UUID, Member]) -> None:
    rows = await connection.fetch(f"SELECT member_id, {_ORDER} FROM orders WHERE member_id = ANY($1::uuid[])", ids)
    for row in rows:
        values = dict(row)
        member = members[values.pop("member_id")]
        order = Order(**values | {"codes": tuple(values["codes"])})
        member.orders[order.key] = order


async def _add_referrals(connection: asyncpg.Connection, ids: list[UUID], members: dict[UUID, Member]) -> None:
    rows = await connection.fetch(f"SELECT {_REFERRAL} FROM referrals WHERE friend_id = ANY($1::uuid[])", ids)
    for row in rows:
        referral = read_referral(row)
        members[row["friend_id"]].referrals[referral.key] = referral


def read_referral(row: asyncpg.Record) -> Referral:
    """A row of the table as a value."""
    return Referral(
        referral_id=row["referral_id"],
        key=ReferralKey((row["source"], row["order_id"]), row["advocate_id"]),
        verdict=Verdict(row["state"], row["reason"]),
        told=(row["told"], row["told_reason"]) if row["told"] else None,
        version=row["version"],
        order_revision=row["order_revision"],
        order_minor=row["order_minor"],
        placed_at=row["placed_at"],
        changed_at=row["changed_at"],
    )
