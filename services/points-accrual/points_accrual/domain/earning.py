"""What the rules make of an order or an activity: exact points by rule, before caps."""

from collections.abc import Collection

from contracts.activities import ActivityFacts

from .amounts import MILLION, times
from .conditions import Situation
from .rulebook import ActivityGiver, Rulebook
from .stacking import more, stack
from .weighing import Piece, Purchase, applies, cells_of, failing, lines_of


def order_pieces(
    purchase: Purchase, situation: Situation, multiplier: int, *, base_only: bool = False,
    lapsed: Collection[str] = (),
) -> list[Piece]:  # fmt: skip
    """Every rule that applies, what the tier adds (`multiplier`: millionths beyond one), and campaigns; without what is
    on terms that lapsed, and without what multiplies it.
    """
    book = purchase.book
    pieces = []
    for giver in book.candidates(purchase.order):
        if base_only and not giver.base:
            continue
        if giver.tests and failing(giver.tests, situation):
            continue
        found = applies(giver, purchase)
        if not isinstance(found, str):
            cells = cells_of(giver, purchase, found)
            pieces.append(Piece(giver.id, giver.terms, cells, giver.base, lines_of(giver, purchase)))
    if book.program.earning.groups:
        stack(pieces, purchase)
    if lapsed:
        pieces = [piece for piece in pieces if piece.terms not in lapsed]
    if base_only or not (multiplier or book.campaigns):
        return pieces
    if multiplier < 0:  # A tier that earns less: there is nothing to add, each rule gives less.
        for piece in pieces:
            piece.cells = [times(cell, MILLION + multiplier) for cell in piece.cells]
    multiplier = 0 if "" in lapsed else max(0, multiplier)
    return [*pieces, *more(pieces, book, book.campaigns, situation, purchase, multiplier, lapsed)]


def activity_pieces(activity: ActivityFacts, book: Rulebook, situation: Situation) -> list[Piece]:
    """Every rule that applies to an activity, and campaigns that multiply it. Nothing of what was revoked."""
    if activity.revoked_at is not None:
        return []
    pieces = [
        Piece(giver.rule.id, giver.rule.terms or "", [giver.rule.points * book.unit])
        for giver in book.activities.get(activity.kind, ())
        if why_not(giver, activity, situation) is None
    ]
    rules = {piece.rule_id for piece in pieces}
    naming = [giver for giver in book.campaigns if giver.kind == "multiplier" and rules & giver.multiplies]
    return [*pieces, *more(pieces, book, naming, situation)] if naming else pieces


def why_not(giver: ActivityGiver, activity: ActivityFacts, situation: Situation) -> str | None:
    """Why a rule does not apply to an activity of its kind; None when it does."""
    if giver.rule.verified and not activity.verified:
        return "not_verified"
    for name, values in giver.rule.attributes.items():
        if activity.attributes.get(name) not in values:
            return f"activity's {name}"
    return failing(giver.tests, situation)
