"""Whether the ledger is what it says: pure SQL over everything, for checks, the doctor and tests."""

import asyncpg

_CHECKS = (
    (
        """SELECT 'member ' || a.member_id || ': the accounts say pending ' || a.pending || ', active ' || a.active
                  || ', held ' || a.held || ', owed ' || a.deficit || '; the transfers ' || t.pending
                  || ', ' || t.active || ', ' || t.held || ', ' || t.deficit
           FROM accounts a CROSS JOIN LATERAL (
               SELECT coalesce(sum(points) FILTER (WHERE credit = 'pending'), 0)
                      - coalesce(sum(points) FILTER (WHERE debit = 'pending'), 0) AS pending,
                      coalesce(sum(points) FILTER (WHERE credit = 'active'), 0)
                      - coalesce(sum(points) FILTER (WHERE debit = 'active'), 0) AS active,
                      coalesce(sum(points) FILTER (WHERE credit = 'held'), 0)
                      - coalesce(sum(points) FILTER (WHERE debit = 'held'), 0) AS held,
                      coalesce(sum(points) FILTER (WHERE debit = 'deficit'), 0)
                      - coalesce(sum(points) FILTER (WHERE credit = 'deficit'), 0) AS deficit
               FROM transfers WHERE member_id = a.member_id
           ) t
           WHERE (a.pending, a.active, a.held, a.deficit) <> (t.pending, t.active, t.held, t.deficit)"""
    ),
    (
        """SELECT 'member ' || a.member_id || ': lots hold pending ' || l.pending || ' and active ' || l.active
                  || '; the account says ' || a.pending || ' and ' || a.active
           FROM accounts a CROSS JOIN LATERAL (
               SELECT coalesce(sum(remaining) FILTER (WHERE state = 'pending'), 0) AS pending,
                      coalesce(sum(remaining) FILTER (WHERE state = 'active'), 0) AS active
               FROM lots WHERE member_id = a.member_id
           ) l WHERE (a.pending, a.active) <> (l.pending, l.active)"""
    ),
    (
        """SELECT 'program ' || a.program_id || ': all buckets together are ' || sum(
                      a.pending + a.active + a.held - a.deficit + t.program)
           FROM accounts a CROSS JOIN LATERAL (
               SELECT coalesce(sum(points) FILTER (WHERE credit NOT IN ('pending', 'active', 'held', 'deficit')), 0)
                      - coalesce(sum(points) FILTER (WHERE debit NOT IN ('pending', 'active', 'held', 'deficit')), 0)
                      AS program
               FROM transfers WHERE member_id = a.member_id
           ) t GROUP BY a.program_id
           HAVING sum(a.pending + a.active + a.held - a.deficit + t.program) <> 0"""
    ),
    (
        """SELECT 'order ' || o.source || ':' || o.order_id || ' of member ' || o.member_id || ': claims of '
                  || c.granted || ' points, transfers of ' || t.granted
           FROM orders o
           CROSS JOIN LATERAL (
               SELECT coalesce(sum(granted), 0) AS granted FROM claims
               WHERE (program_id, source, order_id) = (o.program_id, o.source, o.order_id)
           ) c
           JOIN (
               SELECT member_id, source, order_id,
                      coalesce(sum(points) FILTER (WHERE debit IN ('source', 'clawed_back')), 0)
                      - coalesce(sum(points) FILTER (WHERE credit = 'clawed_back'), 0) AS granted
               FROM transfers WHERE source IS NOT NULL GROUP BY member_id, source, order_id
           ) t USING (member_id, source, order_id)
           WHERE c.granted <> t.granted"""
    ),
)  # fmt: skip


async def imbalances(connection: asyncpg.Connection) -> list[str]:
    """A sentence for everything that does not add up: accounts against their transfers and lots, all buckets against
    zero, claims against what was granted. Empty when all is well.
    """
    return [row[0] for check in _CHECKS for row in await connection.fetch(check)]
