"""`laurel story`: play stories on the real core, and say where they end otherwise than expected."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from laurel.installation import Failure

from . import say

Files = Annotated[list[Path], typer.Argument(help="Stories, or folders of them.")]
DIFFERENCES_MAX = 5
"""So many orders of deliveries that end otherwise are told."""


def add_to(root: typer.Typer) -> None:
    """Put the command into the command line."""
    root.command("story")(story)


def story(
    files: Files,
    explain: Annotated[bool, typer.Option("--explain", help="Print every transfer.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="A line for each; tables of those that differ.")] = False,
    shuffle: Annotated[
        int, typer.Option(metavar="N", min=0, help="Play each N times more, with deliveries in another order.")
    ] = 0,
    golden: Annotated[
        bool, typer.Option("--golden", help="Write the transfers of each story beside it, as transfers.txt.")
    ] = False,
) -> None:
    """Play stories on the real core: what happens to members, and what should come of it (docs/stories.md)."""
    from laurel.stories.golden import text_of, write
    from laurel.stories.playing import play
    from laurel.stories.reading import UnreadableError, read
    from laurel.stories.showing import RIGHT, WRONG, table_of
    from laurel.stories.shuffling import shuffled

    paths, wrong = _stories(files), 0
    for path in paths:
        try:
            outcome = play(read(path))
            differing = [text for seed in range(shuffle) if (text := shuffled(outcome.story, seed))]
        except UnreadableError as error:
            raise Failure(str(error)) from None
        if not (quiet and outcome.right):
            say.out.print(table_of(outcome))
        if explain:
            say.out.print(text_of(outcome), style="dim", markup=False)
        right = outcome.right and not differing
        wrong += not right
        say.out.print(f"{RIGHT if right else WRONG} {escape(outcome.story.told.story)} [dim]{escape(str(path))}[/]")
        for text in differing[:DIFFERENCES_MAX]:
            say.out.print(f"  [red]in another order:[/] {escape(text)}")
        if golden:
            say.out.print(f"  {write(outcome)} holds {len(outcome.transfers)} transfers", markup=False)
    if wrong:
        say.fail(f"{wrong} of {len(paths)} stories end otherwise than expected.")


def _stories(files: list[Path]) -> list[Path]:
    found = [path for file in files for path in (sorted(file.rglob("*.yaml")) if file.is_dir() else [file])]
    if not found:
        raise Failure("There is no story: name a file, or a folder with files that end in .yaml.")
    return found
