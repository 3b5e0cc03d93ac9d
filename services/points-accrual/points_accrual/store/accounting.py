"""Sums over the whole ledger of a program, for its liability. They read a lot: for reports, not for pages."""

from datetime import datetime
from typing import Any

import asyncpg

from ..domain.liability import OWN, Cohort

Sums = dict[tuple[str, str], int]


async def moved(
    connection: asyncpg.Connection, program_id: str, since: datetime | None, until: datetime | None
) -> Sums:  # fmt: skip
    """Points that went from one bucket to another from then on, up to but not at that moment; None: all."""
    rows = await connection.fetch(
        """SELECT t.debit, t.credit, sum(t.points)::bigint AS points
           FROM transfers t JOIN accounts a USING (member_id)
           WHERE a.program_id = $1 AND ($2::timestamptz IS NULL OR t.effective_at >= $2)
                 AND ($3::timestamptz IS NULL OR t.effective_at < $3)
           GROUP BY 1, 2""",
        program_id, since, until,
    )  # fmt: skip
    return {(row["debit"], row["credit"]): row["points"] for row in rows}


def balances(sums: Sums) -> dict[str, int]:
    """The members' buckets that follow from all transfers; what is owed is positive."""
    found = dict.fromkeys(OWN, 0)
    for (debit, credit), points in sums.items():
        if debit in found:
            found[debit] -= points
        if credit in found:
            found[credit] += points
    return found | {"deficit": -found["deficit"]}


async def ages(connection: asyncpg.Connection, program_id: str, now: datetime) -> list[dict[str, Any]]:
    """Points that lie in lots now, by state and by whole months since they were granted."""
    rows = await connection.fetch(
        """SELECT l.state, (extract(year FROM o.age) * 12 + extract(month FROM o.age))::int AS months,
                  sum(l.remaining)::bigint AS points
           FROM lots l JOIN accounts a USING (member_id), LATERAL age($2, l.opened_at) AS o (age)
           WHERE a.program_id = $1 AND l.remaining > 0 GROUP BY 1, 2 ORDER BY 1, 2""",
        program_id, now,
    )  # fmt: skip
    return [dict(row) for row in rows]


async def cohorts(connection: asyncpg.Connection, program_id: str, until: datetime, zone: str) -> list[Cohort]:
    """By the month in which points were granted: how many stand, and how many were redeemed by each age.

    `until`: the beginning of a month of the zone; what was posted from then on is not looked at, so that the answer
    stays the same for ever. Held points count as redeemed; what came back from a hold or a coupon is taken off when it
    came. Points that went to another member, or were taken by hand, leave the month that they were granted in.
    """
    granted = await connection.fetch(_GRANTED, program_id, until, zone)
    redeemed = await connection.fetch(_REDEEMED, program_id, until, zone)
    last = _number(await connection.fetchval(_LAST_MONTH, until, zone))
    spent = {(row["month"], _number(row["spent"])): row["points"] for row in redeemed}
    found = []
    for row in granted:
        total, curve = 0, []
        for month in range(_number(row["month"]), last + 1):
            total += spent.get((row["month"], month), 0)
            curve.append(max(0, total))
        found.append(Cohort(row["month"], max(0, row["points"]), tuple(curve)))
    return found


_POSTED = "transfers t JOIN accounts a USING (member_id) WHERE a.program_id = $1 AND t.effective_at < $2"
_GRANTED = f"""
    SELECT to_char(l.opened_at AT TIME ZONE $3, 'YYYY-MM') AS month, sum(g.points)::bigint AS points
    FROM (SELECT t.lot_id, CASE WHEN t.credit IN ('clawed_back', 'transferred') THEN -t.points ELSE t.points END
                 AS points FROM {_POSTED}
            AND (t.debit IN ('source', 'clawed_back', 'imported', 'adjusted', 'transferred')
                 OR t.credit = 'clawed_back' OR (t.debit = 'pending' AND t.credit = 'transferred'))
          UNION ALL
          SELECT used.key::uuid, -used.value::bigint
          FROM (SELECT t.uses FROM {_POSTED} AND t.debit = 'active' AND t.credit IN ('transferred', 'adjusted')) t,
               jsonb_each_text(t.uses) used) g
    JOIN lots l USING (lot_id) GROUP BY 1 ORDER BY 1"""
_REDEEMED = f"""
    SELECT to_char(l.opened_at AT TIME ZONE $3, 'YYYY-MM') AS month, to_char(u.at AT TIME ZONE $3, 'YYYY-MM') AS spent,
           sum(u.points)::bigint AS points
    FROM (SELECT used.key::uuid AS lot_id, used.value::bigint AS points, t.effective_at AS at
          FROM (SELECT t.uses, t.effective_at FROM {_POSTED}
                  AND t.debit = 'active' AND t.credit IN ('held', 'redeemed')) t, jsonb_each_text(t.uses) used
          UNION ALL
          SELECT t.lot_id, -t.points, t.effective_at FROM {_POSTED}
            AND t.debit IN ('held', 'redeemed') AND t.credit = 'active') u
    JOIN lots l USING (lot_id) GROUP BY 1, 2"""
_LAST_MONTH = "SELECT to_char(($1::timestamptz - interval '1 microsecond') AT TIME ZONE $2, 'YYYY-MM')"


def _number(month: str) -> int:
    return int(month[:4]) * 12 + int(month[5:])


async def issued(
    connection: asyncpg.Connection, program_id: str, since: datetime, until: datetime
) -> tuple[int, int]:  # fmt: skip
    """The worth in money of the rewards with a value that were issued within that time, and the points that they cost.

    Also of those given back later: what a point bought stays true, and the answer stays the same for ever.
    """
    row = await connection.fetchrow(
        """SELECT coalesce(sum(value_minor), 0)::bigint, coalesce(sum(points), 0)::bigint FROM coupons
           WHERE program_id = $1 AND issued_at >= $2 AND issued_at < $3 AND value_minor IS NOT NULL AND points > 0""",
        program_id, since, until,
    )  # fmt: skip
    assert row is not None
    return row[0], row[1]
