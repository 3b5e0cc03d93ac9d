"""`laurel send`: a platform's webhook, signed as the platform would."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer

from laurel import installation, shopify
from laurel.installation import Failure
from laurel.services import SERVICES

from . import say

app = typer.Typer(help="Send webhooks as a platform would.", no_args_is_help=True)

TOPICS = (
    "orders/create", "orders/paid", "orders/updated", "orders/fulfilled", "orders/cancelled", "refunds/create",
    "disputes/create", "disputes/update", "customers/create", "customers/update",
)  # fmt: skip
MEANING = {
    200: "stored; it is read within a second or so.",
    401: "refused: the signature does not belong to this connection's secret, so nothing was stored.",
    404: "refused: there is no such connection; `laurel connection list` shows those there are.",
    413: "refused: the body is too large.",
    415: "refused: the body is not JSON.",
    429: "not taken now: too many requests; Shopify would send it again.",
    503: "not taken now: the service cannot store it; Shopify would send it again.",
}


def add_to(root: typer.Typer) -> None:
    """Put the commands into the command line."""
    app.command("shopify")(send)
    root.add_typer(app, name="send")


@app.callback()
def _group() -> None:
    """Send webhooks as a platform would."""


def send(
    file: Annotated[Path, typer.Argument(help="The payload, bare or as {'order': …}.")],
    topic: Annotated[str, typer.Option(help="Such as orders/paid or refunds/create.")],
    sets: Annotated[
        list[str] | None, typer.Option("--set", help="Change a field first: financial_status=paid.", show_default=False)
    ] = None,
    now: Annotated[bool, typer.Option("--now", help="Move its dates so that the last is now.")] = False,
    connection: Annotated[str | None, typer.Option(help="Another connection than the demo shop's.")] = None,
    secret_file: Annotated[Path | None, typer.Option(help="The file with that connection's secret.")] = None,
) -> None:
    """Sign a Shopify payload and send it to the Laurel that runs from this folder."""
    if topic not in TOPICS:
        raise Failure(f"There is no topic {topic!r}; there are {', '.join(TOPICS)}.")
    payload = shopify.read_payload(file)
    if now:
        payload = shopify.move_to(payload, datetime.now(UTC))
    for assignment in sets or []:
        shopify.set_field(payload, assignment)
    connection_id, secret = _credentials(connection, secret_file)
    body = json.dumps(payload).encode()
    url = f"{installation.url(SERVICES['order-ingest'])}/v1/connections/{connection_id}/webhooks"
    answer = httpx.post(url, content=body, headers=shopify.headers(secret, body, topic), timeout=10.0, trust_env=False)
    meaning = MEANING.get(answer.status_code, "an answer that nobody expected; see the log of order-ingest.")
    say.out.print(f"{answer.status_code}: {meaning}", style=None if answer.is_success else "red")
    if not answer.is_success:
        raise typer.Exit(1)
    if email := _email(payload):
        say.out.print(f"See what became of it: laurel member {email}")


def _credentials(connection: str | None, secret_file: Path | None) -> tuple[str, str]:
    if connection is not None:
        if secret_file is None:
            raise Failure("A connection of your own needs its secret too: name its file with --secret-file.")
        return connection, secret_file.read_text().strip()
    state = installation.required()
    if state.connection_id is None:
        raise Failure("This Laurel has no demo shop; name a connection with --connection and --secret-file.")
    return state.connection_id, state.secret_file.read_text().strip()


def _email(payload: dict[str, Any]) -> str | None:
    customer = payload.get("customer")
    email = payload.get("email") or (customer.get("email") if isinstance(customer, dict) else None)
    return str(email) if email else None
