"""When points of a claim can be spent, when they run out, and when members are warned of it."""

from datetime import datetime

from contracts.ids import derived_id
from contracts.program import Expiry

from .account import Account, credit_active
from .calendar import day_start, days_later, expiry, told_expiry
from .claims import Claim
from .lots import Lot
from .rulebook import Rulebook
from .world import World


def due(claim: Claim, book: Rulebook, terms: str) -> tuple[datetime | None, datetime | None]:
    """When points of a claim become active, or None and until when its order must be fulfilled for that."""
    pending, _ = book.terms(terms, claim.key.kind)
    start: datetime = claim.at
    if claim.key.kind == "order":
        start = claim.facts.paid_at or claim.at
        if pending.fulfilled:
            deadline = days_later(start, pending.cancel_after_days or 0, book.zone)
            fulfilled: datetime | None = claim.facts.fulfilled_at
            if fulfilled is None or fulfilled > deadline:
                return None, deadline
            start = max(start, fulfilled)
    active_at = days_later(start, pending.days, book.zone)
    if pending.until is not None:
        active_at = max(active_at, day_start(pending.until, book.zone))
    return active_at, None


def open_lot(account: Account, claim: Claim, book: Rulebook, terms: str, at: datetime) -> Lot:
    """The lot of a claim on these terms, posted for the first time. After its due activation it is active at once, and
    keeps its length of validity from then: it is never born expired.
    """
    lot_id = derived_id(at, "lot", account.member_id, claim.key, terms)
    lot = Lot(lot_id, claim.key, book.program.version, at, None, None, terms)
    date(account, lot, claim, book, at)
    if lot.activates_at is not None and lot.activates_at <= at:
        lot.state = "active"
    account.lots[lot_id] = lot
    claim.lots[terms] = lot_id
    return lot


def date(account: Account, lot: Lot, claim: Claim, book: Rulebook, at: datetime) -> None:
    """Give a lot that is still pending its dates, by what is known of the payment and the fulfilment."""
    active_at, lot.lapses_at = due(claim, book, lot.terms)
    lot.activates_at = None if active_at is None else max(active_at, at)
    lot.expires_at, lot.warnings = None, ()
    if lot.activates_at is not None:
        _, rule = book.terms(lot.terms, claim.key.kind)
        run_out(account, lot, rule, book)


def run_out(account: Account, lot: Lot, rule: Expiry, book: Rulebook) -> None:
    """Set when a lot runs out, and the warnings before."""
    assert lot.activates_at is not None
    lot.expires_at = expiry(lot.activates_at, rule, book.zone, account.active_at)
    warn(account, lot, rule, book)


def warn(account: Account, lot: Lot, rule: Expiry, book: Rulebook) -> None:
    """Plan the warnings of a lot that are still to come."""
    assert lot.activates_at is not None
    if lot.expires_at is None or not rule.warn_days:
        lot.warnings = ()
        return
    told = told_expiry(lot.expires_at, rule.grace_days, book.zone)
    moments = sorted({days_later(told, -days, book.zone) for days in rule.warn_days})
    since = max(lot.activates_at, account.clock) if lot.state == "active" else lot.activates_at
    lot.warnings = tuple(moment for moment in moments if moment > since)


def renew(world: World, account: Account, what: str, at: datetime, posted_at: datetime) -> None:
    """The member did something at `at`: points that run out by inactivity live longer. When it was is kept also where
    none do: a later version may ask.

    What is learnt late counts from when it happened: points that ran out since, for want of it, live on by what was
    done last, if that was before they would have run out then. They are active again, unless that is over by now, too:
    then they are as gone as if it had been known, and pay no debt. What else is learnt may still revive them.
    """
    if account.active_at is None or at > account.active_at:
        account.active_at, account.changed = at, True
    if not world.renews(account.program_id):
        return
    for lot in sorted(account.lots.values(), key=Lot.consumed_before):
        book = world.book(account.program_id, lot.program_version)
        _, rule = book.terms(lot.terms, lot.claim.kind)
        if rule.inactive_months is None or (rule.renewed_by and what not in rule.renewed_by):
            continue
        if lot.activates_at is None or lot.expires_at is None or lot.expires_at <= at or lot.state == "pending":
            continue
        if lot.activates_at > at:  # It lives from then on anyway; and points of another member keep their expiry.
            continue
        later = expiry(lot.activates_at, rule, book.zone, at)
        if later is not None and not rule.renewed_by and at < account.active_at < later:
            later = expiry(lot.activates_at, rule, book.zone, account.active_at)
        if later is not None and later > lot.expires_at and (lot.remaining or lot.expired):
            lot.expires_at = later
            account.touched.add(lot.lot_id)
            if lot.state == "ended":
                if later <= posted_at:
                    continue
                lot.state, points, lot.expired = "active", lot.expired, 0
                credit_active(account, lot, points, debit="expired", at=posted_at)
            warn(account, lot, rule, book)


def keep_up(world: World, account: Account, lot: Lot) -> None:
    """An empty lot is not renewed with the others: what comes back to it lives as long as if it had been, by the
    version of the lot, whichever version judges why it comes back.
    """
    book = world.book(account.program_id, lot.program_version)
    _, rule = book.terms(lot.terms, lot.claim.kind)
    if lot.remaining or lot.expired or rule.inactive_months is None or rule.renewed_by:
        return
    if lot.state == "pending" or lot.activates_at is None or lot.expires_at is None:
        return
    later = expiry(lot.activates_at, rule, book.zone, account.active_at)
    if later is not None and later > max(lot.expires_at, account.clock):
        lot.state, lot.expires_at = "active", later
        warn(account, lot, rule, book)
