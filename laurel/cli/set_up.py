"""`laurel keys` and `laurel token`: what signs, and who may ask."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, cast, get_args
from uuid import UUID

import typer

from laurel import installation
from laurel.installation import Failure
from laurel.keys import add_signing_key, make_keys
from shared.access import Scope, Tokens

from . import say

keys_app = typer.Typer(help="Keys that sign tokens and links.", no_args_is_help=True)
token_app = typer.Typer(help="Tokens for the services' APIs.", no_args_is_help=True)
_UNITS = {"m": 60, "h": 3600, "d": 86400}


def add_to(app: typer.Typer) -> None:
    """Put the commands into the command line."""
    keys_app.command("init")(init)
    token_app.command("create")(create)
    app.add_typer(keys_app, name="keys")
    app.add_typer(token_app, name="token")


def init(rotate: Annotated[bool, typer.Option("--rotate", help="Add a newer signing key.")] = False) -> None:
    """Make the keys of an installation. Keep the folder: links in mails and fingerprints hang on it."""
    folder = installation.keys_dir()
    if not make_keys(folder):
        if not rotate:
            say.out.print(f"{folder} has a signing key already; `--rotate` adds a newer one.")
            return
        add_signing_key(folder)
    say.out.print(f"A new key in {folder} signs tokens from now on; older ones go on verifying until you remove them.")


def create(
    program: Annotated[str, typer.Option(help="The program's id, such as aurora.")],
    scope: Annotated[str, typer.Option(help="store, admin or member.")] = "store",
    ttl: Annotated[str, typer.Option(help="How long it is valid, such as 15m, 12h or 90d.")] = "15m",
    member: Annotated[UUID | None, typer.Option(help="For scope member: which one.")] = None,
    subject: Annotated[str, typer.Option(help="Whom it is for; appears in logs.")] = "cli",
) -> None:
    """Print a signed token. Whoever has it may use it: hand it over like a password."""
    if scope not in get_args(Scope):
        raise Failure(f"There is no scope {scope!r}; there are {', '.join(get_args(Scope))}.")
    folder = installation.keys_dir()
    if not list(folder.glob("*.key.pem")):
        raise Failure(f"There is no key to sign tokens with in {folder}; make one with `laurel keys init`.")
    try:
        text = Tokens(folder).mint(
            program,
            cast(Scope, scope),
            now=datetime.now(UTC),
            ttl=_duration(ttl),
            member_id=member,
            subject=subject,
        )
    except ValueError as error:
        raise Failure(f"{str(error)[:1].upper()}{str(error)[1:]}.") from error
    print(text)


def _duration(text: str) -> timedelta:
    """Raises Failure for anything but a number and its unit."""
    found = re.fullmatch(r"(\d{1,5})([mhd])", text)
    if not found:
        raise Failure(f"{text!r} is no duration; write it as 15m, 12h or 90d.")
    return timedelta(seconds=int(found[1]) * _UNITS[found[2]])
