"""The same story by other deliveries: facts in another order, some of them twice. It must end the same."""

import random

from . import facts
from .parts import Check, TimePasses
from .playing import Happened, Player, Step, steps_of
from .reading import Story
from .stage import Stage
from .telling import ORDERS, prepare

REPEATS = 0.3
"""After so many of the deliveries an earlier one comes again."""
FREE = frozenset({
    *ORDERS, facts.ActivityEntry, facts.RevokeEntry, facts.TierEntry, facts.MembershipEntry, facts.EnrolEntry,
    facts.ReferralEntry,
})  # fmt: skip
"""Facts of which it does not matter which is known first."""


def shuffled(story: Story, seed: int) -> str | None:
    """Play a story with its facts in another order. Returns what ends otherwise, if anything does."""
    chance = random.Random(seed)
    stage = Stage(story)
    prepare(stage)
    player, steps = Player(stage), steps_of(story, stage)
    last = next((step for step in reversed(steps) if step.entry.expect is not None), None)
    order = steps if story.told.order_matters else _mixed(steps, last, chance)
    clock = stage.now
    ended: Happened | None = None
    for step, written in zip(order, steps, strict=True):
        clock = max(clock, written.arrives_at, step.happens_at)
        happened = player.perform(step, clock, expect=step is last)
        ended = happened if step is last else ended
        if player.sent and chance.random() < REPEATS:
            stage.ledger.send(chance.choice(player.sent))
    if ended is None or ended.right:
        return None
    places = ", ".join(str(step.place + 1) for step in order)
    wrong = "; ".join(f"{one.what} {one.got}, expected {one.expected}" for one in ended.compared if not one.same)
    return f"{wrong.strip()} (entries in the order {places}; seed {seed})"


def _mixed(steps: list[Step], last: Step | None, chance: random.Random) -> list[Step]:
    """Facts change places with one another, but not across a command, nor across what is expected last."""
    order = list(steps)
    run: list[int] = []
    for index, step in enumerate(steps):
        if type(step.entry) in FREE and step is not last:
            run.append(index)
        elif not isinstance(step.entry, Check | TimePasses) or step is last:
            _mix(order, run, chance)
            run = []
    _mix(order, run, chance)
    return order


def _mix(order: list[Step], run: list[int], chance: random.Random) -> None:
    moved = [order[index] for index in run]
    chance.shuffle(moved)
    for index, step in zip(run, moved, strict=True):
        order[index] = step
