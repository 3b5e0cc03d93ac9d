"""What is legal in a program but unwise: what can never apply, is never reached, is open to loss, or gives too much."""

from contracts.program import Program

from .loose import loose
from .never import never
from .reach import reach
from .view import Advice, View
from .worth import worth

__all__ = ["Advice", "advise"]


def advise(program: Program) -> list[Advice]:
    """All advice on a program, in no order."""
    view = View(program)
    return [item for part in (never, reach, loose, worth) for item in part(view)]
