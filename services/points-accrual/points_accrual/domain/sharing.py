"""Points between members: gifts, and households that spend together. Points keep their expiry on the way."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from contracts.base import EARLIEST
from contracts.ids import derived_id
from contracts.points import Cause, PointsTransferredV1

from .account import Account, Decision, Posting, begin, credit_active, debit_active, spendable
from .announcing import announce_time, told
from .calendar import period
from .catalogue import RefusedError
from .commands import Command, HandOut, Join, Portion, Receive, Send
from .lots import ClaimKey, Lot
from .rulebook import rulebook
from .terms import warn
from .world import Trace, UseKey, World


def borrow(world: World, account: Account, missing: int, key: str, trace: Trace) -> None:
    """Bring what a member lacks from the others of the household, soonest-expiring points first, as far as it goes."""
    if missing <= 0 or account.household_id is None:
        return
    decision = account.decisions[-1]

    def from_others() -> list[dict[str, Any]]:
        return [
            {"member_id": str(other.member_id), "portions": [item.model_dump(mode="json") for item in portions]}
            for other, portions in _hand_out_all(world, account, missing, key, trace)
        ]

    for place, item in enumerate(decision.pin("borrowed", from_others)):
        portions = [Portion.model_validate(portion) for portion in item["portions"]]
        key_of = ClaimKey("transfer", f"{account.member_id}:{decision.sequence}:{place}")
        before = len(decision.postings)
        receive_into(world, account, decision, portions, key_of)
        _tell(world, account, decision, "in", UUID(item["member_id"]), "household", trace, before)


def _hand_out_all(
    world: World, account: Account, missing: int, key: str, trace: Trace
) -> list[tuple[Account, list[Portion]]]:
    others = [
        other
        for other in world.accounts.values()
        if (other.program_id, other.household_id) == (account.program_id, account.household_id)
        and other.member_id != account.member_id
        and not other.frozen
        and world.members[other.member_id].status == "member"
    ]
    at = account.decisions[-1].effective_at
    lots = [(lot, other) for other in others for lot in spendable(other, at) if lot.remaining]
    amounts: dict[UUID, int] = {}
    for lot, other in sorted(lots, key=lambda item: item[0].consumed_before()):
        part = min(missing, lot.remaining)
        missing -= part
        if part:
            amounts[other.member_id] = amounts.get(other.member_id, 0) + part
    return [
        (world.accounts[member_id], _lend(world, world.accounts[member_id], account, points, key, trace))
        for member_id, points in sorted(amounts.items())
    ]


def _lend(world: World, account: Account, to: Account, points: int, key: str, trace: Trace) -> list[Portion]:
    """The other side of a loan within a household: a decision of its own account."""
    command = HandOut(to_member_id=to.member_id, points=points, why="household", arrives_at=to.clock)
    # With a blank, which no client's key has: the lender may use any of those for what they do themselves.
    return hand_out(world, account, command, f"{key} {to.member_id}", trace)


def hand_out(world: World, account: Account, command: HandOut, key: str, trace: Trace) -> list[Portion]:
    """Points leave for another member, soonest-expiring first. What runs out before it arrives stays behind."""
    decision = _begin(world, account, "hand_out", f"command:{key}", key, command)
    if command.why == "gift":
        world.use(_given_today(world, account), command.points)
    arrives_at = command.arrives_at or EARLIEST
    points = min(command.points, sum(lot.remaining for lot in spendable(account, arrives_at)))
    portions = _leave(account, decision, points, arrives_at) if points else []
    for event in announce_time(world, account, decision):
        world.tell(event, trace)
    if points:
        _tell(world, account, decision, "out", command.to_member_id, command.why, trace)
    return portions


def _leave(account: Account, decision: Decision, points: int, arrives_at: datetime) -> list[Portion]:
    # Pinned: which lots were loaded is not for ever.
    version = decision.pin("program_version", lambda: max(lot.program_version for lot in account.lots.values()))
    uses = debit_active(
        account, points, credit="transferred", at=decision.effective_at, program_version=version, outlasting=arrives_at
    )  # fmt: skip
    return [_portion(account.lots[lot_id], part) for lot_id, part in uses]


def _portion(lot: Lot, points: int) -> Portion:
    return Portion(
        points=points, expires_at=lot.expires_at, program_version=lot.program_version, terms=lot.terms
    )  # fmt: skip


def receive_into(
    world: World, account: Account, decision: Decision, portions: Sequence[Portion], key: ClaimKey
) -> None:
    """Points of another member arrive, each portion in a lot of its own, with the expiry it had."""
    at = decision.effective_at
    for place, portion in enumerate(portions):
        lot_id = derived_id(at, "lot", account.member_id, key, place)
        lot = Lot(lot_id, key, portion.program_version, at, at, portion.expires_at, portion.terms, "active")
        account.lots[lot_id] = lot
        book = world.book(account.program_id, portion.program_version)
        warn(account, lot, book.terms(portion.terms, "transfer")[1], book)
        credit_active(account, lot, portion.points, debit="transferred", at=at)


def send(world: World, account: Account, command: Send, key: str, trace: Trace) -> tuple[Receive, dict[str, Any]]:
    """Give points to another member. Returns what they are to receive. Raises `RefusedError`."""
    program = world.in_force(account.program_id)
    rules = program.transfers if program else None
    if program is None or rules is None:
        raise RefusedError("not_allowed", "This program lets nobody give points away.")
    if world.members[account.member_id].status != "member" or account.frozen:
        raise RefusedError("frozen", "Only members whose account is not frozen can give points away.")
    if not rules.minimum <= command.points <= rules.maximum:
        raise RefusedError("amount", f"Between {rules.minimum} and {rules.maximum} points can be given at once.")
    if rules.per_day is not None and world.used(_given_today(world, account)) + command.points > rules.per_day:
        raise RefusedError("limit_reached", f"At most {rules.per_day} points a day can be given away.")
    to = world.accounts[world.owner(command.to_member_id)]
    out = HandOut(to_member_id=command.to_member_id, points=command.points, why="gift", arrives_at=to.clock)
    portions = hand_out(world, account, out, key, trace)
    missing = command.points - sum(portion.points for portion in portions)
    if missing:
        why = " Those that run out before they would arrive cannot be given." if account.active else ""
        raise RefusedError("insufficient_points", f"{command.points} points are needed, {missing} are missing.{why}")
    answer = {"points": command.points, "to_member_id": command.to_member_id,
              "balances": account.balances().model_dump()}  # fmt: skip
    return Receive(from_member_id=account.member_id, why="gift", portions=tuple(portions), key=key), answer


def _given_today(world: World, account: Account) -> UseKey:
    """What counts how much was given away in a day of the program's zone."""
    program = world.in_force(account.program_id)
    day = period(world.now, "day", rulebook(program).zone) if program else world.now.date().isoformat()
    return UseKey(account.program_id, account.member_id, "transfers", day)


def receive(world: World, account: Account, command: Receive, key: str, trace: Trace) -> None:
    """Points that another member gave."""
    decision = _begin(world, account, "receive", f"received:{command.from_member_id}:{key}", key, command)
    key_of = ClaimKey("transfer", f"{account.member_id}:{decision.sequence}")
    receive_into(world, account, decision, command.portions, key_of)
    for event in announce_time(world, account, decision):
        world.tell(event, trace)
    _tell(world, account, decision, "in", command.from_member_id, command.why, trace)


def join(world: World, account: Account, command: Join, key: str, trace: Trace) -> None:
    """Become part of a household, or leave it."""
    decision = _begin(world, account, "join", f"command:{key}", key, command)
    account.household_id, account.changed = command.household_id, True
    for event in announce_time(world, account, decision):
        world.tell(event, trace)


def _begin(world: World, account: Account, kind: str, name: str, key: str, command: Command) -> Decision:
    cause = Cause(kind="command", id=key[:255])
    return begin(
        account, kind, name, cause, occurred_at=world.now, recorded_at=world.now, input=command.model_dump_json()
    )  # fmt: skip


def _tell(
    world: World, account: Account, decision: Decision, direction: str, other: UUID, why: str, trace: Trace,
    before: int = 0,
) -> None:  # fmt: skip
    """The transfers of a decision to or from another, but for those `before`, which were told."""
    version = max((posting.program_version for posting in decision.postings), default=1)

    def concerns(posting: Posting) -> bool:
        bucket = posting.debit if direction == "in" else posting.credit
        return bucket == "transferred" and posting.ordinal > before

    event, _, at = told(
        world, account, decision, PointsTransferredV1, concerns, version, direction=direction,
        other_member_id=other, why=why,
    )  # fmt: skip
    event_id = derived_id(at, event.TYPE, account.member_id, decision.sequence, direction, other)
    world.tell((event, event_id, at), trace)
