"""Wiring: what the tier service consumes, publishes and serves."""

from functools import partial

from contracts.program import ProgramBook
from contracts.topics import MEMBERS, POINTS_TOPIC, PROGRAMS, REWARDS, TIER
from shared.kafka import Reference
from shared.service import Context, Service

from . import api, handlers, restoring


def build(context: Context) -> Service:
    """The service around one process's resources."""
    programs = ProgramBook()
    return Service(
        name=TIER,
        consumes=(MEMBERS, POINTS_TOPIC, REWARDS),
        process=partial(handlers.process, programs),
        handled=frozenset(handlers.HANDLERS),
        ignored=handlers.IGNORED,
        adopt=partial(restoring.adopt, programs),
        republish=(restoring.republish,),
        reference=Reference(PROGRAMS, programs.add),
        routes=api.routes(context, programs),
        sweep=partial(handlers.sweep, programs),
    )
