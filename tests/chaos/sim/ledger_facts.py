"""What happens to the members of a program, as points-accrual hears of it: facts of a seed, each at its time."""

import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from contracts.base import Event
from contracts.envelope import Envelope, to_headers
from contracts.ids import derived_id
from contracts.orders import OrderChangedV1
from contracts.program import Program
from contracts.referrals import ReferralConfirmedV1, ReferralReversedV1
from contracts.segments import SegmentsChangedV1
from contracts.tiers import StandingChangedV1
from contracts.topics import TOPIC_OF
from tests.unit.points_accrual import samples
from tests.unit.points_accrual.samples import DAY, T0

from .kafka import Cluster

MEMBERS = tuple(UUID(f"00000000-0000-8000-8000-0000000000{number:02x}") for number in (11, 27, 31))
HOUR = timedelta(hours=1)
LAST = 12 * DAY
"""After the first, nothing new happens."""
REWARD, COST = "ten-off", 100


def program() -> Program:
    """Points wait two days and live a month, so that both happen within a short story."""
    return samples.program(pending_days=2, validity_months=None, expiry={"days": 30})


@dataclass(frozen=True)
class Fact:
    """An event that its owner publishes at `at`."""

    at: datetime
    event: Event

    def publish(self, cluster: Cluster) -> tuple[str, int, int]:
        """Write it to its topic, always under the same id. Returns topic, partition and offset."""
        event = self.event
        envelope = Envelope(
            id=derived_id(self.at, event.TYPE, event.model_dump_json()), type=event.TYPE, source="simulation",
            subject=event.key(), time=self.at, correlation_id="simulation",
        )  # fmt: skip
        headers = list(to_headers(envelope))
        topic, value = TOPIC_OF[type(event)].name, event.model_dump_json().encode()
        item = cluster.append(topic, event.key().encode(), value, headers)
        return item.topic, item.partition, cluster.ends[item] - 1


class Author:
    """Writes what happens; the same seed writes the same."""

    def __init__(self, rng: random.Random, members: int, orders: int) -> None:
        self._rng = rng
        self.members = MEMBERS[:members]
        self.facts: list[Fact] = []
        for member_id in self.members:
            self._enrol(member_id)
            self._stand(member_id)
        for number in range(orders):
            self._order(str(number), rng.choice(self.members))
        if rng.random() < 0.5:
            self._refer(self.members[0])
        if rng.random() < 0.5:
            segments = SegmentsChangedV1(
                program_id="aurora", member_id=self.members[-1], version=1, segments=("vip",),
                recorded_at=T0 + HOUR,
            )  # fmt: skip
            self._tell(T0 + HOUR, segments)
        self.facts.sort(key=lambda fact: fact.at)

    def _tell(self, at: datetime, event: Event) -> None:
        self.facts.append(Fact(at, event))

    def _moment(self, first: datetime = T0, days: float = 6.0) -> datetime:
        return first + timedelta(minutes=self._rng.randint(1, int(days * 1440)))

    def _enrol(self, member_id: UUID) -> None:
        """Some are shoppers first: what they buy waits."""
        at = T0
        if self._rng.random() < 0.4:
            self._tell(at, samples.enrolled(at, member_id=member_id, status="shopper"))
            at = self._moment(T0, 4.0)
            self._tell(at, samples.enrolled(at, member_id=member_id, version=2))
        else:
            self._tell(at, samples.enrolled(at, member_id=member_id))

    def _stand(self, member_id: UUID) -> None:
        """Tiers that are reached, sometimes for a time that is already past: orders are judged again."""
        intervals: list[Any] = []
        at = T0 + HOUR
        for version, tier_id in enumerate(self._rng.choice(((), ("silver",), ("silver", "gold"))), start=1):
            at = self._moment(at, 5.0)
            since = max(at - timedelta(hours=self._rng.choice((0, 0, 30, 80))), T0)
            if intervals:
                since = max(since, intervals[-1].starts_at + HOUR)
                intervals[-1] = intervals[-1].model_copy(update={"valid_until": since})
            intervals.append(samples.interval(tier_id, since))
            event: StandingChangedV1 = samples.standing(*intervals, version=version, at=at, member_id=member_id)
            self._tell(at, event)

    def _order(self, order_id: str, member_id: UUID) -> None:
        """Paid, and perhaps refunded in parts, or cancelled."""
        rng = self._rng
        at = self._moment()
        lines = [samples.line(str(n), rng.randint(2_000, 20_000)) for n in range(rng.randint(1, 3))]
        # A little before it is recorded; sometimes long before, so that its points are due at once.
        placed_at = at - timedelta(hours=rng.choice((0, 1, 70)))
        known: OrderChangedV1 = samples.order(
            *lines, order_id=order_id, member_id=member_id, placed_at=placed_at, recorded_at=at, updated_at=at
        )
        self._tell(at, known)
        for revision in range(2, 2 + rng.choice((0, 0, 1, 1, 2, 3))):
            at = self._moment(at, 2.0)
            change: dict[str, Any] = {"revision": revision, "recorded_at": at, "updated_at": at}
            if rng.random() < 0.15:
                change["cancelled_at"] = at
            else:
                of: dict[str, int | None] = {rng.choice(lines).line_id: rng.randint(500, 6_000)}
                change["refunds"] = (*known.refunds, samples.back(f"r{revision}", at, of))
            known = known.model_copy(update=change)
            self._tell(at, known)

    def _refer(self, member_id: UUID) -> None:
        at = self._moment()
        confirmed: ReferralConfirmedV1 = samples.confirmed(at=at, member_id=member_id)
        self._tell(at, confirmed)
        if self._rng.random() < 0.5:
            at = self._moment(at, 3.0)
            reversed_: ReferralReversedV1 = samples.reversed_(at=at, member_id=member_id)
            self._tell(at, reversed_)
