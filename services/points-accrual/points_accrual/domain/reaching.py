"""Challenges that are reached, or not any more: each time is a claim of its own, and gives points or a coupon."""

from functools import partial
from typing import Any
from uuid import UUID

from contracts.challenges import ChallengeCompletedV1, ChallengeProgressedV1
from contracts.ids import derived_id
from contracts.points import Cause

from .account import Account, Decision
from .announcing import announce_claim
from .challenges import Reach, Tally, started_over, tally
from .claims import Claim
from .giving import give, take_back
from .judging import judge_given
from .limits import Limited
from .lots import ClaimKey
from .posting import settle
from .world import Announcement, World


def count_challenge(world: World, account_id: UUID, challenge_id: str) -> Tally:
    """How often an account reached a challenge, by all that counts now."""
    known = world.tallies.get((account_id, challenge_id))
    if known is not None:
        return known
    found = [
        (item.at, str(key), item.program_version, *item.counts[challenge_id])
        for key, item in world.counted.get(account_id, {}).items()
        if challenge_id in item.counts
    ]
    books = partial(world.book, world.accounts[account_id].program_id)
    counted = tally(challenge_id, sorted(found), books, account_id, world.seeds.get)
    world.tallies[account_id, challenge_id] = counted
    return counted


def reassess(
    world: World, account: Account, decision: Decision, by: Claim | None, challenges: set[str]
) -> list[Announcement]:
    """Bring what challenges gave to what they should give now, within the open decision."""
    events: list[Announcement] = []
    for challenge_id in sorted(challenges):
        if world.blind and _by_chance(world, account.program_id, challenge_id):
            continue
        before = world.tallies.pop((account.member_id, challenge_id), None) or Tally()
        after = count_challenge(world, account.member_id, challenge_id)
        claims = _given(world, account, challenge_id)
        for place in range(max(len(claims), len(after.reaches))):
            claim = claims[place] if place < len(claims) else None
            reach = after.reaches[place] if place < len(after.reaches) else None
            events += _settle(world, account, decision, by, challenge_id, place + 1, claim, reach)
        if before.state() != after.state():
            events += _progress(world, account, decision, challenge_id, before, after)
    return events


def _by_chance(world: World, program_id: str, challenge_id: str) -> bool:
    """Whether any version lets chance decide when it is reached."""
    return any(
        item.id == challenge_id and item.surprise_in is not None
        for event in world.programs.versions(program_id) for item in event.document.challenges
    )  # fmt: skip


def _given(world: World, account: Account, challenge_id: str) -> list[Claim]:
    """All times that it was ever reached, also by members merged into the account, each at its place.

    A place is for ever: else what one version gave changes places with what another did, and points that were spent
    are given again. New times come last, because an account that takes over another is never behind its clock.
    """
    found = [
        claim for claim in world.claims_of.get(account.member_id, {}).values()
        if claim.key.kind == "challenge" and claim.detail["challenge"] == challenge_id
    ]  # fmt: skip
    return sorted(found, key=lambda claim: (claim.first_recorded_at, claim.detail["number"], claim.key))


def reach_key(member_id: UUID, challenge_id: str, number: int) -> ClaimKey:
    """The n-th time that a member reached a challenge."""
    return ClaimKey("challenge", f"{member_id}:{challenge_id}:{number}")


def _settle(
    world: World, account: Account, decision: Decision, by: Claim | None, challenge_id: str, number: int,
    claim: Claim | None, reach: Reach | None,
) -> list[Announcement]:  # fmt: skip
    """One time that a challenge is, or was, reached."""
    wanted = {challenge_id: reach.points} if reach and reach.points else {}
    reached = reach is not None
    if claim is not None and _as_it_is(claim, wanted, reach):
        return []
    if claim is None:
        assert reach is not None
        key = reach_key(account.member_id, challenge_id, number)
        claim = Claim(
            key=key, member_id=account.member_id, at=reach.at, first_recorded_at=decision.effective_at,
            detail={"challenge": challenge_id, "number": number, "generation": 0, "reached": False},
        )  # fmt: skip
        world.keep(account.program_id, claim)
    again = reached and not claim.detail["reached"]
    claim.changed = True
    if reach is not None:
        claim.at, claim.program_version = reach.at, reach.program_version
        claim.program_hash = world.programs.hash_of(account.program_id, reach.program_version)
        claim.detail["reward"] = reach.reward
    claim.detail |= {"wanted": wanted, "reached": reached, "generation": claim.detail["generation"] + again}
    assert claim.program_version is not None
    book = world.book(account.program_id, claim.program_version)
    member = world.members[account.member_id]
    verdict = judge_given(member, claim, book)
    settle(world, account, member, claim, book, verdict, wanted, decision.effective_at)
    claim.reason = verdict.reason
    cause = Cause(
        kind="challenge", id=claim.key.id[:255], rule_id=challenge_id, number=number,
        order=by.order_ref() if by and by.key.kind == "order" else None,
    )  # fmt: skip
    events = announce_claim(world, account, decision, claim, verdict, Limited(wanted), (), cause)
    if reach is not None and again:
        events.append(_completed(world, account, decision, claim, reach))
    return events + _gift(world, account, decision, claim)


def _as_it_is(claim: Claim, wanted: dict[str, int], reach: Reach | None) -> bool:
    """Nothing changes; also not when another order is now the one that reached it, by the same version."""
    if claim.detail["reached"] != (reach is not None):
        return False
    if reach is None:
        return True
    same = claim.program_version == reach.program_version and claim.detail.get("reward") == reach.reward
    return same and claim.detail.get("wanted") == wanted and not claim.detail.get("waiting")


def _gift(world: World, account: Account, decision: Decision, claim: Claim) -> list[Announcement]:
    """The coupon of a challenge: given when it is reached, taken back when it was not used and the challenge is not
    reached any more, or by a version that gives none.

    What was used stays: it is owed by the next time that this is reached.
    """
    reward_id, coupon_id = claim.detail.get("reward"), claim.detail.get("coupon_id")
    coupon = world.coupons[UUID(coupon_id)] if coupon_id else None
    if claim.detail["reached"] and reward_id and (coupon is None or not (coupon.live or coupon.state == "expired")):
        return give(world, account, decision, claim)
    if not (claim.detail["reached"] and reward_id) and coupon is not None and coupon.state == "issued":
        return take_back(world, account, decision, coupon)
    return []


def _values(world: World, account: Account, decision: Decision, challenge_id: str, version: int) -> dict[str, Any]:
    goal = world.book(account.program_id, version).goals[challenge_id]
    return {
        "program_id": account.program_id, "member_id": account.member_id, "challenge_id": challenge_id,
        "program_version": version, "sequence": decision.sequence, "occurred_at": decision.occurred_at,
        "effective_at": decision.effective_at, "counts": goal.challenge.counts,
    }  # fmt: skip


def _completed(world: World, account: Account, decision: Decision, claim: Claim, reach: Reach) -> Announcement:
    values = _values(world, account, decision, claim.detail["challenge"], reach.program_version)
    event = ChallengeCompletedV1.model_construct(
        **values, number=claim.detail["number"], generation=claim.detail["generation"], reached_at=reach.at,
        points=reach.points, reward_id=reach.reward,
    )  # fmt: skip
    return event, derived_id(reach.at, event.TYPE, claim.key, event.generation), event.occurred_at


def _progress(
    world: World, account: Account, decision: Decision, challenge_id: str, before: Tally, counted: Tally
) -> list[Announcement]:
    """How far the member is now."""
    version = counted.program_version or before.program_version
    challenge = world.book(account.program_id, version).goals[challenge_id].challenge
    if not challenge.visible:
        return []
    if not counted.program_version:
        counted = started_over(before, challenge)
    event = ChallengeProgressedV1.model_construct(
        **_values(world, account, decision, challenge_id, version), window=counted.window, progress=counted.progress,
        target=counted.target, completed=len(counted.reaches),
    )  # fmt: skip
    event_id = derived_id(decision.occurred_at, event.TYPE, account.member_id, decision.sequence, challenge_id)
    return [(event, event_id, event.occurred_at)]
