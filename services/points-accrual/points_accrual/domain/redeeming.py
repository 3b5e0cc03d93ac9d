"""Spending points on a reward: held and captured at once."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from contracts.ids import derived_id
from contracts.program import MoneyOff, Program
from contracts.rewards import RewardIssuedV1

from .account import Account, Decision, debit_active

CODE_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's base32: no I, L, O, U."""
CODE_LENGTH = 12


class RefusedError(Exception):
    """A redemption that cannot be made now; `reason` names why, the text says it."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Coupon:
    """A coupon as issued. Its code is as good as money."""

    coupon_id: UUID
    reward: MoneyOff
    code: str
    issued_at: datetime
    expires_at: datetime | None


def find_reward(program: Program | None, reward_id: str) -> MoneyOff:
    """A reward of the program in force. Raises `RefusedError` (unknown_reward)."""
    rewards = program.rewards if program else ()
    reward = next((reward for reward in rewards if reward.id == reward_id), None)
    if reward is None:
        raise RefusedError("unknown_reward", f"The program has no reward {reward_id!r}.")
    return reward


def check_covered(account: Account, reward: MoneyOff) -> None:
    """Raises `RefusedError` (insufficient_points), which says how many are missing."""
    missing = reward.cost - account.active
    if missing > 0:
        raise RefusedError("insufficient_points", f"{reward.cost} points are needed, {missing} are missing.")


def redeem(account: Account, decision: Decision, program: Program, reward: MoneyOff, code: str) -> Coupon:
    """Move the cost to the program's `redeemed` bucket, within the open decision. Raises `RefusedError`."""
    check_covered(account, reward)
    at = decision.effective_at
    debit_active(account, reward.cost, credit="redeemed", at=at, program_version=program.version)
    coupon_id = derived_id(at, "coupon", account.member_id, decision.sequence)
    expires_at = at + timedelta(days=reward.valid_days) if reward.valid_days else None
    return Coupon(coupon_id, reward, code, at, expires_at)


def issued(account: Account, program: Program, coupon: Coupon) -> RewardIssuedV1:
    """How the shop learns of a coupon."""
    reward = coupon.reward
    return RewardIssuedV1(
        program_id=account.program_id,
        member_id=account.member_id,
        coupon_id=coupon.coupon_id,
        reward_id=reward.id,
        program_version=program.version,
        kind="money_off",
        code=coupon.code,
        code_origin=reward.codes,
        value_minor=reward.value_minor,
        currency=program.currency,
        minimum_order_minor=reward.minimum_order_minor,
        points=reward.cost,
        issued_at=coupon.issued_at,
        expires_at=coupon.expires_at,
    )
