"""What other services tell the ledger: the entries of a story that are facts, as events."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from contracts.base import Event
from contracts.tiers import MembershipInterval
from points_accrual.domain.lots import ClaimKey

from . import facts
from .asked import PublishEntry
from .parts import Entry
from .people import Deed, Standing, referral_claim
from .stage import Stage
from .units import Mistake, moment

ORDERS: dict[type[Entry], str] = {
    facts.OrderEntry: "order", facts.PayEntry: "pay", facts.FulfilEntry: "fulfil", facts.CancelEntry: "cancel",
    facts.RefundEntry: "refund", facts.EditEntry: "edit", facts.DisputeEntry: "dispute",
}  # fmt: skip
"""Entries about an order, and the field that names it."""


def prepare(stage: Stage) -> None:
    """Build the events whose versions follow the order of the story, and check what entries name."""
    for place, entry in enumerate(stage.story.entries):
        try:
            if type(entry) in ORDERS:
                _check_order(stage, entry)
            elif isinstance(entry, facts.ActivityEntry):
                _open_deed(stage, entry, place)
            elif type(entry) in PREPARED:
                stage.prepared[place] = PREPARED[type(entry)](stage, entry, stage.moment(entry))
        except Mistake as error:
            raise stage.story.mistake(place, error) from None


def _check_order(stage: Stage, entry: Entry) -> None:
    field = ORDERS[type(entry)]
    name = getattr(entry, field)
    stage.draft(name, field)
    named = {facts.RefundEntry: "lines", facts.EditEntry: "remove"}.get(type(entry))
    if named is not None:
        known = stage.lines_of(name)
        for line in getattr(entry, named):
            if line not in known:
                raise Mistake(f"order {name} has no line {line!r} (known: {', '.join(sorted(known))})", named, line)


def _open_deed(stage: Stage, entry: facts.ActivityEntry, place: int) -> None:
    again = sum(deed.kind == entry.activity for deed in stage.deeds.values())
    name = entry.id or (f"{entry.activity}-{again + 1}" if again else entry.activity)
    if name in stage.deeds:
        raise Mistake(f"the story has an activity {name!r} already", "id")
    stage.deeds[name] = Deed(name, entry.activity, stage.program.id, stage.someone(entry).member_id)
    stage.named_deeds[place] = name
    stage.claims[name] = ClaimKey("activity", f"{entry.source}:{name}")


def _tier(stage: Stage, entry: facts.TierEntry, at: datetime) -> Event:
    someone = stage.someone(entry)
    later = any(isinstance(item, PublishEntry) for item in stage.story.entries)
    if not later and entry.tier not in {level.id for level in stage.program.tiers.levels}:
        raise Mistake(f"the program has no tier {entry.tier!r}", "tier")
    starts = moment(entry.since, stage.zone) if entry.since else at
    until = moment(entry.until, stage.zone) if entry.until else None
    order = stage.draft(entry.reached_by, "reached_by").claim_id if entry.reached_by else None
    someone.standings.append(Standing(entry.tier, starts, until, order))
    return someone.standing(at, stage.lowest)


def _membership(stage: Stage, entry: facts.MembershipEntry, at: datetime) -> Event:
    someone = stage.someone(entry)
    starts = moment(entry.since, stage.zone) if entry.since else at
    someone.memberships.append(
        MembershipInterval(
            membership_id=entry.membership, starts_at=starts, ends_at=moment(entry.until, stage.zone)
        )
    )  # fmt: skip
    return someone.standing(at, stage.lowest)


def _segments(stage: Stage, entry: facts.SegmentsEntry, at: datetime) -> Event:
    return stage.someone(entry).segments(at, entry.segments)


def _enrol(stage: Stage, entry: facts.EnrolEntry, at: datetime) -> Event:
    return stage.named(entry.enrol, "enrol").member(at, status="member", enrolled_at=at)


def _attributes(stage: Stage, entry: facts.AttributesEntry, at: datetime) -> Event:
    someone = stage.someone(entry)
    attributes = {**someone.profile.get("attributes", {}), **entry.attributes}
    birthday = someone.profile.get("birthday") or entry.birthday
    return someone.member(at, attributes=attributes, birthday=birthday)


def _merge(stage: Stage, entry: facts.MergeEntry, at: datetime) -> Event:
    into = stage.named(entry.merge.into, "merge", "into")
    return stage.named(entry.merge.source, "merge", "from").member(at, merged_into=into.member_id)


def _referral(stage: Stage, entry: facts.ReferralEntry, at: datetime) -> Event:
    event = stage.someone(entry).referral(entry, at)
    name = entry.referral if entry.id == "1" else f"{entry.referral}:{entry.id}"
    stage.claims[name] = ClaimKey("referral", referral_claim(event))
    return event


PREPARED: dict[type[Entry], Callable[[Stage, Any, datetime], Event]] = {
    facts.TierEntry: _tier,
    facts.MembershipEntry: _membership,
    facts.SegmentsEntry: _segments,
    facts.EnrolEntry: _enrol,
    facts.AttributesEntry: _attributes,
    facts.MergeEntry: _merge,
    facts.ReferralEntry: _referral,
}


def event_of(stage: Stage, place: int, entry: Entry, recorded_at: datetime) -> Event | None:
    """The event by which a fact becomes known; None when it changes nothing, or says nothing yet."""
    if type(entry) in ORDERS:
        draft = stage.draft(getattr(entry, ORDERS[type(entry)]), ORDERS[type(entry)])
        draft.codes = stage.codes()
        return draft.learn(place, stage.moment(entry), entry, recorded_at)
    if isinstance(entry, facts.ActivityEntry):
        deed = stage.deeds[stage.named_deeds[place]]
        deed.done = stage.moment(entry), entry
        return deed.state(recorded_at)
    if isinstance(entry, facts.RevokeEntry):
        deed = stage.deed(entry.revoke, "revoke")
        deed.revoked_at = stage.moment(entry)
        return deed.state(recorded_at)
    return stage.prepared[place].model_copy(update={"recorded_at": recorded_at})
