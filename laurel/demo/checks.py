"""What must be true after the story: what the services' APIs and stores say, against what the shop itself knows."""

from collections import Counter
from dataclasses import dataclass
from decimal import Decimal

import asyncpg

from contracts.program import Program, SpendRule
from laurel.embedded import SmtpSink
from laurel.installation import State
from points_accrual.store import imbalances
from shared import backlog

from .play import Played
from .quiet import on_its_way
from .seen import MemberSeen, Seen, look
from .story import Story

_SHOWN = 3


@dataclass(frozen=True)
class Check:
    """What was looked at, and what is wrong; nothing when all is well."""

    name: str
    looked_at: int
    faults: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        return not self.faults

    @property
    def detail(self) -> str:
        """The first faults, or how much was looked at."""
        if self.ok:
            return f"{self.looked_at} looked at"
        more = len(self.faults) - _SHOWN
        return "; ".join(self.faults[:_SHOWN]) + (f"; and {more} more" if more > 0 else "")


async def check_all(
    state: State, story: Story, played: Played, program: Program, sink: SmtpSink
) -> tuple[list[Check], list[MemberSeen]]:
    """All checks, and the members that were looked at."""
    orders, members, forged_known = await look(state, story)
    points = await asyncpg.connect(state.databases["points-accrual"], timeout=5, command_timeout=60)
    try:
        uneven = await imbalances(points)
    finally:
        await points.close(timeout=5)
    return [
        Check("All buckets sum to zero, balances equal their transfers and lots", len(members), tuple(uneven)),
        balances_follow(members),
        orders_arrived(orders),
        orders_judged(orders, program),
        granted_once(orders, members),
        multipliers_follow(orders, program),
        referrals_counted(story, members),
        redeemed_once(played, members),
        answered(played, forged_known=forged_known),
        told_once(members, sink),
        *await _nothing_left(state),
    ], members


def balances_follow(members: list[MemberSeen]) -> Check:
    """The balances that members see are the sums of the transfers that members see."""
    faults = []
    for seen in members:
        sums: Counter[str] = Counter()
        for item in seen.transfers:
            sums[item["debit"]] -= item["points"]
            sums[item["credit"]] += item["points"]
        shown = seen.points["balances"]
        found = {
            "pending": sums["pending"],
            "active": sums["active"],
            "held": sums["held"],
            "deficit": -sums["deficit"],
        }
        # What became due since the last event is shown at once and booked soon after: together they stay the same.
        if sum(found.values()) - 2 * found["deficit"] != sum(shown.values()) - 2 * shown["deficit"]:
            faults.append(f"{seen.person.email}: shown {shown}, transfers say {found}")
    return Check("Members' balances are the sums of their history", len(members), tuple(faults))


def orders_arrived(orders: list[Seen]) -> Check:
    """Each order is known once, as the shop has it at the end."""
    faults = []
    for seen in orders:
        order, edge = seen.order, seen.edge
        if edge is None:
            faults.append(f"order {order.order_id} is missing")
            continue
        # A cancelled order of a shop may be refunded too: Shopify's last word counts.
        told = (edge["payment"], len(edge["lines"]), len(edge["refunds"]), edge["cancelled_at"] is not None)
        wanted = (order.status, len(order.items), len(order.refunds), order.cancelled_at is not None)
        if told != wanted:
            faults.append(f"order {order.order_id} is {told}, the shop has {wanted}")
    return Check("Every order is known once, in its last state", len(orders), tuple(faults))


def _rate(program: Program) -> Decimal:
    """Points for a dollar: the story's program has one rule."""
    (rule,) = program.earning.rules
    assert isinstance(rule, SpendRule)
    return rule.points_per_unit


def orders_judged(orders: list[Seen], program: Program) -> Check:
    """Each order earned ten points a dollar of what it finally is, times its multiplier, rounded down once."""
    rate = _rate(program)
    faults = []
    for seen in orders:
        if seen.edge is None or seen.ledger is None:
            faults.append(f"order {seen.order.order_id} was not judged")
            continue
        if seen.ledger["version"] != seen.edge["revision"]:
            faults.append(
                f"order {seen.order.order_id}: revision {seen.ledger['version']} judged of {seen.edge['revision']}"
            )
        multiplier = Decimal(seen.ledger.get("multiplier", "1"))
        wanted = int(seen.order.base_cents * rate * multiplier / 100)
        if seen.ledger["granted"] != wanted:
            faults.append(f"order {seen.order.order_id} has {seen.ledger['granted']} points and should have {wanted}")
    return Check("Every order earned what it should, worked out apart", len(orders), tuple(faults))


def granted_once(orders: list[Seen], members: list[MemberSeen]) -> Check:
    """The transfers of an order add up to what it was granted: no repeat was ever booked twice."""
    sums: Counter[str] = Counter()
    for item in (item for seen in members for item in seen.transfers if item["claim_kind"] == "order"):
        order_id = item["claim_id"].partition(":")[2]
        if item["debit"] in ("source", "clawed_back"):
            sums[order_id] += item["points"]
        if item["credit"] == "clawed_back":
            sums[order_id] -= item["points"]
    faults = [
        f"order {seen.order.order_id}: transfers of {sums[str(seen.order.order_id)]}, granted {seen.ledger['granted']}"
        for seen in orders
        if seen.ledger is not None and sums[str(seen.order.order_id)] != seen.ledger["granted"]
    ]
    known = {str(seen.order.order_id) for seen in orders}
    faults += [f"order {order_id} has transfers and was never sold" for order_id in sorted(sums.keys() - known)]
    return Check("Every delivery had its effect exactly once", len(sums), tuple(faults))


def multipliers_follow(orders: list[Seen], program: Program) -> Check:
    """Of members to whom nothing came back: the tier at each order is that of the points of the orders before it."""
    rate = _rate(program)
    by_buyer: dict[int, list[Seen]] = {}
    for seen in orders:
        by_buyer.setdefault(seen.order.buyer.number, []).append(seen)
    faults, looked_at = [], 0
    for bought in by_buyer.values():
        if any(seen.order.refunds or seen.order.cancelled_at or seen.ledger is None for seen in bought):
            continue
        total = 0
        for seen in sorted(bought, key=lambda item: (item.order.placed_at, item.order.order_id)):
            level = max((item for item in program.tiers.levels if item.threshold <= total), key=lambda it: it.threshold)
            told = (seen.ledger or {}).get("tier_id", level.id)
            looked_at += 1
            if told != level.id:
                faults.append(f"order {seen.order.order_id} was judged as {told}, its buyer had {total} points then")
            total += int(seen.order.base_cents * rate / 100)
    return Check("Tiers at each order are those of the orders before", looked_at, tuple(faults))


def referrals_counted(story: Story, members: list[MemberSeen]) -> Check:
    """A friend counts if the first order is paid and still above the minimum."""
    wanted: Counter[int] = Counter()
    for order in story.orders:
        advocate = story.friends.get(order.buyer.number)
        paid = order.status not in ("pending", "voided") and order.cancelled_at is None
        rest = order.subtotal_cents - sum(back.cents for back in order.refunds)
        if advocate is not None and paid and rest >= 2000:
            wanted[advocate.number] += 1
    faults = [
        f"{seen.person.email} brought {wanted[seen.person.number]}, {confirmed} are confirmed"
        for seen in members
        if (confirmed := seen.referral["friends"]["confirmed"]) != wanted[seen.person.number]
    ]
    return Check("Friends are confirmed whose first order counts", sum(wanted.values()), tuple(faults))


def redeemed_once(played: Played, members: list[MemberSeen]) -> Check:
    """Two requests with one key: one coupon, one debit."""
    by_id = {str(seen.member_id): seen for seen in members}
    faults = []
    for item in played.redeemed:
        spent = [move for move in by_id[item["member_id"]].transfers if move["credit"] == "redeemed"]
        if len(item["coupons"]) != 1 or len(spent) != 1:
            faults.append(f"member {item['member_id']}: {len(item['coupons'])} coupons, {len(spent)} debits")
    if not played.redeemed:
        faults.append("nobody had enough points to spend")
    return Check("Points spent twice with one key were spent once", len(played.redeemed), tuple(faults))


def answered(played: Played, *, forged_known: bool) -> Check:
    """All webhooks were taken but the forged one, which left nothing behind."""
    statuses = Counter(played.statuses.values())
    faults = [
        f"{count} webhooks were answered {status}" for status, count in statuses.items() if status not in (200, 401)
    ]
    if statuses[401] != 1:
        faults.append(f"{statuses[401]} webhooks were refused, the forged one alone should be")
    if forged_known:
        faults.append("the forged order is known")
    return Check("All webhooks were taken, the forged one refused", played.sent, tuple(faults))


def told_once(members: list[MemberSeen], sink: SmtpSink) -> Check:
    """One message for each event and channel, and one mail for each message that was sent."""
    faults = []
    messages = [item for seen in members for item in seen.messages]
    for (event_id, channel), count in Counter((item["event_id"], item["channel"]) for item in messages).items():
        if count != 1:
            faults.append(f"event {event_id} has {count} messages by {channel}")
    sent = sum(item["state"] == "sent" and item["channel"] == "email" for item in messages)
    ids = Counter(str(mail["Message-ID"]) for mail in sink.mails())
    if sum(ids.values()) != len(ids) or sent != len(ids):
        faults.append(f"{sent} mails were sent, {sum(ids.values())} arrived, {len(ids)} different ones")
    return Check("One message for each event and channel", len(messages), tuple(faults))


async def _nothing_left(state: State) -> list[Check]:
    letters, opened = [], []
    for name, dsn in state.databases.items():
        connection = await asyncpg.connect(dsn, timeout=5, command_timeout=30)
        try:
            waiting = await backlog.read(connection)
        finally:
            await connection.close(timeout=5)
        letters += [f"{name}: {count} × {kind}" for kind, count in waiting.letters.items()]
        opened += [f"the breaker of {name}: {waiting.breaker}"] if waiting.breaker else []
    moving = await on_its_way(state)
    return [
        Check("No dead letters, no breaker open", len(state.databases), tuple(letters + opened)),
        Check("Outboxes drained, nothing on its way", len(state.databases), tuple(moving)),
    ]
