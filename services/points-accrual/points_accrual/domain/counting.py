"""What an order or activity counts for challenges: amounts, and which different things."""

from fractions import Fraction

from contracts.activities import ActivityFacts

from .claims import Counts
from .conditions import Situation
from .money import Counted
from .rulebook import Goal, Rulebook
from .weighing import Purchase, failing


def order_counts(purchase: Purchase, situation: Situation) -> Counts:
    """What an order that may earn counts as it stands; nothing when it came back whole, or fell below a minimum."""
    found: Counts = {}
    for goal_id, goal in purchase.book.goals.items():
        if goal.challenge.activity is not None or failing(goal.tests, situation):
            continue
        now = purchase.current(goal.basis)
        fitting = [
            place for place, line in enumerate(purchase.order.lines)
            if now.lines[place] and (goal.fits is None or goal.fits(line))
        ]  # fmt: skip
        if fitting and now.total >= goal.challenge.minimum_minor:
            value, things = _measure(goal, purchase, now, fitting)
            if value or things:
                found[goal_id] = value, things
    return found


def _measure(goal: Goal, purchase: Purchase, now: Counted, fitting: list[int]) -> tuple[int, tuple[str, ...]]:
    lines, counts = purchase.order.lines, goal.challenge.counts
    if counts == "orders":
        return 1, ()
    if counts == "spend":
        return int(sum(now.lines[place] for place in fitting) + (now.beyond if goal.fits is None else 0)), ()
    if counts == "pieces":
        placed = purchase.placed(goal.basis).lines
        return int(sum(Fraction(lines[place].quantity) * now.lines[place] / placed[place] for place in fitting)), ()
    things: set[str] = set()
    for place in fitting:
        line = lines[place]
        if counts == "products":
            things.add(line.product_id or line.line_id)
        elif counts == "vendors" and line.vendor:
            things.add(line.vendor)
        elif counts == "categories":
            wanted = goal.challenge.match.categories
            things.update(name for name in line.categories if not wanted or name in wanted)
    return 0, tuple(sorted(things))


def activity_counts(activity: ActivityFacts, book: Rulebook, situation: Situation) -> Counts:
    """What an activity that may earn counts."""
    found: Counts = {}
    for goal_id, goal in book.goals.items():
        challenge = goal.challenge
        if challenge.activity != activity.kind or (challenge.verified and not activity.verified):
            continue
        if any(activity.attributes.get(name) not in values for name, values in challenge.attributes.items()):
            continue
        if failing(goal.tests, situation) is None:
            things = (activity.object_id or activity.activity_id,) if challenge.counts == "objects" else ()
            found[goal_id] = 0 if things else 1, things
    return found
