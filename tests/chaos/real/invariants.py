"""What must hold at rest, whatever happened before: the books, the stream, and who may read what."""

import asyncio
import re
from collections import defaultdict
from uuid import UUID

from contracts.points import Balances, PointsEvent
from contracts.topics import INGEST, MEMBERS, ORDERS, POINTS, POINTS_TOPIC, REFERRALS, REWARDS, TIERS
from laurel.installation import State
from tests.e2e.outcome import read_events, read_records

from .checker import rows

_EMAIL = re.compile(rb"[^\s\"'<>:,]+@[^\s\"'<>,]+")
QUESTIONS = {
    "I1: what members have is not what the program gave": (
        POINTS,
        """SELECT members, program FROM
               (SELECT coalesce(sum(pending + active + held - deficit), 0) AS members FROM accounts) a,
               (SELECT coalesce(sum(CASE WHEN debit <> ALL (m.buckets) THEN points ELSE 0 END)
                     - sum(CASE WHEN credit <> ALL (m.buckets) THEN points ELSE 0 END), 0) AS program
                FROM transfers, (SELECT ARRAY['pending', 'active', 'held', 'deficit'] AS buckets) m) t
           WHERE members <> program""",
    ),
    "I3: an order has more than one claim": (
        POINTS,
        """SELECT split_part(claim_id, ':', 2) AS order_id FROM claims WHERE kind = 'order'
           GROUP BY 1 HAVING count(*) > 1""",
    ),
    "I5: more was taken back of a claim than it gave": (
        POINTS,
        """SELECT claim_id FROM transfers WHERE claim_kind = 'order' GROUP BY claim_id
           HAVING sum(CASE WHEN credit IN ('clawed_back', 'waived') THEN points
                           WHEN debit IN ('clawed_back', 'waived') THEN -points ELSE 0 END)
                > sum(CASE WHEN debit = 'source' THEN points ELSE 0 END)""",
    ),
    "I6: lots are not what is active, held and pending": (
        POINTS,
        """SELECT a.member_id, a.active, a.pending, l.active AS lots_active, l.pending AS lots_pending FROM accounts a
           LEFT JOIN LATERAL (
               SELECT coalesce(sum(remaining) FILTER (WHERE state = 'active'), 0) AS active,
                      coalesce(sum(remaining) FILTER (WHERE state = 'pending'), 0) AS pending
               FROM lots WHERE member_id = a.member_id) l ON true
           WHERE (a.active, a.pending) IS DISTINCT FROM (l.active::bigint, l.pending::bigint)""",
    ),
    "I6: a hold has not ended": (POINTS, "SELECT coupon_id FROM coupons WHERE state = 'held'"),
}


def violations(state: State) -> list[str]:
    """A line for each that does not hold; I2, I4 and I9 are the business of the outcome and of waiting."""
    found = [
        f"{what}: {row}" for what, (service, question) in QUESTIONS.items() for row in rows(state, service, question)
    ]
    return [*found, *asyncio.run(_stream(state)), *asyncio.run(_canaries(state))]


async def _stream(state: State) -> list[str]:
    """I8: the ledger's own topic, each event taken once and in order, adds up to the accounts."""
    last: dict[UUID, tuple[int, Balances]] = {}
    transfers: dict[UUID, set[UUID]] = defaultdict(set)
    found, seen = [], set()
    for event_id, event in await read_events(state.kafka, [POINTS_TOPIC]):
        if event_id in seen or not isinstance(event, PointsEvent):
            continue
        seen.add(event_id)
        version, _ = last.get(event.member_id, (0, None))
        if event.account_version < version:
            found.append(f"I8: event {event_id} of {event.member_id} came after a newer one")
        last[event.member_id] = event.account_version, event.balances
        transfers[event.member_id] |= {item.transfer_id for item in event.transfers}
    for row in rows(state, POINTS, "SELECT member_id, pending, active, held, deficit FROM accounts"):
        told = last.get(row["member_id"])
        here = Balances.model_validate({name: row[name] for name in Balances.model_fields})
        if (told[1] if told else Balances(pending=0, active=0, held=0, deficit=0)) != here:
            found.append(f"I8: {row['member_id']} has {here}, its last event says {told}")
    for row in rows(state, POINTS, "SELECT member_id, array_agg(transfer_id) AS ids FROM transfers GROUP BY 1"):
        if set(row["ids"]) != transfers[row["member_id"]]:
            found.append(f"I8: {row['member_id']} has transfers that no event tells, or the other way round")
    return found


async def _canaries(state: State) -> list[str]:
    """I10: no e-mail address of a member is on a topic but that of contacts."""
    known = {row["value"] for row in rows(state, INGEST, "SELECT value FROM identities WHERE kind = 'email'")}
    found = []
    for record in await read_records(state.kafka, (MEMBERS, ORDERS, POINTS_TOPIC, REWARDS, TIERS, REFERRALS)):
        names = {match.decode(errors="replace").lower() for match in _EMAIL.findall(record.value or b"")}
        found += [f"I10: {name} is told on {record.topic}" for name in sorted(names & known)]
    return found
