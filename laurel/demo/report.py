"""What the demo found, as tables for people and as a file for programs."""

import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from laurel.installation import State

from .checks import Check
from .play import Played
from .seen import MemberSeen
from .story import Story

SHOWN = 15


def members_table(members: list[MemberSeen]) -> Table:
    """Those with the most points."""
    table = Table(title=f"The {SHOWN} members with the most points", title_justify="left", title_style="bold")
    for title in ("member", "e-mail", "", "tier"):
        table.add_column(title, no_wrap=title != "member")
    for title in ("active", "pending", "owed", "friends"):
        table.add_column(title, justify="right")
    for seen in sorted(members, key=_rank)[:SHOWN]:
        held = seen.points["balances"]
        table.add_row(
            f"{seen.person.first_name} {seen.person.last_name}", seen.person.email, seen.person.locale,
            seen.tier["tier"]["name"]["en"], str(held["active"]), str(held["pending"]), str(held["deficit"] or ""),
            str(seen.referral["friends"]["confirmed"] or ""),
        )  # fmt: skip
    return table


def _rank(seen: MemberSeen) -> tuple[int, str]:
    held = seen.points["balances"]
    return -(held["active"] + held["pending"] - held["deficit"]), seen.person.email


def checks_table(checks: list[Check]) -> Table:
    """Each check with what it found."""
    table = Table(title="Checks", title_justify="left", title_style="bold")
    table.add_column("")
    table.add_column("what must be true")
    table.add_column("found")
    for check in checks:
        table.add_row(Text("ok", "green") if check.ok else Text("WRONG", "bold red"), check.name, Text(check.detail))
    return table


def where(state: State, out: Console) -> None:
    """Where to look further."""
    out.print("\n[bold]Where to look[/]")
    for name, url in state.urls.items():
        out.print(f"  {url}/docs  {name}")
    out.print(f"  mails in {state.mails}\n  logs in {state.logs}")
    out.print("  laurel member shopper042@example.com    laurel doctor    laurel dlq list points-accrual")


def write(
    path: Path, story: Story, played: Played, members: list[MemberSeen], checks: list[Check], seconds: dict[str, float]
) -> bool:
    """The file for programs; returns whether all is well."""
    ok = all(check.ok for check in checks)
    result: dict[str, Any] = {
        "ok": ok,
        "seconds": {name: round(value, 1) for name, value in seconds.items()},
        "counts": {
            "webhooks": played.sent,
            "orders": len(story.orders),
            "members": len(members),
            "friends": len(story.friends),
            "redemptions": len(played.redeemed),
            "messages": sum(len(seen.messages) for seen in members),
        },
        "checks": [
            {"name": check.name, "ok": check.ok, "looked_at": check.looked_at, "faults": list(check.faults)}
            for check in checks
        ],
    }
    path.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n")
    return ok
