"""How a story that was played looks on a terminal."""

from rich.markup import escape
from rich.table import Table

from .playing import Happened, Outcome

RIGHT, WRONG = "[green]✓[/]", "[red]✗[/]"


def table_of(outcome: Outcome) -> Table:
    """Each moment with what was expected of it and what came."""
    title = escape(outcome.story.told.story)
    table = Table(title=title, title_justify="left", title_style="bold")
    table.add_column("when", no_wrap=True)
    table.add_column("what happens")
    table.add_column("expected")
    table.add_column("got")
    table.add_column("", no_wrap=True)
    for item in outcome.moments:
        _add(table, item)
    return table


def _add(table: Table, item: Happened) -> None:
    """A moment: its own row, and one for each further thing that was expected of it."""
    what = escape(item.what)
    if not item.compared:
        table.add_row(item.when, what, "", f"[dim]{escape(item.got)}[/]", "")
    for place, one in enumerate(item.compared):
        expected = f"{one.what}: {one.expected}" if one.what else one.expected
        got = escape(one.got) if one.same else f"[bold red]{escape(one.got)}[/]"
        first = place == 0
        table.add_row(
            item.when if first else "", what if first else "", escape(expected), got, RIGHT if one.same else WRONG
        )
