"""Shopify's disputes, which are told apart from their orders.

The same money never counts twice: `won` says that the bank took nothing. That is so as well when the shop paid back by
itself (`charge_refunded`), because that is told as a refund and counts as one, and when it never came to a chargeback.
"""

import re
from datetime import datetime

from .facts import DisputeReport, LooseDispute, PayloadError
from .payload import Node

_OUTCOMES = {
    "needs_response": "open",
    "under_review": "open",
    "won": "won",
    "charge_refunded": "won",
    "prevented": "won",
    "lost": "lost",
    "accepted": "lost",
}
_DAY = re.compile(r"\d{4}-\d\d-\d\d")


def read_dispute(node: Node, source: str) -> DisputeReport | None:
    """A chargeback; None for an inquiry, which is a question of the bank and takes no money, and for no order's."""
    kind, status = node.text("type"), node.text("status")
    if kind not in ("chargeback", "inquiry"):
        raise PayloadError(f"type is {_shown(kind)}, which is not known")
    if status not in _OUTCOMES:
        raise PayloadError(f"status is {_shown(status)}, which is not known")
    opened_at, order_id = node.instant("initiated_at"), node.text("order_id")
    if opened_at is None:
        raise PayloadError("initiated_at is missing")
    if kind == "inquiry" or order_id is None:
        return None
    outcome = _OUTCOMES[status]
    closed_at = None if outcome == "open" else _closed_at(node)
    dispute = LooseDispute.model_validate(
        {
            "dispute_id": node.required("id"),
            "opened_at": opened_at,
            "amount": node.decimal("amount"),
            "currency": node.text("currency"),
            "outcome": outcome,
            "closed_at": None if closed_at is None else max(closed_at, opened_at),
        }
    )
    return DisputeReport(source=source, order_id=order_id, dispute=dispute)


def _closed_at(node: Node) -> datetime | None:
    """A moment, or a day without a zone, of which the beginning is taken."""
    told = node.text("finalized_on")
    if told is not None and _DAY.fullmatch(told):
        node = Node({"finalized_on": f"{told}T00:00:00Z"}, node.path)
    return node.instant("finalized_on")


def _shown(value: str | None) -> str:
    return repr(value if value is None else value[:40])
