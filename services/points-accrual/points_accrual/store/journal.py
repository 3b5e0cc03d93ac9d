"""What a transaction decided, as it goes to the topic that is read back after a restore."""

import base64
import zlib
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import orjson

from contracts.decisions import DecisionsMadeV1
from contracts.ids import derived_id
from shared.transaction import Cause, Transaction

from ..domain.account import Account
from ..domain.world import World
from .rows import continuation_json

RECORD_CHARS = 400_000
"""About so many go into one record."""
PACKED_CHARS = 200_000
"""Decisions longer than that are compressed: an order may nearly fill a record by itself."""

Row = tuple[object, ...]
"""Of `decisions`, as it is written."""
Part = dict[str, Any]


def publish_decisions(tx: Transaction, world: World, rows: dict[UUID, list[Row]]) -> None:
    """Publish all decisions of the transaction, before the events that they announce.

    Plain values that were made for the table already: models of each would cost as much as judging an order.
    """
    for program_id in sorted({account.program_id for account in world.accounts.values()}):
        accounts = [
            account for key, account in sorted(world.accounts.items())
            if account.program_id == program_id and (account.decisions or key in world.moved)
        ]  # fmt: skip
        commands = [
            item.model_dump(mode="json")
            for item in world.commands if world.accounts[item.member_id].program_id == program_id
        ]  # fmt: skip
        for place, (some, decisions) in enumerate(_portions(accounts, rows)):
            told = {"program_id": program_id, "accounts": [_account(world, item) for item in some]}
            told |= {"decisions": decisions, "commands": [] if place else commands}
            first = some[0]
            number = decisions[0]["sequence"] if decisions else 0
            event_id = derived_id(tx.now, DecisionsMadeV1.TYPE, program_id, first.member_id, number)
            tx.mark_locked([program_id])
            tx.send(
                DecisionsMadeV1, program_id, orjson.dumps(told, option=orjson.OPT_UTC_Z),
                id=event_id, time=tx.now, cause=Cause(f"decisions-{event_id}"),
            )  # fmt: skip


def _portions(accounts: list[Account], rows: dict[UUID, list[Row]]) -> Iterator[tuple[list[Account], list[Part]]]:
    """As many decisions as fit into a record, with the accounts they are of."""
    some: dict[UUID, Account] = {}
    decisions: list[Part] = []
    chars = 0
    for account in accounts:
        some[account.member_id] = account
        for row in rows.get(account.member_id, ()):
            some[account.member_id] = account
            decisions.append(_decided(row))
            chars += len(decisions[-1]["input"]) + len(decisions[-1]["pinned"])
            if chars > RECORD_CHARS:
                yield list(some.values()), decisions
                some, decisions, chars = {}, [], 0
    if some:
        yield list(some.values()), decisions


def _account(world: World, account: Account) -> Part:
    continuation = continuation_json(world.continuations.get(account.member_id))
    return {"member_id": str(account.member_id), "partition": account.partition, "continuation": continuation}


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
        told |= {"input": _pack(given), "pinned": _pack(pinned), "packed": True}
    return told


def _pack(words: str) -> str:
    return base64.b64encode(zlib.compress(words.encode())).decode()


def unpack(words: str, packed: bool) -> str:
    """The inverse, for what was packed."""
    return zlib.decompress(base64.b64decode(words)).decode() if packed else words
