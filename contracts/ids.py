"""Identifiers derived from stored facts: the same on every replay, and in time order."""

import hashlib
from datetime import datetime
from uuid import UUID


def derived_id(at: datetime, *facts: object) -> UUID:
    """The UUIDv8 (RFC 9562, section 5.8) of `facts`: 48 bits of `at` in milliseconds, the rest a SHA-256 of the facts.

    Time order keeps large indexes fast; the hash makes the id a function of what it names.
    """
    milliseconds = int(at.timestamp() * 1000) & (2**48 - 1)
    digest = hashlib.sha256("\x1f".join(str(fact) for fact in facts).encode()).digest()
    value = (milliseconds << 80) | int.from_bytes(digest[:10], "big")
    value = (value & ~(0xF << 76)) | (0x8 << 76)
    value = (value & ~(0x3 << 62)) | (0x2 << 62)
    return UUID(int=value)
