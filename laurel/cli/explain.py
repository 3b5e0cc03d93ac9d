"""`laurel explain`: why an order or activity earned what it did, rule by rule."""

from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from contracts.topics import INGEST, POINTS
from laurel.installation import Failure

from . import say
from .member import REASONS, Api, Program, program_of


def add_to(root: typer.Typer) -> None:
    """Put the command into the command line."""
    root.command("explain")(explain)


def explain(
    email: Annotated[str, typer.Argument(help="The member's e-mail address.")],
    claim: Annotated[str, typer.Argument(help="The order or activity, as source:id.")],
    activity: Annotated[bool, typer.Option("--activity", help="It is an activity.")] = False,
    program: Program = None,
) -> None:
    """Show every rule of the version that judged it: applied or not, what it wanted, what was granted, what cut it."""
    program_id, (source, _, name) = program_of(program), claim.partition(":")
    with Api(program_id) as api:
        who = api.get(INGEST, "/v1/members", email=email, typed="true")
        if who is None:
            raise Failure(f"Program {program_id} knows no {email}.")
        path = f"/v1/members/{who['member_id']}/{'activities' if activity else 'orders'}/{source}/{name}"
        found = api.get(POINTS, path)
    if found is None:
        raise Failure(f"{email} has no {'activity' if activity else 'order'} {claim}.")
    say.out.print(rules_of(found))
    for line in told(found):
        say.out.print(line, markup=False)


def rules_of(found: dict[str, Any]) -> Table:
    """A row for each rule."""
    table = Table(title=f"{found['claim_id']}, by version {found['program_version']}", title_justify="left")
    for title in ("rule", "applied", "of", "exactly", "wanted", "granted", "cut by"):
        table.add_column(title, justify="left" if title in ("rule", "applied", "cut by") else "right")
    for rule in found["rules"]:
        reason = str(rule["reason"] or "nothing in it fits")
        why = "yes" if rule["applied"] else REASONS.get(reason, reason.replace("_", " "))
        table.add_row(
            rule["rule_id"], Text(why), rule.get("basis_minor", ""), rule["exact"], str(rule["wanted"]),
            str(rule["granted"]), ", ".join(rule["cut_by"]),
        )  # fmt: skip
    return table


def told(found: dict[str, Any]) -> list[str]:
    """What holds for all rules together, and what became of the points."""
    lines = [f"granted {found['granted']}, at most {found['granted_at_most']}, taken back {found['clawed_back']}"]
    if found["reason"]:
        lines.append(f"nothing, because: {REASONS.get(found['reason'], found['reason'].replace('_', ' '))}")
    lines += [
        f"cap {cap['name']} {cap['window']}: asked {cap['asked']}, allowed {cap['allowed']}" for cap in found["caps"]
    ]
    for lot in found["lots"]:
        ends = f", runs out {lot['expires_at'][:10]}" if lot["expires_at"] else ""
        lines.append(f"lot {lot['lot_id']}: {lot['remaining']} {lot['state']}, {lot['expired']} ran out{ends}")
        lines += [f"  taken back: {item['points']} from {item['from']}" for item in lot["clawed_back"]]
    return lines
