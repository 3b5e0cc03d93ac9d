"""The members whom a batch can concern, and what it does to them."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

from contracts.ids import derived_id
from contracts.members import MemberChangedV1
from contracts.orders import OrderChangedV1
from contracts.program import ProgramBook
from contracts.referrals import (
    ReferralCodeAssignedV1,
    ReferralConfirmedV1,
    ReferralEvent,
    ReferralRejectedV1,
    ReferralReversedV1,
)

from .judging import all_verdicts, announcement, judge, reversal
from .members import Kind, Member, News, Referral, ReferralKey, Verdict
from .orders import read_order

Announcement = ReferralEvent | ReferralCodeAssignedV1
_EVENTS: dict[Kind, type[ReferralEvent]] = {
    "confirmed": ReferralConfirmedV1,
    "rejected": ReferralRejectedV1,
    "reversed": ReferralReversedV1,
}


@dataclass(frozen=True, slots=True)
class When:
    """The moment of a change: in the world, and when Laurel was told."""

    occurred_at: datetime
    recorded_at: datetime


@dataclass
class World:
    """Members and their orders, all locked, as one batch changes them."""

    programs: ProgramBook
    now: datetime
    members: dict[UUID, Member]
    friends: frozenset[UUID]
    """Those who may be judged: `members` has the owners of all codes on their orders, and all their advocates."""
    owners: dict[tuple[str, str], UUID]
    """Whose a code is, by program and code."""
    drawn: Mapping[UUID, str] = field(default_factory=dict)
    """Codes drawn for members who may need one."""
    announced: list[Announcement] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._carriers: dict[tuple[str, str], set[UUID]] = {}
        for member_id in self.friends:
            for order in self.members[member_id].orders.values():
                self._carry(self.members[member_id], order.codes)

    def change_member(self, event: MemberChangedV1) -> None:
        """Keep a profile; who has become a member gets a code."""
        member = self.members[event.member_id]
        if event.version <= member.version:
            return
        known_email = member.email
        member.version, member.status, member.email = event.version, event.status, event.email_fingerprint
        member.changed = True
        if self.look_at(member) or member.email != known_email:
            self._judge_around(member, When(event.recorded_at, event.recorded_at))

    def change_order(self, event: OrderChangedV1) -> None:
        """Keep an order, then judge its buyer, and those whom the buyer brought."""
        member = self.members[event.member_id]
        known = member.orders.get((event.source, event.order_id))
        if known is not None and known.program_version:
            program = self.programs.version(event.program_id, known.program_version)
        else:
            program = self.programs.in_force(event.program_id, event.placed_at)
        order = read_order(event, program)
        if not member.learn(order):
            return
        self._carry(member, order.codes)
        self.look_at(member)
        self._judge_around(member, When(event.updated_at, event.recorded_at))

    def revisit(self, member: Member) -> None:
        """Look at a member under a new version of the program, or when all was read again after a restore."""
        if member.adopted_at is not None:
            member.adopted_at, member.changed = None, True
        self.look_at(member)
        self._judge_around(member, When(self.now, self.now))

    def look_at(self, member: Member) -> bool:
        """Give a member of a program with referrals a code. Returns whether that, or the program's version, is new."""
        program = self.programs.in_force(member.program_id, self.now)
        if program is None:
            return False
        version_is_new = member.program_version != program.version
        if version_is_new:
            member.program_version, member.changed = program.version, True
        if program.referral is None or member.status != "member" or member.code is not None:
            return version_is_new
        code = self.drawn[member.member_id]
        member.code, member.code_assigned_at, member.changed = code, self.now, True
        self.owners[member.program_id, code] = member.member_id
        self.announced.append(
            ReferralCodeAssignedV1(
                program_id=member.program_id, member_id=member.member_id, code=code, assigned_at=self.now
            )
        )
        return True

    def _carry(self, member: Member, codes: tuple[str, ...]) -> None:
        for code in codes:
            self._carriers.setdefault((member.program_id, code), set()).add(member.member_id)

    def _judge_around(self, member: Member, when: When) -> None:
        """Judge a member as friend, and the friends who carried the member's code."""
        brought = self._carriers.get((member.program_id, member.code), set()) if member.code else set()
        for member_id in sorted({member.member_id} | brought):
            self._judge(self.members[member_id], when)

    def _judge(self, friend: Member, when: When) -> None:
        if friend.adopted_at is not None:
            return  # It was judged by more than has been read again.
        for order in friend.orders.values():
            if (pinned := order.pinned(self.programs, friend.program_id)) is not order:
                friend.orders[order.key] = friend.changed_orders[order.key] = pinned
        if not friend.referrals and not any(order.codes for order in friend.orders.values()):
            return
        verdicts = judge(friend, lambda code: self._owner(friend.program_id, code), self.programs)
        for key, verdict in all_verdicts(friend, verdicts):
            known = friend.referrals.get(key)
            if known is not None and known.verdict == verdict:
                continue
            if key.order not in friend.orders:
                continue  # Taken over after a restore, and its order never came again: it stays as it was told.
            news = announcement(known, verdict)
            referral = _changed(friend, key, verdict, known, when, news)
            friend.keep(referral)
            if news is not None:
                self.announced += announcements(friend, referral, *news, when)

    def _owner(self, program_id: str, code: str) -> Member | None:
        member_id = self.owners.get((program_id, code))
        return None if member_id is None else self.members[member_id]


def _changed(
    friend: Member, key: ReferralKey, verdict: Verdict, known: Referral | None, when: When, news: News | None
) -> Referral:
    order = friend.orders[key.order]
    if known is None:
        facts = (friend.program_id, friend.member_id, *key.order, key.advocate_id)
        referral_id, told, version = derived_id(order.placed_at, "referral", *facts), None, 0
    else:
        referral_id, told, version = known.referral_id, known.told, known.version
    return Referral(
        referral_id=referral_id,
        key=key,
        verdict=verdict,
        told=news or told,
        version=version + (news is not None),
        order_revision=order.revision,
        order_minor=order.net_minor,
        placed_at=order.placed_at,
        changed_at=when.occurred_at,
    )


def announcements(
    friend: Member, referral: Referral, kind: Kind, reason: str | None, when: When
) -> list[ReferralEvent]:
    """What both parties are told; of a rejection only the friend."""
    common = {
        "program_id": friend.program_id,
        "referral_id": referral.referral_id,
        "version": referral.version,
        "advocate_id": referral.key.advocate_id,
        "friend_id": friend.member_id,
        "source": referral.key.order[0],
        "order_id": referral.key.order[1],
        "order_revision": referral.order_revision,
        "placed_at": referral.placed_at,
        "occurred_at": when.occurred_at,
        "recorded_at": when.recorded_at,
        "order_minor": referral.order_minor,
        "reason": reason,
    }
    parties = {"advocate": referral.key.advocate_id, "friend": friend.member_id}
    if kind == "rejected":
        del parties["advocate"]
    return [
        _EVENTS[kind].model_validate(common | {"role": role, "member_id": party}) for role, party in parties.items()
    ]


def told_again(friend: Member, referral: Referral) -> list[ReferralEvent]:
    """What was told last, for those who may have read no more than a part of it, or nothing.

    Before a rejection it may have been confirmed, and reversed, and who reads of a confirmation alone takes no notice
    of a rejection. So that it is reversed is told again, too: to both, under the version before, which is greater than
    that of any confirmation. Where nothing was confirmed, that takes nothing back.
    """
    if referral.told is None:
        return []
    kind, reason = referral.told
    when = When(referral.changed_at, referral.changed_at)
    last = announcements(friend, referral, kind, reason, when)
    if kind != "rejected" or referral.version < 3:
        return last
    before = replace(referral, version=referral.version - 1)
    return announcements(friend, before, *reversal(reason), when) + last
