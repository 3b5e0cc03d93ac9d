"""Every SQL statement of the service."""

from .adopting import adopt_codes, adopt_referrals, read_codes, read_referrals
from .loading import load, load_unseen, read_referral
from .reading import as_friend, brought, counts, find_member
from .saving import save

__all__ = [
    "adopt_codes", "adopt_referrals", "as_friend", "brought", "counts", "find_member", "load", "load_unseen",
    "read_codes", "read_referral", "read_referrals", "save",
]  # fmt: skip
