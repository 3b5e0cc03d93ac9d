"""Wiring: what points-accrual consumes, publishes and serves."""

from functools import partial

from contracts.program import ProgramBook
from contracts.topics import ACTIVITIES, MEMBERS, ORDERS, POINTS, PROGRAMS, REFERRALS, SEGMENTS, TIERS
from shared.kafka import Reference
from shared.service import Context, Service

from . import api, handlers, restoring


def build(context: Context) -> Service:
    """The service around one process's resources.

    Who is a member, in which tier and segments, is read before what they do: judged once instead of again.
    """
    programs = ProgramBook()
    return Service(
        name=POINTS,
        consumes=(MEMBERS, TIERS, SEGMENTS, REFERRALS, ORDERS, ACTIVITIES),
        process=partial(handlers.process, programs),
        handled=frozenset(handlers.HANDLERS),
        ignored=handlers.IGNORED,
        adopt=partial(restoring.adopt, programs),
        republish=(partial(restoring.republish, programs),),
        reference=Reference(PROGRAMS, programs.add),
        routes=api.routes(context, programs),
        sweep=partial(handlers.sweep, programs),
    )
