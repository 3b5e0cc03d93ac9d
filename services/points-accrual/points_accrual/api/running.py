"""Commands over HTTP: once per idempotency key, in one transaction, refused by name."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import Header

from contracts.program import ProgramBook
from shared.http import Problem
from shared.service import Context
from shared.transaction import Cause, Transaction

from .. import store
from ..domain.account import Account
from ..domain.catalogue import RefusedError
from ..domain.commands import Command
from ..domain.world import Trace, World

IdempotencyKey = Annotated[
    str, Header(max_length=200, pattern=r"^[!-~]+$", description="The same key has its effect once, for ever.")
]
Act = Callable[[World, Account, Any, str, Trace], Any]
NeedOf = Callable[[datetime], store.Need]
"""What a command can touch, at the moment of its transaction."""
STATUS_OF = {"unknown_reward": 404, "unknown_coupon": 404, "amount": 422, "until": 422, "earned_at": 422}


def no_member() -> Problem:
    """404 for a member whom the program does not have."""
    return Problem(404, "Unknown member", "this program has no member with this id")


def refused(refusal: RefusedError) -> Problem:
    """How a refusal is told: its reason is the title's words and the problem's type."""
    title = refusal.reason.replace("_", " ").capitalize()
    detail = str(refusal) + (f" Try again from {refusal.until.isoformat()}." if refusal.until else "")
    return Problem(STATUS_OF.get(refusal.reason, 409), title, detail, type=f"urn:laurel:{refusal.reason}")


async def run(
    context: Context, programs: ProgramBook, program_id: str, member_id: UUID, kind: str, command: Command, key: str,
    act: Act, need: NeedOf,
) -> Any:  # fmt: skip
    """Run a command in a transaction of its own, once per key. Raises `Problem`."""
    context.require_current()

    async def work(tx: Transaction) -> Any:
        return await run_in(tx, programs, program_id, member_id, kind, command, key, act, need)

    try:
        return await context.execute(work)
    except RefusedError as refusal:
        raise refused(refusal) from refusal


async def run_in(
    tx: Transaction, programs: ProgramBook, program_id: str, member_id: UUID, kind: str, command: Command, key: str,
    act: Act, need: NeedOf,
) -> Any:  # fmt: skip
    """The same within an open transaction. A refusal is raised and so rolls everything back, the advance too."""
    world = await store.load_for(tx, programs, need(tx.now))
    return await run_on(tx, world, program_id, member_id, kind, command, key, act)


async def run_on(
    tx: Transaction, world: World, program_id: str, member_id: UUID, kind: str, command: Command, key: str, act: Act
) -> Any:
    """The same with what it needs loaded already."""
    account = account_of(world, program_id, member_id)
    known = await answered(tx, world, member_id, kind, command, key)
    if known is not None:
        return known
    if not world.programs.latest(program_id) or not store.known_versions(world, world.accounts):
        raise Problem(503, "Try again", "the program is still being read", headers={"Retry-After": "1"})
    fresh = Cause.fresh(kind)
    answer = act(world, account, command, key, Trace(fresh.correlation_id, fresh.causation_id, fresh.traceparent))
    store.keep_command(tx, world, account.member_id, key, kind, _body(command), answer)
    await store.save(tx, world)
    return answer


async def answered(tx: Transaction, world: World, member_id: UUID, kind: str, command: Command, key: str) -> Any | None:
    """What this key was answered, if it was. Raises `Problem` when that was for another request."""
    known = await store.find_command(tx, world.succession(member_id), key)
    if known is None:
        return None
    if known[:2] != (kind, _body(command)):
        raise key_used()
    return known[2]


def key_used() -> Problem:
    """409 for a key that comes with another request than at first."""
    return Problem(409, "Idempotency key used", "this Idempotency-Key was used with another request")


def _body(command: Command) -> Any:
    return command.model_dump(mode="json", exclude_none=True)


def account_of(world: World, program_id: str, member_id: UUID) -> Account:
    """The account of a member of the program, the survivor's if it was merged. Raises a 404."""
    account = world.accounts.get(world.owner(member_id))
    if account is None or account.program_id != program_id:
        raise no_member()
    return account
