"""How rules and campaigns stack: what a group keeps of its members, and what tiers and campaigns add to the rest."""

from collections.abc import Collection, Iterable
from typing import NamedTuple

from contracts.program import Group

from .amounts import Exact, times
from .conditions import Situation
from .rulebook import TIER, Giver, Rulebook
from .weighing import Cells, Multiple, Piece, Purchase, applies, cells_of, failing, lines_of


def stack(pieces: list[Piece], purchase: Purchase) -> None:
    """Take away what rules of one group give beyond what their stacking allows."""
    groups = {giver.id: giver.group for giver in purchase.book.rules if giver.group}
    for group in purchase.book.program.earning.groups:
        choose([piece for piece in pieces if groups.get(piece.rule_id) == group.id], group, purchase)


def choose(members: list[Piece], group: Group, purchase: Purchase | None) -> None:
    """Of several rules, in the order of the file, the cells that count are kept; all others become zero.

    The first match is that of the order as placed. An activity has one cell, so there is one choice.
    """
    if group.stacking == "sum" or len(members) < 2:
        return
    if group.by == "order" or purchase is None:
        kept = _winner(group, [piece.wanted for piece in members], [True] * len(members))
        for place, piece in enumerate(members):
            if place != kept:
                piece.cells = [0] * len(piece.cells)
        return
    for slot, line_id in enumerate([*(line.line_id for line in purchase.order.lines), None]):
        fitting = [piece.lines is None or line_id in piece.lines for piece in members]
        kept = _winner(group, [piece.cells[slot] for piece in members], fitting)
        for place, piece in enumerate(members):
            if place != kept:
                piece.cells[slot] = 0


def _winner(group: Group, values: list[Exact], fitting: list[bool]) -> int:
    if group.stacking == "first_match":
        return fitting.index(True) if any(fitting) else 0
    return values.index(max(values))


class Raise(NamedTuple):
    """What the tier or a campaign adds."""

    piece: Piece
    rows: list[Cells]
    """To the cells of each rule, before stacking."""
    factor: int
    """Millionths beyond one, of what multiplies."""


def more(
    pieces: list[Piece], book: Rulebook, campaigns: Iterable[Giver], situation: Situation,
    purchase: Purchase | None = None, multiplier: int = 0, lapsed: Collection[str] = (),
) -> list[Piece]:  # fmt: skip
    """What the tier and the campaigns add, in that order. They multiply one another, or each the plain points.

    Without a purchase the pieces are those of an activity. A campaign on terms that lapsed adds nothing, and no other
    comes in its place.
    """
    add = book.program.earning.multipliers == "add"
    apart = book.apart if purchase is None else book.apart_orders
    grown = [list(piece.cells) for piece in pieces]
    found: list[Raise] = []
    if multiplier and pieces:
        extra = [[times(cell, multiplier) for cell in cells] for cells in grown]
        found.append(Raise(Piece(TIER, "", _columns(extra)), extra, multiplier))
        if apart:
            _attribute(found, pieces, (), apart)
        if not add:
            _grow(grown, extra)
    done: set[str] = set()
    applying = [giver for giver in campaigns if not (giver.tests and failing(giver.tests, situation))]
    for giver in applying:
        if giver.group in done:
            continue
        together = [item for item in applying if item.group == giver.group] if giver.group else [giver]
        raises = [raised for item in together if (raised := _campaign(item, pieces, grown, purchase))]
        if giver.group:
            done.add(giver.group)
            group = next(item for item in book.program.earning.groups if item.id == giver.group)
            choose([item.piece for item in raises], group, purchase)
        if lapsed:
            raises = [item for item in raises if item.piece.terms not in lapsed]
        if apart:
            _attribute(raises, pieces, () if add else found, apart)
        found += raises
        if not add:
            for item in raises:
                _grow(grown, _kept(item.rows, item.piece.cells))
    return [item.piece for item in found]


def _attribute(raises: Iterable[Raise], pieces: list[Piece], earlier: Iterable[Raise], apart: frozenset[str]) -> None:
    """Say how much of what multiplies comes from what a ceiling may cut apart from it, or from what follows that."""
    following = [other for other in earlier if other.piece.rule_id in apart or other.piece.multiple is not None]
    for item in raises:
        of: dict[str, Exact] = {}
        for place, (piece, row) in enumerate(zip(pieces, item.rows, strict=True)):
            slots = [slot for slot, value in enumerate(row) if value and item.piece.cells[slot]]
            if piece.rule_id in apart:
                of[piece.rule_id] = sum(piece.cells[slot] for slot in slots)
            for other in following:
                counted = sum(other.rows[place][slot] for slot in slots if other.piece.cells[slot])
                of[other.piece.rule_id] = of.get(other.piece.rule_id, 0) + counted
        of = {name: times(value, item.factor) for name, value in of.items() if value}
        item.piece.multiple = Multiple(item.factor, item.piece.wanted, of) if of else None


def _campaign(giver: Giver, pieces: list[Piece], grown: list[Cells], purchase: Purchase | None) -> Raise | None:
    """What a campaign adds in all, and to the cells of each rule; None when it does not apply to the order."""
    if purchase is None:
        rows = _multiplied(giver, pieces, grown, [True])
        return Raise(Piece(giver.id, giver.terms, _columns(rows)), rows, giver.amount)
    found = applies(giver, purchase)
    if isinstance(found, str):
        return None
    nothing: Cells = [0] * (len(purchase.order.lines) + 1)
    rows = [nothing] * len(pieces)
    cells = nothing
    if giver.kind == "order":
        cells = cells_of(giver, purchase, found)
    elif found.met or giver.cliff != "recheck":
        fits = [place in found.fitting for place in range(len(purchase.order.lines))] + [giver.fits is None]
        rows = _multiplied(giver, pieces, grown, fits)
        cells = _columns(rows) or nothing
    return Raise(Piece(giver.id, giver.terms, list(cells), lines=lines_of(giver, purchase)), rows, giver.amount)


def _multiplied(giver: Giver, pieces: list[Piece], grown: list[Cells], fits: list[bool]) -> list[Cells]:
    """What a campaign adds to each cell of each rule."""
    nothing: Cells = [0] * len(fits)
    return [
        [times(cell, giver.amount) if fit else 0 for cell, fit in zip(cells, fits, strict=True)]
        if piece.rule_id in giver.multiplies
        else nothing
        for piece, cells in zip(pieces, grown, strict=True)
    ]


def _columns(rows: list[Cells]) -> Cells:
    return [sum(column) for column in zip(*rows, strict=True)]


def _kept(matrix: list[Cells], cells: Cells) -> list[Cells]:
    """The rows without the cells that stacking took away."""
    return [[value if kept else 0 for value, kept in zip(row, cells, strict=True)] for row in matrix]


def _grow(grown: list[Cells], extra: list[Cells]) -> None:
    for cells, more in zip(grown, extra, strict=True):
        cells[:] = [cell + value for cell, value in zip(cells, more, strict=True)]
