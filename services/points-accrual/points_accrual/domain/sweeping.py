"""What time alone changes: points and coupons that are due, days of members, debts that are forgiven."""

from datetime import datetime, timedelta

from contracts.points import Cause, PointsWaivedV1

from .account import Account, begin
from .again import judge_one
from .announcing import told
from .clawback import forgive
from .commands import Lapse, RunOut, Sweep, WriteOff
from .concluding import finish
from .dates import pass_dates, plan_dates
from .lots import ClaimKey, Lot
from .spending import run_out
from .world import Trace, Trigger, World


def pass_time(world: World, account: Account, horizon: datetime) -> None:
    """Everything that is due by the horizon, each dated at its own moment."""
    _pass_lots(world, account, horizon)
    for coupon in sorted(world.coupons.values(), key=lambda item: (item.due_at or horizon, item.coupon_id)):
        mine = world.owner(coupon.member_id) == account.member_id
        if mine and coupon.due_at is not None and coupon.due_at <= horizon:
            pass_coupon(world, account, RunOut(coupon_id=coupon.coupon_id), coupon.due_at)
    for lot in sorted(account.lots.values(), key=Lot.consumed_before):
        if lot.state == "pending" and lot.activates_at is None and lot.lapses_at and lot.lapses_at <= horizon:
            lapse(world, account, Lapse(claim_id=lot.claim.id, terms=lot.terms, deadline=lot.lapses_at))
    _replan(world, account, horizon)
    pass_dates(world, account, horizon)
    since, days = account.deficit_since, _write_off_days(world, account)
    if since is not None and days is not None and since + timedelta(days=days) <= horizon:
        version = world.in_force(account.program_id)
        assert version is not None
        command = WriteOff(points=account.deficit, program_version=version.version)
        write_off(world, account, command, since + timedelta(days=days))


def _pass_lots(world: World, account: Account, horizon: datetime) -> None:
    due = [
        lot.due_at for lot in account.lots.values()
        if lot.remaining and lot.due_at and lot.due_at <= horizon and (lot.state != "pending" or lot.activates_at)
    ]  # fmt: skip
    if due:
        sweep(world, account, Sweep(horizon=max(due)), horizon)


def sweep(world: World, account: Account, command: Sweep, horizon: datetime) -> None:
    """Activate and expire what is due; the account's clock stands at the last due moment then."""
    last = command.horizon
    cause = Cause(kind="sweep", id=last.isoformat())
    key = f"sweep:{account.sequence + 1}"
    decision = begin(
        account, "sweep", key, cause, occurred_at=last, recorded_at=last, input=command.model_dump_json()
    )  # fmt: skip
    finish(world, account, decision, Trace.fresh(cause.id))
    if horizon > last:  # Lots that have two things due, one after the other: a warning and then the end.
        _pass_lots(world, account, horizon)


def pass_coupon(world: World, account: Account, command: RunOut, due_at: datetime) -> None:
    """A hold that nobody captured, or a coupon that nobody used."""
    coupon = world.coupons[command.coupon_id]
    cause = Cause(kind="sweep", id=due_at.isoformat())
    decision = begin(
        account, "run_out", f"run_out:{coupon.coupon_id}:{coupon.state}", cause, occurred_at=due_at,
        recorded_at=due_at, input=command.model_dump_json(),
    )  # fmt: skip
    trace = Trace.fresh(cause.id)
    events = run_out(world, account, decision, coupon)
    finish(world, account, decision, trace)
    for event in events:
        world.tell(event, trace)


def lapse(world: World, account: Account, command: Lapse) -> None:
    """An order was not fulfilled in time: what waited for it is gone, unless fulfilment in time is learnt later."""
    claim = world.claims[account.program_id, ClaimKey("order", command.claim_id)]
    claim.pins["lapsed"] = {**claim.pins.get("lapsed", {}), command.terms: command.deadline.isoformat()}
    event_id = command.deadline.isoformat()
    trigger = Trigger("sweep", 0, event_id, command.deadline, command.deadline, Trace.fresh(event_id))
    key = f"lapse:{claim.key}:{command.terms}:{event_id}"
    judge_one(world, account, trigger, claim, kind="lapse", command=command, key=key)


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
    event = told(
        world, account, decision, PointsWaivedV1, lambda posting: posting.debit == "waived", command.program_version
    )  # fmt: skip
    world.tell(event, trace)


def _write_off_days(world: World, account: Account) -> int | None:
    program = world.in_force(account.program_id)
    return program.earning.write_off_days if program else None


def write_off_at(world: World, account: Account) -> datetime | None:
    """When what a member owes is forgiven, if ever."""
    days = _write_off_days(world, account)
    return account.deficit_since + timedelta(days=days) if account.deficit_since and days is not None else None


def _replan(world: World, account: Account, horizon: datetime) -> None:
    """A new version of the program may know other days, or other ages of debts."""
    member, program = world.members[account.member_id], world.in_force(account.program_id)
    if program is not None and member.dates_version != program.version:
        plan_dates(world, account, member, min(member.next_date_at or horizon, horizon))
