"""Prize draws that everybody can check: the winners follow from a seed that was fixed before, and from the entries."""

import hashlib
import hmac
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from contracts.program import Draw, DrawEntry, ProgramPublishedV1

from .challenges import Contribution, SeedOf, tally
from .rulebook import Rulebook


@dataclass(frozen=True, slots=True)
class Entry:
    """One ticket of one member."""

    coupon_id: UUID
    member_id: UUID


def commitment(seed: bytes) -> str:
    """SHA-256 of a seed, in hex: published before, it fixes the seed without showing it."""
    return hashlib.sha256(seed).hexdigest()


def digest(entries: Iterable[Entry]) -> str:
    """SHA-256 of all entries, one to a line as `coupon_id member_id`, sorted, in hex."""
    lines = sorted(f"{entry.coupon_id} {entry.member_id}\n" for entry in entries)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def announced(versions: Iterable[ProgramPublishedV1], draw_id: str) -> tuple[ProgramPublishedV1, Draw] | None:
    """The draw as it was when it closed: by the last version of its program that was published before.

    A version may put the closing off, as long as the one that was announced has not passed. What is published later
    about a draw changes nothing: else its seed could be chosen when the entries are known.
    """
    found: tuple[ProgramPublishedV1, Draw] | None = None
    for event in sorted(versions, key=lambda event: event.version):
        for item in event.document.draws:
            closes_at = min(item.closes_at, found[1].closes_at) if found else item.closes_at
            if item.id == draw_id and event.published_at < closes_at:
                found = event, item
    return found


def closed(versions: Iterable[ProgramPublishedV1], draw_id: str, at: datetime) -> datetime | None:
    """When a draw closed, if it had by then: a ticket that is issued after that would be no entry."""
    found = announced(versions, draw_id)
    return found[1].closes_at if found is not None and found[1].closes_at <= at else None


def tickets(versions: Iterable[ProgramPublishedV1], draw_id: str) -> list[tuple[int, str]]:
    """Which rewards, by the version under which they were bought, are entries of the draw."""
    return [
        (event.version, item.id) for event in versions for item in event.document.rewards
        if isinstance(item, DrawEntry) and item.draw == draw_id
    ]  # fmt: skip


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
    told_winners: list[Entry],
) -> list[str]:  # fmt: skip
    """What does not hold of a draw that was held, as sentences; nothing when all does."""
    found = []
    if commitment(seed) != committed:
        found.append("the seed is not the one that was committed to")
    if digest(entries) != told_digest:
        found.append("the entries are not those that were told")
    if draw(seed, draw_id, entries, winners) != told_winners:
        found.append("the winners do not follow from the seed and the entries")
    return found


def surprise_fault(
    challenge_id: str, committed: str, counted: list[Contribution], rewarded: Sequence[int], member_id: UUID,
    book_of: Callable[[int], Rulebook], seed_of: SeedOf,
) -> str | None:  # fmt: skip
    """What does not hold of a member's surprises under a seed that was shown, as a sentence; None when all does.

    `rewarded`: the versions of the program by which the member was surprised, one for each time. How often is compared,
    not when: after a refund the same reward may stand for a later order.
    """

    def concerned(version: int) -> bool:
        goal = book_of(version).goals.get(challenge_id)
        return goal is not None and goal.challenge.commitment == committed

    reaches = tally(challenge_id, sorted(counted), book_of, member_id, seed_of).reaches
    due = sum(concerned(reach.program_version) for reach in reaches)
    got = sum(concerned(version) for version in rewarded)
    return None if due == got else f"member {member_id}: {due} surprises follow from the seed, {got} were given"
