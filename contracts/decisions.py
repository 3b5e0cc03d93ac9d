"""Decisions of the ledger as they are kept: read by nobody but their owner, after its database was restored."""

from typing import Annotated, ClassVar

from pydantic import Field

from .base import Event, Instant, MemberId, Model, ShortText
from .points import Cause


class DecidedAccount(Model):
    """An account that the decisions are about."""

    member_id: MemberId
    partition: Annotated[int, Field(ge=0)]
    continuation: str | None = None
    """What is still to be judged again, as JSON in the owner's words."""
    dates_version: int = 0
    """The version of the program by which `next_date_at` was found; 0: it is to be found anew."""
    next_date_at: Instant | None = None
    """The next day of the member's own that may bring points."""


class Decided(Model):
    """One accepted input, with what was pinned for it."""

    member_id: MemberId
    sequence: Annotated[int, Field(ge=1)]
    """Within the account."""
    kind: ShortText
    key: str
    """Known for ever: no second effect."""
    cause: Cause
    occurred_at: Instant
    effective_at: Instant
    input: str
    """The event or command as JSON; when `packed`, compressed by zlib and written in base64."""
    packed: bool = False
    pinned: str
    """What the outcome depended on beside the ledger itself, as JSON."""


class CommandDone(Model):
    """What an idempotency key did, and what was answered: the same is answered for ever."""

    member_id: MemberId
    idempotency_key: ShortText
    kind: ShortText
    body: str
    """As JSON."""
    answer: str
    """As JSON. It may hold codes as good as money."""
    done_at: Instant


class SeedKept(Model):
    """A seed of chance: secret until it is shown."""

    commitment: ShortText
    seed: str
    """In hexadecimal digits."""
    made_at: Instant
    shown_at: Instant | None = None


class DrawKept(Model):
    """How a draw ended, with some of its entries: all may not fit into a record."""

    draw_id: ShortText
    held_at: Instant
    after: Annotated[int, Field(ge=0)] = 0
    """So many entries are told before these."""
    result: str
    """As JSON, compressed by zlib and written in base64."""


class DecisionsMadeV1(Event):
    """What one transaction decided. Making the decisions again, in their order, gives the same ledger."""

    TYPE: ClassVar[str] = "loyalty.decisions.made.v1"

    accounts: tuple[DecidedAccount, ...]
    decisions: tuple[Decided, ...]
    commands: tuple[CommandDone, ...] = ()
    seeds: tuple[SeedKept, ...] = ()
    draws: tuple[DrawKept, ...] = ()

    def key(self) -> str:
        return self.program_id
