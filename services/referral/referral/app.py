"""Wiring: what the referral service consumes, publishes and serves."""

from functools import partial

from contracts.program import ProgramBook
from contracts.topics import MEMBERS, ORDERS, PROGRAMS, REFERRAL
from shared.kafka import Reference
from shared.service import Context, Service

from . import api, handlers, restoring


def build(context: Context) -> Service:
    """The service around one process's resources."""
    programs = ProgramBook()
    return Service(
        name=REFERRAL,
        consumes=(MEMBERS, ORDERS),
        process=partial(handlers.process, programs),
        handled=frozenset(handlers.HANDLERS),
        adopt=restoring.adopt,
        republish=(restoring.republish_codes, restoring.republish_referrals),
        reference=Reference(PROGRAMS, programs.add),
        routes=api.routes(context, programs),
        sweep=partial(handlers.sweep, programs),
    )
