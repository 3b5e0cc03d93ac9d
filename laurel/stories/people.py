"""Members of a story: what other services say of them, each time their whole state at the next version."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from contracts.activities import ActivityRecordedV1
from contracts.base import Event
from contracts.ids import derived_id
from contracts.members import MemberChangedV1
from contracts.referrals import ReferralConfirmedV1, ReferralReversedV1
from contracts.segments import SegmentsChangedV1
from contracts.tiers import MembershipInterval, StandingChangedV1, StandingInterval

from .facts import ActivityEntry, ReferralEntry


@dataclass(slots=True)
class Standing:
    """A tier that the story gives a member."""

    tier_id: str
    starts_at: datetime
    until: datetime | None = None
    starts_with: str | None = None


@dataclass(slots=True)
class Someone:
    """One member, as far as the story has told."""

    name: str
    program_id: str
    member_id: UUID
    versions: dict[str, int] = field(default_factory=dict)
    """Of what is told, by its kind."""
    profile: dict[str, Any] = field(default_factory=lambda: {"status": "shopper"})
    standings: list[Standing] = field(default_factory=list)
    memberships: list[MembershipInterval] = field(default_factory=list)

    def _next(self, kind: str) -> int:
        self.versions[kind] = self.versions.get(kind, 0) + 1
        return self.versions[kind]

    def member(self, at: datetime, **changes: Any) -> MemberChangedV1:
        """Who they are now."""
        self.profile |= changes
        return MemberChangedV1(
            program_id=self.program_id, member_id=self.member_id, version=self._next("member"), seen_at=at,
            recorded_at=at, **self.profile,
        )  # fmt: skip

    def standing(self, at: datetime, lowest: str) -> StandingChangedV1:
        """All their tiers and memberships."""
        intervals = _in_turn(self.standings)
        before = intervals[-2].tier_id if len(intervals) > 1 else lowest
        return StandingChangedV1(
            program_id=self.program_id, member_id=self.member_id, version=self._next("standing"),
            intervals=intervals, memberships=tuple(self.memberships), change="unchanged", from_tier_id=before,
            to_tier_id=intervals[-1].tier_id if intervals else lowest, tier_points=0, occurred_at=at, recorded_at=at,
        )  # fmt: skip

    def segments(self, at: datetime, segments: Sequence[str]) -> SegmentsChangedV1:
        """Their segments."""
        return SegmentsChangedV1(
            program_id=self.program_id, member_id=self.member_id, version=self._next("segments"),
            segments=tuple(segments), recorded_at=at,
        )  # fmt: skip

    def referral(self, entry: ReferralEntry, at: datetime) -> Event:
        """Their part in a referral, as the other service tells it."""
        referral_id = derived_id(datetime.fromtimestamp(0, at.tzinfo), "referral", self.program_id, entry.id)
        values: dict[str, Any] = {
            "program_id": self.program_id, "member_id": self.member_id, "referral_id": referral_id,
            "version": self._next(f"{entry.id}:{entry.referral}"), "role": entry.referral,
            "advocate_id": self.member_id, "friend_id": self.member_id, "source": "shop", "order_id": entry.id,
            "order_revision": 1, "placed_at": at, "occurred_at": at, "recorded_at": at,
        }  # fmt: skip
        if entry.state == "confirmed":
            return ReferralConfirmedV1(**values, order_minor=entry.order_minor)
        return ReferralReversedV1(**values, reason="refunded")


def referral_claim(event: Event) -> str:
    """How the ledger names one party's part."""
    assert isinstance(event, ReferralConfirmedV1 | ReferralReversedV1)
    return f"{event.referral_id}:{event.role}"


def _in_turn(standings: Sequence[Standing]) -> tuple[StandingInterval, ...]:
    """One tier at a time: each ends where the next begins."""
    ordered = sorted(standings, key=lambda item: item.starts_at)
    found = []
    for place, item in enumerate(ordered):
        after = ordered[place + 1].starts_at if place + 1 < len(ordered) else None
        ends = [at for at in (item.until, after) if at is not None]
        found.append(
            StandingInterval(
                tier_id=item.tier_id, starts_at=item.starts_at, starts_with=item.starts_with,
                valid_until=min(ends, default=None),
            )
        )  # fmt: skip
    return tuple(found)


@dataclass(slots=True)
class Deed:
    """An activity: what was done, and that it was undone, whichever is told first."""

    name: str
    kind: str
    program_id: str
    member_id: UUID
    done: tuple[datetime, ActivityEntry] | None = None
    revoked_at: datetime | None = None
    sent: ActivityRecordedV1 | None = None

    def state(self, recorded_at: datetime) -> ActivityRecordedV1 | None:
        """The next revision; None when nothing changed, or when it is not known what was done."""
        if self.done is None:
            return None
        at, entry = self.done
        values: dict[str, Any] = {
            "program_id": self.program_id, "member_id": self.member_id, "source": entry.source,
            "activity_id": self.name, "kind": entry.activity, "object_id": entry.object, "occurred_at": at,
            "revoked_at": self.revoked_at, "verified": entry.verified, "attributes": entry.attributes,
        }  # fmt: skip
        if self.sent is not None and all(getattr(self.sent, name) == value for name, value in values.items()):
            return None
        revision = self.sent.revision + 1 if self.sent else 1
        self.sent = ActivityRecordedV1(**values, revision=revision, recorded_at=recorded_at)
        return self.sent
