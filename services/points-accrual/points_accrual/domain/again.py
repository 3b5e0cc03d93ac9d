"""Judging again: a standing, an enrolment, a merge or a program that comes late is taken as if it had been in time."""

from collections.abc import Iterable
from datetime import datetime

from contracts.points import Cause
from contracts.program import Program

from .account import Account, begin
from .claims import Claim, Member
from .commands import Command, JudgeAgain
from .concluding import conclude, unchanged
from .dates import fits, grant_date, was_granted
from .lots import ClaimKey
from .rulebook import rulebook
from .standing import hull
from .world import Continuation, Trace, Trigger, World


def judge_again(world: World, account: Account, trigger: Trigger, start: datetime, end: datetime | None) -> None:
    """Judge an account's claims in a time again, as many as were loaded; the sweeper continues with the rest."""
    account_id = account.member_id
    waiting = world.continuations.get(account_id)
    span = hull((start, end), (waiting.after.at, waiting.until) if waiting else None)
    claims = world.between(account_id, span or (start, end))
    if trigger.kind in ("enrolment", "merge"):
        claims += _referrals(world, account)
    judge_claims(world, account, trigger, claims)
    unread = world.unread.get(account_id)
    if unread or waiting:
        world.continuations[account_id] = Continuation(trigger, *unread) if unread else None
        world.moved.add(account_id)


def _referrals(world: World, account: Account) -> list[Claim]:
    found = [claim for claim in world.claims_of.get(account.member_id, {}).values() if claim.key.kind == "referral"]
    return sorted(found, key=lambda claim: claim.key)


def judge_claims(world: World, account: Account, trigger: Trigger, claims: Iterable[Claim]) -> None:
    """Each claim that is due something else now has a decision of its own."""
    for claim in claims:
        if not unchanged(world, account, claim):
            judge_one(world, account, trigger, claim)


def judge_one(
    world: World, account: Account, trigger: Trigger, claim: Claim, *, kind: str = "judge",
    command: Command | None = None, key: str | None = None,
) -> None:  # fmt: skip
    """The decision by which one claim is judged again."""
    cause = Cause.model_validate({"kind": trigger.kind, "id": trigger.event_id, **_ref(claim)})
    command = command or JudgeAgain(kind=claim.key.kind, claim_id=claim.key.id)
    decision = begin(
        account, kind, key or trigger.key(claim.key), cause,
        occurred_at=trigger.occurred_at, recorded_at=trigger.recorded_at, input=command.model_dump_json(),
    )  # fmt: skip
    conclude(world, account, decision, claim, trigger.trace)


def _ref(claim: Claim) -> dict[str, object]:
    if claim.key.kind == "order":
        return {"order": claim.order_ref()}
    if claim.key.kind == "activity":
        return {"activity": claim.activity_ref()}
    if claim.key.kind == "referral":
        referral_id, _, role = claim.key.id.partition(":")
        return {"referral_id": referral_id, "role": role}
    return {}


def continue_judging(world: World, account: Account) -> None:
    """Judge the next claims that one transaction could not."""
    continuation = world.continuations[account.member_id]
    assert continuation is not None
    judge_again(world, account, continuation.trigger, continuation.after.at, continuation.until)


def judge_waiting(world: World, account: Account, horizon: datetime) -> None:
    """Judge what had no program in force and now has one."""
    for claim in sorted(world.claims_of.get(account.member_id, {}).values(), key=lambda claim: (claim.at, claim.key)):
        program = world.programs.in_force(account.program_id, claim.at)
        if claim.program_version is not None or program is None:
            continue
        judge_claims(world, account, by_program(program, horizon), [claim])


def by_program(program: Program, horizon: datetime) -> Trigger:
    """That a version came into force which something had waited for."""
    event_id = f"{program.id}:{program.version}"
    return Trigger("program", program.version, event_id, program.effective_from, horizon, Trace.fresh(event_id))


def _first_in_force(world: World, program_id: str, at: datetime) -> Program | None:
    """The version in force then; where there was none yet, the first that came into force after, if it has by now."""
    starts = [event.document.effective_from for event in world.programs.versions(program_id)]
    since = max(at, min(starts, default=at))
    return world.in_force(program_id, since) if since <= max(at, world.now) else None


def judge_enrolment(world: World, account: Account, member: Member, trigger: Trigger) -> None:
    """What the enrolment itself brings, once, if who the member is known to be now meets its conditions."""
    if member.status != "member" or member.enrolled_at is None:
        return
    program = _first_in_force(world, account.program_id, member.enrolled_at)
    if program is None:
        return
    book = rulebook(program)
    for rule, tests in book.dates.values():
        if rule.type != "enrolment" or was_granted(world, account, rule.id, "enrolment"):
            continue
        if fits(member, book, tests, member.enrolled_at):
            key = ClaimKey("date", f"{account.member_id}:{rule.id}:enrolment")
            grant_date(world, account, key, rule.id, program.version, member.enrolled_at, trigger)
