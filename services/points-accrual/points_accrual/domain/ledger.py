"""The whole core over a world in memory: everything is loaded, nothing is saved. For stories, what-if and tests."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from copy import deepcopy
from datetime import datetime
from itertools import count
from typing import Any
from uuid import UUID

from contracts.base import EARLIEST, Event
from contracts.ids import derived_id
from contracts.program import ProgramBook, ProgramPublishedV1

from .account import Account
from .again import judge_waiting
from .catalogue import RefusedError
from .claims import Claim, Member
from .sharing import receive, send
from .sweeping import give_waiting, pass_time
from .world import Trace, World

Handlers = Mapping[type[Event], Callable[[World, Any, str, Trace], None]]


class Ledger:
    """A ledger of any number of members of one program."""

    def __init__(self, programs: ProgramBook, program_id: str, handlers: Handlers, now: datetime = EARLIEST) -> None:
        """`handlers`: the table of the service."""
        self.program_id, self._handlers = program_id, handlers
        self.world = World(programs, now, uses=defaultdict(int))
        self._codes = count(1)
        self.world.new_code = lambda _program, _reward: f"CODE{next(self._codes):08}"
        self._commands = count(1)
        self._events = count(1)

    def account(self, member_id: UUID) -> Account:
        """The account of a member; made when it is first asked for."""
        if member_id not in self.world.accounts:
            self.world.accounts[member_id] = Account(member_id, self.program_id, EARLIEST)
            self.world.members[member_id] = Member(member_id)
        return self.world.accounts[self.world.owner(member_id)]

    def send(self, *events: Event) -> "Ledger":
        """Take facts in, each as if it was recorded now or at its own recorded time, whichever is later."""
        for event in events:
            if isinstance(event, ProgramPublishedV1):
                self.world.programs.add(event)
                continue
            member_id: UUID = event.member_id  # type: ignore[attr-defined]
            recorded_at: datetime = event.recorded_at  # type: ignore[attr-defined]
            self.account(member_id)
            survivor = getattr(event, "merged_into", None)
            if survivor is not None:
                self.account(survivor)
            self.world.now = max(self.world.now, recorded_at)
            self._handlers[type(event)](self.world, event, f"event-{next(self._events)}", Trace("ledger"))
        return self

    def sweep(self, horizon: datetime) -> "Ledger":
        """Let time pass for all members."""
        self.world.now = max(self.world.now, horizon)
        for account in list(self.world.accounts.values()):
            pass_time(self.world, account, horizon)
            judge_waiting(self.world, account, horizon)
            give_waiting(self.world, account, horizon)
        return self

    def do(self, act: Callable[..., Any], member_id: UUID, command: Any, at: datetime, key: str | None = None) -> Any:
        """A command at a moment. Raises `RefusedError`; the ledger is as it was before then."""
        self.world.now = max(self.world.now, at)
        account = self.account(member_id)
        before = _copied(self.world)
        try:
            return act(self.world, account, command, key or f"command-{next(self._commands)}", Trace("ledger"))
        except RefusedError:
            _restore(self.world, before)
            raise

    def give(self, member_id: UUID, command: Any, at: datetime) -> Any:
        """Points from one member to another. Raises `RefusedError`."""
        self.account(command.to_member_id)

        def both(world: World, account: Account, command: Any, key: str, trace: Trace) -> Any:
            received, answer = send(world, account, command, key, trace)
            receive(world, world.accounts[world.owner(command.to_member_id)], received, key, trace)
            return answer

        return self.do(both, member_id, command, at)

    def events(self) -> list[Event]:
        """Everything that was published."""
        return [event for (event, _, _), _ in self.world.outbox]

    def claims(self, member_id: UUID | None = None) -> list[Claim]:
        """All claims, of one member or of all, in the order of their keys."""
        return [
            claim
            for _, claim in sorted(self.world.claims.items())
            if member_id is None or self.world.owner(claim.member_id) == self.world.owner(member_id)
        ]


def _copied(world: World) -> dict[str, Any]:
    """What a command can change, as it is now."""
    names = ("accounts", "members", "claims", "claims_of", "counted", "coupons", "uses", "tallies")
    # Copied together: what is in two of them must stay one.
    return deepcopy({name: getattr(world, name) for name in names}) | {"outbox": list(world.outbox)}


def _restore(world: World, before: dict[str, Any]) -> None:
    for name, value in before.items():
        setattr(world, name, value)


def member_id_of(name: str) -> UUID:
    """A stable id for somebody who has only a name."""
    return derived_id(EARLIEST, "story", name)
