"""`laurel program`: check a program's file, and publish it."""

from pathlib import Path
from typing import Annotated

import httpx
import typer
from rich.markup import escape

import contracts
from contracts.topics import CONSOLE
from laurel import installation
from laurel.installation import Failure
from laurel.programs import read_advised, read_program
from laurel.services import SERVICES

from . import say
from .member import problem

app = typer.Typer(help="Programs: how members earn, climb, refer and spend.", no_args_is_help=True)

File = Annotated[Path, typer.Argument(help="Such as programs/aurora.yaml.")]


def add_to(root: typer.Typer) -> None:
    """Put the commands into the command line."""
    app.command("check")(check)
    app.command("diff")(diff)
    app.command("schema")(schema)
    app.command("publish")(publish)
    root.add_typer(app, name="program")


def check(
    file: File,
    strict: Annotated[bool, typer.Option("--strict", help="What is unwise is an error too.")] = False,
) -> None:
    """Say whether a program's file is right; errors name line, field and mend. What is legal but unwise is told too."""
    program, advice = read_advised(file)
    for line in advice:
        say.out.print(f"[yellow]unwise[/] {escape(line)}", soft_wrap=True)
    say.out.print(
        f"{file} is right: {program.id} version {program.version}, {len(program.earning.rules)} earning rules, "
        f"{len(program.tiers.levels)} tiers, {len(program.rewards)} rewards, "
        f"in force from {program.effective_from:%Y-%m-%d %H:%M} UTC."
    )
    if strict and advice:
        say.fail(f"{len(advice)} things are unwise.")


def diff(
    old: Annotated[Path, typer.Argument(help="The version that there is.")],
    new: Annotated[Path, typer.Argument(help="The version that is to come.")],
) -> None:
    """Say in sentences what a later version changes for members."""
    from console.domain.differing import differences

    before, after = read_program(old), read_program(new)
    if before.id != after.id:
        raise Failure(f"These are two programs, {before.id} and {after.id}, not two versions of one.")
    found = differences(before, after)
    for sentence in found:
        say.out.print(f"- {sentence}", markup=False, soft_wrap=True)
    if not found:
        say.out.print("Nothing changes for members.")
    say.out.print(
        f"Orders placed before {after.effective_from:%Y-%m-%d %H:%M} UTC keep version {before.version}.", style="dim"
    )


def schema() -> None:
    """Print the JSON Schema of the program document, for editors."""
    text = (Path(contracts.__file__).parent / "schemas" / "program.json").read_text("utf-8")
    typer.echo(text)


def publish(
    file: File,
    backdate: Annotated[bool, typer.Option("--backdate", help="Allow a date in the past.")] = False,
) -> None:
    """Publish a version of a program, for ever. The same one again changes nothing."""
    program = read_program(file)
    answer = httpx.post(
        f"{installation.url(SERVICES[CONSOLE])}/v1/programs",
        params={"backdate": "true" if backdate else "false"},
        # With all that is left out in the file a large program would be ten times as large.
        content=program.model_dump_json(exclude_defaults=True),
        headers={"Content-Type": "application/json", "Authorization": f"Bearer {installation.token(program.id)}"},
        timeout=15.0,
        trust_env=False,
    )
    if not answer.is_success:
        raise Failure(f"Not published: {problem(answer)}".replace("backdate=true", "--backdate"))
    told = answer.json()
    what = "is published" if told["outcome"] == "published" else "was published before, exactly so"
    say.out.print(f"{program.id} version {program.version} {what} (hash {told['hash'][:12]}).")
