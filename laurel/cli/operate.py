"""`laurel run`, `laurel migrate` and `laurel topics`: what an installation is made of."""

from typing import Annotated

import typer

from contracts.topics import PARTITIONS_DEFAULT
from laurel import installation, topics
from laurel.installation import Failure
from shared import log
from shared.admin import apply_topics
from shared.db import MIGRATIONS
from shared.db import migrate as apply_migrations

from . import say

topics_app = typer.Typer(help="Topics of Kafka.", no_args_is_help=True)


def add_to(app: typer.Typer) -> None:
    """Put the commands into the command line."""
    app.command("run")(run)
    app.command("migrate")(migrate)
    topics_app.command("apply")(apply)
    app.add_typer(topics_app, name="topics")


def run(service: Annotated[str, typer.Argument(help="Such as points-accrual.")]) -> None:
    """Run one service as this process, with settings from LAUREL_… variables, until SIGTERM or Ctrl-C."""
    from pydantic import ValidationError

    from shared.process import Process
    from shared.service import Context

    entry = installation.entry_of(service)
    try:
        settings = entry.settings()
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise Failure(f"LAUREL_{'_'.join(map(str, first['loc'])).upper()} is not right: {first['msg']}.") from error
    log.configure(entry.name, settings.log_level)

    async def work() -> bool:
        context = Context(entry.name, settings)
        process = Process(context, entry.build(context), entry.migrations)
        await process.run()
        return process.failed

    if say.run(work()):
        raise typer.Exit(1)


def migrate(
    services: Annotated[list[str] | None, typer.Argument(help="All when none is named.", show_default=False)] = None,
) -> None:
    """Bring the databases of services up to date."""
    chosen = installation.entries(services or [])
    if len(chosen) > 1 and installation.one_for_all():
        raise Failure(
            "The environment names one database, but each service has its own: name the service, "
            "or write {database} where their addresses differ."
        )
    for entry in chosen:
        applied = apply_migrations(installation.dsn(entry), [MIGRATIONS, entry.migrations])
        say.out.print(f"{entry.name}: {', '.join(applied) or 'nothing to do'}")


def apply(
    check: Annotated[bool, typer.Option("--check", help="Only compare; make nothing.")] = False,
    partitions: Annotated[
        int, typer.Option(min=1, max=1000, help="Of each topic of members; fixed at install.")
    ] = PARTITIONS_DEFAULT,
) -> None:
    """Make the topics that are missing, and compare the others with the registry; nothing is ever changed."""
    kafka = installation.kafka()
    outcome = say.run(apply_topics(kafka, topics.wanted(partitions), check=check))
    for fault in outcome.wrong:
        say.err.print(fault, style="red", markup=False)
    if outcome.wrong:
        say.fail(
            "Nothing was changed: name the partition count that the topics were made with, or mend what is named above."
        )
    if outcome.missing:
        say.fail(f"{len(outcome.missing)} topics are missing, such as {outcome.missing[0]}; run `laurel topics apply`.")
    made = (
        f"{len(outcome.created)} topics made" if outcome.created else "all topics are there, as the registry has them"
    )
    say.out.print(f"{kafka}: {made}.")
