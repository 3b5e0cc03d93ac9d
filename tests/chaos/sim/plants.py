"""Bugs that are planted, to see that the checks catch them: each takes the place of one function while a story is told.

This is the one place where functions of our own are replaced: a checker that never cries is worth nothing.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import points_accrual.handlers
import points_accrual.store
import points_accrual.store.saving as saving
from contracts.orders import OrderChangedV1
from contracts.tiers import StandingChangedV1
from contracts.topics import INGEST, NOTIFICATION, POINTS
from notification import mailer
from order_ingest import webhooks
from points_accrual.store import claims, coupons, locking
from shared import bus, dead_letters, offsets, outbox, sweeper, transaction

from . import bugs
from .life import Plot


@dataclass(frozen=True)
class Plant:
    """A bug, and the moment at which a process has to die for it to show; None: it shows by itself."""

    name: str
    holder: Any
    attribute: str
    wrong: Callable[[Any], Any]
    """The right function → the wrong one."""
    moment: tuple[str, int] | None = None
    service: str = POINTS
    seeded: bool = False
    """It takes what only schedules bring."""
    hangs: bool = False
    """It keeps the story from coming to its end."""

    def plot(self) -> Plot | None:
        """When to die."""
        return Plot(self.service, *self.moment) if self.moment else None

    @contextmanager
    def planted(self) -> Iterator[None]:
        """The bug is there meanwhile."""
        held = self.holder if isinstance(self.holder, dict) else None
        right = held[self.attribute] if held is not None else getattr(self.holder, self.attribute)
        self._put(self.wrong(right))
        try:
            yield
        finally:
            self._put(right)

    def _put(self, value: Any) -> None:
        if isinstance(self.holder, dict):
            self.holder[self.attribute] = value
        else:
            setattr(self.holder, self.attribute, value)


PLANTS = (
    Plant("outbox rows are deleted before the broker has them", outbox.Relay, "_send_some", bugs.delete_first,
          ("relay: before records are sent to loyalty.points.v1", 1)),
    Plant("events of a batch are sent in the wrong order", transaction, "insert", bugs.backwards),
    Plant("events are not written with their state", transaction.Transaction, "flush", bugs.nothing),
    Plant("offsets are not moved", offsets, "move", bugs.nothing, hangs=True),
    Plant("offsets move past one record of a batch only", bus, "_positions", bugs.first_only),
    Plant("offsets move one record too far", bus, "_positions", bugs.skipping),
    Plant("what cannot be read is thrown away", dead_letters, "add", bugs.set_aside_quietly),
    Plant("an order's failure is swallowed", points_accrual.handlers.HANDLERS, OrderChangedV1, bugs.dropped),  # type: ignore[arg-type]
    Plant("the idempotency key is not kept", points_accrual.store, "keep_command", bugs.not_kept,
          ("pool: after COMMIT", 1)),
    Plant("offsets are committed before the effects", bus.Shell, "_apply", bugs.acknowledged_first,
          ("shell: before INSERT INTO decisions", 2)),
    Plant("what fails takes its whole batch along", bus.Shell, "_one_by_one", bugs.whole_batch_set_aside),
    Plant("events of an unknown type are skipped", bus, "decode", bugs.skips_unknown),
    Plant("claims are kept by member, not by order", points_accrual.handlers.HANDLERS, OrderChangedV1, bugs.by_member),  # type: ignore[arg-type]
    Plant("repeats are known for a day only", claims, "load_told", bugs.forgetful, seeded=True),
    Plant("an older standing takes the place of a newer one", points_accrual.handlers.HANDLERS, StandingChangedV1,  # type: ignore[arg-type]
          bugs.any_standing, seeded=True),
    Plant("what comes first is expected", bus.Shell, "_apply", bugs.by_the_first_record, seeded=True, hangs=True),
    Plant("reading goes on where the group says", bus.Shell, "go_on", bugs.from_the_group, seeded=True, hangs=True),
    Plant("the relay goes on behind what was refused", outbox.Relay, "_send_some", bugs.behind_the_last, seeded=True),
    Plant("the relay goes on after the last id", outbox.Relay, "_send_some", bugs.after_the_last_id, seeded=True),
    Plant("accounts are read without a lock", locking, "_ACCOUNTS", bugs.unlocked, seeded=True),
    Plant("sweeps pass what was not read", sweeper.Sweeper, "_sweep_partition", bugs.to_the_end_of_time, seeded=True),
    Plant("mails are marked as sent before they are", mailer, "_send_one", bugs.marked_first,
          ("mail: before it is sent", 1), NOTIFICATION),
    Plant("mails are handed over twice", mailer, "_hand_over", bugs.handed_over_twice, service=NOTIFICATION),
    Plant("webhooks are answered before they are kept", webhooks.Receiver, "_keep", bugs.answered_first,
          ("pool: before INSERT deliveries", 2), INGEST),
    Plant("transfers are not written", saving, "_copy", bugs.without_table("transfers")),
    Plant("a changed lot is not written", saving, "_write", bugs.without_statement(saving._CHANGED_LOTS)),
    Plant("a changed claim is not written", saving, "_write", bugs.without_statement(saving._CHANGED_CLAIMS)),
    Plant("balances are not written", saving, "_write", bugs.without_statement(saving._ACCOUNTS)),
    Plant("a member's state is not written", saving, "_write", bugs.without_statement(saving._MEMBERS)),
    Plant("uses of coupons are not written", saving, "_write", bugs.without_statement(coupons.COUPONS)),
)  # fmt: skip
