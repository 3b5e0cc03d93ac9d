"""`laurel member`: everything known of a member, from the services' own APIs."""

from datetime import datetime
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import httpx
import typer
from rich.console import RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from contracts.topics import INGEST, POINTS
from laurel import installation
from laurel.installation import Failure
from laurel.services import SERVICES
from shared.access import Scope

from . import say

REASONS = {
    "no_program_in_force": "no version of the program was in force when it was placed",
    "test_order": "a test order",
    "other_currency": "not in the program's currency",
    "not_paid": "not paid (yet)",
    "too_old": "too old when it reached Laurel",
    "not_a_member": "the buyer has not enrolled",
    "outside_enrolment_window": "placed too long before the buyer enrolled",
    "cancelled": "cancelled",
    "refunded": "refunded",
    "below_minimum": "below the program's minimum",
    "nothing_counts": "nothing in it counts, such as gift cards",
    "limit_reached": "a cap or a budget was used up",
}


Program = Annotated[str | None, typer.Option(help="The program, where it is not that of the demo.")]
"""Of commands that ask about a program."""


def add_to(app: typer.Typer) -> None:
    """Put the command into the command line."""
    app.command("member")(member)


def member(
    email: Annotated[str, typer.Argument(help="The e-mail address.")],
    program: Program = None,
) -> None:
    """Show everything known of a member."""
    program_id = program_of(program)
    with Api(program_id) as api:
        who = api.get(INGEST, "/v1/members", email=email, typed="true")
        if who is None:
            raise Failure(f"Program {program_id} knows no {email}; a webhook takes a second or so.")
        base = f"/v1/members/{who['member_id']}"
        say.out.print(_panel("Member", _person(who)))
        say.out.print(_panel("Points", _points(api.get(POINTS, f"{base}/points"))))
        say.out.print(_panel("Orders", _orders(api.get(POINTS, f"{base}/orders", limit=20))))
        say.out.print(_panel("History, newest first", _history(api.get(POINTS, f"{base}/history", limit=20))))
        say.out.print(_panel("Tier", _tier(api.get("tier", f"{base}/tier"))))
        say.out.print(_panel("Referrals", _referral(api.get("referral", f"{base}/referral"))))
        say.out.print(
            _panel("Messages, newest first", _messages(api.get("notification", f"{base}/messages", limit=20)))
        )


def program_of(named: str | None) -> str:
    """The program that is meant: the named one, or that of the demo."""
    state = installation.running()
    program_id = named or (state.program_id if state else None)
    if program_id is None:
        raise Failure("Which program? No Laurel runs from this folder; name the program with --program.")
    return program_id


class Api:
    """The services' APIs with a token of the program."""

    def __init__(self, program_id: str, scope: Scope = "store") -> None:
        token = installation.token(program_id, scope)
        self._client = httpx.Client(timeout=10.0, trust_env=False, headers={"Authorization": f"Bearer {token}"})

    def get(self, service: str, path: str, **query: str | int) -> Any:
        """The answer; None for 404. Raises Failure for any other fault."""
        answer = self._client.get(f"{installation.url(SERVICES[service])}{path}", params=query)
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        return self._told(answer, service, path)

    def post(self, service: str, path: str, body: Any = None) -> Any:
        """The answer. Raises Failure for any fault."""
        answer = self._client.post(f"{installation.url(SERVICES[service])}{path}", json=body)
        return self._told(answer, service, path)

    @staticmethod
    def _told(answer: httpx.Response, service: str, path: str) -> Any:
        if not answer.is_success:
            raise Failure(f"{service} answered {answer.status_code} to {path}: {problem(answer)}")
        return answer.json()

    def __enter__(self) -> "Api":
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()


def problem(answer: httpx.Response) -> str:
    """What a service says of a fault, as a sentence."""
    try:
        told = answer.json()
        detail = str(told.get("detail") or told.get("title"))
        errors = [item for item in told.get("errors") or [] if item.get("message") not in detail]
        fields = "; ".join(f"{item.get('field')}: {item.get('message')}" for item in errors)
        return f"{detail}{f' ({fields})' if fields else ''}."
    except ValueError:
        return "no reason was told."


def _panel(title: str, content: RenderableType | None) -> Panel:
    return Panel(content or Text("nothing known (yet)", style="dim"), title=title, title_align="left")


def _facts(*rows: tuple[str, object]) -> Table:
    table = Table.grid(padding=(0, 2))
    for name, value in rows:
        if value not in (None, "", {}):
            table.add_row(Text(name, style="dim"), Text(str(value)))
    return table


def _when(text: str | None) -> str:
    """A moment as people write it, in UTC."""
    return datetime.fromisoformat(text).astimezone(ZoneInfo("UTC")).strftime("%Y-%m-%d %H:%M UTC") if text else ""


def _person(who: dict[str, Any]) -> Table:
    name = " ".join(part for part in (who["first_name"], who["last_name"]) if part)
    known = ", ".join(f"{item['source']}: {item['customer_id']}" for item in who["customers"])
    status = "shopper: seen, not enrolled; points wait" if who["status"] == "shopper" else "member"
    return _facts(
        ("name", name), ("e-mail", who["email"]), ("id", who["member_id"]), ("status", status),
        ("enrolled", _when(who["enrolled_at"])), ("seen first", _when(who["seen_at"])), ("language", who["locale"]),
        ("customer of", known or "nobody's customer: a guest"),
    )  # fmt: skip


def _points(points: dict[str, Any] | None) -> Table | None:
    if points is None:
        return None
    held = points["balances"]
    coming, going = points["next_activation"], points["next_expiry"]
    return _facts(
        ("active", held["active"]), ("pending", held["pending"]), ("held", held["held"] or None),
        ("points owed", held["deficit"] or None),
        ("next to become active", f"{coming['points']} on {_when(coming['at'])}" if coming else None),
        ("next to expire", f"{going['points']} on {_when(going['at'])}" if going else None),
    )  # fmt: skip


def why(order: dict[str, Any]) -> str:
    """Why an order earned what it did, or nothing."""
    if order["reason"]:
        return REASONS.get(order["reason"], str(order["reason"]).replace("_", " "))
    given = ", ".join(f"{rule['granted']} by {rule['rule_id']}" for rule in order["rules"] if rule["granted"])
    cut = {name for rule in order["rules"] for name in rule["cut_by"]}
    tier = f"as {order['tier_id']} ×{order['multiplier']}" if order.get("tier_id") else ""
    return " ".join(part for part in (given, tier, f"cut by {', '.join(sorted(cut))}" if cut else "") if part)


def _orders(found: dict[str, Any] | None) -> Table | None:
    if not found or not found["claims"]:
        return None
    table = Table(box=None, pad_edge=False, header_style="dim")
    for title in ("order", "placed", "revision", "points", "taken back", "why"):
        table.add_column(title, justify="right" if title in ("revision", "points", "taken back") else "left")
    for order in found["claims"]:
        table.add_row(
            order["claim_id"], _when(order["at"]), str(order["version"]),
            str(order["granted"]), str(order["clawed_back"] or ""), Text(why(order)),
        )  # fmt: skip
    return table


def _history(found: dict[str, Any] | None) -> Table | None:
    if not found or not found["transfers"]:
        return None
    table = Table(box=None, pad_edge=False, header_style="dim")
    for title in ("when", "points", "from → to", "because of", "rule", "program"):
        table.add_column(title, justify="right" if title == "points" else "left")
    for item in found["transfers"]:
        what = item["claim_id"] if item["claim_kind"] in ("order", "activity") else item["claim_kind"] or ""
        cause = what or f"{item['decision']} {item['reason'] or ''}".replace("_", " ")
        table.add_row(
            _when(item["effective_at"]), str(item["points"]), f"{item['debit']} → {item['credit']}", cause.strip(),
            item["rule_id"] or "", f"v{item['program_version']}",
        )  # fmt: skip
    return table


def _tier(tier: dict[str, Any] | None) -> Table | None:
    if tier is None:
        return None
    above = tier["next_tier"]
    missing = f"{above['missing']} more tier points to {above['name']['en']}" if above else "this is the highest"
    return _facts(
        ("tier", tier["tier"]["name"]["en"]), ("since", _when(tier["since"])), ("until", _when(tier["valid_until"])),
        ("tier points", f"{tier['tier_points']} in the last {tier['window_months']} months"), ("next", missing),
    )  # fmt: skip


def _referral(found: dict[str, Any] | None) -> Table | None:
    if found is None:
        return None
    friends, by = found["friends"], found["brought_by"]
    told = ", ".join(f"{count} {state}" for state, count in friends.items() if count) or "none yet"
    came = f"{by['state']}{': ' + by['reason'].replace('_', ' ') if by['reason'] else ''}" if by else None
    return _facts(("code to share", found["code"]), ("friends", told), ("brought by a member", came))


def _messages(found: dict[str, Any] | None) -> Table | None:
    if not found or not found["items"]:
        return None
    table = Table(box=None, pad_edge=False, header_style="dim")
    for title in ("when", "channel", "message", "language", "state"):
        table.add_column(title)
    for item in found["items"]:
        state = f"{item['state']}{': ' + item['reason'] if item['reason'] else ''}"
        table.add_row(_when(item["created_at"]), item["channel"], item["template"], item["locale"] or "", Text(state))
    return table
