"""Things that must not be there, put into a finished run to see that the checks find each of them."""

from dataclasses import dataclass

import psycopg

from contracts.topics import INGEST, NOTIFICATION, POINTS
from laurel.installation import State


@dataclass(frozen=True)
class Plant:
    """`statement` makes it, in the database of `service`; each text of `told` must then be in a finding.

    `:refused` in it is the order id of a request that was refused.
    """

    name: str
    service: str
    statement: str
    told: tuple[str, ...]


PLANTS = (
    Plant(
        "an order is lost at the edge",
        INGEST,
        """DELETE FROM orders WHERE order_id = 'till-rich-0'""",
        ("order till-rich-0 at the edge was acknowledged and has no effect", "does not know the last revision"),
    ),
    Plant(
        "a refused order was taken after all",
        INGEST,
        """INSERT INTO orders SELECT program_id, source, ':refused', member_id, revision, recorded_at, state
           FROM orders WHERE order_id = 'till-rich-1'""",
        ("was rejected and has 1 effects",),
    ),
    Plant(
        "a webhook that was acknowledged has no row",
        INGEST,
        """DELETE FROM deliveries WHERE delivery_id = (
               SELECT min(delivery_id) FROM deliveries WHERE webhook_id IS NOT NULL)""",
        ("webhook ",),
    ),
    Plant(
        "points are granted twice",
        POINTS,
        """INSERT INTO transfers SELECT member_id, sequence, ordinal + 100, gen_random_uuid(), debit, credit, points,
               effective_at, program_version, rule_id, claim_kind, claim_id, lot_id, uses
           FROM transfers WHERE claim_id LIKE '%till-rich-2' AND debit = 'source'""",
        ("order till-rich-2 earned",),
    ),
    Plant(
        "an account has a point that nobody gave",
        POINTS,
        "UPDATE accounts SET pending = pending + 1 WHERE member_id = (SELECT min(member_id::text)::uuid FROM accounts)",
        ("transfers say", "I1: ", "I8: "),
    ),
    Plant(
        "lots hold more than the account",
        POINTS,
        "UPDATE lots SET remaining = remaining + 1 WHERE lot_id = (SELECT min(lot_id::text)::uuid FROM lots "
        "WHERE state = 'active')",
        ("I6: lots",),
    ),
    Plant(
        "a redemption was done twice",
        POINTS,
        """INSERT INTO coupons (coupon_id, program_id, member_id, partition, reward_id, kind, program_version, state,
               points, returned, by_hand, uses, code, opened_at, issued_at, windows)
           SELECT gen_random_uuid(), program_id, member_id, partition, reward_id, kind, program_version, state, points,
               returned, by_hand, uses, 'PLANTED', opened_at, issued_at, windows
           FROM coupons WHERE member_id IN (SELECT member_id FROM claims WHERE claim_id LIKE '%till-rich-%') LIMIT 1""",
        ("coupons of",),
    ),
    Plant(
        "a redemption that was acknowledged is gone",
        POINTS,
        "DELETE FROM commands WHERE idempotency_key LIKE 'till-spend-%'",
        ("redemption till-spend-",),
    ),
    Plant(
        "a hold was forgotten",
        POINTS,
        "UPDATE coupons SET state = 'held' WHERE coupon_id = (SELECT min(coupon_id::text)::uuid FROM coupons)",
        ("I6: a hold",),
    ),
    Plant(
        "a claim was made twice",
        POINTS,
        """INSERT INTO claims SELECT program_id, kind, 'another:' || split_part(claim_id, ':', 2), member_id, version,
               at, first_recorded_at, program_version, program_hash, reason, granted, lots, pins, base, counts, detail,
               document_of, document_sequence
           FROM claims WHERE claim_id LIKE '%till-rich-1'""",
        ("I3: ",),
    ),
    Plant(
        "an event was set aside",
        POINTS,
        """INSERT INTO dead_letters (topic, partition, "offset", cluster_id, headers, error_class, error)
           VALUES ('loyalty.orders.v1', 0, 0, 'planted', '[]', 'Planted', 'planted')""",
        ("set aside",),
    ),
    Plant(
        "a mail was never sent",
        NOTIFICATION,
        """UPDATE messages SET state = 'suppressed', reason = 'planted'
           WHERE message_id = (SELECT min(message_id::text)::uuid FROM messages
                               WHERE channel = 'email' AND state = 'sent')""",
        ("planted",),
    ),
    Plant(
        "a webhook was told that nobody took",
        NOTIFICATION,
        """UPDATE messages SET message_id = gen_random_uuid() WHERE message_id = (
               SELECT min(message_id::text)::uuid FROM messages WHERE channel = 'webhook' AND state = 'sent')""",
        ("was never taken",),
    ),
)


def plant(state: State, item: Plant, refused: str) -> int:
    """Make it so; returns how many rows it changed. What the database itself forbids is allowed for the moment."""
    with psycopg.connect(state.databases[item.service]) as connection:
        return connection.execute(item.statement.replace(":refused", refused).encode()).rowcount
