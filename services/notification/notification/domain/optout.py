"""The token of an opt-out link: the member, signed. It never ends, because old mails must be able to stop new ones."""

import base64
import hashlib
import hmac
from uuid import UUID

_MAC_BYTES = 24


def sign(key: bytes, member_id: UUID) -> str:
    """The token: URL-safe base64 of 16 bytes of id and 24 of HMAC-SHA256."""
    return base64.urlsafe_b64encode(member_id.bytes + _mac(key, member_id)).decode().rstrip("=")


def verify(key: bytes, token: str) -> UUID | None:
    """The member whom the token names, or None if it is not one of ours."""
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except ValueError:
        return None
    if len(raw) != 16 + _MAC_BYTES:
        return None
    member_id = UUID(bytes=raw[:16])
    return member_id if hmac.compare_digest(raw[16:], _mac(key, member_id)) else None


def _mac(key: bytes, member_id: UUID) -> bytes:
    return hmac.digest(key, b"opt-out:" + member_id.bytes, hashlib.sha256)[:_MAC_BYTES]
