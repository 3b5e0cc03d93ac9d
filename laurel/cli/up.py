"""`laurel up`: a whole Laurel from this folder, until Ctrl-C."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer
from rich.status import Status

from laurel import installation
from laurel.services import SERVICES
from laurel.stack import Stack

from . import say


def add_to(app: typer.Typer) -> None:
    """Put the command into the command line."""
    app.command("up")(up)


def up() -> None:
    """Start Kafka, PostgreSQL, a mail sink and the services here, and keep them until Ctrl-C. Data stays in .laurel."""
    folder = installation.home()
    ports = {name: entry.port for name, entry in SERVICES.items()}
    with installation.held(folder), stoppable(), say.out.status("Starting …") as status:
        try:
            with Stack(folder, ports=ports, tell=teller(status)) as stack:
                status.stop()
                show(stack)
                try:
                    threading.Event().wait()
                finally:
                    status.update("Stopping …")
                    status.start()
        except KeyboardInterrupt:
            status.stop()
            say.out.print(f"Stopped; the data stays in {folder}.")


def show(stack: Stack) -> None:
    """Where everything is."""
    state = stack.state
    say.out.print("[bold green]Laurel is up.[/] Ctrl-C stops it.\n")
    for name, entry in SERVICES.items():
        say.out.print(f"  {state.urls[name]}  [bold]{name}[/]: {entry.about}")
    say.out.print(f"\n  Program [bold]{state.program_id}[/], shop [bold]{state.source}[/]")
    say.out.print(f"  Webhooks to {state.urls['order-ingest']}/v1/connections/{state.connection_id}/webhooks")
    say.out.print(f"  Mails in {state.mails}\n  Logs in {state.logs}")
    say.out.print(
        "\n  Try in another terminal:\n"
        "  laurel send shopify ORDER.json --topic orders/paid --set financial_status=paid --now\n"
        "  laurel member EMAIL\n  laurel doctor"
    )


def teller(status: Status) -> Callable[[str], None]:
    """Says what is being done: on a terminal in one line that changes, else line by line."""
    if say.out.is_terminal:
        return lambda text: status.update(f"{text} …")
    return lambda text: say.out.print(f"{text} …")


@contextmanager
def stoppable() -> Iterator[None]:
    """SIGTERM and the end of the terminal stop things as Ctrl-C does; a second signal does not disturb the stopping."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def stop(*_: object) -> None:
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = [signal.signal(number, stop) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
