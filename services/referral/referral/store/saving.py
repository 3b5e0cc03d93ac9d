"""Writes what a batch changed."""

from shared.transaction import Transaction

from ..domain.members import Member, Referral
from ..domain.orders import Order
from ..domain.world import World


async def save(tx: Transaction, world: World) -> None:
    """Members, orders, then referrals."""
    members = list(world.members.values())
    changed = [member for member in members if member.changed]
    if changed:
        await _save_members(tx, changed)
    orders = [(member, order) for member in members for order in member.changed_orders.values()]
    if orders:
        await _save_orders(tx, orders)
    referrals = [(member, referral) for member in members for referral in member.changed_referrals.values()]
    # A friend is brought once at any time: what no longer counts is written before what does.
    for confirmed in (False, True):
        some = [item for item in referrals if (item[1].verdict.state == "confirmed") is confirmed]
        if some:
            await _save_referrals(tx, some)


async def _save_members(tx: Transaction, changed: list[Member]) -> None:
    await tx.connection.execute(
        """UPDATE members m SET version = n.version, status = n.status, email = n.email, code = n.code,
               code_assigned_at = n.code_assigned_at, program_version = n.program_version,
               adopted_at = n.adopted_at
           FROM unnest($1::uuid[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::timestamptz[], $7::int[],
               $8::timestamptz[])
               n (member_id, version, status, email, code, code_assigned_at, program_version, adopted_at)
           WHERE m.member_id = n.member_id""",
        [one.member_id for one in changed],
        [one.version for one in changed],
        [one.status for one in changed],
        [one.email for one in changed],
        [one.code for one in changed],
        [one.code_assigned_at for one in changed],
        [one.program_version for one in changed],
        [one.adopted_at for one in changed],
    )


async def _save_orders(tx: Transaction, orders: list[tuple[Member, Order]]) -> None:
    await tx.connection.execute(
        """INSERT INTO orders (member_id, program_id, source, order_id, revision, placed_at, payment, cancelled, test,
               currency, net_minor, codes, email, address, card, program_version, waiting)
           SELECT member_id, program_id, source, order_id, revision, placed_at, payment, cancelled, test,
               currency, net_minor, string_to_array(codes, ' '), email, address, card, program_version, waiting
           FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::timestamptz[], $7::text[],
               $8::bool[], $9::bool[], $10::text[], $11::bigint[], $12::text[], $13::text[], $14::text[], $15::text[],
               $16::int[], $17::text[])
               n (member_id, program_id, source, order_id, revision, placed_at, payment, cancelled, test,
                  currency, net_minor, codes, email, address, card, program_version, waiting)
           ON CONFLICT (member_id, source, order_id) DO UPDATE SET revision = excluded.revision,
               placed_at = excluded.placed_at, payment = excluded.payment, cancelled = excluded.cancelled,
               test = excluded.test, currency = excluded.currency, net_minor = excluded.net_minor,
               codes = excluded.codes, email = excluded.email, address = excluded.address, card = excluded.card,
               program_version = excluded.program_version, waiting = excluded.waiting""",
        [member.member_id for member, _ in orders],
        [member.program_id for member, _ in orders],
        [order.source for _, order in orders],
        [order.order_id for _, order in orders],
        [order.revision for _, order in orders],
        [order.placed_at for _, order in orders],
        [order.payment for _, order in orders],
        [order.cancelled for _, order in orders],
        [order.test for _, order in orders],
        [order.currency for _, order in orders],
        [order.net_minor for _, order in orders],
        [" ".join(order.codes) for _, order in orders],
        [order.email for _, order in orders],
        [order.address for _, order in orders],
        [order.card for _, order in orders],
        [order.program_version for _, order in orders],
        [order.waiting for _, order in orders],
    )


async def _save_referrals(tx: Transaction, referrals: list[tuple[Member, Referral]]) -> None:
    told = [referral.told or (None, None) for _, referral in referrals]
    await tx.connection.execute(
        """INSERT INTO referrals (referral_id, program_id, friend_id, advocate_id, source, order_id, state, reason,
               told, told_reason, version, order_revision, order_minor, placed_at, changed_at)
           SELECT * FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::uuid[], $5::text[], $6::text[], $7::text[],
               $8::text[], $9::text[], $10::text[], $11::bigint[], $12::bigint[], $13::bigint[], $14::timestamptz[],
               $15::timestamptz[])
           ON CONFLICT (referral_id) DO UPDATE SET state = excluded.state, reason = excluded.reason,
               told = excluded.told, told_reason = excluded.told_reason,
               version = excluded.version, order_revision = excluded.order_revision,
               order_minor = excluded.order_minor, placed_at = excluded.placed_at,
               changed_at = excluded.changed_at""",
        [referral.referral_id for _, referral in referrals],
        [friend.program_id for friend, _ in referrals],
        [friend.member_id for friend, _ in referrals],
        [referral.key.advocate_id for _, referral in referrals],
        [referral.key.order[0] for _, referral in referrals],
        [referral.key.order[1] for _, referral in referrals],
        [referral.verdict.state for _, referral in referrals],
        [referral.verdict.reason for _, referral in referrals],
        [kind for kind, _ in told],
        [reason for _, reason in told],
        [referral.version for _, referral in referrals],
        [referral.order_revision for _, referral in referrals],
        [referral.order_minor for _, referral in referrals],
        [referral.placed_at for _, referral in referrals],
        [referral.changed_at for _, referral in referrals],
    )
