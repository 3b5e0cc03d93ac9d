"""Identifiers derived from stored facts: the same on every replay, and in time order."""

import hashlib
from datetime import datetime
from uuid import UUID, SafeUUID

_MARKS = 0x8 << 76 | 0x2 << 62
"""Version 8, and the variant of the RFC."""
_DRAWN = (1 << 80) - 1 & ~(0xF << 76 | 0x3 << 62)
"""The bits that the hash fills."""
_set_int, _set_safety = UUID.__dict__["int"].__set__, UUID.__dict__["is_safe"].__set__
"""What is made here is one: `UUID` itself would look at all the forms that an id can be given in, for as long."""


def derived_id(at: datetime, *facts: object) -> UUID:
    """The UUIDv8 (RFC 9562, section 5.8) of `facts`: 48 bits of `at` in milliseconds, the rest a SHA-256 of the facts.

    Time order keeps large indexes fast; the hash makes the id a function of what it names.
    """
    milliseconds = int(at.timestamp() * 1000) & (2**48 - 1)
    digest = hashlib.sha256("\x1f".join(map(str, facts)).encode()).digest()
    found = object.__new__(UUID)
    _set_int(found, milliseconds << 80 | int.from_bytes(digest[:10]) & _DRAWN | _MARKS)
    _set_safety(found, SafeUUID.unknown)
    return found
