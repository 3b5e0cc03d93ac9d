"""What a transaction decided, as it goes to the topic that is read back after a restore."""

import base64
import zlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, cast
from uuid import UUID

import orjson

from contracts.decisions import DecisionsMadeV1
from contracts.ids import derived_id
from shared.clock import in_turns
from shared.transaction import Cause, Transaction

from ..domain.account import Account
from ..domain.world import World
from .rows import continuation_json

RECORD_BYTES = 700_000
"""No part is added that would bring a record beyond; a part that is larger alone has a record of its own."""
WHOLE_BYTES = 1_000_000
"""Nearly as many as the broker takes."""
PACKED_CHARS = 200_000
"""Decisions longer than that are compressed: an order may nearly fill a record by itself."""

TURN = 10
"""After so many accounts, or events, the rows that are being written go on."""

Row = tuple[object, ...]
"""Of `decisions`, as it is written."""
Part = dict[str, Any]


@dataclass(slots=True)
class _Record:
    """What goes into one record: parts that are JSON already, so that their size is known."""

    commands: list[bytes]
    accounts: dict[UUID, bytes] = field(default_factory=dict)
    decisions: list[bytes] = field(default_factory=list)
    number: int = 0
    """Of the first decision within its account; 0 when there is none."""
    size: int = 0

    def add(self, member_id: UUID, account: bytes, row: Row | None, decision: bytes) -> None:
        self.accounts.setdefault(member_id, account)
        self.size += len(account) + len(decision)
        if row is not None:
            self.number = self.number or cast("int", row[1])
            self.decisions.append(decision)

    def json(self, program_id: str) -> bytes:
        """The event."""
        parts = {"accounts": self.accounts.values(), "decisions": self.decisions, "commands": self.commands}
        told = {name: [orjson.Fragment(part) for part in some] for name, some in parts.items()}
        return orjson.dumps({"program_id": program_id, **told})


async def publish_decisions(tx: Transaction, world: World, rows: dict[UUID, list[Row]]) -> None:
    """Publish all decisions of the transaction, before the events that they announce.

    Plain values that were made for the table already: models of each would cost as much as judging an order.
    """
    for program_id in sorted({account.program_id for account in world.accounts.values()}):
        async for record in _records(world, program_id, rows):
            event_id = derived_id(tx.now, DecisionsMadeV1.TYPE, program_id, next(iter(record.accounts)), record.number)
            tx.mark_locked([program_id])
            tx.send(
                DecisionsMadeV1, program_id, record.json(program_id),
                id=event_id, time=tx.now, cause=Cause(f"decisions-{event_id}"),
            )  # fmt: skip


async def _records(world: World, program_id: str, rows: dict[UUID, list[Row]]) -> AsyncIterator[_Record]:
    """As many decisions as fit into each, with the accounts they are of."""
    commands = [item for item in world.commands if world.accounts[item.member_id].program_id == program_id]
    told = [item.model_dump_json().encode() for item in commands]
    record, last = _Record(told, size=sum(map(len, told))), None
    accounts = sorted((world.owner(member_id), member_id, account) for member_id, account in world.accounts.items())
    # Both sides of a merge stay together, where that fits: one cannot be made again without the other.
    merging = {world.owner(member_id) for member_id, made in rows.items() if any(row[2] == "hand_over" for row in made)}
    async for owner, member_id, account in in_turns(accounts, TURN):
        if account.program_id != program_id or not (account.decisions or member_id in world.moved):
            continue
        head = orjson.dumps(_account(world, account), option=orjson.OPT_UTC_Z)
        for row in rows.get(member_id) or (None,):
            decision = b"" if row is None else orjson.dumps(_decided(row), option=orjson.OPT_UTC_Z)
            most = WHOLE_BYTES if owner == last and owner in merging else RECORD_BYTES
            if record.accounts and record.size + len(head) + len(decision) > most:
                yield record
                record = _Record([])
            record.add(member_id, head, row, decision)
            last = owner
    if record.accounts:
        yield record


def _account(world: World, account: Account) -> Part:
    continuation, member = world.continuations.get(account.member_id), world.members[account.member_id]
    return {
        "member_id": str(account.member_id), "partition": account.partition,
        "continuation": continuation_json(continuation),
        "dates_version": member.dates_version, "next_date_at": member.next_date_at,
    }  # fmt: skip


def _decided(row: Row) -> Part:
    member_id, sequence, kind, key, cause, occurred_at, effective_at, given, pinned = row
    assert isinstance(given, str)
    assert isinstance(pinned, str)
    assert isinstance(cause, str)
    told = {
        "member_id": str(member_id), "sequence": sequence, "kind": kind, "key": key, "cause": orjson.Fragment(cause),
        "occurred_at": occurred_at, "effective_at": effective_at, "input": given, "pinned": pinned,
    }  # fmt: skip
    if len(given) + len(pinned) > PACKED_CHARS:
        told |= {"input": pack(given), "pinned": pack(pinned), "packed": True}
    return told


def pack(words: str) -> str:
    """Compressed, in base64."""
    return base64.b64encode(zlib.compress(words.encode())).decode()


def unpack(words: str, packed: bool) -> str:
    """The inverse, for what was packed."""
    return zlib.decompress(base64.b64decode(words)).decode() if packed else words
