"""Texts that PostgreSQL does not take: with a zero character, or half of a surrogate pair."""

import re
from typing import Any

_IN_NO_TABLE = re.compile("[\x00\ud800-\udfff]")


def unstorable(value: Any) -> bool:
    """Whether some text of a JSON value is such a one. Not by recursion: it may be as deep as the parser goes."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str) and _IN_NO_TABLE.search(item):
            return True
        if isinstance(item, dict):
            waiting += item
            waiting += item.values()
        elif isinstance(item, list):
            waiting += item
    return False
