"""Every SQL statement of the service."""

from .audit import imbalances
from .coupons import draw_code, find_redemption, import_codes, keep_redemption
from .loading import load, load_continued, load_due, load_member, load_unjudged
from .reading import history, order, orders, points
from .saving import save

__all__ = [
    "draw_code", "find_redemption", "history", "imbalances", "import_codes", "keep_redemption", "load",
    "load_continued", "load_due", "load_member", "load_unjudged", "order", "orders", "points",
    "save",
]  # fmt: skip
