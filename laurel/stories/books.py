"""Whether the books of a story balance: every transfer against every balance, lot, claim and coupon."""

from collections import Counter
from collections.abc import Iterator

from points_accrual.domain.account import Account
from points_accrual.domain.ledger import Ledger


def imbalances(ledger: Ledger) -> list[str]:
    """A sentence for everything that does not add up."""
    found = [sentence for account in ledger.world.accounts.values() for sentence in _account(ledger, account)]
    between = sum(_sums(account)["transferred"] for account in ledger.world.accounts.values())
    if between:
        found.append(f"between members {between} points are on their way")
    return found + list(_claims(ledger))


def _sums(account: Account) -> Counter[str]:
    sums: Counter[str] = Counter()
    for decision in account.decisions:
        for posting in decision.postings:
            sums[posting.debit] -= posting.points
            sums[posting.credit] += posting.points
    return sums


def _account(ledger: Ledger, account: Account) -> Iterator[str]:
    sums = _sums(account)
    if sum(sums.values()):
        yield f"all buckets together are {sum(sums.values())}"
    balances = {
        "pending": account.pending, "active": account.active, "held": account.held, "deficit": -account.deficit,
    }  # fmt: skip
    for bucket, points in balances.items():
        if sums[bucket] != points:
            yield f"{bucket} is {points}, its transfers make {sums[bucket]}"
        if points < 0 and bucket != "deficit":
            yield f"{bucket} is {points}"
    if account.active and account.deficit:
        yield f"{account.active} points are active while {account.deficit} are owed"
    by_state: Counter[str] = Counter()
    for lot in account.lots.values():
        by_state[lot.state] += lot.remaining
        if lot.remaining < 0 or lot.expired < 0:
            yield f"the lot of {lot.claim} has {lot.remaining} left and {lot.expired} expired"
    if (by_state["pending"], by_state["active"], by_state["ended"]) != (account.pending, account.active, 0):
        yield f"lots hold {dict(by_state)}, the account says {balances}"
    coupons = [coupon for coupon in ledger.world.coupons.values()
               if ledger.world.owner(coupon.member_id) == account.member_id]  # fmt: skip
    held = sum(coupon.points for coupon in coupons if coupon.state == "held")
    if held != account.held:
        yield f"{account.held} points are held, coupons hold {held}"


def _claims(ledger: Ledger) -> Iterator[str]:
    """By claim and rule, the transfers made what the claim says."""
    made: Counter[tuple[str, str | None]] = Counter()
    for account in ledger.world.accounts.values():
        for posting in (posting for decision in account.decisions for posting in decision.postings):
            sign = (posting.debit in ("source", "clawed_back")) - (posting.credit == "clawed_back")
            made[str(posting.claim), posting.rule_id] += sign * posting.points
    said: Counter[tuple[str, str | None]] = Counter()
    for claim in ledger.claims():
        for rule, points in claim.granted.items():
            said[str(claim.key), rule] += points
    for key in sorted({*made, *said}, key=str):
        if made[key] != said[key]:
            yield f"{key[0]} claims {said[key]} points by {key[1]}, its transfers make {made[key]}"
