"""What the console consumes, publishes and serves; wiring only."""

from contracts.program import ProgramBook
from contracts.topics import CONSOLE, MEMBERS, PROGRAMS
from shared.service import Context, Reference, Service

from . import api, handlers


def build(context: Context) -> Service:
    """The service over this process's database, clock and settings."""
    programs = ProgramBook()
    return Service(
        name=CONSOLE,
        consumes=(MEMBERS,),
        reference=Reference(PROGRAMS, programs.add),
        process=handlers.process,
        handled=frozenset(handlers.HANDLERS),
        ignored=handlers.IGNORED,
        routes=api.routes(context, programs),
    )
