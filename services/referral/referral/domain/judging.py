"""Which orders of a friend count: a function of all their orders, the codes' owners and the fingerprints."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from contracts.program import ProgramBook

from .members import Member, Referral, ReferralKey, State
from .orders import Flaw, Order, flaw

SelfReason = Literal["self_email", "self_fingerprint"]
RejectReason = Literal[SelfReason, "not_first_order", "already_referred"]
ReverseReason = Literal[SelfReason, "below_minimum", "cancelled", "refunded", "superseded"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an order with somebody's code is worth: it counts (both None), is rejected, or does not qualify (yet)."""

    rejected: RejectReason | None = None
    flaw: Flaw | None = None

    @property
    def confirmed(self) -> bool:
        return self.rejected is None and self.flaw is None


def judge(
    friend: Member, owner: Callable[[str], Member | None], programs: ProgramBook
) -> Mapping[ReferralKey, Verdict]:
    """The verdict on each order of the friend that carries somebody's code.

    Only the first order that counts can qualify, whether it carries a code or not: who bought before was not brought.
    `owner` knows whose a code is; of several codes on one order the first that is somebody's is taken.
    """
    verdicts: dict[ReferralKey, Verdict] = {}
    later: RejectReason | None = None
    for order in sorted(friend.orders.values(), key=lambda order: order.place):
        wrong = flaw(order, programs.in_force(friend.program_id, order.placed_at))
        advocate = next((member for code in order.codes if (member := owner(code)) is not None), None)
        verdict = None
        if advocate is not None:
            verdict = Verdict(flaw=wrong) if wrong else Verdict(rejected=same_person(friend, order, advocate) or later)
            verdicts[ReferralKey(order.key, advocate.member_id)] = verdict
        if wrong is None and later is None:
            later = "already_referred" if verdict is not None and verdict.confirmed else "not_first_order"
    return verdicts


def same_person(friend: Member, order: Order, advocate: Member) -> SelfReason | None:
    """Why friend and advocate look like one person; None when they do not. An equal ip alone says nothing."""
    if friend.member_id == advocate.member_id:
        return "self_email"
    theirs = advocate.orders.values()
    if _share({order.email, friend.email}, {advocate.email, *(other.email for other in theirs)}):
        return "self_email"
    if _share({order.address}, {other.address for other in theirs}):
        return "self_fingerprint"
    return "self_fingerprint" if _share({order.card}, {other.card for other in theirs}) else None


def _share(one: set[str | None], other: set[str | None]) -> bool:
    return bool((one & other) - {None})


def next_state(known: Referral | None, verdict: Verdict | None) -> tuple[State, str | None] | None:
    """The state to announce and its reason; None when there is nothing new to say.

    No verdict: the order does not carry that advocate's code any more. What was reversed is not rejected on top, and
    what never counted is not reversed.
    """
    state = known.state if known else None
    if verdict is not None and verdict.confirmed:
        return None if state == "confirmed" else ("confirmed", None)
    if state == "confirmed":
        return "reversed", _why_reversed(verdict)
    if verdict is None or verdict.rejected is None or state == "reversed":
        return None
    return None if known and known.reason == verdict.rejected else ("rejected", verdict.rejected)


def _why_reversed(verdict: Verdict | None) -> ReverseReason:
    if verdict is None:
        return "superseded"
    match verdict.flaw or verdict.rejected:
        case "below_minimum" | "cancelled" | "refunded" | "self_email" | "self_fingerprint" as reason:
            return reason
        case "unpaid":
            return "cancelled"
        case _:
            return "superseded"


def keys_to_look_at(friend: Member, verdicts: Mapping[ReferralKey, Verdict]) -> list[ReferralKey]:
    """Those with a verdict and those announced before; what counts comes last, so that never two do at a time."""
    keys = sorted(verdicts.keys() | friend.referrals.keys())
    return sorted(keys, key=lambda key: key in verdicts and verdicts[key].confirmed)
