"""Stored deliveries become facts: read in batches, the unreadable set aside with a reason, forgotten after 30 days."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial

from contracts.commerce import ActivityReport, MemberReport, OrderReport
from contracts.program import ProgramBook
from shared.db import is_transient
from shared.log import log
from shared.service import Context
from shared.telemetry import counter
from shared.transaction import Cause, Permanent, Transaction

from . import handlers, store
from .domain import shopify
from .domain.facts import PayloadError, RevocationReport
from .store import Delivery, Fact, Report

KEPT = timedelta(days=30)
TAKEN_MAX, TAKEN_BYTES_MAX = 200, 8 * 1024 * 1024
"""Of one batch: reading it must not keep the process from answering webhooks."""
PURGED_MAX = 1000
QUARANTINED = counter("deliveries_quarantined", "Deliveries that could not be read or kept, set aside with a reason.")


async def read_some(context: Context, programs: ProgramBook, salt: bytes) -> bool:
    """Read deliveries that wait, oldest first. Returns whether there may be more.

    What cannot be understood goes to quarantine alone. When a whole batch fails for good, its deliveries are read one
    at a time, so that the one at fault is found and the others have their effect.
    """
    try:
        taken, refused = await context.execute(partial(_read_batch, programs, salt))
    except Exception as error:
        if is_transient(error):
            raise
        taken, refused = await _read_singly(context, programs, salt)
    QUARANTINED.inc(refused)
    return taken > 0


async def _read_batch(programs: ProgramBook, salt: bytes, tx: Transaction) -> tuple[int, int]:
    deliveries = await store.take_received(tx.connection, limit=TAKEN_MAX, bytes_max=TAKEN_BYTES_MAX)
    return await _read(programs, salt, tx, deliveries)


async def _read_one(programs: ProgramBook, salt: bytes, delivery_id: int, tx: Transaction) -> tuple[int, int]:
    delivery = await store.take_delivery(tx.connection, delivery_id)
    return await _read(programs, salt, tx, [delivery] if delivery else [])


async def _read(programs: ProgramBook, salt: bytes, tx: Transaction, deliveries: Sequence[Delivery]) -> tuple[int, int]:
    facts: list[Fact] = []
    reasons: dict[int, str] = {}
    for delivery in deliveries:
        try:
            report = read(delivery)
        except PayloadError as error:
            reasons[delivery.delivery_id] = str(error)
            continue
        if report is not None:
            cause = Cause(f"delivery-{delivery.delivery_id}", None, delivery.traceparent)
            facts.append(Fact(delivery.program_id, report, delivery.received_at, cause))
    if facts:
        await handlers.apply(programs, salt, tx, facts)
    await store.finish_deliveries(tx.connection, [item.delivery_id for item in deliveries], reasons, now=tx.now)
    return len(deliveries), len(reasons)


async def _read_singly(context: Context, programs: ProgramBook, salt: bytes) -> tuple[int, int]:
    ids = await context.read(partial(store.received_ids, limit=TAKEN_MAX))
    taken = refused = 0
    for delivery_id in ids:
        try:
            one, bad = await context.execute(partial(_read_one, programs, salt, delivery_id))
        except Exception as error:
            if is_transient(error):
                raise
            log.error("delivery is set aside", delivery_id=delivery_id, error_class=type(error).__name__)
            one, bad = 1, 1
            await context.execute(partial(_set_aside, delivery_id, _reason(error)))
        taken, refused = taken + one, refused + bad
    return taken, refused


async def _set_aside(delivery_id: int, reason: str, tx: Transaction) -> None:
    if await store.take_delivery(tx.connection, delivery_id):
        await store.finish_deliveries(tx.connection, [delivery_id], {delivery_id: reason}, now=tx.now)


def _reason(error: Exception) -> str:
    """Why a delivery failed, without personal data: only our own sentences are repeated."""
    return str(error) if isinstance(error, Permanent) else f"it was read but could not be kept: {type(error).__name__}"


async def purge_some(context: Context) -> bool:
    """Forget raw deliveries after 30 days. Returns whether there may be more."""

    async def work(tx: Transaction) -> int:
        return await store.purge_deliveries(tx.connection, before=tx.now - KEPT, limit=PURGED_MAX)

    return await context.execute(work) == PURGED_MAX


def read(delivery: Delivery) -> Report | None:
    """The fact a delivery tells, if any. Raises `PayloadError` for what is not understood."""
    if delivery.platform == "api":
        return API_REPORTS[delivery.topic].model_validate_json(delivery.body)
    return ADAPTERS[delivery.platform](delivery.body, delivery.source)


ADAPTERS: dict[str, Callable[[bytes, str], Report | None]] = {"shopify": shopify.read}
API_REPORTS: dict[str, type[OrderReport | MemberReport | ActivityReport | RevocationReport]] = {
    "orders": OrderReport,
    "members": MemberReport,
    "activities": ActivityReport,
    "revocations": RevocationReport,
}
