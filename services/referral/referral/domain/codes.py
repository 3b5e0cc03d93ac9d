"""Referral codes as people write them: Crockford base32, in any case, with hyphens, I and L for 1, O for 0."""

from collections.abc import Iterable

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
LENGTH = 8
_SAME = str.maketrans({"I": "1", "L": "1", "O": "0", "-": None, " ": None})


def normalised(text: str) -> str | None:
    """The code that a text may mean; None when no code looks like it."""
    code = text.strip().upper().translate(_SAME)
    return code if len(code) == LENGTH and set(code) <= set(ALPHABET) else None


def candidates(texts: Iterable[str]) -> tuple[str, ...]:
    """The codes that texts may mean, in their order, each once."""
    return tuple(dict.fromkeys(code for text in texts if (code := normalised(text)) is not None))
