"""The state that one batch works on, and what it adds to it."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, NamedTuple
from uuid import UUID

from contracts.base import Event
from contracts.decisions import CommandDone
from contracts.program import Program, ProgramBook

from .account import Account
from .challenges import Tally
from .claims import Claim, Counts, Member
from .coupons import Coupon
from .lots import ClaimKey
from .rulebook import Rulebook, rulebook
from .standing import Span

SKEW_MAX = timedelta(minutes=5)
Announcement = tuple[Event, UUID, datetime]
"""The event, its id, and when it happened."""


def believed(recorded_at: datetime, now: datetime) -> datetime:
    """A recorded time is pinned: further ahead of us than some minutes it is another machine's wrong clock."""
    return min(recorded_at, now + SKEW_MAX)


class Trace(NamedTuple):
    """What events of a change are caused by, as their envelopes say it."""

    correlation_id: str
    causation_id: str | None = None
    traceparent: str | None = None

    @classmethod
    def fresh(cls, cause: str) -> "Trace":
        """Caused by the clock, or by a program."""
        return cls(f"points-accrual:{cause}")


@dataclass(frozen=True, slots=True)
class Trigger:
    """Why claims are judged again: a standing, an enrolment, a merge, a program, or time that ran out."""

    kind: Literal["standing", "enrolment", "merge", "program", "sweep", "date"]
    version: int
    event_id: str
    occurred_at: datetime
    recorded_at: datetime
    trace: Trace

    def key(self, claim: ClaimKey) -> str:
        """The decision's key: one effect per trigger and claim."""
        return f"{self.kind}:{self.version}:{claim}"


class Place(NamedTuple):
    """Where the judging of a member's claims has come to, in their order by time."""

    at: datetime
    kind: str
    claim_id: str


class Unread(NamedTuple):
    """Claims after that place, up to that time, were not loaded."""

    after: Place
    until: datetime | None


@dataclass(frozen=True, slots=True)
class Continuation:
    """Claims that are still to be judged again, because one transaction judges only so many."""

    trigger: Trigger
    after: Place
    until: datetime | None


class UseKey(NamedTuple):
    """What is counted against a limit: whose (a member, or nobody: all of the program), which limit, which window."""

    program_id: str
    member_id: UUID | None
    name: str
    window: str


class Counted(NamedTuple):
    """What a claim counts for challenges."""

    at: datetime
    program_version: int
    counts: Counts


class NotLoadedError(LookupError):
    """A decision needs something that was not loaded: the load phase missed it. Nothing is guessed."""


@dataclass(slots=True)
class World:
    """Accounts locked in this transaction, with what the batch can need of them."""

    programs: ProgramBook
    now: datetime
    accounts: dict[UUID, Account] = field(default_factory=dict)
    members: dict[UUID, Member] = field(default_factory=dict)
    aliases: dict[UUID, UUID] = field(default_factory=dict)
    """Members that were merged into others."""
    claims: dict[tuple[str, ClaimKey], Claim] = field(default_factory=dict)
    claims_of: dict[UUID, dict[ClaimKey, Claim]] = field(default_factory=dict)
    """By account."""
    stale: set[tuple[str, ClaimKey]] = field(default_factory=set)
    """Claims of which this batch tells nothing new; they were not loaded."""
    counted: dict[UUID, dict[ClaimKey, Counted]] = field(default_factory=dict)
    """By account, what all its claims count for challenges."""
    coupons: dict[UUID, Coupon] = field(default_factory=dict)
    touched_coupons: set[UUID] = field(default_factory=set)
    uses: dict[UseKey, int] = field(default_factory=dict)
    touched_uses: set[UseKey] = field(default_factory=set)
    shared_uses: Counter[UseKey] = field(default_factory=Counter)
    """On a replay: how much more of what all members share was used."""
    commands: list[CommandDone] = field(default_factory=list)
    """Done in this transaction."""
    seeds: dict[str, bytes] = field(default_factory=dict)
    """By commitment."""
    new_code: Callable[[str, str], str | None] = lambda _program, _reward: None
    """A fresh code for a coupon; None when the pool of the reward is empty."""
    drawn: list[tuple[str, str, str]] = field(default_factory=list)
    """Codes taken from pools: program, reward, code."""
    unread: dict[UUID, Unread] = field(default_factory=dict)
    """Accounts of which not all claims to judge again were loaded."""
    continuations: dict[UUID, Continuation | None] = field(default_factory=dict)
    moved: set[UUID] = field(default_factory=set)
    """Accounts whose continuation, or next day, changed."""
    outbox: list[tuple[Announcement, Trace]] = field(default_factory=list)
    tallies: dict[tuple[UUID, str], Tally] = field(default_factory=dict)
    """Challenges of accounts, as far as they were counted already."""
    stored: set[UUID | tuple[str, ClaimKey]] = field(default_factory=set)
    """Lots and claims that were loaded; all others are new."""
    reading: str | None = None
    """The event that is being applied as it was read, so that a decision keeps the very text."""
    replaying: bool = False
    """Decisions are made again one by one: none of them calls for others."""
    blind: bool = False
    """Only a try: what chance decides stays unseen, or members could try until it pays."""
    _renewing: dict[str, bool] = field(default_factory=dict)

    def keep(self, program_id: str, claim: Claim) -> None:
        """Make a claim findable, by its identity and by its account."""
        self.claims[program_id, claim.key] = claim
        self.claims_of.setdefault(self.owner(claim.member_id), {})[claim.key] = claim

    def succession(self, member_id: UUID) -> list[UUID]:
        """A member, and those who took them over, one after the other; the last has the account."""
        found = [member_id]
        while (member := self.members.get(found[-1])) and member.merged_into and member.merged_into not in found:
            found.append(member.merged_into)
        return found

    def owner(self, member_id: UUID) -> UUID:
        """Whose account a member's claims are booked on."""
        return self.aliases.get(member_id, member_id)

    def merge(self, loser_id: UUID, survivor_id: UUID) -> None:
        """From now on the claims of one member, and of those merged into it before, are booked on another."""
        for member_id in (loser_id, *(member for member, owner in self.aliases.items() if owner == loser_id)):
            self.aliases[member_id] = survivor_id

    def book(self, program_id: str, version: int) -> Rulebook:
        """A version of a program, compiled."""
        program = self.programs.version(program_id, version)
        if program is None:
            raise NotLoadedError(f"version {version} of program {program_id}")
        return rulebook(program)

    def in_force(self, program_id: str, at: datetime | None = None) -> Program | None:
        """The version in force at a moment, or now."""
        return self.programs.in_force(program_id, at or self.now)

    def renews(self, program_id: str) -> bool:
        """Whether points of a program can run out by inactivity, by any of its versions."""
        if program_id not in self._renewing:
            versions = (event.document for event in self.programs.versions(program_id))
            self._renewing[program_id] = any(rulebook(program).renews for program in versions)
        return self._renewing[program_id]

    def used(self, key: UseKey) -> int:
        """What was counted against a limit. Raises `NotLoadedError` when it was not looked up.

        On a replay nothing of what all members share: what mattered of it is pinned.
        """
        if self.replaying and key.member_id is None:
            return 0
        try:
            return self.uses[key]
        except KeyError:
            raise NotLoadedError(f"use of {key.name} in {key.window}") from None

    def use(self, key: UseKey, change: int) -> None:
        """Count more or less against a limit."""
        if change and self.replaying and key.member_id is None:
            self.shared_uses[key] += change
        elif change:
            self.uses[key] = self.used(key) + change
            self.touched_uses.add(key)

    def between(self, account_id: UUID, span: Span) -> list[Claim]:
        """The orders and activities of an account in that time, in the order in which they happened."""
        start, end = span
        found = [
            claim for claim in self.claims_of.get(account_id, {}).values()
            if claim.key.kind in ("order", "activity") and start <= claim.at and (end is None or claim.at <= end)
        ]  # fmt: skip
        return sorted(found, key=lambda claim: (claim.at, claim.key))

    def tell(self, announcement: Announcement, trace: Trace) -> None:
        """Publish an event with this batch."""
        self.outbox.append((announcement, trace))
