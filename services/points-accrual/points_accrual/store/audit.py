"""Whether the ledger is what it says: pure SQL over everything, for checks, the doctor and tests."""

import asyncpg

_MEMBERS_OWN = "('pending', 'active', 'held', 'deficit')"

CHECKS = (
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
               FROM lots WHERE member_id = a.member_id AND remaining > 0
           ) l WHERE (a.pending, a.active) <> (l.pending, l.active)"""
    ),
    (
        """SELECT 'member ' || a.member_id || ': coupons hold ' || c.held || '; the account says ' || a.held
           FROM accounts a CROSS JOIN LATERAL (
               SELECT coalesce(sum(points), 0) AS held FROM coupons WHERE member_id = a.member_id AND state = 'held'
           ) c WHERE a.held <> c.held"""
    ),
    (
        f"""SELECT 'program ' || a.program_id || ': all buckets together are ' || sum(
                      a.pending + a.active + a.held - a.deficit + t.program)
           FROM accounts a CROSS JOIN LATERAL (
               SELECT coalesce(sum(points) FILTER (WHERE credit NOT IN {_MEMBERS_OWN}), 0)
                      - coalesce(sum(points) FILTER (WHERE debit NOT IN {_MEMBERS_OWN}), 0)
                      AS program
               FROM transfers WHERE member_id = a.member_id
           ) t GROUP BY a.program_id
           HAVING sum(a.pending + a.active + a.held - a.deficit + t.program) <> 0"""
    ),
    (
        """SELECT 'program ' || program_id || ': between members ' || sum(lost) || ' points are on their way'
           FROM (SELECT a.program_id, CASE t.credit WHEN 'transferred' THEN t.points ELSE -t.points END AS lost
                 FROM transfers t JOIN accounts a USING (member_id) WHERE 'transferred' IN (t.debit, t.credit)) moved
           GROUP BY program_id HAVING sum(lost) <> 0"""
    ),
    (
        """SELECT c.kind || ' ' || c.claim_id || ' of member ' || c.member_id || ': claims ' || c.granted
                  || ' points, transfers of ' || coalesce(t.granted, 0)
           FROM (SELECT program_id, kind, claim_id, member_id,
                        (SELECT coalesce(sum(value::bigint), 0) FROM jsonb_each_text(granted)) AS granted
                 FROM claims WHERE kind IN ('order', 'activity', 'referral', 'date', 'challenge')) c
           LEFT JOIN (
               SELECT a.program_id, t.claim_kind, t.claim_id,
                      coalesce(sum(points) FILTER (WHERE debit IN ('source', 'clawed_back')), 0)
                      - coalesce(sum(points) FILTER (WHERE credit = 'clawed_back'), 0) AS granted
               FROM transfers t JOIN accounts a USING (member_id)
               WHERE t.claim_kind IS NOT NULL GROUP BY a.program_id, t.claim_kind, t.claim_id
           ) t ON (t.program_id, t.claim_kind, t.claim_id) = (c.program_id, c.kind, c.claim_id)
           WHERE c.granted <> coalesce(t.granted, 0)"""
    ),
)  # fmt: skip


async def imbalances(connection: asyncpg.Connection) -> list[str]:
    """A sentence for everything that does not add up: accounts against their transfers, lots and holds, all buckets
    against zero, claims against what was granted. Empty when all is well.
    """
    return [row[0] for check in CHECKS for row in await connection.fetch(check)]
