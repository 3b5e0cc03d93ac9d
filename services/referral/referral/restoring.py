"""After a restore: codes and referrals are taken over from the topic, and judged when all is read again."""

from uuid import UUID

from contracts.referrals import ReferralCodeAssignedV1, ReferralEvent
from shared.transaction import Cause, Message, Transaction

from . import store
from .domain.members import Member
from .domain.world import told_again
from .handlers import publish


async def adopt(tx: Transaction, batch: list[Message]) -> None:
    """Take over what was announced and is not known any more: a code was shared, a version was told."""
    codes: dict[UUID, tuple[int, ReferralCodeAssignedV1]] = {}
    for message in batch:
        if isinstance(message.data, ReferralCodeAssignedV1):
            codes.setdefault(message.data.member_id, (message.partition, message.data))
    found = [codes[member_id] for member_id in sorted(codes)]
    await store.adopt_codes(tx, [partition for partition, _ in found], [event for _, event in found])
    for message in batch:
        if isinstance(message.data, ReferralEvent):
            await store.adopt_referrals(tx, message.partition, message.data)


async def republish_codes(tx: Transaction, after: str | None, limit: int) -> tuple[str | None, int]:
    """Send again the codes of some members. Returns the last one's id, None at the end, and how many there were."""
    events = await store.read_codes(tx, UUID(after) if after else None, limit)
    publish(tx, events, Cause.fresh("republish"))
    return (str(events[-1].member_id) if events else None), len(events)


async def republish_referrals(tx: Transaction, after: str | None, limit: int) -> tuple[str | None, int]:
    """Send again how some referrals stand, and what a rejection may hide. Returns as `republish_codes`."""
    rows = await store.read_referrals(tx, UUID(after) if after else None, limit)
    for row in rows:
        friend = Member(row["friend_id"], row["program_id"])
        publish(tx, told_again(friend, store.read_referral(row)), Cause.fresh("republish"))
    return (str(rows[-1]["referral_id"]) if rows else None), len(rows)
