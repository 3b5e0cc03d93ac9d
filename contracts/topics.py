"""Every topic: what it carries, keyed by what, owned by whom, kept how long. The first of an event's four hops."""

from dataclasses import dataclass
from datetime import timedelta

from .activities import ActivityRecordedV1
from .base import Event
from .challenges import ChallengeCompletedV1, ChallengeProgressedV1
from .commerce import ActivityReportedV1, OrderReportedV1
from .decisions import DecisionsMadeV1
from .members import ContactChangedV1, MemberChangedV1
from .notifications import NotificationFailedV1, NotificationSentV1, NotificationSuppressedV1
from .orders import OrderChangedV1
from .points import (
    AccountFrozenV1,
    AccountUnfrozenV1,
    PointsActivatedV1,
    PointsAdjustedV1,
    PointsClawedBackV1,
    PointsExpiredV1,
    PointsExpiringV1,
    PointsGrantedV1,
    PointsHeldV1,
    PointsImportedV1,
    PointsRedeemedV1,
    PointsReinstatedV1,
    PointsReleasedV1,
    PointsReturnedV1,
    PointsTransferredV1,
    PointsWaivedV1,
)
from .program import ProgramPublishedV1
from .referrals import ReferralCodeAssignedV1, ReferralConfirmedV1, ReferralRejectedV1, ReferralReversedV1
from .rewards import (
    DrawHeldV1,
    RewardExpiredV1,
    RewardIssuedV1,
    RewardPoolLowV1,
    RewardReturnedV1,
    RewardUsedV1,
)
from .segments import SegmentsChangedV1
from .tiers import StandingChangedV1

PARTITIONS_DEFAULT = 12
"""The same for all topics of members, so that one member is one partition number everywhere. Fixed at install."""
RECORD_BYTES_MAX = 1024 * 1024


@dataclass(frozen=True)
class Topic:
    """A Kafka topic. `retention` None means compacted: the last record of each key is kept for ever."""

    name: str
    owner: str
    key: str
    events: tuple[type[Event], ...]
    consumers: tuple[str, ...]
    summary: str
    retention: timedelta | None = timedelta(days=14)
    partitions: int | None = None
    """None: as many as the installation has; equal for all such topics."""
    private: bool = False
    """Read by its owner alone."""

    def dead_letters(self, service: str) -> str:
        """The topic that gets a copy of what `service` could not read or apply."""
        return f"{self.name}.{service}.dlq"


INGEST, POINTS, TIER, REFERRAL, NOTIFICATION, CONSOLE = SERVICES = (
    "order-ingest", "points-accrual", "tier", "referral", "notification", "console",
)  # fmt: skip

COMMERCE_ORDERS = Topic(
    "commerce.orders.v1", "platforms", "`source:order_id`", (OrderReportedV1,), (INGEST,),
    "Orders of platforms that publish straight to Kafka.",
)  # fmt: skip
COMMERCE_ACTIVITIES = Topic(
    "commerce.activities.v1", "platforms", "`source:activity_id`", (ActivityReportedV1,), (INGEST,),
    "Activities of platforms that publish straight to Kafka.",
)  # fmt: skip
ORDERS = Topic(
    "loyalty.orders.v1", INGEST, "`member_id`", (OrderChangedV1,), (POINTS, REFERRAL),
    "Canonical orders, whole at each revision.",
)  # fmt: skip
MEMBERS = Topic(
    "loyalty.members.v1", INGEST, "`member_id`", (MemberChangedV1,), (POINTS, TIER, REFERRAL, NOTIFICATION, CONSOLE),
    "Who is seen and who is a member; no clear personal data.", retention=None,
)  # fmt: skip
CONTACTS = Topic(
    "loyalty.contacts.v1", INGEST, "`member_id`", (ContactChangedV1,), (NOTIFICATION,),
    "How to reach members: the only clear personal data, for notification alone.", retention=None,
)  # fmt: skip
ACTIVITIES = Topic(
    "loyalty.activities.v1", INGEST, "`member_id`", (ActivityRecordedV1,), (POINTS,),
    "What members do besides ordering.",
)  # fmt: skip
POINTS_TOPIC = Topic(
    "loyalty.points.v1", POINTS, "`member_id`",
    (
        PointsGrantedV1, PointsActivatedV1, PointsExpiringV1, PointsExpiredV1, PointsReinstatedV1, PointsClawedBackV1,
        PointsWaivedV1, PointsAdjustedV1, PointsImportedV1, PointsTransferredV1, PointsHeldV1, PointsReleasedV1,
        PointsRedeemedV1, PointsReturnedV1, AccountFrozenV1, AccountUnfrozenV1, ChallengeProgressedV1,
        ChallengeCompletedV1,
    ),
    (TIER, NOTIFICATION),
    "The ledger's facts.",
)  # fmt: skip
REWARDS = Topic(
    "loyalty.rewards.v1", POINTS, "`member_id`",
    (RewardIssuedV1, RewardUsedV1, RewardExpiredV1, RewardReturnedV1), (TIER, NOTIFICATION),
    "What members got for points or as gifts, and what became of it.",
)  # fmt: skip
CATALOGUE = Topic(
    "loyalty.catalogue.v1", POINTS, "`program_id`", (RewardPoolLowV1, DrawHeldV1), (),
    "What concerns all members of a program: pools of codes, prize draws.",
)  # fmt: skip
DECISIONS = Topic(
    "loyalty.decisions.v1", POINTS, "`program_id`", (DecisionsMadeV1,), (),
    "The ledger's decisions, in the order of commits: its owner alone reads them, when its database was restored.",
    partitions=1, private=True,
)  # fmt: skip
TIERS = Topic(
    "loyalty.tiers.v1", TIER, "`member_id`", (StandingChangedV1,), (POINTS, NOTIFICATION), "Standings of members.",
)  # fmt: skip
REFERRALS = Topic(
    "loyalty.referrals.v1", REFERRAL, "`member_id`",
    (ReferralCodeAssignedV1, ReferralConfirmedV1, ReferralRejectedV1, ReferralReversedV1), (POINTS, NOTIFICATION),
    "Codes, and who brought whom.",
)  # fmt: skip
NOTIFICATIONS = Topic(
    "loyalty.notifications.v1", NOTIFICATION, "`member_id`",
    (NotificationSentV1, NotificationSuppressedV1, NotificationFailedV1), (),
    "What members and shops were told.",
)  # fmt: skip
SEGMENTS = Topic(
    "loyalty.segments.v1", CONSOLE, "`member_id`", (SegmentsChangedV1,), (POINTS,),
    "Which groups of the merchant's making a member belongs to.", retention=None,
)  # fmt: skip
PROGRAMS = Topic(
    "loyalty.programs.v1", CONSOLE, "`program_id:version`", (ProgramPublishedV1,), SERVICES,
    "Every version of every program.", retention=None, partitions=1,
)  # fmt: skip

TOPICS: tuple[Topic, ...] = (
    COMMERCE_ORDERS, COMMERCE_ACTIVITIES, ORDERS, MEMBERS, CONTACTS, ACTIVITIES,
    POINTS_TOPIC, REWARDS, CATALOGUE, DECISIONS, TIERS, REFERRALS, NOTIFICATIONS, SEGMENTS, PROGRAMS,
)  # fmt: skip
EVENTS: dict[str, type[Event]] = {event.TYPE: event for topic in TOPICS for event in topic.events}
TOPIC_OF: dict[type[Event], Topic] = {event: topic for topic in TOPICS for event in topic.events}
