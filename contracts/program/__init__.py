"""The program document: how members earn, climb, refer and spend, and its versions."""

from .book import ProgramBook, ProgramPublishedV1
from .challenges import Challenge
from .common import LOCALES, Amount, Language, Named, PluralCategory, Rate, Span, Strict, Text
from .conditions import WEEKDAYS, Conditions, Lines, Match, When
from .document import Enrolment, Level, Messages, Point, Program, Referral, Tiers
from .earning import (
    ActivityRule,
    Basis,
    Campaign,
    Cap,
    Cliff,
    DateRule,
    Earning,
    EarningRule,
    Expiry,
    Group,
    ItemRule,
    Limit,
    OnOrders,
    OrderRule,
    Pending,
    SpendRule,
    Terms,
)
from .references import Fault, commitments, conditions, faults, faults_of_new
from .rewards import (
    Adjustments,
    AnyAmount,
    Cause,
    Donation,
    Draw,
    DrawEntry,
    FreeProduct,
    FreeShipping,
    GiftCard,
    Households,
    Membership,
    MembershipReward,
    MoneyOff,
    Offer,
    PercentOff,
    Perk,
    PointTransfers,
    Priced,
    Redemption,
    Reward,
    RewardLimit,
)

__all__ = [
    "LOCALES", "WEEKDAYS",
    "ActivityRule", "Adjustments", "Amount", "AnyAmount", "Basis", "Campaign", "Cap", "Cause", "Challenge", "Cliff",
    "Conditions", "DateRule", "Donation", "Draw", "DrawEntry", "Earning", "EarningRule", "Enrolment", "Expiry",
    "Fault", "FreeProduct", "FreeShipping", "GiftCard", "Group", "Households", "ItemRule", "Language",
    "Level", "Limit", "Lines", "Match", "Membership", "MembershipReward", "Messages", "MoneyOff", "Named", "Offer",
    "OnOrders", "OrderRule", "Pending", "PercentOff", "Perk", "PluralCategory", "Point", "PointTransfers", "Priced",
    "Program", "ProgramBook", "ProgramPublishedV1", "Rate", "Redemption", "Referral", "Reward", "RewardLimit", "Span",
    "SpendRule", "Strict", "Terms", "Text", "Tiers", "When", "commitments", "conditions", "faults",
    "faults_of_new",
]  # fmt: skip
