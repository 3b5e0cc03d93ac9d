"""Days in a member's life that bring points: enrolment, birthdays, anniversaries."""

from collections.abc import Iterable
from datetime import date, datetime, timedelta

from contracts.points import Cause
from contracts.program import Program

from .account import Account, begin
from .calendar import day_start, on_day
from .claims import Claim, Member
from .commands import Date
from .concluding import conclude
from .conditions import Situation, Test
from .lots import ClaimKey
from .rulebook import Rulebook, rulebook
from .standing import memberships_at, tier_at
from .weighing import failing
from .world import Trace, Trigger, World


def plan_dates(world: World, account: Account, member: Member, after: datetime, program: Program | None = None) -> None:
    """Find the next day that brings points, by a version, else by the one in force."""
    program = program or world.in_force(account.program_id, after) or world.in_force(account.program_id)
    version, due = (program.version, _next(rulebook(program), member, after)) if program else (0, None)
    if (version, due) != (member.dates_version, member.next_date_at):
        member.dates_version, member.next_date_at, member.changed = version, due, True
        world.moved.add(account.member_id)


def replan_dates(world: World, account: Account, member: Member, now: datetime, program: Program | None = None) -> None:
    """Find it anew where something changed; but a day that is due and was not passed yet is not passed over."""
    if member.status != "member" or member.next_date_at is None or member.next_date_at > now:
        plan_dates(world, account, member, now, program)


def _next(book: Rulebook, member: Member, after: datetime) -> datetime | None:
    if member.status != "member" or member.merged_into is not None:
        return None
    moments = [moment for rule_id in book.dates for moment in _moments(book, rule_id, member, after)]
    return min((moment for _, moment in moments if moment > after), default=None)


def _moments(book: Rulebook, rule_id: str, member: Member, around: datetime) -> list[tuple[int, datetime]]:
    """When a rule brings points this year and in those beside it: the year it belongs to, and the moment."""
    rule, _ = book.dates[rule_id]
    if rule.type == "birthday":
        month_day = member.birthday
    elif rule.type == "anniversary" and member.enrolled_at is not None:
        month_day = member.enrolled_at.astimezone(book.zone).strftime("%m-%d")
    else:
        month_day = None
    if month_day is None:
        return []
    year = around.astimezone(book.zone).year
    days: list[tuple[int, date]] = [(item, on_day(item, month_day)) for item in range(year - 1, year + 3)]
    if rule.type == "anniversary" and member.enrolled_at is not None:
        days = [(item, day) for item, day in days if item > member.enrolled_at.astimezone(book.zone).year]
    found = [(item, day_start(day - timedelta(days=rule.days_before), book.zone)) for item, day in days]
    since = member.enrolled_at
    return [
        (item, moment)
        for item, moment in found
        if since is None or moment - since >= timedelta(days=rule.enrolled_days)
    ]


def pass_dates(world: World, account: Account, horizon: datetime) -> None:
    """Grant what days until the horizon bring, and plan the next."""
    member = world.members[account.member_id]
    while member.next_date_at is not None and member.next_date_at <= horizon:
        due = member.next_date_at
        program = world.in_force(account.program_id, due)
        if program is not None:
            _grant_all(world, account, member, rulebook(program), due)
        plan_dates(world, account, member, due)


def _grant_all(world: World, account: Account, member: Member, book: Rulebook, due: datetime) -> None:
    for rule_id, (_, tests) in book.dates.items():
        for year, moment in _moments(book, rule_id, member, due):
            key = ClaimKey("date", f"{account.member_id}:{rule_id}:{year}")
            if moment != due or was_granted(world, account, rule_id, year):
                continue
            if fits(member, book, tests, due):
                trigger = Trigger("sweep", 0, due.isoformat(), due, due, Trace.fresh(due.isoformat()))
                grant_date(world, account, key, rule_id, book.program.version, due, trigger, year)


def fits(member: Member, book: Rulebook, tests: Iterable[tuple[str, Test]], at: datetime) -> bool:
    """Whether conditions hold of a member on a day of their life, as far as who they are is known when it is passed."""
    level = book.program.tiers.level(tier_at(member.intervals, at, ""))
    situation = Situation(
        at, book.zone, level.id, memberships_at(member.memberships, at), member.segments, member.attributes,
        member.birthday,
    )  # fmt: skip
    return failing(tests, situation) is None


def was_granted(world: World, account: Account, rule_id: str, time: object) -> bool:
    """Once a year, or enrolment, also for members who were merged."""
    claims = world.claims_of.get(account.member_id, {})
    return any(key.kind == "date" and key.id.endswith(f":{rule_id}:{time}") for key in claims)


def grant_date(
    world: World, account: Account, key: ClaimKey, rule_id: str, version: int, at: datetime, trigger: Trigger,
    year: int | None = None,
) -> None:  # fmt: skip
    """The claim of a day, once for ever."""
    cause = Cause(kind="date", id=trigger.event_id, rule_id=rule_id, number=year)
    command = Date(claim_id=key.id, rule_id=rule_id, program_version=version, at=at)
    decision = begin(
        account, "date", f"{key}", cause, occurred_at=at, recorded_at=trigger.recorded_at,
        input=command.model_dump_json(),
    )  # fmt: skip
    rule, _ = world.book(account.program_id, version).dates[rule_id]
    claim = Claim(
        key=key, member_id=account.member_id, at=at, first_recorded_at=decision.effective_at,
        program_version=version, program_hash=world.programs.hash_of(account.program_id, version),
        detail={"wanted": {rule_id: rule.points}},
    )  # fmt: skip
    world.keep(account.program_id, claim)
    conclude(world, account, decision, claim, trigger.trace)
