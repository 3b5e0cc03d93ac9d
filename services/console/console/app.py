"""What the console consumes, publishes and serves; wiring only."""

from contracts.program import ProgramBook
from contracts.topics import CONSOLE, MEMBERS, PROGRAMS
from shared.service import Context, Reference, Service

from . import api, handlers, restoring


def build(context: Context) -> Service:
    """The service over this process's database, clock and settings."""
    programs = ProgramBook()
    return Service(
        name=CONSOLE,
        consumes=(MEMBERS,),
        adopt=restoring.adopt,
        republish=(restoring.republish_programs, restoring.republish_segments),
        reference=Reference(PROGRAMS, programs.add),
        process=handlers.process,
        handled=frozenset(handlers.HANDLERS),
        ignored=handlers.IGNORED,
        routes=api.routes(context, programs),
    )
