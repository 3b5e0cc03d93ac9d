"""Coupons in orders: recognised when the order arrives, and their points given back when it is refunded."""

from uuid import UUID

from contracts.base import Model
from contracts.ids import derived_id
from contracts.orders import OrderChangedV1, Refund
from contracts.points import OrderRef, PointsReturnedV1
from contracts.program import AnyAmount, Redemption
from contracts.rewards import RewardUsedV1

from .account import Account, Decision, begin
from .announcing import announce_time, told
from .claims import Claim
from .coupons import Coupon
from .giving import about, give_back, returned
from .lots import ClaimKey
from .money import is_gone, refunded_minor, refunded_share
from .world import Announcement, Trace, World

TENDER = ("gift_card", "store_credit")
"""Kinds of rewards that orders are paid with; others take something off."""


def _in_any_case(code: str) -> str:
    """A code as it is compared: shops take them in any case. Letter by letter, as databases have it, which found the
    coupon: of one ß Python makes two letters, and then it is another code.
    """
    if code.isascii():
        return code.upper()
    return "".join(upper if len(upper := letter.upper()) == 1 else letter for letter in code)


class CouponFacts(Model):
    """What an order means for a coupon: kept as the input of the decision."""

    coupon_id: UUID
    order: OrderRef
    points_back: int


def settle_coupons(world: World, program_id: str, decision: Decision, claim: Claim, trace: Trace) -> None:
    """Bring each coupon that an order uses, or is paid with, to what follows from the order as it stands."""
    if world.replaying:
        return
    order: OrderChangedV1 = claim.facts
    codes = {_in_any_case(code) for code in order.discount_codes}
    found = [
        coupon for coupon in world.coupons.values()
        if coupon.program_id == program_id and (
            coupon.order == claim.key.id
            or (coupon.order is None and coupon.code is not None and _in_any_case(coupon.code) in codes)
        )
    ]  # fmt: skip
    for coupon in sorted(found, key=lambda item: item.coupon_id):
        if _may_use(coupon, order):
            account = world.accounts[world.owner(coupon.member_id)]
            _settle(world, account, decision, claim, coupon, trace)


def settle_coupon(world: World, account: Account, decision: Decision, coupon: Coupon, trace: Trace) -> None:
    """A coupon that is handed out for an order which is known already is used at once."""
    claim = world.claims.get((account.program_id, ClaimKey("order", coupon.order))) if coupon.order else None
    if claim is None or world.replaying or world.owner(claim.member_id) != account.member_id:
        return  # Another member's order uses it when it is told next: it is not locked.
    if _may_use(coupon, claim.facts):
        _settle(world, account, decision, claim, coupon, trace)


def _may_use(coupon: Coupon, order: OrderChangedV1) -> bool:
    """It was valid when the order was placed; so one that seemed to have run out was used after all."""
    if coupon.state in ("held", "released", "returned"):
        return False
    if coupon.state == "used":
        return True
    placed_in_time = coupon.expires_at is None or order.placed_at <= coupon.expires_at
    return placed_in_time and order.payment != "voided" and order.cancelled_at is None


def _settle(world: World, account: Account, cause_of: Decision, claim: Claim, coupon: Coupon, trace: Trace) -> None:
    order: OrderChangedV1 = claim.facts
    program = world.book(account.program_id, coupon.program_version).program
    policy, reward = program.redemption, program.reward(coupon.reward_id)
    coupon_refund = reward.returned if reward is not None and reward.returned is not None else policy.coupon_refund
    paid_with = isinstance(reward, AnyAmount) and (reward.points_per_unit is not None or reward.type in TENDER)
    target = max(coupon.by_hand, points_back(coupon, order, coupon_refund, policy, tender=paid_with))
    if coupon.state == "used" and target == coupon.returned:
        return
    ref = claim.order_ref()
    cause = cause_of.cause.model_copy(update={"order": ref, "reason": "coupon"})
    # Points that were spent meanwhile can be taken again only later: so one revision may settle it more than once.
    facts = CouponFacts(coupon_id=coupon.coupon_id, order=ref, points_back=target)
    decision = begin(
        account, "coupon", f"coupon:{coupon.coupon_id}:{claim.key.id}:{claim.version}:{account.sequence + 1}", cause,
        occurred_at=order.updated_at, recorded_at=cause_of.effective_at, input=facts.model_dump_json(),
    )  # fmt: skip
    apply(world, account, decision, coupon, ref, target, trace)


def apply(
    world: World, account: Account, decision: Decision, coupon: Coupon, order: OrderRef, target: int, trace: Trace
) -> None:
    """An order uses a coupon, and so many points of it are to have come back."""
    events: list[Announcement] = []
    if coupon.state != "used":
        coupon.state, coupon.order = "used", f"{order.source}:{order.order_id}"
        world.touched_coupons.add(coupon.coupon_id)
        event = RewardUsedV1(**about(account, coupon), order=order, used_at=order.placed_at)
        event_id = derived_id(order.placed_at, event.TYPE, coupon.coupon_id, decision.sequence)
        events.append((event, event_id, event.used_at))
    change = give_back(world, account, decision, coupon, target)
    if change:
        events.append(tell_returned(world, account, decision, coupon))
        events.append(returned(account, decision, coupon, "refunded", void=coupon.returned == coupon.points))
    for announcement in [*announce_time(world, account, decision), *events]:
        world.tell(announcement, trace)


def tell_returned(world: World, account: Account, decision: Decision, coupon: Coupon) -> Announcement:
    """The points of a coupon that came back, or were taken again."""
    return told(
        world, account, decision, PointsReturnedV1,
        lambda posting: "redeemed" in (posting.debit, posting.credit), coupon.program_version,
        coupon_id=coupon.coupon_id, reward_id=coupon.reward_id, returned=coupon.returned,
    )  # fmt: skip


def points_back(
    coupon: Coupon, order: OrderChangedV1, coupon_refund: str, policy: Redemption, *, tender: bool
) -> int:  # fmt: skip
    """How many points of a coupon should have come back, by what of its order did: a cumulative target.

    What was paid with points comes back with the money of the order: in proportion, or after all of the money. Disputes
    give nothing back: the shop did not.
    """
    if not coupon.points:
        return 0
    back = tuple(refund for refund in order.refunds if not refund.goodwill)
    if tender and order.points_paid.presentment_minor > 0:
        return _paid_with_points(coupon.points, order, back, policy)
    share = 1 if _is_undone(order) else refunded_share(order, back)
    if coupon_refund == "never":
        return 0
    if coupon_refund == "full_refund":
        return coupon.points if share == 1 else 0
    return int(coupon.points * share)


def _paid_with_points(points: int, order: OrderChangedV1, back: tuple[Refund, ...], policy: Redemption) -> int:
    total, paid = order.total.presentment_minor, order.points_paid.presentment_minor
    refunded = total if _is_undone(order) else refunded_minor(order, back)
    if total <= 0:
        return 0
    if policy.points_refund == "pro_rata":
        return points * refunded // total
    return points * min(paid, max(0, refunded - (total - paid))) // paid


def _is_undone(order: OrderChangedV1) -> bool:
    """Cancelled or given back whole; an order that is just not paid yet is not."""
    return is_gone(order) and (order.cancelled_at is not None or order.payment in ("refunded", "voided"))
