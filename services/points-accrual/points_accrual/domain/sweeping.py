"""What time alone changes: points and coupons that are due, days of members, debts that are forgiven."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial
from typing import NamedTuple

from contracts.points import Cause, PointsWaivedV1

from .account import Account, begin
from .again import by_program, judge_enrolment, judge_one
from .announcing import is_waived, told
from .calendar import days_later
from .clawback import forgive
from .commands import GiveGift, Lapse, RunOut, Sweep, WriteOff
from .concluding import finish
from .dates import pass_dates, replan_dates
from .giving import give, has_code, in_stock, waits
from .lots import ClaimKey, Lot
from .spending import run_out
from .world import Trace, Trigger, World

TICK = timedelta(microseconds=1)


class Due(NamedTuple):
    """Something that is due at a moment. Of several at one moment, the kinds of lower rank come first."""

    at: datetime
    rank: int
    name: str
    pass_: Callable[[], None]


def pass_time(world: World, account: Account, horizon: datetime) -> None:
    """Everything that is due by the horizon, in the order of its moments, each dated at its own.

    So it does not matter how long nobody looked: points that become active do not pay a debt that was forgiven before.
    """
    _replan(world, account, horizon)
    while True:
        first = min(_dues(world, account, horizon), default=None, key=lambda due: due[:3])
        if _pass_lots(world, account, first.at if first else horizon):
            continue  # What lots did may change what else is due.
        if first is None:
            return
        first.pass_()


def _dues(world: World, account: Account, horizon: datetime) -> Iterator[Due]:
    """What is due beside lots."""
    for coupon in world.coupons.values():
        at = coupon.due_at
        if at is not None and at <= horizon and world.owner(coupon.member_id) == account.member_id:
            command = RunOut(coupon_id=coupon.coupon_id)
            yield Due(at, 1, str(coupon.coupon_id), partial(pass_coupon, world, account, command, at))
    for lot in account.lots.values():
        at = lot.lapses_at
        if at is not None and at <= horizon and _lapses(world, account, lot, at):
            command_of = Lapse(claim_id=lot.claim.id, terms=lot.terms, deadline=at)
            yield Due(at, 2, str(lot.lot_id), partial(lapse, world, account, command_of))
    day = world.members[account.member_id].next_date_at
    if day is not None and day <= horizon:
        yield Due(day, 3, "", partial(pass_dates, world, account, day))
    at = write_off_at(world, account)
    if at is not None and at <= horizon:
        yield Due(at, 4, "", partial(_forgive, world, account, at))


def _lapses(world: World, account: Account, lot: Lot, deadline: datetime) -> bool:
    """Whether it has points that wait for fulfilment, and it was not told yet that the time for that is over."""
    if not lot.remaining or not lot.awaiting:
        return False
    lapsed = world.claims[account.program_id, lot.claim].pins.get("lapsed", {})
    return bool(lapsed.get(lot.terms) != deadline.isoformat())


def _pass_lots(world: World, account: Account, until: datetime) -> bool:
    """Activate and expire what is due by then. Returns whether anything was."""
    due = [
        lot.due_at for lot in account.lots.values()
        if lot.remaining and lot.due_at and lot.due_at <= until and not lot.awaiting
    ]  # fmt: skip
    if due:
        sweep(world, account, Sweep(horizon=max(due)))
    return bool(due)


def sweep(world: World, account: Account, command: Sweep) -> None:
    """Activate and expire what is due; the account's clock stands at the last due moment then."""
    last = command.horizon
    cause = Cause(kind="sweep", id=last.isoformat())
    key = f"sweep:{account.sequence + 1}"
    decision = begin(
        account, "sweep", key, cause, occurred_at=last, recorded_at=last, input=command.model_dump_json()
    )  # fmt: skip
    finish(world, account, decision, Trace.fresh(cause.id))


def pass_coupon(world: World, account: Account, command: RunOut, due_at: datetime) -> None:
    """A hold that nobody captured, or a coupon that nobody used."""
    coupon = world.coupons[command.coupon_id]
    cause = Cause(kind="sweep", id=due_at.isoformat())
    decision = begin(
        account, "run_out", f"run_out:{coupon.coupon_id}:{coupon.state}", cause, occurred_at=due_at,
        recorded_at=due_at, input=command.model_dump_json(),
    )  # fmt: skip
    events = run_out(world, account, decision, coupon)
    finish(world, account, decision, Trace.fresh(cause.id), events)


def lapse(world: World, account: Account, command: Lapse) -> None:
    """An order was not fulfilled in time: what waited for it is gone, unless fulfilment in time is learnt later."""
    claim = world.claims[account.program_id, ClaimKey("order", command.claim_id)]
    claim.pins["lapsed"] = {**claim.pins.get("lapsed", {}), command.terms: command.deadline.isoformat()}
    event_id = command.deadline.isoformat()
    trigger = Trigger("sweep", 0, event_id, command.deadline, command.deadline, Trace.fresh(event_id))
    key = f"lapse:{claim.key}:{command.terms}:{event_id}"
    judge_one(world, account, trigger, claim, kind="lapse", command=command, key=key)


def give_waiting(world: World, account: Account, horizon: datetime) -> None:
    """Gifts that waited for codes, or for stock, as far as there are some now."""
    claims = world.claims_of.get(account.member_id, {})
    if world.members[account.member_id].status != "member":
        return
    for key in sorted(key for key, claim in claims.items() if waits(claim)):
        claim = claims[key]
        if in_stock(world, account.program_id, claim.detail["reward"]) is False:
            continue
        assert claim.program_version is not None
        reward = world.book(account.program_id, claim.program_version).program.reward(claim.detail["reward"])
        coded = reward is not None and has_code(reward)
        code = world.new_code(account.program_id, claim.detail["reward"]) if coded else None
        if code is not None or not coded:
            give_gift(world, account, GiveGift(claim_id=key.id), horizon, code)


def give_gift(world: World, account: Account, command: GiveGift, at: datetime, code: str | None = None) -> None:
    """Give what a challenge owes; on a replay with the code of then."""
    claim = world.claims[account.program_id, ClaimKey("challenge", command.claim_id)]
    challenge, number, generation = (claim.detail[name] for name in ("challenge", "number", "generation"))
    cause = Cause(kind="challenge", id=claim.key.id[:255], rule_id=challenge, number=number)
    decision = begin(
        account, "gift", f"gift:{claim.key}:{generation}:{account.sequence + 1}", cause, occurred_at=at, recorded_at=at,
        input=command.model_dump_json(),
    )  # fmt: skip
    claim.changed = True
    events = give(world, account, decision, claim, code)
    finish(world, account, decision, Trace.fresh(cause.id), events)


def write_off(world: World, account: Account, command: WriteOff, due_at: datetime) -> None:
    """What a member owed for long is forgiven."""
    cause = Cause(kind="sweep", id=due_at.isoformat(), reason="written_off")
    decision = begin(
        account, "write_off", f"write_off:{account.sequence + 1}", cause, occurred_at=due_at, recorded_at=due_at,
        input=command.model_dump_json(),
    )  # fmt: skip
    kinds = ("deficit", "held")
    forgive(
        account, command.points, at=decision.effective_at, program_version=command.program_version, kinds=kinds
    )  # fmt: skip
    trace = Trace.fresh(cause.id)
    finish(world, account, decision, trace)
    world.tell(told(world, account, decision, PointsWaivedV1, is_waived, command.program_version), trace)


def _forgive(world: World, account: Account, due_at: datetime) -> None:
    program = world.in_force(account.program_id)
    assert program is not None
    write_off(world, account, WriteOff(points=account.deficit, program_version=program.version), due_at)


def write_off_at(world: World, account: Account) -> datetime | None:
    """When what a member owes is forgiven, if ever: so many days later, at the same local time."""
    if account.deficit_since is None:
        return None
    program = world.in_force(account.program_id)
    days = program.earning.write_off_days if program else None
    return days_later(account.deficit_since, days, program.time_zone) if program and days is not None else None


def _replan(world: World, account: Account, horizon: datetime) -> None:
    """A new version of the program may know other days, or other ages of debts: of days those since it began. Who
    enrolled before there was any gets now what the enrolment brings.
    """
    member, program = world.members[account.member_id], world.in_force(account.program_id, horizon)
    if program is None or member.dates_version >= program.version:
        return
    if member.dates_version:
        before = world.programs.began(account.program_id, program.version) - TICK
        replan_dates(world, account, member, min(horizon, before), program)
        return
    replan_dates(world, account, member, horizon, program)
    judge_enrolment(world, account, member, by_program(program, horizon))
