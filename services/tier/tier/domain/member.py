"""One member's standing as last announced, and what a new fact or the passing of time changes in it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal
from uuid import UUID

from contracts.points import OrderBase
from contracts.program import Program, ProgramBook, Tiers
from contracts.tiers import MembershipInterval, StandingChangedV1, StandingInterval

from .membership import Coupon, memberships_of
from .standing import Fact, held_after, ladders_of, next_change_after, points_after, standing_over

Change = Literal["upgraded", "downgraded", "unchanged"]


@dataclass(slots=True)
class Member:
    """A member; `version` is 0 until something was announced, `profile_version` until a profile arrived."""

    member_id: UUID
    program_id: str
    partition: int
    profile_version: int = 0
    status: str | None = None
    program_version: int = 0
    """The version whose ladder the standing was last held against; 0: none yet."""
    version: int = 0
    intervals: tuple[StandingInterval, ...] = ()
    memberships: tuple[MembershipInterval, ...] = ()
    tier_id: str | None = None
    """The tier last announced; None is the lowest, never left so far."""
    evaluated_at: datetime | None = None
    next_change_at: datetime | None = None
    adopted_at: datetime | None = None
    """When the standing was taken over after a restore, until it is held against the facts."""
    facts: dict[str, Fact] = field(default_factory=dict)
    coupons: dict[UUID, Coupon] = field(default_factory=dict)
    changed: bool = False
    """Whether this batch changed the row, and below which of the facts and coupons."""
    changed_facts: dict[str, Fact] = field(default_factory=dict)
    changed_coupons: dict[UUID, Coupon] = field(default_factory=dict)

    def learn(self, base: OrderBase, sequence: int) -> bool:
        """Keep what an order counts for, unless something newer is known. Returns whether it was news."""
        order = base.order
        fact = Fact(order.source, order.order_id, order.placed_at, order.revision, sequence, base.steps)
        if not fact.newer_than(self.facts.get(fact.key)):
            return False
        self.facts[fact.key] = self.changed_facts[fact.key] = fact
        return True

    def learn_coupon(self, coupon_id: UUID, add: Callable[[Coupon], Coupon]) -> bool:
        """Keep what is told of a coupon for a membership. Returns whether it was news."""
        known = self.coupons.get(coupon_id, Coupon(coupon_id))
        coupon = add(known)
        if coupon == known:
            return False
        self.coupons[coupon_id] = self.changed_coupons[coupon_id] = coupon
        return True

    def adopt(self, event: StandingChangedV1, program_version: int, now: datetime) -> bool:
        """Take over what was announced. Returns whether it was news."""
        if event.version <= self.version:
            return False
        held = held_after(event.intervals, event.recorded_at)
        self.version, self.intervals, self.memberships = event.version, event.intervals, event.memberships
        self.tier_id, self.evaluated_at = held.tier_id if held else None, event.recorded_at
        self.next_change_at = next_change_after(event.intervals, event.recorded_at)
        self.program_version, self.adopted_at, self.changed = program_version, now, True
        return True

    def reassess(
        self, programs: ProgramBook, program: Program, now: datetime, occurred_at: datetime
    ) -> StandingChangedV1 | None:
        """Hold the facts against the ladder in force, and those before it for their time.

        Returns what is to be announced, if anything. `now` never goes back for a member: what was announced as having
        come true stays so.
        """
        now = max(now, self.evaluated_at or now)
        standing = standing_over(self.facts.values(), ladders_of(programs, program, now))
        held = held_after(standing, now)
        old_tier, new_tier = self.tier_id, held.tier_id if held else None
        memberships = memberships_of(self.coupons.values())
        told = standing != self.intervals or new_tier != old_tier or memberships != self.memberships
        change = self._change(programs, program.tiers, new_tier)
        self.intervals, self.tier_id, self.evaluated_at = standing, new_tier, now
        self.memberships = memberships
        self.next_change_at = next_change_after(standing, now)
        self.program_version = program.version
        self.changed = True
        if not told:
            return None
        self.version += 1
        lowest = program.tiers.levels[0].id
        return StandingChangedV1(
            program_id=self.program_id,
            member_id=self.member_id,
            version=self.version,
            intervals=standing,
            memberships=memberships,
            change=change,
            from_tier_id=old_tier or lowest,
            to_tier_id=new_tier or lowest,
            tier_points=points_after(self.facts.values(), now, program.tiers, program.time_zone),
            occurred_at=occurred_at,
            recorded_at=now,
        )

    def _change(self, programs: ProgramBook, ladder: Tiers, new_tier: str | None) -> Change:
        before = programs.version(self.program_id, self.program_version)
        old, new = (_threshold(tier, ladder, before) for tier in (self.tier_id, new_tier))
        return "unchanged" if old == new else "upgraded" if old < new else "downgraded"


def _threshold(tier_id: str | None, ladder: Tiers, before: Program | None) -> int:
    """How high a tier is: in the ladder of today; in the one it was held under where it is gone."""
    for levels in (ladder.levels, before.tiers.levels if before else ()):
        for level in levels:
            if level.id == tier_id:
                return level.threshold
    return 0
