"""HTTP for the outside: balances, history, explanations, spending, and what people of the shop do by hand."""

from fastapi import APIRouter

from contracts.program import ProgramBook
from shared.service import Context

from . import accounting, adjustments, by_hand, catalogue, draws, dry_run, points, reading, seeds, spending


def routes(context: Context, programs: ProgramBook) -> APIRouter:
    """The routes of the service."""
    router = APIRouter(prefix="/v1")
    for part in (points, reading, catalogue, spending, adjustments, by_hand, dry_run, accounting, seeds, draws):
        part.add_routes(router, context, programs)
    return router
