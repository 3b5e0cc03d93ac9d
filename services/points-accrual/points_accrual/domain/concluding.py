"""From the facts of a claim to what it has: judge, cut to what caps allow, post the difference, tell it."""

from collections.abc import Iterable
from dataclasses import replace

from contracts.points import Cause

from .account import Account, Decision
from .announcing import announce_claim, announce_revived, announce_time
from .claims import Claim
from .judging import JUDGES, Verdict, ineligible
from .limits import Limited, limited, pinned, used_by
from .posting import settle
from .reaching import count_challenge, reassess
from .rulebook import Ceiling, Rulebook
from .terms import renew
from .using import settle_coupons
from .world import Announcement, Counted, Trace, UseKey, World


def conclude(
    world: World, account: Account, decision: Decision, claim: Claim, trace: Trace, moved_from: int | None = None
) -> None:
    """Bring a claim to what it should have now, within the open decision. `moved_from`: the version that judged it,
    where it has moved in time since.
    """
    old_base = claim.base
    claim.changed = True
    book = pin_version(world, account, decision, claim)
    if book is None:
        claim.reason = "no_program_in_force"
        finish(world, account, decision, trace)
        return
    member = world.members[account.member_id]
    verdict = judge(world, account, claim, book)
    if _did_something(claim, verdict):
        what = "order" if claim.key.kind == "order" else claim.facts.kind
        renew(world, account, what, claim.at, decision.effective_at)
    counted = claim
    if moved_from is not None and moved_from != claim.program_version:
        counted = _leave(world, account, claim, world.book(account.program_id, moved_from))
    found = limited(counted, book, verdict, lambda c, w: _room(world, account, decision, counted, c, w))
    before = {ceiling.name: used_by(counted, ceiling) for ceiling in book.ceilings}
    settle(world, account, member, claim, book, verdict, found.granted, decision.effective_at)
    _use(world, account, claim, book, found, before)
    claim.base, claim.reason = verdict.base, _reason(verdict, found)
    decision.cause = _cause(decision, claim)
    events = announce_claim(world, account, decision, claim, verdict, found, old_base, decision.cause)
    changed = _count(world, account, claim, verdict, book)
    events += reassess(world, account, decision, claim, changed)
    finish(world, account, decision, trace, events)
    if claim.key.kind == "order":
        settle_coupons(world, account.program_id, decision, claim, trace)


def finish(
    world: World, account: Account, decision: Decision, trace: Trace, events: Iterable[Announcement] = ()
) -> None:
    """Tell what time did when the decision advanced the account, what lives again, and then what it did itself."""
    since = (*announce_time(world, account, decision), *announce_revived(world, account, decision))
    for event in (*since, *events):
        world.tell(event, trace)


def pin_version(world: World, account: Account, decision: Decision | None, claim: Claim) -> Rulebook | None:
    """The version that judges a claim: the one in force when it happened, when it was first judged."""
    if claim.program_version is None:

        def in_force() -> int | None:
            program = world.programs.in_force(account.program_id, claim.at)
            return program.version if program else None

        version = decision.pin("program_version", in_force) if decision else in_force()
        if version is None:
            return None
        if decision is None:
            return world.book(account.program_id, version)
        claim.program_version = version
        claim.program_hash = world.programs.hash_of(account.program_id, version)
    return world.book(account.program_id, claim.program_version)


def judge(world: World, account: Account, claim: Claim, book: Rulebook) -> Verdict:
    """What it should have; what people were at its first judgement is kept with it."""
    member = world.members[account.member_id]
    first = book.pins_people and "segments" not in claim.pins and claim.key.kind in ("order", "activity")
    if first and ineligible(member, claim, book) is None:
        claim.pins |= {
            "segments": sorted(member.segments), "attributes": dict(member.attributes), "birthday": member.birthday,
        }  # fmt: skip
    return JUDGES[claim.key.kind](member, claim, book)


def unchanged(world: World, account: Account, claim: Claim) -> bool:
    """Whether judging a claim again would change nothing."""
    book = pin_version(world, account, None, claim)
    if book is None:
        return claim.reason == "no_program_in_force"
    if claim.program_version is None:
        return False
    pins = dict(claim.pins)
    verdict = judge(world, account, claim, book)
    claim.pins = pins
    found = limited(claim, book, verdict, lambda c, w: _room(world, account, None, claim, c, w))
    granted = {rule_id: points for rule_id, points in claim.granted.items() if points}
    return (granted, claim.base, claim.counts, claim.reason) == (
        {rule_id: points for rule_id, points in found.granted.items() if points},
        verdict.base, verdict.counts, _reason(verdict, found),
    )  # fmt: skip


def _reason(verdict: Verdict, found: Limited) -> str | None:
    """Why a claim has nothing."""
    if verdict.reason is None and found.cuts and not any(found.granted.values()):
        return "limit_reached"
    return verdict.reason


def _room(
    world: World, account: Account, decision: Decision | None, claim: Claim, ceiling: Ceiling, window: str
) -> int:
    """What others left of a ceiling. What all members share is pinned: no replay of one member could know it."""
    limit = ceiling.points if ceiling.points is not None else ceiling.times
    assert limit is not None
    if ceiling.per == "claim":
        return limit
    key = use_key(account, ceiling, window)

    def room() -> int:
        return limit - (world.used(key) - used_by(claim, ceiling))

    return int(decision.pin(f"room:{ceiling.name}", room)) if decision and ceiling.per == "program" else room()


def use_key(account: Account, ceiling: Ceiling, window: str) -> UseKey:
    """Where the use of a ceiling is counted: with the member, or with all."""
    member_id = None if ceiling.per == "program" else account.member_id
    return UseKey(account.program_id, member_id, ceiling.name, window)


def _leave(world: World, account: Account, claim: Claim, book: Rulebook) -> Claim:
    """Another version judges a claim from now on: what it had of the limits of the one before is free again. Returns
    the claim as the limits of the new one see it: as one that has nothing yet.
    """
    caps = claim.pins.pop("caps", {})
    for ceiling in book.ceilings:
        if ceiling.per != "claim" and ceiling.name in caps:
            world.use(use_key(account, ceiling, str(caps[ceiling.name][0])), -used_by(claim, ceiling))
    return replace(claim, granted={})


def _use(world: World, account: Account, claim: Claim, book: Rulebook, found: Limited, before: dict[str, int]) -> None:
    """Keep the room that was given, and count what is used of it."""
    if found.pins != pinned(claim):
        claim.pins["caps"] = found.pins
    for ceiling in book.ceilings:
        if ceiling.per != "claim" and ceiling.name in found.pins:
            key = use_key(account, ceiling, str(found.pins[ceiling.name][0]))
            world.use(key, used_by(claim, ceiling) - before[ceiling.name])


def _count(world: World, account: Account, claim: Claim, verdict: Verdict, book: Rulebook) -> set[str]:
    """Keep what a claim counts for challenges, and when. Returns the challenges for which that changed."""
    old, new = claim.counts, verdict.counts
    all_of = world.counted.setdefault(account.member_id, {})
    known = all_of.get(claim.key)
    moved = known is not None and (known.at, known.program_version) != (claim.at, book.program.version)
    changed = {name for name in {*old, *new} if moved or old.get(name) != new.get(name)}
    if not changed:
        return changed
    for name in changed:
        count_challenge(world, account.member_id, name)  # as it was before
    claim.counts = new
    if new:
        all_of[claim.key] = Counted(claim.at, book.program.version, new)
    else:
        all_of.pop(claim.key, None)
    return changed


UNDONE = frozenset({None, "refunded", "cancelled", "not_paid", "revoked", "below_minimum", "nothing_counts"})
"""Reasons for which something earns nothing (now), and was done all the same."""


def _did_something(claim: Claim, verdict: Verdict) -> bool:
    """Whether the member did something that keeps points alive. What undoes it later does not undo that; so it does not
    matter which of the two is known first.
    """
    if claim.key.kind == "order":
        return verdict.reason in UNDONE and claim.facts.paid_at is not None
    return claim.key.kind == "activity" and verdict.reason in UNDONE


def _cause(decision: Decision, claim: Claim) -> Cause:
    """What the events of a claim say of their cause: also why it has nothing any more."""
    reason = claim.reason
    if reason is None and claim.key.kind == "order" and claim.facts.refunds:
        reason = "refunded"
    if reason is None or decision.cause.reason is not None:
        return decision.cause
    return decision.cause.model_copy(update={"reason": reason})
