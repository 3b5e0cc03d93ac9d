"""Holds what the clients were told against what is there: acknowledged is one effect, unknown 0 or 1, refused none."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg.rows import dict_row

from contracts.topics import INGEST, NOTIFICATION, POINTS
from laurel.installation import State
from tests.e2e.history import History, Verdict

from .till import COST, SPENDER_CENTS, Till


@dataclass
class Findings:
    """What is wrong, a line each."""

    lost: list[str] = field(default_factory=list)
    """Acknowledged, and without its effect."""
    doubled: list[str] = field(default_factory=list)
    """With more effect than it may have."""
    other: list[str] = field(default_factory=list)

    @property
    def all(self) -> list[str]:
        """One list."""
        return [*self.lost, *self.doubled, *self.other]


def check(state: State, history: History, till: Till, hooks: Mapping[str, int]) -> Findings:
    """All must be quiet. `hooks`: how often the webhook target took each id."""
    found = Findings()
    verdicts = history.verdicts()
    _check_orders(state, verdicts, till, found)
    _check_redemptions(state, verdicts, till, found)
    _check_deliveries(state, verdicts, found)
    _check_hooks(state, hooks, found)
    servers_fault = Counter(item.status for item in history.attempts if item.status and item.status >= 500)
    found.other += said(state)
    found.other += [f"{count} answers of {status}" for status, count in servers_fault.items() if status != 503]
    return found


def said(state: State) -> list[str]:
    """What the services' logs call an error: what passes by itself is a warning, and here everything does."""
    found: list[str] = []
    for log in sorted(state.logs.glob("*.log")):
        lines = (line for line in log.read_text(errors="replace").splitlines() if '"level": "error"' in line)
        found += [f"{log.stem} said {line[:300]}" for line in list(lines)[:3]]
    return found


def rows(state: State, service: str, question: str) -> list[dict[str, Any]]:
    """What a service's database answers."""
    with psycopg.connect(state.databases[service], row_factory=dict_row) as connection:
        return connection.execute(question.encode()).fetchall()


def judge(found: Findings, what: str, verdict: Verdict, effects: int) -> None:
    """One request by the rule."""
    told = verdict.name.lower()
    if verdict is Verdict.ACKNOWLEDGED and effects == 0:
        found.lost.append(f"{what} was {told} and has no effect")
    elif effects > (verdict is not Verdict.REJECTED):
        found.doubled.append(f"{what} was {told} and has {effects} effects")


def _check_orders(state: State, verdicts: dict[str, Verdict], till: Till, found: Findings) -> None:
    """An order is one row at the edge, and its points are posted once in the ledger."""
    kept = Counter(row["order_id"] for row in rows(state, INGEST, "SELECT order_id FROM orders"))
    posted = {
        row["order_id"]: row["points"]
        for row in rows(
            state,
            POINTS,
            """SELECT split_part(claim_id, ':', 2) AS order_id, sum(points)::bigint AS points FROM transfers
               WHERE claim_kind = 'order' AND debit = 'source' GROUP BY 1""",
        )
    }
    for key, points in till.sold.orders.items():
        order_id, verdict = key.removeprefix("order:"), verdicts.get(key, Verdict.REJECTED)
        effects = kept[order_id]
        judge(found, f"order {order_id} at the edge", verdict, effects)
        got = posted.get(order_id, 0)
        if got > points * effects:
            found.doubled.append(f"order {order_id} earned {got} points, not {points * effects}")
        elif got < points * effects:
            found.lost.append(f"order {order_id} earned {got} points, not {points * effects}")


def _check_redemptions(state: State, verdicts: dict[str, Verdict], till: Till, found: Findings) -> None:
    """A redemption is one kept command, one coupon, and its points once."""
    done = Counter(row["idempotency_key"] for row in rows(state, POINTS, "SELECT idempotency_key FROM commands"))
    by_member: Counter[str] = Counter()
    for key, member_id in till.sold.redemptions.items():
        judge(found, f"redemption {key}", verdicts.get(key, Verdict.REJECTED), done[key])
        by_member[member_id] += done[key]
    accounts = rows(
        state,
        POINTS,
        """SELECT member_id::text, active, (SELECT count(*) FROM coupons c WHERE c.member_id = a.member_id) AS coupons
           FROM accounts a""",
    )
    for row in (row for row in accounts if row["member_id"] in till.spenders):
        count, person = by_member[row["member_id"]], till.spenders[row["member_id"]]
        if row["coupons"] != count:
            (found.doubled if row["coupons"] > count else found.lost).append(
                f"{person} has {row['coupons']} coupons of {count} redemptions"
            )
        if row["active"] != SPENDER_CENTS // 10 - COST * count:
            found.other.append(f"{person} has {row['active']} points after {count} redemptions")


def _check_deliveries(state: State, verdicts: dict[str, Verdict], found: Findings) -> None:
    """Every webhook that got a 2xx has its row (I7); one that was refused has none."""
    question = "SELECT webhook_id, count(*) AS count FROM deliveries WHERE webhook_id IS NOT NULL GROUP BY 1"
    kept = {row["webhook_id"]: row["count"] for row in rows(state, INGEST, question)}
    for key, verdict in verdicts.items():
        if len(key) == 16 and ":" not in key and "-" not in key:
            judge(found, f"webhook {key}", verdict, kept.get(key, 0))


def _check_hooks(state: State, hooks: Mapping[str, int], found: Findings) -> None:
    """Each step of a coupon is told once (I8), and the target took what counts as sent."""
    messages = rows(
        state, NOTIFICATION, "SELECT message_id::text, template, state FROM messages WHERE channel = 'webhook'"
    )
    found.other += [f"webhook {row['message_id']} is {row['state']}" for row in messages if row["state"] != "sent"]
    found.lost += [f"webhook {row['message_id']} was never taken" for row in messages if not hooks[row["message_id"]]]
    issued = rows(state, POINTS, "SELECT count(*) FROM coupons WHERE issued_at IS NOT NULL")[0]["count"]
    told = sum(row["template"] == "reward.issued" for row in messages)
    if told != issued:
        (found.doubled if told > issued else found.lost).append(f"{issued} coupons were issued and {told} were told")
