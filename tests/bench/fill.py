"""Ledgers of any size in minutes: past orders as the ledger itself would have left them, written set-based.

Every filled order met two rules, was recorded after its points could be spent, and nothing of it was spent since.
"""

import asyncpg
from aiokafka.partitioner import murmur2

from contracts.topics import PARTITIONS_DEFAULT

from .traffic import MANY, program_of

TRANSFERS_EACH = 2
CHUNK = 250_000
"""Orders of one statement."""

_MEMBERS = """
    INSERT INTO accounts (member_id, program_id, partition, sequence, clock)
    SELECT m, $2, p, 1, now() - interval '250 days' FROM unnest($1::uuid[], $3::int[]) AS x (m, p)"""
_ENROLMENTS = """
    INSERT INTO members (member_id, status, enrolled_at, version, standing_version, dates_version)
    SELECT m, 'member', now() - interval '260 days', 1, 0, 1 FROM unnest($1::uuid[]) AS x (m)"""
_ENROLLED = """
    INSERT INTO decisions (member_id, sequence, kind, decision_key, cause, occurred_at, effective_at, input, pinned)
    SELECT m, 1, 'member', 'enrolment:1', '{"kind": "enrolment", "id": "filled"}', now() - interval '260 days',
           now() - interval '250 days', '{}', '{}' FROM unnest($1::uuid[]) AS x (m)"""

_ORDERS = """
    CREATE TEMPORARY TABLE filled ON COMMIT DROP AS
    SELECT n, md5(($3::bigint + n % $4)::text)::uuid AS member_id, 2 + n / $4 AS sequence, 'filled:' || n AS claim_id,
           at, at - interval '20 days' AS placed_at, spend, spend / 20 + 1 AS kind,
           'kind-' || 1 + n % 9 AS kind_id,
           (stamp || '8' || substr(hash, 1, 3) || '8' || substr(hash, 4, 15))::uuid AS lot_id
    FROM (SELECT n, now() - interval '240 days' + n * interval '1 second' AS at, 100 + n * 37 % 2500 AS spend,
                 lpad(to_hex(extract(epoch FROM now())::bigint * 1000 - 20736000000 + n * 1000), 12, '0') AS stamp,
                 md5('lot' || n) AS hash
          FROM generate_series($1::bigint, $2::bigint - 1) AS n) AS x"""
_DECISIONS = """
    INSERT INTO decisions (member_id, sequence, kind, decision_key, cause, occurred_at, effective_at, input, pinned)
    SELECT member_id, sequence, 'order', 'order:' || claim_id || ':1',
           jsonb_build_object('kind', 'order', 'id', lot_id, 'order', jsonb_build_object(
               'source', 'filled', 'order_id', n::text, 'revision', 1, 'placed_at', placed_at)),
           placed_at, at, '{"source": "filled", "order_id": "' || n || '"}', '{"program_version": 1}'
    FROM filled ORDER BY n"""
_CLAIMS = """
    INSERT INTO claims
        (program_id, kind, claim_id, member_id, version, at, first_recorded_at, program_version, program_hash,
         granted, lots, pins, base, detail, document_of, document_sequence)
    SELECT $1, 'order', claim_id, member_id, 1, placed_at, at, 1, $2,
           jsonb_build_object('spend', spend, kind_id, kind), jsonb_build_object('', lot_id), '{}',
           jsonb_build_array(jsonb_build_object('acts_from', placed_at, 'base_points', spend + kind)), '{}',
           member_id, sequence
    FROM filled ORDER BY n"""
_LOTS = """
    INSERT INTO lots (lot_id, member_id, partition, claim_kind, claim_id, terms, program_version, opened_at,
                      activates_at, expires_at, warnings, state, remaining, expired, takings)
    SELECT f.lot_id, f.member_id, a.partition, 'order', f.claim_id, '', 1, f.at, f.at, f.at + interval '1 year', '{}',
           'active', f.spend + f.kind, 0, '[]'
    FROM filled f JOIN accounts a USING (member_id) ORDER BY n"""
_TRANSFERS = """
    INSERT INTO transfers (member_id, sequence, ordinal, transfer_id, debit, credit, points, effective_at,
                           program_version, rule_id, claim_kind, claim_id, lot_id)
    SELECT f.member_id, f.sequence, t.ordinal, md5('transfer' || t.ordinal || f.n)::uuid, 'source', 'active', t.points,
           f.at, 1, t.rule_id, 'order', f.claim_id, f.lot_id
    FROM filled f
    CROSS JOIN LATERAL (VALUES (1, f.kind_id, f.kind), (2, 'spend', f.spend)) AS t (ordinal, rule_id, points)
    ORDER BY f.n, t.ordinal"""
_BALANCES = """
    UPDATE accounts a SET active = a.active + s.points, sequence = s.sequence, clock = s.at
    FROM (SELECT member_id, sum(spend + kind) AS points, max(sequence) AS sequence, max(at) AS at
          FROM filled GROUP BY member_id) AS s
    WHERE a.member_id = s.member_id"""


async def fill(connection: asyncpg.Connection, before: int, transfers: int) -> None:
    """Bring a ledger with `before` filled transfers to so many. The connection is a superuser's."""
    # Rows that refer to others are right by construction; looking each up would take most of the time.
    await connection.execute("SET session_replication_role = replica")
    if before == 0:
        await _fill_members(connection)
    program = program_of(MANY)
    for first in range(before // TRANSFERS_EACH, transfers // TRANSFERS_EACH, CHUNK):
        last = min(first + CHUNK, transfers // TRANSFERS_EACH)
        async with connection.transaction():
            await connection.execute(_ORDERS, first, last, MANY.first, MANY.members)
            await connection.execute("ANALYZE filled")
            await connection.execute(_DECISIONS)
            await connection.execute(_CLAIMS, program.id, program.hash())
            for statement in (_LOTS, _TRANSFERS, _BALANCES):
                await connection.execute(statement)
    await connection.execute("VACUUM ANALYZE")


async def _fill_members(connection: asyncpg.Connection) -> None:
    members = [MANY.member(number) for number in range(MANY.members)]
    partitions = [(murmur2(str(member).encode()) & 0x7FFFFFFF) % PARTITIONS_DEFAULT for member in members]
    await connection.execute(_MEMBERS, members, MANY.program_id, partitions)
    await connection.execute(_ENROLMENTS, members)
    await connection.execute(_ENROLLED, members)
