"""Which orders of a friend count: a function of all their orders, the codes' owners and the fingerprints."""

from collections.abc import Callable, Mapping
from typing import Literal

from contracts.program import ProgramBook
from contracts.referrals import ReferralConfirmedV1, ReferralEvent, ReferralRejectedV1, ReferralReversedV1

from .members import Member, News, Referral, ReferralKey, Verdict
from .orders import Flaw, Order, bought_before, flaw

SelfReason = Literal["self_email", "self_fingerprint"]
RejectReason = Literal[SelfReason, "not_first_order", "already_referred"]

CONFIRMED = Verdict("confirmed")
GONE = Verdict("unqualified", "superseded")
"""The order does not carry that advocate's code any more."""
_REVERSED = {
    "below_minimum": "below_minimum",
    "cancelled": "cancelled",
    "unpaid": "cancelled",
    "refunded": "refunded",
    "self_email": "self_email",
    "self_fingerprint": "self_fingerprint",
}
"""Why it is reversed, by the new reason; for any other, something else took its place."""


def judge(
    friend: Member, owner: Callable[[str], Member | None], programs: ProgramBook
) -> Mapping[ReferralKey, Verdict]:
    """The verdict on each order of the friend that carries somebody's code.

    Only the first order that counts can qualify, whether it carries a code or not: who bought before was not brought,
    also before the program had referrals.
    `owner` knows whose a code is; of several codes on one order the first that is somebody's is taken.
    """
    verdicts: dict[ReferralKey, Verdict] = {}
    later: RejectReason | None = None
    for order in sorted(friend.orders.values(), key=lambda order: order.place):
        program = programs.version(friend.program_id, order.program_version)
        wrong = flaw(order, program)
        advocate = next((member for code in order.codes if (member := owner(code)) is not None), None)
        verdict = None
        if advocate is not None:
            verdict = _verdict(wrong, same_person(friend, order, advocate) or later)
            verdicts[ReferralKey(order.key, advocate.member_id)] = verdict
        if later is None and (wrong is None or bought_before(order, program)):
            later = "already_referred" if verdict == CONFIRMED else "not_first_order"
    return verdicts


def _verdict(wrong: Flaw | None, rejected: RejectReason | None) -> Verdict:
    if wrong is not None:
        return Verdict("unqualified", wrong)
    return CONFIRMED if rejected is None else Verdict("rejected", rejected)


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


def announcement(known: Referral | None, verdict: Verdict) -> News | None:
    """What the change to another verdict is announced as, and its reason; None when nobody needs to know.

    What is confirmed no more is reversed, whatever it is instead; what never counted is not. A rejection that would
    say no more than what was told last, as a reversal or a rejection, is not told.
    """
    if verdict == CONFIRMED:
        return "confirmed", None
    gone = reversal(verdict.reason)
    if known is not None and known.verdict == CONFIRMED:
        return gone
    rejected: News = ("rejected", verdict.reason)
    is_news = known is None or known.told not in (gone, rejected)
    return rejected if verdict.state == "rejected" and is_news else None


def reversal(reason: str | None) -> News:
    """How it is told that a referral is confirmed no more, by why it is not."""
    return "reversed", _REVERSED.get(reason or "", "superseded")


def read_announced(event: ReferralEvent) -> tuple[Verdict, News]:
    """What was announced, and a verdict that says the same."""
    match event:
        case ReferralConfirmedV1():
            return CONFIRMED, ("confirmed", None)
        case ReferralRejectedV1(reason=reason):
            return Verdict("rejected", reason), ("rejected", reason)
        case ReferralReversedV1(reason="self_email" | "self_fingerprint" as reason):
            return Verdict("rejected", reason), ("reversed", reason)
        case ReferralReversedV1(reason=reason):
            return Verdict("unqualified", reason), ("reversed", reason)
    raise TypeError(f"{type(event).__name__} tells no verdict")


def all_verdicts(friend: Member, verdicts: Mapping[ReferralKey, Verdict]) -> list[tuple[ReferralKey, Verdict]]:
    """Those given, and what was known before and is gone; what counts comes last, so that never two do at a time."""
    keys = sorted(verdicts.keys() | friend.referrals.keys())
    found = [(key, verdicts.get(key, GONE)) for key in keys]
    return sorted(found, key=lambda item: item[1] == CONFIRMED)
