"""Orders of a story: a document that follows from the facts known so far, whichever came first, as at the edge."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

from contracts.orders import ZERO, Amount, Dispute, OrderChangedV1, OrderLine, Refund

from .facts import (
    CancelEntry,
    DisputeEntry,
    EditEntry,
    FulfilEntry,
    Line,
    Lines,
    OrderEntry,
    PayEntry,
    RefundEntry,
)
from .parts import Entry
from .refunds import refund_of
from .units import Exchange, minor, moment

E = TypeVar("E", bound=Entry)


@dataclass(slots=True)
class Draft:
    """One order of a story."""

    name: str
    program_id: str
    member_id: UUID
    source: str
    currency: str
    """The program's, which orders have unless they say otherwise."""
    zone: ZoneInfo
    codes: dict[str, str] = field(default_factory=dict)
    """Of coupons, by their names."""
    known: dict[int, tuple[datetime, Entry]] = field(default_factory=dict)
    """Facts by their place in the story."""
    sent: OrderChangedV1 | None = None

    @property
    def claim_id(self) -> str:
        return f"{self.source}:{self.name}"

    def learn(self, place: int, at: datetime, entry: Entry, recorded_at: datetime) -> OrderChangedV1 | None:
        """Take a fact in. Returns the next revision; None if nothing changed, or the order itself is not known yet."""
        self.known[place] = at, entry
        values = self._document()
        if values is None:
            return None
        revision = self.sent.revision + 1 if self.sent else 1
        event = OrderChangedV1(**values, revision=revision, recorded_at=recorded_at)
        same = {"revision", "recorded_at"}
        if self.sent is not None and event.model_dump(exclude=same) == self.sent.model_dump(exclude=same):
            return None
        self.sent = event
        return event

    def _all(self, kind: type[E]) -> list[tuple[int, datetime, E]]:
        """The facts of a kind, as they happened."""
        found = [(place, at, entry) for place, (at, entry) in self.known.items() if isinstance(entry, kind)]
        return sorted(found, key=lambda item: (item[1], item[0]))

    def _earliest(self, *times: datetime | None) -> datetime | None:
        return min((at for at in times if at is not None), default=None)

    def _document(self) -> dict[str, Any] | None:
        placed = next(iter(self._all(OrderEntry)), None)
        if placed is None:
            return None
        _, placed_at, order = placed
        currency = order.currency or self.currency
        view = order.presentment
        money = Exchange(currency, view.currency, view.rate) if view else Exchange(currency, currency)
        paid_at = moment(order.paid_at, self.zone) if order.paid_at else placed_at if order.paid else None
        fulfilled = moment(order.fulfilled, self.zone) if order.fulfilled else None
        cancelled_at = self._earliest(*(at for _, at, _ in self._all(CancelEntry)))
        values: dict[str, Any] = {
            "program_id": self.program_id, "member_id": self.member_id, "source": self.source, "order_id": self.name,
            "currency": currency, "presentment_currency": money.presentment, "placed_at": placed_at,
            "taxes_included": order.taxes_included, "test": order.test, "channel": order.channel,
            "country": order.country, "cancelled_at": cancelled_at,
            "paid_at": self._earliest(paid_at, *(at for _, at, _ in self._all(PayEntry))),
            "fulfilled_at": self._earliest(fulfilled, *(at for _, at, _ in self._all(FulfilEntry))),
            "updated_at": max(at for at, _ in self.known.values()),
            "gift_card_paid": money.amount(order.gift_card_paid), "points_paid": money.amount(order.points_paid),
            "discount_codes": tuple(self.codes.get(code, code) for code in order.discount_codes),
        }  # fmt: skip
        values |= _amounts(order, [edit for _, _, edit in self._all(EditEntry)], money)
        lines, total = values["lines"], values["total"]
        values["refunds"] = tuple(
            refund_of(entry, f"{self.name}-{place}", at, lines, total, money)
            for place, at, entry in self._all(RefundEntry)
        )
        values["disputes"] = self._disputes(money)
        values["payment"] = _payment(values)
        return values

    def _disputes(self, money: Exchange) -> tuple[Dispute, ...]:
        found: dict[str, dict[str, Any]] = {}
        for _, at, entry in self._all(DisputeEntry):
            one = found.setdefault(entry.id, {"dispute_id": entry.id, "opened_at": at})
            if entry.amount is not None:
                one["amount"] = money.amount(entry.amount)
            if entry.state != "open":
                one |= {"outcome": entry.state, "closed_at": at}
        return tuple(Dispute(**found[key]) for key in sorted(found))


def _amounts(order: OrderEntry, edits: list[EditEntry], money: Exchange) -> dict[str, Any]:
    """The lines ever ordered, and the sums of those that are in the order now."""
    lines = {line.line_id: line for line in lines_of(order.lines, money)}
    gone: set[str] = set()
    shipping = order.shipping
    for edit in edits:
        added = lines_of(edit.add, money)
        lines |= {line.line_id: line for line in added}
        gone = (gone | set(edit.remove)) - {line.line_id for line in added}
        shipping = shipping if edit.shipping is None else edit.shipping
    present = [line for line in lines.values() if line.line_id not in gone]
    subtotal = _sum(line.gross for line in present)
    subtotal = _less(subtotal, _sum(line.discount for line in present))
    tax = _sum(line.tax for line in present) if order.tax is None else money.amount(order.tax)
    beside = _sum([money.amount(shipping), money.amount(order.tip), *([] if order.taxes_included else [tax])])
    total = subtotal + beside
    if order.total is not None and not edits:
        total = money.amount(order.total)
    return {
        "lines": tuple(lines.values()), "subtotal": subtotal, "tax": tax, "total": total,
        "shipping": money.amount(shipping), "tip": money.amount(order.tip),
    }  # fmt: skip


def lines_of(written: Lines, money: Exchange) -> list[OrderLine]:
    """Lines as the wire has them."""
    if isinstance(written, dict):
        named = [(name, line if isinstance(line, Line) else Line(price=line)) for name, line in written.items()]
    else:
        named = [(line.id or line.product or str(place), line) for place, line in enumerate(written, start=1)]
    return [_line(line.id or name, line, money) for name, line in named]


def _line(line_id: str, line: Line, money: Exchange) -> OrderLine:
    minor(line.price, money.shop)  # a fraction of a cent is a mistake, also where pieces make it whole
    return OrderLine(
        line_id=line_id, product_id=line.product or line_id, sku=line.sku, vendor=line.vendor,
        categories=line.categories, collections=line.collections, tags=line.tags, quantity=line.quantity,
        gross=money.amount(line.price * line.quantity), discount=money.amount(line.discount),
        tax=money.amount(line.tax), gift_card=line.gift_card,
    )  # fmt: skip


def _sum(amounts: Iterable[Amount]) -> Amount:
    total = ZERO
    for amount in amounts:
        total += amount
    return total


def _less(one: Amount, other: Amount) -> Amount:
    return Amount(
        shop_minor=one.shop_minor - other.shop_minor,
        presentment_minor=one.presentment_minor - other.presentment_minor,
    )


def _payment(values: dict[str, Any]) -> str:
    """The state of the payment, as platforms tell it."""
    if values["paid_at"] is None:
        return "voided" if values["cancelled_at"] else "pending"
    if not values["refunds"]:
        return "paid"
    back = sum(_paid_back(refund, values) for refund in values["refunds"])
    # What an edit took away was paid too.
    lines = sum(line.gross.presentment_minor - line.discount.presentment_minor for line in values["lines"])
    paid = values["total"].presentment_minor + max(0, lines - values["subtotal"].presentment_minor)
    return "refunded" if back >= paid else "partially_refunded"


def _paid_back(refund: Refund, values: dict[str, Any]) -> Decimal:
    """Money of a refund, in the buyer's currency."""
    if refund.paid is not None:
        return Decimal(refund.paid.presentment_minor)
    lines = {line.line_id: line for line in values["lines"]}
    whole = Decimal(refund.shipping.presentment_minor)
    for item in refund.lines:
        line = lines[item.line_id]
        net = line.gross.presentment_minor - line.discount.presentment_minor
        share = Decimal(net) * item.quantity / line.quantity
        whole += item.subtotal.presentment_minor if item.subtotal else share
        whole += 0 if values["taxes_included"] else item.tax.presentment_minor
    return whole
