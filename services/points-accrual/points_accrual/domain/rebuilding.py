"""Whole histories made again: members one after the other, who was merged before who took them over.

What a decision took from other members is pinned with it, so no order between members is needed but that one.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from contracts.base import EARLIEST
from contracts.program import ProgramBook

from .account import Account
from .catalogue import RefusedError
from .claims import Member
from .replaying import Kept, replay
from .world import World

DECISIONS_PER_PORTION = 1000


class Stuck(NamedTuple):
    """A decision that could not be made again; what its member did later was not tried."""

    member_id: UUID
    sequence: int
    kind: str
    why: str


def families(members: Iterable[UUID], merged: Mapping[UUID, UUID]) -> list[list[UUID]]:
    """Members with all who were merged into them, at any remove: who was merged comes before who took over."""
    into: dict[UUID, list[UUID]] = defaultdict(list)
    for loser, survivor in sorted(merged.items()):
        into[survivor].append(loser)

    def with_merged(member_id: UUID) -> list[UUID]:
        return [*(found for loser in into[member_id] for found in with_merged(loser)), member_id]

    return [with_merged(member_id) for member_id in members if member_id not in merged]


def in_portions(found: Iterable[Sequence[UUID]], sizes: Mapping[UUID, int]) -> Iterator[list[UUID]]:
    """Whole families, about so many decisions together: histories are long, and all at once would not fit."""
    portion: list[UUID] = []
    decisions = 0
    for family in found:
        portion += family
        decisions += sum(sizes[member_id] for member_id in family)
        if decisions >= DECISIONS_PER_PORTION:
            yield portion
            portion, decisions = [], 0
    if portion:
        yield portion


def rebuilt(
    programs: ProgramBook, seeds: Mapping[str, bytes], accounts: Sequence[tuple[UUID, str]],
    kept: Mapping[UUID, Sequence[Kept]],
) -> tuple[World, list[Stuck]]:  # fmt: skip
    """The ledger of these members (each with its program, in the order of `families`), from their decisions alone."""
    world = emptied(programs, seeds, accounts)
    stuck = []
    for member_id, _ in accounts:
        failure = _rebuild(world, world.accounts[member_id], kept.get(member_id, ()))
        if failure is not None:
            stuck.append(failure)
            _forget(world, member_id)
    world.outbox.clear()
    return world, stuck


def emptied(programs: ProgramBook, seeds: Mapping[str, bytes], accounts: Sequence[tuple[UUID, str]]) -> World:
    """A world in which decisions are made again: these accounts (each with its program), with nothing in them."""
    world = World(programs, EARLIEST, uses=defaultdict(int), seeds=dict(seeds), replaying=True)
    for member_id, program_id in accounts:
        world.accounts[member_id] = Account(member_id, program_id, EARLIEST)
        world.members[member_id] = Member(member_id)
    return world


def caught_up(
    world: World, member_id: UUID, known: int, planned: tuple[int, datetime | None], kept: Sequence[Kept]
) -> None:
    """Make all decisions of a member again; what those after number `known` announce and share is left in the world.

    A replay passes no days: what was `planned` after those that are known (by which version, and the day) goes on being
    so, until a later decision finds another.

    Raises `LookupError` when decisions are missing between, and what a replay raises.
    """
    account, member = world.accounts[member_id], world.members[member_id]
    outbox, shared = len(world.outbox), world.shared_uses.copy()
    for item in kept:
        if item.sequence > account.sequence + 1:
            raise LookupError(
                f"decision {item.sequence} of {member_id} follows {account.sequence}: those between are gone"
            )
        replay(world, account, item)
        if account.sequence <= known:
            del world.outbox[outbox:]
            world.shared_uses = shared.copy()
            member.dates_version, member.next_date_at = planned
    account.decisions = [decision for decision in account.decisions if decision.sequence > known]


def _rebuild(world: World, account: Account, history: Sequence[Kept]) -> Stuck | None:
    for kept in history:
        try:
            replay(world, account, kept)
        except (RefusedError, LookupError, ValueError, AssertionError, TypeError) as error:
            # Whatever damage there is must be told of, and the members after this one still be looked at.
            return Stuck(account.member_id, kept.sequence, kept.kind, f"{type(error).__name__}: {error}".strip(": "))
    return None


def _forget(world: World, member_id: UUID) -> None:
    """Of a member who is stuck nothing is kept: a decision half made may break what SQL demands."""
    del world.accounts[member_id]
    del world.members[member_id]
    for found in [key for key, claim in world.claims.items() if world.owner(claim.member_id) == member_id]:
        del world.claims[found]
    for coupon in [key for key, coupon in world.coupons.items() if world.owner(coupon.member_id) == member_id]:
        del world.coupons[coupon]
        world.touched_coupons.discard(coupon)
    world.touched_uses = {key for key in world.touched_uses if key.member_id != member_id}
