"""Plays a story: each entry in turn, time passing between them, and what is expected compared with what is."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from contracts.base import Event
from points_accrual.domain.catalogue import RefusedError
from points_accrual.domain.deciding import WrongProgramError

from .acting import ACTS
from .books import imbalances
from .expecting import Compared, balances, compare, shown
from .parts import Check, Entry, TimePasses
from .reading import Story
from .saying import said
from .stage import Stage
from .telling import event_of, prepare
from .transfers import Journal
from .units import Mistake, local, moment


@dataclass(frozen=True, slots=True)
class Step:
    """An entry at its place in the story."""

    place: int
    entry: Entry
    happens_at: datetime
    arrives_at: datetime
    """When it reaches Laurel as the story is written."""

    @property
    def is_fact(self) -> bool:
        """Something that is told, not asked for; a fact's order should not matter."""
        return type(self.entry) not in ACTS and not isinstance(self.entry, Check | TimePasses)


@dataclass(slots=True)
class Happened:
    """What one entry brought."""

    when: str
    what: str
    got: str
    """The buckets of the member it is about."""
    compared: list[Compared] = field(default_factory=list)
    transfers: list[str] = field(default_factory=list)

    @property
    def right(self) -> bool:
        return all(item.same for item in self.compared)


@dataclass(slots=True)
class Outcome:
    """A story that was played."""

    story: Story
    before: list[str]
    """Transfers that were made before the first entry: for an enrolment."""
    moments: list[Happened]

    @property
    def right(self) -> bool:
        return all(item.right for item in self.moments)

    @property
    def transfers(self) -> list[str]:
        return [*self.before, *(line for item in self.moments for line in item.transfers)]


def steps_of(story: Story, stage: Stage) -> list[Step]:
    """All entries with their times: what stands after later ones arrives with them."""
    steps: list[Step] = []
    clock: datetime | None = None
    for place, entry in enumerate(story.entries):
        happens = stage.moment(entry)
        told = moment(entry.recorded, stage.zone) if entry.recorded else happens
        clock = max(told, happens, clock or happens)
        steps.append(Step(place, entry, happens, clock))
    return steps


def play(story: Story) -> Outcome:
    """Play a story as it is written. Raises `UnreadableError` for what cannot be played."""
    stage = Stage(story)
    prepare(stage)
    player = Player(stage)
    return Outcome(story, player.before, [player.perform(step, step.arrives_at) for step in steps_of(story, stage)])


class Player:
    """Performs one entry after the other."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.journal = Journal()
        self.before = self.journal.news(stage)
        self._read = len(stage.ledger.world.outbox)
        self.sent: list[Event] = []

    def perform(self, step: Step, at: datetime, *, expect: bool = True) -> Happened:
        """One entry, known at that moment."""
        stage, entry = self.stage, step.entry
        refused = None
        stage.ledger.sweep(at)
        try:
            someone = stage.someone(entry)
            refused = self._happen(step, at)
            wanted = entry.expect if expect else None
            compared = []
            if wanted is not None:
                compared = compare(stage, wanted, someone, refused, self._published())
            elif refused is not None and expect:
                compared = [Compared("refused", "no", refused)]
        except (Mistake, WrongProgramError) as error:
            mistake = error if isinstance(error, Mistake) else Mistake(str(error))
            raise stage.story.mistake(step.place, mistake) from None
        compared += [Compared("the books", "balance", sentence) for sentence in imbalances(stage.ledger)]
        when, what = local(step.happens_at, stage.zone), said(entry)
        if at > step.happens_at:
            what += f" (known {local(at, stage.zone)})"
        return Happened(when, what, shown(balances(stage, someone.name)), compared, self.journal.news(stage))

    def _happen(self, step: Step, at: datetime) -> str | None:
        """Returns why it was refused, if it was."""
        if isinstance(step.entry, Check | TimePasses):
            return None
        act = ACTS.get(type(step.entry))
        if act is not None:
            try:
                act(self.stage, step.entry, at)
            except RefusedError as refusal:
                return refusal.reason
            return None
        event = event_of(self.stage, step.place, step.entry, at)
        if event is not None:
            self.tell([event])
        return None

    def tell(self, events: Sequence[Event]) -> None:
        """Send facts to the ledger, and remember them."""
        self.stage.ledger.send(*events)
        self.sent += events

    def _published(self) -> list[Event]:
        """What was published since the last time that somebody asked."""
        events = self.stage.ledger.events()[self._read :]
        self._read = len(self.stage.ledger.world.outbox)
        return events
