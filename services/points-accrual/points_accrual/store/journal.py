"""What a transaction decided, as it goes to the topic that is read back after a restore."""

import base64
import zlib
from collections.abc import Iterator
from uuid import UUID

from contracts.decisions import Decided, DecidedAccount, DecisionsMadeV1
from contracts.ids import derived_id
from shared.transaction import Cause, Transaction

from ..domain.account import Account, Decision
from ..domain.world import World
from .rows import continuation_json, text

RECORD_CHARS = 400_000
"""About so many go into one record."""
PACKED_CHARS = 200_000
"""Decisions longer than that are compressed: an order may nearly fill a record by itself."""


def publish_decisions(tx: Transaction, world: World) -> None:
    """Publish all decisions of the transaction, before the events that they announce."""
    for program_id in sorted({account.program_id for account in world.accounts.values()}):
        accounts = [
            account for key, account in sorted(world.accounts.items())
            if account.program_id == program_id and (account.decisions or key in world.moved)
        ]  # fmt: skip
        commands = tuple(item for item in world.commands if world.accounts[item.member_id].program_id == program_id)
        for place, (some, decisions) in enumerate(_portions(accounts)):
            event = DecisionsMadeV1.model_construct(
                program_id=program_id, accounts=tuple(_account(world, account) for account in some),
                decisions=decisions, commands=() if place else commands,
            )  # fmt: skip
            first = decisions[0] if decisions else some[0]
            event_id = derived_id(tx.now, event.TYPE, program_id, first.member_id, getattr(first, "sequence", 0))
            tx.mark_locked([program_id])
            tx.publish(event, id=event_id, time=tx.now, cause=Cause(f"decisions-{event_id}"))


def _portions(accounts: list[Account]) -> Iterator[tuple[list[Account], tuple[Decided, ...]]]:
    """As many decisions as fit into a record, with the accounts they are of."""
    some: dict[UUID, Account] = {}
    decisions: list[Decided] = []
    chars = 0
    for account in accounts:
        some[account.member_id] = account
        for decision in account.decisions:
            some[account.member_id] = account
            decisions.append(_decided(decision))
            chars += len(decisions[-1].input) + len(decisions[-1].pinned)
            if chars > RECORD_CHARS:
                yield list(some.values()), tuple(decisions)
                some, decisions, chars = {}, [], 0
    if some:
        yield list(some.values()), tuple(decisions)


def _account(world: World, account: Account) -> DecidedAccount:
    continuation = world.continuations.get(account.member_id)
    return DecidedAccount.model_construct(
        member_id=account.member_id, partition=account.partition,
        continuation=continuation_json(continuation),
    )  # fmt: skip


def _decided(item: Decision) -> Decided:
    given, pinned = item.input, text(item.pinned)
    packed = len(given) + len(pinned) > PACKED_CHARS
    return Decided.model_construct(
        member_id=item.member_id, sequence=item.sequence, kind=item.kind, key=item.key, cause=item.cause,
        occurred_at=item.occurred_at, effective_at=item.effective_at, packed=packed,
        input=_pack(given) if packed else given, pinned=_pack(pinned) if packed else pinned,
    )  # fmt: skip


def _pack(words: str) -> str:
    return base64.b64encode(zlib.compress(words.encode())).decode()


def unpack(words: str, packed: bool) -> str:
    """The inverse, for what was packed."""
    return zlib.decompress(base64.b64decode(words)).decode() if packed else words
