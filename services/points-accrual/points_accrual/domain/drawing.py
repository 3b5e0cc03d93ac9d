"""Prize draws that everybody can check: the winners follow from a seed that was fixed before, and from the entries."""

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Entry:
    """One ticket of one member."""

    coupon_id: UUID
    member_id: UUID


def commitment(seed: bytes) -> str:
    """SHA-256 of a seed, in hex: published before, it fixes the seed without showing it."""
    return hashlib.sha256(seed).hexdigest()


def digest(entries: Iterable[Entry]) -> str:
    """SHA-256 of the coupon ids of all entries, sorted, one to a line, in hex."""
    return hashlib.sha256("".join(f"{coupon_id}\n" for coupon_id in sorted(_ids(entries))).encode()).hexdigest()


def _ids(entries: Iterable[Entry]) -> list[str]:
    return [str(entry.coupon_id) for entry in entries]


def draw(seed: bytes, draw_id: str, entries: Iterable[Entry], winners: int) -> list[Entry]:
    """The winners, in the order of the prizes.

    Entries are put in the order of HMAC-SHA256(seed, draw id, unit separator, coupon id); a member wins once at most.
    """

    def place(entry: Entry) -> bytes:
        return hmac.digest(seed, f"{draw_id}\x1f{entry.coupon_id}".encode(), hashlib.sha256)

    found: dict[UUID, Entry] = {}
    for entry in sorted(entries, key=place):
        if len(found) == winners:
            break
        found.setdefault(entry.member_id, entry)
    return list(found.values())


def faults(
    seed: bytes, draw_id: str, entries: list[Entry], winners: int, *, committed: str, told_digest: str,
    told_winners: list[UUID],
) -> list[str]:  # fmt: skip
    """What does not hold of a draw that was held, as sentences; nothing when all does."""
    found = []
    if commitment(seed) != committed:
        found.append("the seed is not the one that was committed to")
    if digest(entries) != told_digest:
        found.append("the entries are not those that were told")
    if [entry.coupon_id for entry in draw(seed, draw_id, entries, winners)] != told_winners:
        found.append("the winners do not follow from the seed and the entries")
    return found
