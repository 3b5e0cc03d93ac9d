"""What one rule gives for an order: exact points for each of its cells.

A cell is a line, and a last one the order as a whole. Cells are in units of the rulebook, of the order as it stands;
whether a rule applies at all is judged as placed, so that a refund never makes one apply. So what stands never exceeds
what was placed, cell by cell.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import NamedTuple

from contracts.orders import OrderFacts, Refund

from .amounts import Exact, times
from .conditions import Situation, Test
from .money import Counted, counted
from .rulebook import Giver, Rulebook

Cells = list[Exact]


@dataclass(slots=True)
class Purchase:
    """An order as rules see it; what counts of it is computed once for each basis."""

    order: OrderFacts
    book: Rulebook
    back: tuple[Refund, ...] = ()
    """The money that came back."""
    gone: bool = False
    """Nothing of it stands any more."""
    _placed: dict[int, Counted] = field(default_factory=dict)
    _now: dict[int, Counted] = field(default_factory=dict)

    def placed(self, basis: int) -> Counted:
        """What counted when it was placed: all lines ever ordered, nothing come back."""
        if basis not in self._placed:
            self._placed[basis] = counted(self.order, self.book.bases[basis])
        return self._placed[basis]

    def current(self, basis: int) -> Counted:
        """What counts as it stands."""
        if not self.back and not self.gone:
            return self.placed(basis)
        if basis not in self._now:
            nothing = Counted([0] * len(self.order.lines), 0)
            policy = self.book.program.redemption.points_refund
            self._now[basis] = nothing if self.gone else counted(self.order, self.book.bases[basis], self.back, policy)
        return self._now[basis]


@dataclass(slots=True)
class Multiple:
    """Of what multiplies others: how much of it comes from what a ceiling may cut apart from it, in units."""

    factor: int
    """Millionths beyond one."""
    exact: Exact
    """All of it."""
    of: dict[str, Exact]
    """By rule or earlier multiplier."""

    def follow(self, sources: Iterable[str], left: Exact) -> None:
        """Lower it to the multiple of what is left of these together, if it is more."""
        mine = [source for source in sources if source in self.of]
        share, room = sum(self.of[source] for source in mine), times(left, self.factor)
        if share > room:
            for source in mine:
                self.of[source] = Fraction(self.of[source]) * room / share
            self.exact -= share - room


@dataclass(slots=True)
class Piece:
    """What one rule or campaign gives for an order or activity."""

    rule_id: str
    terms: str
    cells: Cells
    base: bool = False
    lines: tuple[str, ...] | None = None
    """Which lines it counted; None: all."""
    multiple: Multiple | None = None
    """Of what multiplies, where a ceiling may cut what it multiplies."""

    @property
    def wanted(self) -> Exact:
        """In units."""
        return sum(self.cells)


def failing(tests: Iterable[tuple[str, Test]], situation: Situation) -> str | None:
    """The name of the first condition that does not hold."""
    for name, test in tests:
        if not test(situation):
            return name
    return None


def lines_of(giver: Giver, purchase: Purchase) -> tuple[str, ...] | None:
    if giver.fits is None:
        return None
    return tuple(line.line_id for line in purchase.order.lines if giver.fits(line))


class Applies(NamedTuple):
    """A rule applies to an order as placed."""

    fitting: Sequence[int]
    """The places of the lines that fit."""
    met: bool
    """Its minimums are met as the order stands, too."""


def applies(giver: Giver, purchase: Purchase) -> Applies | str:
    """Whether a rule applies to the order as placed, or why not."""
    lines, fits = purchase.order.lines, giver.fits
    placed, now = purchase.placed(giver.basis), purchase.current(giver.basis)
    fitting = range(len(lines)) if fits is None else [place for place, line in enumerate(lines) if fits(line)]
    if not fitting and not (fits is None and placed.beyond):
        return "no_line_fits"
    if giver.minimum_minor and placed.total < giver.minimum_minor:
        return "below_minimum"
    if giver.minimum_products and _products(purchase, placed, fitting) < giver.minimum_products:
        return "too_few_products"
    if giver.kind == "order" and not _part(placed, fitting, whole=fits is None):
        return "nothing_counts"
    met = now is placed or (
        now.total >= giver.minimum_minor
        and (not giver.minimum_products or _products(purchase, now, fitting) >= giver.minimum_products)
    )
    return Applies(fitting, met)


def cells_of(giver: Giver, purchase: Purchase, found: Applies) -> Cells:
    """What a rule that applies gives to each line and to the whole, as the order stands."""
    lines = purchase.order.lines
    placed, now = purchase.placed(giver.basis), purchase.current(giver.basis)
    cells: Cells = [0] * (len(lines) + 1)
    if not found.met and giver.cliff == "recheck":
        return cells
    if giver.kind == "order":
        before, left = (_part(item, found.fitting, whole=giver.fits is None) for item in (placed, now))
        if left:
            whole = found.met or giver.cliff == "keep"
            cells[-1] = giver.amount if whole else Fraction(giver.amount) * left / before
        return cells
    for place in found.fitting:
        if giver.kind == "spend":
            cells[place] = now.lines[place] * giver.amount
        elif placed.lines[place]:
            cells[place] = _pieces(lines[place].quantity, placed.lines[place], now.lines[place]) * giver.amount
    if giver.kind == "spend" and giver.fits is None:
        cells[-1] = now.beyond * giver.amount
    return cells


def _pieces(quantity: int, before: Exact, left: Exact) -> Exact:
    """How many pieces of a line are left, by their money."""
    return quantity if left == before else Fraction(quantity) * left / before


def _part(money: Counted, fitting: Sequence[int], *, whole: bool) -> Exact:
    return money.total if whole else sum(money.lines[place] for place in fitting)


def _products(purchase: Purchase, money: Counted, fitting: Sequence[int]) -> int:
    """How many different products there are among the lines that count."""
    lines = purchase.order.lines
    return len({lines[place].product_id or lines[place].line_id for place in fitting if money.lines[place]})
